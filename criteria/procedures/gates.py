"""Gate-Decorator: gates are trained with the filters frozen, and the least of them are closed."""

from __future__ import annotations

import copy
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Literal, NamedTuple

from pydantic import Field

from ..errors import CriteriaError, NotApplicable, fault
from ..lazy import Tensor, nn, torch
from ..network.member import kind_of
from ..network.units import Units, makers
from ..options import Options
from ..phases import register_phase
from ..training import Training
from .decay_controller import DecayController, DecayOptions
from .gradual import lowest, under_threshold
from .leaving import doomed_entries
from .procedure import Ground, Procedure, Removed


class GateDecayOptions(DecayOptions):
    """How closed gates fade, instead of being shut at once (DPM)."""

    of: Literal["gates", "gates_and_shifts"] = "gates"
    """what fades of a unit, its gates, or its gates and their shifts. Ours: the paper's choice is
    not known. The rest of the unit goes when its gates are zero."""


class GatesOptions(Options):
    """The rhythm of ticks (filters frozen, then some units leave) and tocks (everything trains).

    The training is `cycles` times a tock and `ticks_per_tock` ticks. A tick is one epoch, as in
    the paper, where the recipe has cycles * (tock + ticks_per_tock) epochs; else it is as much
    shorter or longer.
    """

    cycles: int = Field(default=2, ge=1)
    """of one tock and its ticks. The paper goes on until the budget is met (VGG16 to a tenth of its
    cost: 34)."""
    ticks_per_tock: int = Field(default=10, ge=1)
    """ticks after each tock, and its length in ticks (paper: 10 and 10)."""
    tock: int = Field(default=10, ge=1)
    """ticks after each tock, and its length in ticks (paper: 10 and 10)."""
    per_tick: float | None = Field(default=None, gt=0, lt=1)
    """share of the remaining units that leave at each tick by the paper's threshold (0.005 for
    VGG16, 0.002 for ResNet-56; the training ends once the budget is met, and fails if it is not).
    None, the default and ours: the ticks take equal shares of the cost, so that any length of
    training ends at the budget."""
    sparsity: float = Field(default=1e-3, ge=0)
    """factor of the sum of all |g| that a tock adds to the loss (paper: 1e-3)."""
    low_rate: float = Field(default=0.1, gt=0, le=1)
    """of a tick, and of a tock's start and end, whose middle has the recipe's learning rate; a
    factor (paper: 1e-3 and 1e-2, thus 0.1 of a recipe with 0.01)."""
    decay: GateDecayOptions | None = None
    """fade units that leave over steps of the ticks and tocks that follow; the last tick is so much
    earlier. None shuts them at once."""


ROUNDING = 1e-9  # of shares of the cost


class Beat(NamedTuple):
    """A tick or a tock."""

    is_tick: bool
    ticks: int  # how many ticks have ended when it ends
    # start, end: its steps
    start: int
    end: int


