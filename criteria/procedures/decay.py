"""Decay pruning around hosts that choose before training, or in rounds on the way.

The host says which units leave; here they shrink to zero over steps instead of leaving at once.
"""

from typing import ClassVar

from pydantic import Field

from ..errors import CriteriaError, fault
from ..lazy import torch
from ..network.units import Units
from ..phases import register_phase
from ..training import Training
from .decay_controller import DecayController, DecayOptions
from .gradual import lowest
from .procedure import Procedure, Removed

_CITE = "Yang et al. 2024, arXiv 2406.03879"


class _Rounds(Procedure):
    """Rounds in which units decay together, until the budget is met; training may then end.

    The step that led to a choice counts as the first of its decay, so that one step is the host.
    Where units were released in the last round, one more round chooses others in their place; the
    last round that the training has time for releases none.
    """

    options: DecayOptions
    resumed = ("controller", "_round", "_releases", "_met")

    @property
    def rounds(self) -> int:
        return self.options.rounds if isinstance(self.options, StagedOptions) else 1

    def attach(self, training: Training) -> None:
        super().attach(training)
        units = [Units(training.model, group) for group in self.ground.groups]
        self.controller = DecayController(units, self.options, training)
        self._round = self._releases = 0
        self._met = False

    def check_length(self, steps: int) -> None:
        """Raises CriteriaError where the rounds take longer than the training."""
        least = self.rounds * (self.options.steps - 1)
        if least > steps:
            raise CriteriaError(fault("rounds", of=self, least=least, steps=steps))

    def rate(self, step: int) -> float | None:
        """The first hook of a step: what leaves at once has left before the network is used."""
        if step == 0:
            self._advance(0)
        return None

    def after_backward(self, step: int) -> None:
        self.controller.after_backward()

    def after_step(self, step: int) -> None:
        self.controller.after_step()
        self._advance(step + 1)

    def _advance(self, taken: int) -> None:
        """Begin the next round where none is under way."""
        while not self._met and not self.controller.decaying.any():
            released = self.controller.releases > self._releases
            self._releases = self.controller.releases
            if self._round >= self.rounds and not released:
                self._met = True
                return
            self._round += 1
            one_more = self.training.steps - taken >= 2 * (self.options.steps - 1)
            self.controller.rectifying = self._round < self.rounds or one_more
            self.controller.begin(self._next(self.removed()), at_once=True)

    def _next(self, gone: Removed) -> Removed:
        """Units of this round: of lowest score on the network so far, those on cool-down last.

        Where units are doomed already, these are the first; others follow released ones.
        """
        if self._round == 1 and self.follows:
            assert self.ground.doomed is not None
            return self.ground.doomed
        share = min(self._round / self.rounds, 1.0)
        resting = self.controller.entries.listed(self.controller.resting)
        pairs = zip(self.ground.score(self.training.model, gone), resting, strict=True)
        scores = [values.index_fill(0, rest, torch.inf) for values, rest in pairs]
        chosen = lowest(self.ground, scores, 1 - (1 - self.ground.budget) * share)
        return [one[~torch.isin(one, left)] for one, left in zip(chosen, gone, strict=True)]

    @property
    def done(self) -> bool:
        return self._met

    def at_end(self) -> None:
        """Raises CriteriaError where training was ended from outside before all had decayed."""
        if not self._met:
            raise CriteriaError(f"{self.name}: training ended before all units had decayed")

    def removed(self) -> Removed:
        return self.controller.entries.listed(self.controller.gone)

    def notes(self) -> dict[str, float]:
        return {"rounds": self._round, "releases": self.controller.releases}


@register_phase("decay", cite=_CITE)
class Decay(_Rounds):
    """Decay pruning (DPM) of the units chosen before training: all shrink to zero together."""

    options_type: ClassVar = DecayOptions
    follows = True

    @classmethod
    def rescores(cls, options: DecayOptions) -> bool:
        return options.rectify is not None  # others go in the place of released units


class StagedOptions(DecayOptions):
    """How many rounds there are, and as `DecayOptions` how units fade."""

    rounds: int = Field(default=5, ge=1)
    """each takes an equal share of the cost that has to go. Default ours."""


@register_phase("decay_staged", cite=_CITE)
class DecayStaged(_Rounds):
    """Decay pruning (DPM) in rounds: score, let the lowest shrink to zero, score what is left."""

    options_type: ClassVar = StagedOptions
    follows = False
