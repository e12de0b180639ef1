"""What is measured of a network: accuracy and sparsity."""

import copy
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from reports.records import Accuracy

from ..data.datasets import Dataset, Images

EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Tally:
    """Shares of one split's images, and their mean loss."""

    top1: float
    top5: float
    loss: float


def evaluate(model: nn.Module, images: Images) -> Tally:
    """The top-1 and top-5 accuracy and mean loss on one split, in eval mode."""
    model.eval()
    first = five = 0
    loss = 0.0
    with torch.inference_mode():
        for batch, labels in images.batches(EVALUATION_BATCH):
            logits = model(batch)
            hits = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
            first += int(hits[:, 0].sum())
            five += int(hits.any(1).sum())
            loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
    return Tally(first / len(images), five / len(images), loss / len(images))


def accuracy(model: nn.Module, data: Dataset) -> Accuracy:
    """The accuracy on the test split and, where images are held out, on the validation split.

    Raises:
        FloatingPointError: a loss is no finite number.
    """
    test = evaluate(model, data.test)
    validation = evaluate(model, data.validation) if len(data.validation) else None
    for split, tally in (("test", test), ("validation", validation)):
        if tally and not math.isfinite(tally.loss):
            raise FloatingPointError(
                f"the loss on the {split} images is {tally.loss}: the network's outputs are no "
                "numbers any more; a lower learning rate is the usual cure"
            )
    return Accuracy(
        top1=test.top1,
        top5=test.top5,
        loss=test.loss,
        validation_top1=validation.top1 if validation else None,
        validation_loss=validation.loss if validation else None,
    )


def layer_sparsity(
    dense: nn.Module, pruned: nn.Module, masks: Mapping[str, Tensor] = MappingProxyType({})
) -> dict[str, float]:
    """The share of each layer's parameters that are gone; layers without any are left out.

    Args:
        masks: layer -> True where a weight stays; gone are those that it holds at zero, too.
    """
    left = _own_parameters(pruned)
    gone = {name: int((~mask).sum()) for name, mask in masks.items()}
    return {
        name: (own - left[name] + gone.get(name, 0)) / own
        for name, own in _own_parameters(dense).items()
        if own
    }


def _own_parameters(model: nn.Module) -> dict[str, int]:
    """How many parameters each layer has, without those of layers inside it."""
    return {
        name: sum(parameter.numel() for parameter in module.parameters(recurse=False))
        for name, module in model.named_modules()
    }


def torch_pruning_macs(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    """torch-pruning's own count of one image's MACs, which papers print; not the truth."""
    import torch_pruning as tp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        macs, _ = tp.utils.count_ops_and_params(copy.deepcopy(model), inputs[0])
    return round(macs)
