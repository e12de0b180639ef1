"""Ensemble: what several criteria rank low together goes first."""

from functools import reduce
from operator import or_
from typing import Literal, Self

from pydantic import Field, model_validator

from ..criterion import Criterion, checked_scores
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor, torch
from ..options import Options
from ..registry import Part, create, needed, register


class EnsembleOptions(Options):
    """Which criteria rank the units, and how their ranks are averaged."""

    of: list[Part] = Field(
        default_factory=lambda: [Part(criterion=one) for one in ("l1", "taylor", "fpgm")],
        min_length=2,
    )
    """criteria by name or as {criterion: NAME, options: {...}}."""
    weights: list[float] | None = None
    """of the criteria's ranks; None weighs all alike."""
    within: Literal["network", "group"] = "network"
    """ranks units among all of the network, or among those of their group."""

    @model_validator(mode="after")
    def _one_weight_each(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.of):
            raise ValueError(f"{len(self.weights)} weights for {len(self.of)} criteria")
        if self.weights is not None and (min(self.weights) < 0 or sum(self.weights) == 0):
            raise ValueError("weights are shares: none below 0, and not all 0")
        return self


@register(
    "ensemble",
    cite="rank averaging: Borda, 1781; here as an example of a criterion made of others",
    unstructured=True,
)
class Ensemble(Criterion):
    """Weighted mean of a unit's ranks by several criteria."""

    options_type = EnsembleOptions

    def begin(self) -> None:
        self.parts = [
            create(one.criterion, self.groups, one.options, self.generator)
            for one in self.options.of
        ]
        self.shares = self.options.weights or [1.0] * len(self.parts)

    @classmethod
    def needed(cls, options: EnsembleOptions) -> Need:
        return reduce(or_, (needed(one.criterion, one.options) for one in options.of))

    def observe(self, batch: Batch) -> None:
        for part in self.parts:
            part.see(batch)

    def scores(self) -> list[Tensor]:
        found = [checked_scores(part) for part in self.parts]
        if self.options.within == "network":
            found = [[torch.cat(scores)] for scores in found]
        ranks = [torch.cat([_quantiles(one) for one in scores]) for scores in found]
        mean = sum(share * rank for share, rank in zip(self.shares, ranks, strict=True))
        assert isinstance(mean, torch.Tensor)
        return list((mean / sum(self.shares)).split([group.units for group in self.groups]))


def _quantiles(values: Tensor) -> Tensor:
    """Place of each value among all, in (0, 1); equal values share a place."""
    from scipy.stats import rankdata  # not for lists and plans

    return (torch.from_numpy(rankdata(values.numpy())) - 0.5) / len(values)
