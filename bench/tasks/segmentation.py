"""A class a pixel: mean intersection over union."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from criteria.lazy import Tensor, torch
from reports.metric import Metric

from .known import register_task
from .task import METRICS, Tally, Task


@register_task("segmentation")
class Segmentation(Task):
    """Images [n, c, h, w] -> logits [n, classes, h, w]; targets [n, h, w], 255 is ignored."""

    metric: ClassVar[Metric] = METRICS["segmentation"]
    nothing: ClassVar[int] = 255
    positions: ClassVar[int] = 2
    at_once: ClassVar[int] = 16
    unfit: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("augment", "random_erasing", "mixup", "cutmix"),
        "images would change, and their masks not alike",
    )

    def tally(self, batches: Iterator[tuple[Any, Tensor]]) -> Tally:
        """mIoU over the classes that occur in masks or predictions, and the share of pixels."""
        loss, tables = 0.0, list[Tensor]()
        for found, targets in batches:
            loss += float(self.loss(found, targets, reduction="sum"))
            logits, counts = self.outputs(found), targets != self.nothing
            n = logits.shape[1]
            pairs = n * targets[counts] + logits.argmax(1)[counts]
            tables.append(torch.bincount(pairs, minlength=n * n).view(n, n))
        table = torch.stack(tables).sum(0).double()  # [true, predicted]
        right, pixels = table.diagonal(), float(table.sum())
        shares = right / (table.sum(0) + table.sum(1) - right)  # NaN of what occurs nowhere
        others = {"pixel_accuracy_percent": 100 * float(right.sum()) / pixels}
        return Tally(float(shares.nanmean()), loss / pixels, others=others)

    def chance(self, categories: int) -> float:
        return 1 / categories**2  # of one class everywhere, where classes are alike common
