"""GReg: a growing L2 penalty, on doomed units or on all of them to find out which to doom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field, ValidationInfo, field_validator, model_validator

from ..phases import register_phase
from ..training import Training
from .growth import GrowingPenalty, GrowthOptions, Ramp
from .procedure import Removed

CITE = "Wang et al., ICLR 2021 (Neural Pruning via Growing Regularization), arXiv 2012.09243"
OURS = (
    "Lengths are shares of the training, 10 : 1 of growth and stabilising as in the CIFAR runs of "
    "TPP, which is built on GReg's code. Our choices: the penalty holds for everything that makes "
    "a channel, in all coupled layers, so that nothing is left of it when it is cut (the paper: "
    "the convolution's filter; bn_term takes the norms out); it is zeroed layer by layer while the "
    "network stabilises, as in TPP's code. Constants (ceiling 1, delta 1e-4, update_every 10 or 5) "
    "are from memory; paper and code were not at hand"
)


@register_phase(
    "greg1",
    cite=CITE,
    faithful=f"GReg-1, re-implemented. Which units leave is the method's criterion (the paper: L1 "
    f"within the layer, at given ratios). {OURS}",
)
class Greg1(GrowingPenalty):
    """GReg-1: a growing L2 penalty moves what the doomed units do over to the others."""


class Greg2Options(GrowthOptions):
    """The options of GReg-1, whose growth counts from the pick, and how all penalties grow."""

    pick: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of the training's steps after which units are picked. Default: a "
        "twelfth, before ten twelfths of growth.",
    )
    pick_delta: float | None = Field(
        default=None,
        gt=0,
        description="instead, what an update adds until then (1e-5 in the paper).",
    )
    pick_ceiling: float = Field(
        default=0.01,
        gt=0,
        description="of the strength on all units, at which they are picked; the paper's 0.01.",
    )

    @field_validator("pick_delta")
    @classmethod
    def one_pace_to_the_pick(cls, delta: float | None, info: ValidationInfo) -> float | None:
        if delta is not None and info.data.get("pick") is not None:
            raise ValueError("pick says how fast already; give one of the two")
        return delta

    @model_validator(mode="after")
    def rising(self) -> Greg2Options:
        if self.pick_ceiling >= self.ceiling:
            raise ValueError(
                f"pick_ceiling = {self.pick_ceiling} must lie below ceiling = {self.ceiling}"
            )
        return self


@register_phase(
    "greg2",
    cite=CITE,
    faithful="GReg-2, re-implemented. The penalty grows on all units alike; then the method's "
    "criterion scores the network as it is and picks under the budget (the paper: L1 within the "
    f"layer), and those that are kept are penalised no more. {OURS}; so are pick_delta 1e-5 and "
    "pick_ceiling 0.01",
)
class Greg2(GrowingPenalty):
    """GReg-2: a growing penalty on all units tells them apart; then GReg-1 on the lowest."""

    options_type = Greg2Options
    follows = False
    growth = 10 / 12
    pick = 1 / 12

    def attach(self, training: Training) -> None:
        super().attach(training)
        self.picking = self.ramps(training.steps)[0]
        self.picked = False

    def first(self) -> Removed:
        return [torch.arange(group.units) for group in self.ground.groups]

    def ramps(self, steps: int) -> list[Ramp]:
        options = self.options
        share, picked_at = options.growth or self.growth, options.pick or self.pick
        first = self.ramp_over(steps * picked_at, options.pick_delta, 0, 0.0, options.pick_ceiling)
        second = self.ramp_over(
            steps * share, options.delta, first.end, options.pick_ceiling, options.ceiling
        )
        return [first, second]

    def strength(self, step: int) -> float:
        return (self.ramp if self.picked else self.picking).strength(step)

    def after_step(self, step: int) -> None:
        if not self.picked and step + 1 >= self.picking.end:
            scores = self.ground.score(self.training.model, self.ground.nothing())
            self.doom(self.ground.select(scores, self.ground.budget))
            self.picked = True
        super().after_step(step)

    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"picked": self.picked}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.picked = state["picked"]