def beats(options: GatesOptions, steps: int) -> list[Beat]:
    """All ticks and tocks of a training; where units fade, a last tock while the last ones do.
    Raises CriteriaError: there are fewer steps than ticks and tocks need."""
    cycle = [(False, options.tock)] + [(True, 1)] * options.ticks_per_tock
    kinds, lengths = zip(*cycle * options.cycles, strict=True)
    total = sum(lengths)
    fade = options.decay.steps - 1 if options.decay else 0
    if steps < total + fade:
        raise CriteriaError(fault("beats", steps=steps, of=options, least=total + fade))
    ends = [done * (steps - fade) // total for done in accumulate(lengths)]
    found = [Beat(*one) for one in zip(kinds, accumulate(kinds), [0, *ends], ends, strict=False)]
    return found + [Beat(False, found[-1].ticks, ends[-1], steps)] * (fade > 0)


@register_phase("gates", cite="You et al. (Gate Decorator), NeurIPS 2019, arXiv 1909.08174")
class Gates(Procedure):
    """Trains gates in the place of batch norms and closes the lowest at the end of each tick."""

    options_type = GatesOptions
    follows = False
    own_rate = True
    resumed = ("_removed", "_decay")

    def __init__(self, options: Any, ground: Ground) -> None:
        super().__init__(options, ground)
        self._removed = ground.nothing()
        self._done = False

    def begin(self, model: nn.Module) -> None:
        from ..families.gate_norm import open_gates

        groups = self.ground.groups
        named = open_gates(model, groups)
        if not named:
            raise NotApplicable("gates: no group of this network has an nn.BatchNorm2d to gate")
        self._norms = [sum(one.name in named for one in each.members) or 1 for each in groups]

    def check_length(self, steps: int) -> None:
        """Raises CriteriaError where ticks and tocks need more steps."""
        beats(self.options, steps)

    def attach(self, training: Training) -> None:
        from ..families.gate_norm import GateNorm

        super().attach(training)
        model = training.model
        self._beats = beats(self.options, training.steps)
        self._ends = [one.end for one in self._beats]
        gates = [one for one in model.modules() if isinstance(one, GateNorm)]
        self._gates: list[Tensor] = [one.weight for one in gates]
        self._filters = {
            f"{name}.{key}": parameter
            for name, module in model.named_modules()
            if kind_of(module) == "conv"
            for key, parameter in module.named_parameters(recurse=False)
        }
        self._units = [Units(model, group) for group in self.ground.groups]
        self._decay = self._controller(training)
        self._close(self._removed)

    def rate(self, step: int) -> float:
        beat, low = self._beat(step), self.options.low_rate
        if beat.is_tick:
            return low
        done = (step - beat.start) / max(1, beat.end - beat.start - 1)
        return low + (1 - low) * (1 - abs(2 * done - 1))

    def loss_term(self, step: int) -> Tensor | None:
        if self._beat(step).is_tick:
            return None
        return self.options.sparsity * torch.cat(self._gates).abs().sum()

    def after_backward(self, step: int) -> None:
        beat = self._beat(step)
        if beat.is_tick:
            for parameter in self._filters.values():
                parameter.grad = None
        if beat.is_tick and step == beat.start:
            for name, momentum in self.training.momenta().items():
                if name in self._filters:
                    momentum.zero_()
        self._decay.after_backward()

    def after_step(self, step: int) -> None:
        self._decay.after_step()
        self._settle()
        for part in self._held:
            part.zero_()
        beat = self._beat(step)
        if beat.is_tick and step + 1 == beat.end:
            self._tick(beat)

    @property
    def done(self) -> bool:
        return self._done

    def at_end(self) -> None:
        from ..families.gate_norm import close_gates

        left, budget = self.ground.share(self._removed), self.ground.budget
        if left > budget + ROUNDING:
            known = {"ticks": self._beats[-1].ticks, "per_tick": self.options.per_tick}
            raise CriteriaError(fault("ticks", left=left, budget=budget, **known))
        close_gates(self.training.model)

    def removed(self) -> Removed:
        return self._removed

    def notes(self) -> dict[str, float]:
        """`releases`: how often a fading unit was let go, where units fade."""
        return {"releases": self._decay.releases} if self.options.decay else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._close(self._removed)

    def _beat(self, step: int) -> Beat:
        return self._beats[bisect_right(self._ends, step)]

    def _controller(self, training: Training) -> DecayController:
        """Fades gates; without the option in one step, which shuts them at once."""
        options = self.options.decay or GateDecayOptions(steps=1)
        from ..families.gate_norm import GateNorm

        model, shifts, units = training.model, options.of == "gates_and_shifts", list[Units]()
        names = {name for name, one in model.named_modules() if isinstance(one, GateNorm)}
        for group in self.ground.groups:  # of one without gates, all that makes its units
            gates = [one for one in makers(group) if one.name in names]
            units.append(Units(model, group, gates, bias=shifts or not gates))
        return DecayController(units, options, training)

    def _tick(self, tick: Beat) -> None:
        """Some units leave, or begin to."""
        from ..families.gate_norm import close_gates

        plain = close_gates(copy.deepcopy(self.training.model))  # for any criterion
        scores = self.ground.score(plain, self._removed)
        listed = self._decay.entries.listed
        leaving = listed(self._decay.decaying | self._decay.gone)
        resting = listed(self._decay.resting)
        for values, mine, rest in zip(scores, leaving, resting, strict=True):
            values[mine] = -torch.inf
            values[rest] = torch.inf
        chosen = zip(self._lowest(scores, leaving, tick), leaving, strict=True)
        self._decay.begin([one[~torch.isin(one, mine)] for one, mine in chosen], at_once=True)
        if tick.ticks == self._beats[-1].ticks:
            self._decay.rectifying = False  # none could follow in the place of a released one
        self._settle()

    def _settle(self) -> None:
        """Units whose gates have faded to zero leave whole."""
        gone = self._decay.gone
        if gone.sum() > sum(map(len, self._removed)):
            self._close(self._decay.entries.listed(gone))

    def _lowest(self, scores: Sequence[Tensor], before: Removed, tick: Beat) -> Removed:
        """What leaves by the end of a tick; never more than the budget asks for."""
        ground, share = self.ground, self.options.per_tick
        if share is None:
            ahead = 1 - tick.ticks / self._beats[-1].ticks
            return lowest(ground, scores, ground.budget + (1 - ground.budget) * ahead)
        entries, all_doomed = self._decay.entries, ground.select(scores, ground.budget)
        gone, doomed = (entries.chosen(one).split(entries.sizes) for one in (before, all_doomed))
        free = [one & ~was for one, was in zip(doomed, gone, strict=True)]
        left = sum(int((~one).sum()) * norms for one, norms in zip(gone, self._norms, strict=True))
        closed = under_threshold(scores, free, self._norms, int(share * left))
        return [one.nonzero()[:, 0] for one in closed]

    def _close(self, removed: Removed) -> None:
        """Hold these units at zero from here on."""
        self._removed = removed
        fading = bool(self._decay.decaying.any())
        self._done = not fading and self.ground.share(removed) <= self.ground.budget + ROUNDING
        for units, gone in zip(self._units, removed, strict=True):
            units.zero_(gone)
        self._held = doomed_entries(self.training.model, self.ground.groups, removed)
