"""What is measured of a network: how well it does, and sparsity."""

import copy
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from criteria.lazy import torch_pruning
from criteria.network.cut import ROUNDED
from reports.records import Accuracy

from ..data.datasets import Dataset, Images
from ..errors import fault
from ..tasks.task import Tally, Task
from .optimizer import compiled, precision

WORTH = 10**6  # values of all images from which on it takes less time to fuse first


def evaluate(
    model: nn.Module,
    images: Images,
    task: Task,
    altered: Callable[[Tensor], Tensor] = lambda inputs: inputs,
) -> Tally:
    """How well a network does its task on one split, in eval mode."""

    def outputs() -> Iterator[tuple[Tensor, Tensor]]:
        run = None
        for batch, targets in images.batches(task.at_once):
            run = run or _fused(model, batch, len(images), task)
            with precision(images.precision, batch.device):
                found = run(altered(batch))
            if images.precision is not None:
                found = pytree.tree_map_only(Tensor, Tensor.float, found)
            yield found, targets

    model.eval()
    with torch.inference_mode():
        return task.tally(outputs())


def _fused(model: nn.Module, images: Tensor, count: int, task: Task) -> nn.Module:
    """The network with its norms in the convolutions ahead of them, where that is known to pay.

    Few or small images, networks that torch cannot trace, and those whose outputs would move by
    more than rounding are run as they are.
    """
    if images.dim() != 4 or images[0].numel() * count < WORTH:
        return model
    from torch.fx.experimental.optimization import fuse

    try:
        fused = fuse(model)
        true, found = (task.outputs(one(images[:8])) for one in (model, fused))
    except Exception:  # whatever a user's layers raise where they are traced
        return model
    return fused if (found - true).abs().max() <= ROUNDED * true.abs().max() else model


def accuracy(model: nn.Module, data: Dataset) -> Accuracy:
    """The primary metric on the test split and, where samples are held out, on validation. Raises
    FloatingPointError where a loss is no finite number."""
    task = data.task
    model = compiled(model, data.device) if data.test.compile else model
    test = evaluate(model, data.test, task)
    validation = evaluate(model, data.validation, task) if len(data.validation) else None
    for split, tally in (("test", test), ("validation", validation)):
        if tally and not math.isfinite(tally.loss):
            raise FloatingPointError(fault("no_finite_loss", split=split, loss=tally.loss))
    return Accuracy(
        top1=test.primary,
        top5=test.top5,
        loss=test.loss,
        validation_top1=validation.primary if validation else None,
        validation_loss=validation.loss if validation else None,
        others=test.others
        | {
            name: task.metric.scale * evaluate(model, data.test, task, altered).primary
            for name, altered in task.alterations().items()
        },
    )


def layer_sparsity(
    dense: nn.Module, pruned: nn.Module, masks: Mapping[str, Tensor] = MappingProxyType({})
) -> dict[str, float]:
    """The share of each layer's parameters that are gone; layers without any are left out.

    `masks`: layer -> True where a weight stays; gone are those that it holds at zero, too.
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        macs, _ = torch_pruning.utils.count_ops_and_params(copy.deepcopy(model), inputs[0])
    return round(macs)
