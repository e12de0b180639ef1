"""The next token of a text, at every position: log-likelihood a token, and perplexity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from criteria.lazy import Tensor, torch
from reports.metric import Metric

from .known import register_task
from .task import METRICS, Tally, Task


@register_task("language-model")
class LanguageModel(Task):
    """Tokens [n, length] -> logits [n, length, vocabulary]; targets are the next tokens."""

    metric: ClassVar[Metric] = METRICS["language-model"]
    sizes: ClassVar[tuple[str, ...]] = ("vocabulary", "length")
    positions: ClassVar[int] = 1
    at_once: ClassVar[int] = 64
    unfit: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("color_jitter", "random_erasing", "mixup", "cutmix", "channels_last"),
        "it changes images, and a text has none",
    )

    def outputs(self, found: Any) -> Tensor:
        return super().outputs(found).transpose(1, 2)

    def tally(self, batches: Iterator[tuple[Any, Tensor]]) -> Tally:
        """Minus the mean loss, in nats a token, and its exponential, the perplexity."""
        loss, tokens = 0.0, 0
        for found, targets in batches:
            loss += float(self.loss(found, targets, reduction="sum"))
            tokens += targets.numel()
        perplexity = math.exp(min(loss / tokens, 700))  # beyond, no float holds it
        return Tally(-loss / tokens, loss / tokens, others={"perplexity": perplexity})

    def noise(self, shape: Mapping[str, int], samples: int) -> Tensor:
        draw = torch.Generator().manual_seed(0)
        return torch.randint(shape["vocabulary"], (samples, shape["length"]), generator=draw)

    def chance(self, categories: int) -> float:
        return -math.log(categories)
