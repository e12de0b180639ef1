"""GReg: a growing L2 penalty, on doomed units or on all of them to find out which to doom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field, model_validator

from ..lazy import torch
from ..phases import register_phase
from ..training import Training
from .growth import GrowingPenalty, GrowthOptions, Ramp
from .leaving import DoomedEntries

CITE = "Wang et al., ICLR 2021 (Neural Pruning via Growing Regularization), arXiv 2012.09243"


class GregOptions(GrowthOptions):
    """How the penalty grows, and when it may stop growing."""

    mag_ratio_limit: float | None = Field(default=1000.0, gt=1)
    """growth ends before the ceiling where in every layer the mean size of kept weights is so many
    times that of the doomed (a running mean over updates, of which each counts a tenth); 1000 in
    the code. null: never."""


class Greg(GrowingPenalty):
    """What both have: growth that ends once the doomed are as good as gone."""

    options_type = GregOptions
    resumed: ClassVar[tuple[str, ...]] = (*GrowingPenalty.resumed, "_ratios")

    def attach(self, training: Training) -> None:
        self._ratios: list[float] = []  # of each layer
        super().attach(training)

    def after_backward(self, step: int) -> None:
        limit, ramp = self.options.mag_ratio_limit, self.ramp
        updated = ramp.start <= step < self.stable and (step - ramp.start) % ramp.every == 0
        if limit is not None and updated:
            now = magnitude_ratios(self.parts)
            before = self._ratios or now
            self._ratios = [0.9 * one + 0.1 * new for one, new in zip(before, now, strict=True)]
            if min(self._ratios, default=0.0) >= limit:
                self.stable = step
        super().after_backward(step)


def magnitude_ratios(parts: Sequence[DoomedEntries]) -> list[float]:
    """Mean size of the weights that stay over that of those that leave, of layers with both."""
    ratios = []
    for part in parts:
        sizes, gone = part.parameter.detach().abs(), part.gone
        if sizes.dim() > 1 and not bool(gone.all()):
            left = (sizes * (1 - gone)).sum() / (1 - gone).sum()
            ratios.append(left / ((sizes * gone).sum() / gone.sum()))
    return torch.stack(ratios).tolist() if ratios else []


@register_phase("greg1", cite=CITE)
class Greg1(Greg):
    """GReg-1: a growing L2 penalty moves what the doomed units do over to the others."""


class Greg2Options(GregOptions):
    """The options of GReg-1, whose growth counts from the pick, and how all penalties grow."""

    pick: float | None = Field(default=None, gt=0, lt=1)
    """share of the training's steps after which units are picked. Default: a twelfth, before ten
    twelfths of growth."""
    pick_delta: float | None = Field(default=None, gt=0)
    """instead, what an update adds until then (1e-5 in the paper)."""
    pick_ceiling: float = Field(default=0.01, gt=0)
    """of the strength on all units, at which they are picked; the paper's 0.01."""
    kept: float = -1e-4
    """strength on the units that are kept, from the pick on; below 0 it takes from their weight
    decay. -1e-4 in the code (of layers that lose some); the paper: 0."""

    @model_validator(mode="after")
    def rising(self) -> Greg2Options:
        if self.pick_ceiling >= self.ceiling:
            raise ValueError(
                f"pick_ceiling = {self.pick_ceiling} must lie below ceiling = {self.ceiling}"
            )
        return self


@register_phase("greg2", cite=CITE)
class Greg2(Greg):
    """GReg-2: a growing penalty on all units tells them apart; then GReg-1 on the lowest."""

    options_type = Greg2Options
    resumed = (*Greg.resumed, "picked")
    follows = False
    growth = 10 / 12
    pick = 1 / 12

    def attach(self, training: Training) -> None:
        super().attach(training)
        self.picking = self.ramps(training.steps)[0]
        self.picked = False

    def ramps(self, steps: int) -> list[Ramp]:
        options = self.options
        share, picked_at = options.growth or self.growth, options.pick or self.pick
        first = self.ramp_over(steps * picked_at, options.pick_delta, 0, 0.0, options.pick_ceiling)
        second = self.ramp_over(
            steps * share, options.delta, first.end, options.pick_ceiling, options.ceiling
        )
        return [first, second]

    def strength(self, step: int) -> float:
        return super().strength(step) if self.picked else self.picking.strength(step)

    def after_backward(self, step: int) -> None:
        super().after_backward(step)
        for part in self.decayed if self.picked else ():
            if part.parameter.grad is not None:  # all of it, and back what is doomed
                part.parameter.grad.add_(part.parameter.data, alpha=self.options.kept)
                part.decay_(-self.options.kept)

    def after_step(self, step: int) -> None:
        if not self.picked and step + 1 >= self.picking.end:
            scores = self.ground.score(self.training.model, self.ground.nothing())
            self.doom(self.ground.select(scores, self.ground.budget))
            self.picked = True
        super().after_step(step)
