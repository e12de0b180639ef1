"""What a task is: the loss that is trained and scored by, and what is measured on a split."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter

from criteria.lazy import Tensor, functional, torch
from criteria.options import Options
from criteria.source import closure, hash_of
from reports.metric import TOP1, Metric
from suites.files import read_yaml

from .logits import logits_in

METRICS = TypeAdapter(dict[str, Metric]).validate_python(
    read_yaml(Path(__file__).with_name("metrics.yaml"))
)


@dataclass(frozen=True)
class Tally:
    """How well a network does on one split."""

    primary: float  # the task's metric; higher is better
    loss: float  # the mean
    top5: float | None = None  # of classification
    others: dict[str, float] = field(default_factory=dict)  # names tell their units


class Task:
    """Outputs of which every position is classified, by cross-entropy; a subclass says the rest."""

    options_type: ClassVar[type[Options]] = Options
    metric: ClassVar[Metric] = TOP1  # what networks are compared by
    # What the shape of the data calls the number of categories, their size, and what else there is.
    sizes: ClassVar[tuple[str, ...]] = ("classes", "image_size", "channels")
    nothing: ClassVar[int] = -100  # a target that counts for nothing
    positions: ClassVar[int] = 99  # the first dimension of inputs of which every place has outputs
    at_once: ClassVar[int] = 500  # samples that are evaluated in one batch
    unfit: ClassVar[Mapping[str, str]] = {}  # keys of a recipe that mean nothing here, and why

    def __init__(self, name: str, options: Options) -> None:
        self.name, self.options = name, options

    @property
    def code(self) -> str:
        """What stands in keys for the code of a task that is none of ours; empty for those."""
        file = Path(inspect.getfile(type(self))).resolve()
        return "" if file.parent == Path(__file__).parent else hash_of(closure({file}))

    def outputs(self, found: Any) -> Tensor:
        """What of a network's outputs is the prediction: logits [n, classes, ...]."""
        return logits_in(found)

    def misfit(self, found: Any, inputs: Tensor, shape: Mapping[str, int]) -> str:
        """What a network's outputs for these inputs are where the task does not take them."""
        keys = f" of {', '.join(map(repr, found))}" if isinstance(found, Mapping) else ""
        if not isinstance(logits_in(found), torch.Tensor):
            kind = f"a {type(found).__name__}{keys}"
            return f"{kind}, not logits; let its forward return these alone, or as 'logits'"
        fits = [len(inputs), shape[self.sizes[0]], *inputs.shape[self.positions :]]
        if (given := list(self.outputs(found).shape)) == fits:
            return ""
        how = "its constructor is told how many by a parameter such as num_classes, or `options`"
        return f"outputs {given}, not {fits}; {how}"

    def loss(self, found: Any, targets: Tensor, **how: Any) -> Tensor:
        """Of a network's outputs and targets [n, ...], the mean over all that counts. `how` is of
        `torch.nn.functional.cross_entropy`."""
        logits = self.outputs(found)
        return functional.cross_entropy(logits, targets, ignore_index=self.nothing, **how)

    def losses(self, found: Any, targets: Tensor) -> Tensor:
        """[n], of each sample; in float64, as the change of a loss is a small difference."""
        logits = self.outputs(found).double()
        how: dict[str, Any] = {"ignore_index": self.nothing, "reduction": "none"}
        each = functional.cross_entropy(logits, targets, **how).view(len(targets), -1)
        counted = (targets != self.nothing).view(len(targets), -1).sum(1)
        return each.sum(1) / counted.clamp(min=1)

    def tally(self, batches: Iterator[tuple[Any, Tensor]]) -> Tally:
        """What is measured, of a network's outputs and targets, batch by batch."""
        raise NotImplementedError

    def alterations(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        """Changed inputs on which the primary metric is measured as well, by its name there."""
        return {}

    def noise(self, shape: Mapping[str, int], samples: int) -> Tensor:
        """Inputs of noise, to trace and to verify with."""
        sizes = (samples, shape["channels"], shape["image_size"], shape["image_size"])
        return torch.randn(sizes, generator=torch.Generator().manual_seed(0))

    def chance(self, categories: int) -> float:
        """What guessing gives."""
        return 1 / categories

    def near_chance(self, primary: float, categories: int, samples: int) -> bool:
        """Whether a network does little better than guessing, on so many samples."""
        return primary <= self.chance(categories)
