"""One class an image: top-1 accuracy, and how sure, how even and how robust it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from criteria.lazy import Tensor, functional, torch
from criteria.options import Options
from reports.chance import near_chance

from .known import register_task
from .task import Tally, Task

Severity = Annotated[int, Field(ge=1, le=5)]
BINS = 15  # of confidence, each as wide (Guo et al. 2017, 1706.04599)


class ClassificationOptions(Options):
    """What is measured beside accuracy, worst class and calibration."""

    corruptions: dict[Literal["noise", "blur", "contrast"], list[Severity]] = Field(default={})
    "Accuracy on test images that are corrupted, by severity."


@register_task("classification")
class Classification(Task):
    """Images [n, c, h, w] -> logits [n, classes]; targets are classes [n]."""

    options_type: ClassVar[type[Options]] = ClassificationOptions

    def tally(self, batches: Iterator[tuple[Any, Tensor]]) -> Tally:
        """Top-1 and top-5 accuracy, that of the worst class, and expected calibration error."""
        loss, seen = 0.0, list[tuple[Tensor, ...]]()
        for found, of in batches:
            logits = self.outputs(found)
            hits = logits.topk(min(5, logits.shape[1]), dim=1).indices == of[:, None]
            seen.append((hits, logits.softmax(1).amax(1), of))
            loss += float(self.loss(found, of, reduction="sum"))
        hits, sure, of = map(torch.cat, zip(*seen, strict=True))
        right, n = hits[:, 0].double(), len(of)
        of_class = torch.bincount(of, right) / torch.bincount(of)  # NaN where there is none
        gaps = torch.bincount((sure * BINS).long().clamp(max=BINS - 1), sure - right)
        return Tally(
            primary=int(right.sum()) / n,
            loss=loss / n,
            top5=int(hits.any(1).sum()) / n,
            others={
                "worst_class_percent": 100 * float(of_class.nan_to_num(1).min()),
                "calibration_error_percent": 100 * float(gaps.abs().sum()) / n,
            },
        )

    def alterations(self) -> Mapping[str, Callable[[Tensor], Tensor]]:
        asked = self.options.model_dump()["corruptions"].items()
        return {
            f"top1_{name}{one}_percent": partial(CORRUPTIONS[name], severity=one)
            for name, severities in asked
            for one in severities
        }

    def near_chance(self, primary: float, categories: int, samples: int) -> bool:
        return near_chance(primary, categories, samples)


def noise(images: Tensor, severity: int) -> Tensor:
    """Gaussian noise of 0.1 to 0.5 of each image's standard deviation, one pattern for all."""
    draw = torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(severity))
    return images + 0.1 * severity * images.std((1, 2, 3), keepdim=True) * draw.to(images)


def blur(images: Tensor, severity: int) -> Tensor:
    """A mean over squares of 3 to 11 pixels."""
    padded = functional.pad(images, [severity] * 4, mode="replicate")
    return functional.avg_pool2d(padded, 2 * severity + 1, stride=1)


def contrast(images: Tensor, severity: int) -> Tensor:
    """0.8 to 0.1 of each image's distance from its own mean."""
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + (0.8, 0.6, 0.4, 0.2, 0.1)[severity - 1] * (images - mean)


CORRUPTIONS = {"noise": noise, "blur": blur, "contrast": contrast}
