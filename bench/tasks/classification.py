"""One class an image: top-1 accuracy, and how sure, how even and how robust it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import ClassVar, Literal

from pydantic import Field

from criteria.lazy import Tensor, torch
from criteria.options import Options
from reports.chance import near_chance

from .corruptions import CORRUPTIONS, Severity
from .known import register_task
from .task import Tally, Task, summed_loss

BINS = 15  # of confidence, each as wide (Guo et al. 2017, 1706.04599)


class ClassificationOptions(Options):
    """What is measured beside accuracy, worst class and calibration."""

    corruptions: dict[Literal["noise", "blur", "contrast"], list[Severity]] = Field(
        default={}, description="accuracy on test images that are corrupted, by severity, 1 to 5"
    )


@register_task("classification")
class Classification(Task):
    """Images [n, c, h, w] -> logits [n, classes]; targets are classes [n]."""

    options_type: ClassVar[type[Options]] = ClassificationOptions

    def tally(self, outputs: Iterator[tuple[Tensor, Tensor]]) -> Tally:
        """Top-1 and top-5 accuracy, that of the worst class, and expected calibration error."""
        loss, hits, sure, classes = 0.0, [], [], []
        for logits, labels in outputs:
            ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
            hits.append(ranked)
            sure.append(logits.softmax(1).amax(1))
            classes.append(labels)
            loss += summed_loss(logits, labels)
        ranked, of = torch.cat(hits), torch.cat(classes)
        right, n = ranked[:, 0], len(of)
        counts = torch.bincount(of)
        worst = (torch.bincount(of, right.double()) / counts)[counts > 0].min()
        return Tally(
            primary=int(right.sum()) / n,
            loss=loss / n,
            top5=int(ranked.any(1).sum()) / n,
            others={
                "worst_class_percent": 100 * float(worst),
                "calibration_error_percent": 100 * _calibration_error(torch.cat(sure), right),
            },
        )

    def alterations(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        assert isinstance(self.options, ClassificationOptions)
        return {
            f"top1_{name}{severity}_percent": partial(CORRUPTIONS[name], severity=severity)
            for name, severities in self.options.corruptions.items()
            for severity in severities
        }

    def near_chance(self, primary: float, categories: int, samples: int) -> bool:
        return near_chance(primary, categories, samples)


def _calibration_error(sure: Tensor, right: Tensor) -> float:
    """How far confidence is from accuracy, over bins of confidence, weighted by their images."""
    bins = (sure * BINS).long().clamp(max=BINS - 1)
    gaps = torch.bincount(bins, sure - right.to(sure), minlength=BINS)
    return float(gaps.abs().sum()) / len(sure)
