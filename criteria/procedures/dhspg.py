"""DHSPG (OTOv2): redundant units are pushed to the origin, and projected there once they turn."""

from typing import ClassVar

from pydantic import Field

from ..errors import CriteriaError, fault
from ..lazy import Tensor, torch
from ..network.units import Entries, Units
from ..options import Options
from ..phases import register_phase
from ..training import Training
from .decay_controller import DecayController, DecayOptions
from .procedure import Procedure, Removed


class DhspgProcedureOptions(Options):
    """Defaults are the authors' for SGD, where nothing else is said."""

    start: float = Field(default=0.1, ge=0, lt=1)
    """share of the training's steps before units are chosen (theirs: 1/30 to 1/6)."""
    tolerance: float = Field(default=0.2, ge=0, lt=1)
    """the redundant set is chosen for this much less than the budget, as a share of it, so that not
    all of it has to go. Theirs counts units, up to all of them; default ours."""
    penalty: float = Field(default=1e-3, ge=0)
    """lambda_0, the least push, in units of the gradient. Theirs is for hundreds of epochs; a
    training of a few needs hundreds of times that, or most units are left over for the end."""
    amplification: float = Field(default=2.0, ge=1)
    """of the push that just turns the descent direction."""
    ceiling: float = Field(default=10.0, ge=1)
    """the largest push, in penalties."""
    epsilon: float = Field(default=0.9, ge=0, lt=1)
    """a unit whose step leaves less than this share of it, along itself, becomes zero; larger is
    more aggressive (their recipes: 0.9 and 0.95)."""
    decay: DecayOptions | None = None
    """let such units decay (DPM), and perhaps go again, instead of zeroing them at once."""


