"""What a task is: the loss that is trained and scored by, and what is measured on a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import TypeAdapter

from criteria.lazy import Tensor, functional, torch
from criteria.options import Options
from reports.metric import TOP1, Metric
from suites.files import read_yaml

METRICS = TypeAdapter(dict[str, Metric]).validate_python(
    read_yaml(Path(__file__).with_name("metrics.yaml"))
)
NOTHING = -100  # a target that counts for nothing, as torch has it


@dataclass(frozen=True)
class Tally:
    """How well a network does on one split.

    Attributes:
        primary: the task's metric; higher is better.
        loss: the mean.
        top5: of classification.
        others: whatever else is worth a number, by names that tell its unit.
    """

    primary: float
    loss: float
    top5: float | None = None
    others: dict[str, float] = field(default_factory=dict)


class Task:
    """Outputs of which every position is classified, by cross-entropy; a subclass says the rest.

    Attributes:
        metric: what networks are compared by.
        categories: the name, in the shape of the data, of how many classes an output has.
        nothing: a target that counts for nothing.
        positions: the first dimension of inputs of which every place has outputs; default: none.
        at_once: samples that are evaluated in one batch.
        unfit: keys of a recipe that mean nothing here, and why.
    """

    options_type: ClassVar[type[Options]] = Options
    metric: ClassVar[Metric] = TOP1
    categories: ClassVar[str] = "classes"
    nothing: ClassVar[int] = NOTHING
    positions: ClassVar[int] = 99
    at_once: ClassVar[int] = 500
    unfit: ClassVar[Mapping[str, str]] = {}

    def __init__(self, name: str, options: Options) -> None:
        self.name, self.options = name, options

    def outputs(self, found: Any) -> Tensor:
        """What of a network's outputs is the prediction: logits [n, classes, ...]."""
        if not isinstance(found, Mapping):
            return found
        return found["logits" if "logits" in found else "out"]  # transformers', torchvision's

    def misfit(self, found: Any, inputs: Tensor, shape: Mapping[str, int]) -> str:
        """What a network's outputs for these inputs are where the task does not take them."""
        said = "logits alone, or under 'logits' or 'out'"
        wanted = f"not {said}; its forward has to return them"
        if isinstance(found, Mapping) and not found.keys() & {"logits", "out"}:
            return f"a {type(found).__name__} of {', '.join(map(repr, found))}, {wanted}"
        if not isinstance(found, torch.Tensor | Mapping):
            return f"a {type(found).__name__}, {wanted}"
        fits = [len(inputs), shape[self.categories], *inputs.shape[self.positions :]]
        logits = self.outputs(found)
        if list(logits.shape) == fits:
            return ""
        return (
            f"outputs {list(logits.shape)}, not {fits}; its constructor is told how many by a "
            "parameter such as num_classes, or under `options`"
        )

    def loss(self, found: Any, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
        """The mean over all that counts, of a network's outputs and targets [n, ...]."""
        return functional.cross_entropy(
            self.outputs(found),
            targets,
            ignore_index=self.nothing,
            label_smoothing=label_smoothing,
        )

    def losses(self, found: Any, targets: Tensor) -> Tensor:
        """[n], of each sample; in float64, as the change of a loss is a small difference."""
        each = functional.cross_entropy(
            self.outputs(found).double(), targets, ignore_index=self.nothing, reduction="none"
        )
        counts = (targets != self.nothing).flatten(1).sum(1).clamp(min=1) if each.dim() > 1 else 1
        return (each.flatten(1).sum(1) if each.dim() > 1 else each) / counts

    def tally(self, outputs: Iterator[tuple[Tensor, Tensor]]) -> Tally:
        """What is measured, of batches of (logits, targets)."""
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


def summed_loss(logits: Tensor, targets: Tensor, nothing: int = NOTHING) -> float:
    """The cross-entropy of all that counts."""
    return float(functional.cross_entropy(logits, targets, ignore_index=nothing, reduction="sum"))
