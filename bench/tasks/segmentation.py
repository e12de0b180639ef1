"""A class a pixel: mean intersection over union."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from criteria.lazy import Tensor, torch
from reports.metric import Metric

from .known import register_task
from .task import METRICS, Tally, Task, summed_loss

_MASKS = "images would change, and their masks not alike"


@register_task("segmentation")
class Segmentation(Task):
    """Images [n, c, h, w] -> logits [n, classes, h, w]; targets [n, h, w], 255 is ignored."""

    metric: ClassVar[Metric] = METRICS["segmentation"]
    nothing: ClassVar[int] = 255
    positions: ClassVar[int] = 2
    at_once: ClassVar[int] = 16
    unfit: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("augment", "random_erasing", "mixup", "cutmix"), _MASKS
    )

    def tally(self, outputs: Iterator[tuple[Tensor, Tensor]]) -> Tally:
        """mIoU over the classes that occur in masks or predictions, and the share of pixels."""
        loss, table = 0.0, torch.zeros(0)
        for logits, targets in outputs:
            loss += summed_loss(logits, targets, self.nothing)
            n, counts = logits.shape[1], targets != self.nothing
            pairs = n * targets[counts] + logits.argmax(1)[counts]
            seen = torch.bincount(pairs, minlength=n * n).view(n, n).cpu()  # [true, predicted]
            table = table + seen if len(table) else seen
        right, pixels = table.diagonal(), int(table.sum())
        union = table.sum(0) + table.sum(1) - right
        shares = right[union > 0] / union[union > 0]
        others = {"pixel_accuracy_percent": 100 * int(right.sum()) / pixels}
        return Tally(primary=float(shares.double().mean()), loss=loss / pixels, others=others)

    def chance(self, categories: int) -> float:
        return 1 / categories**2  # of one class everywhere, where classes are alike common