@register_phase(
    "dhspg",
    cite="Chen et al. (OTOv2), ICLR 2023, arXiv 2303.06862; option decay: Yang et al. 2024, "
    "arXiv 2406.03879",
)
class Dhspg(Procedure):
    """Dual half-space projected gradient: train, push redundant units inward, zero what turns."""

    options_type: ClassVar = DhspgProcedureOptions
    follows = False
    resumed = ("controller", "_redundant", "_forced", "_met")
    options: DhspgProcedureOptions

    def attach(self, training: Training) -> None:
        super().attach(training)
        self._start = self._start_of(training.steps)
        units = [Units(training.model, group) for group in self.ground.groups]
        self.controller = DecayController(units, self._decay, training)
        self._tensors, self._entries = units[0].tensors, self.controller.entries
        self._redundant = torch.zeros(self._entries.units, dtype=torch.bool)
        self._forced = torch.zeros_like(self._redundant)
        self._met = False
        self._pushed = self._redundant, self._entries.only(self._redundant), list[torch.Tensor]()

    @property
    def _decay(self) -> DecayOptions:
        return self.options.decay or DecayOptions(steps=1)

    def _start_of(self, steps: int) -> int:
        return int(self.options.start * steps)

    def check_length(self, steps: int) -> None:
        """Raises CriteriaError where no decay fits behind the start."""
        start = self._start_of(steps)
        if self._decay.steps > steps - start:
            known = {"decay": self._decay.steps, "start": start, "steps": steps}
            raise CriteriaError(fault("decay_behind_start", name=self.name, **known))

    def rate(self, step: int) -> float | None:
        """The first hook of a step: units are chosen before the network is used in it."""
        if step == self._start:
            scores = self.ground.score(self.training.model, self.ground.nothing())
            strict = self.ground.budget * (1 - self.options.tolerance)
            self._redundant = self._entries.chosen(self.ground.select(scores, strict))
        return None

    def after_backward(self, step: int) -> None:
        self.controller.after_backward()
        away = self._leaving | self.controller.resting
        pushed = self._redundant & ~away & (not self._met)
        if not torch.equal(pushed, self._pushed[0]):
            self._pushed = pushed, self._entries.only(pushed), []
        mask, entries, _ = self._pushed
        self._pushed = mask, entries, entries.take(self._tensors())

    def after_step(self, step: int) -> None:
        if self._pushed[0].any() and self.training.learning_rate > 0:
            self._push(*self._pushed)
        self.controller.after_step()
        gone = self.controller.gone
        self._met = self._met or (bool(gone.any()) and self._meets(gone))

    def _push(self, pushed: Tensor, entries: Entries, before: list[Tensor]) -> None:
        """Penalty and half-space test, of x before the step s = -learning rate times g."""
        rate, tensors = self.training.learning_rate, self._tensors()
        after = entries.take(tensors)
        steps = [now - x for now, x in zip(after, before, strict=True)]

        def dots(one: list[Tensor], other: list[Tensor]) -> Tensor:
            return entries.sums([a * b for a, b in zip(one, other, strict=True)]).sum(0)

        squares, along = dots(before, before), dots(before, steps)
        norms = squares.sqrt()
        lam = penalty(norms, -along / rate, dots(steps, steps) / rate**2, self.options)
        shrink = (rate * lam / norms).nan_to_num(0, posinf=0)
        left = (1 + along / squares - shrink).nan_to_num(0)  # x^.x / |x|^2
        new = self._enough(pushed & (left < self.options.epsilon).cpu(), left.cpu())
        pulls = entries.spread(torch.where(new.to(shrink.device), 0, shrink))
        moved = [now - by * x for now, by, x in zip(after, pulls, before, strict=True)]
        if new.any():  # they decay from the length before this step
            which = entries.spread(new)
            start = [torch.where(*one) for one in zip(which, before, moved, strict=True)]
            entries.put_(tensors, start)
            self.controller.begin(self._entries.listed(new))
        entries.put_(tensors, moved)

    def at_end(self) -> None:
        """Zero what the projection has left over, until the budget is met: decaying and small.

        Where the redundant are too coarse to meet it, finer units go as well.
        """
        gone = self.controller.gone
        if not self._meets(gone):
            norms = self._entries.norms(self._tensors()).norm(dim=0).cpu()
            later = (~self.controller.decaying).to(norms) + (~self._redundant).to(norms)
            last = norms + 2 * norms.max() * later
            self._forced = self._lowest(last, gone) & ~gone
        super().at_end()

    @property
    def _leaving(self) -> Tensor:
        """`[units]` booleans: those that are zero, or on their way."""
        return self.controller.gone | self.controller.decaying

    def _meets(self, chosen: Tensor) -> bool:
        left = self.ground.share(self._entries.listed(chosen))
        return left <= self.ground.budget + 1e-9  # rounding

    def _enough(self, candidates: Tensor, keys: Tensor) -> Tensor:
        """`[units]` booleans: as many candidates, lowest key first, as the budget asks for."""
        if not candidates.any():
            return candidates
        order = keys.double().masked_fill(~candidates, torch.inf)
        return self._lowest(order, self._leaving) & candidates

    def _lowest(self, scores: Tensor, leaving: Tensor) -> Tensor:
        """`[units]` booleans: what leaves under the budget, with all that leaves already."""
        first = scores.masked_fill(leaving, -torch.inf).split(self._entries.sizes)
        return self._entries.chosen(self.ground.select(first, self.ground.budget))

    def removed(self) -> Removed:
        return self._entries.listed(self.controller.gone | self._forced)

    def notes(self) -> dict[str, float]:
        return {
            "redundant": int(self._redundant.sum()),
            "forced": int(self._forced.sum()),
            "releases": self.controller.releases,
        }


def penalty(norms: Tensor, along: Tensor, squares: Tensor, rules: DhspgProcedureOptions) -> Tensor:
    """lambda, `[units]`: the push inward, more where descent alone leads away from the origin.

    `norms`, `along`, `squares`: |x|, x.g and |g|^2 of each unit.
    """
    low, high = -along / norms, -squares * norms / along
    lam = (rules.amplification * low).clamp(rules.penalty, rules.ceiling * rules.penalty)
    lam = torch.where(lam >= high, (low + high) / 2, lam)
    return torch.where(along < 0, lam, rules.penalty)
