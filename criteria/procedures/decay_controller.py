"""Smooth pruning with self-rectifying (DPM): units shrink to zero over steps, or are released.

Re-implemented from the description (Yang et al. 2024, arXiv 2406.03879); no code is published.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from ..errors import StructureError
from ..lazy import Tensor, torch
from ..network.units import Entries, Units
from ..options import Options
from ..training import Training
from .procedure import Removed


class RectifyOptions(Options):
    """When a decaying unit is released. Re-implemented from the description, defaults are ours."""

    rate: float = Field(default=0.3, ge=-1, le=1)
    """C_rate must be above it; in [-1, 1], see `escape_rate`."""
    length: float = Field(default=1.0, ge=0)
    """C_len must be above it, see `relative_length`."""
    window: int | None = Field(default=None, ge=1)
    """both are means over the last so many steps; None is 5, or all steps if fewer."""
    combine: Literal["and", "or"] = "and"
    """whether both or one of the two must hold."""
    on: Literal["all", "vectors"] = "all"
    """`all` of a unit, rows of weights with their steps and gradients times |row| / |row at the
    start| (behind a batch norm a row's gradient grows as the row shrinks and says nothing); or
    `vectors`, parameters of one dimension alone: scale and shift of norms, biases, gates."""
    max_releases: int = Field(default=2, ge=0)
    """of one unit in one training, so that the procedure ends."""
    cool_down: int | None = Field(default=None, ge=0)
    """steps after a release in which the unit should not be chosen; None is `steps`."""


class DecayOptions(Options):
    """How units fade. Re-implemented from the description; the paper's choices are not known."""

    steps: int = Field(default=50, ge=1)
    """N, rescalings from full length to zero; 1 removes at once. Default ours."""
    norm: Literal["joint", "per_tensor"] = "joint"
    """`joint`, one length for all that makes a unit (as OTOv2 joins it), or one `per_tensor`."""
    ramp: Literal["absolute", "relative"] = "absolute"
    """`absolute` re-imposes the length (N - n) / N of the first one after every step (the paper's);
    `relative` multiplies by (N - n) / (N - n + 1), so that growth by the gradient survives (HESSO,
    in the code of OTO)."""
    rectify: RectifyOptions | None = None
    """releases of units that resist; None is smooth pruning alone."""


class DecayController:
    """Fades units of a network in training. Its owner calls the hooks, and decides which units.

    Args:
        groups: the vectors of each group's units; of weights (`Units`) or of gates.
        options: how units fade.
        training: whose optimizer may hold momentum of these units.

    Attributes:
        entries: where the units lie.
        decaying, gone: `[units]` booleans: on their way to zero, and zero for good.
        rectifying: whether units may be released; an owner without time for others says no.
        releases: so far.

    Raises StructureError: two units share an entry.
    """

    def __init__(self, groups: Sequence[Units], options: DecayOptions, training: Training) -> None:
        self.options = options
        self.rectifying = True
        self._groups, self._network = groups, groups[0]
        self._training = training
        self.entries = Entries.of(groups)
        self._group, count = self.entries.groups, self.entries.units
        self.decaying = torch.zeros(count, dtype=torch.bool)
        self.gone = torch.zeros(count, dtype=torch.bool)
        self._taken = torch.zeros(count, dtype=torch.long)  # n: rescalings of each unit so far
        self._resting = torch.zeros(count, dtype=torch.long)  # steps of cool-down ahead
        self._released = torch.zeros(count, dtype=torch.long)  # how often
        tensors = self._network.tensors()
        vectors = [tensors[name].dim() == 1 for name in self.entries.places]
        self._first = torch.zeros_like(self.entries.norms(tensors))
        self._vectors = torch.tensor(vectors, device=self._first.device)[:, None]
        window = options.rectify.window if options.rectify else 0
        window = min(5, options.steps) if window is None else window
        self._seen = torch.full((2, window, count), torch.nan, dtype=torch.float64)  # C_rate, C_len
        self._before: tuple[Tensor, Entries, list[Tensor], Tensor] | None = None
        self._changed()

    def begin(self, which: Removed, *, at_once: bool = False) -> None:
        """Units start to decay from the length that they have now.

        Args:
            which: of each group, units that are neither decaying nor gone.
            at_once: whether the step that led here counts as the first of the `steps`: they shrink
                now, and with one step are zero when this returns. Else the next `after_step` is.

        Raises StructureError: a unit decays already or is gone.
        """
        new = self.entries.chosen(which)
        if twice := int((new & (self.decaying | self.gone)).sum()):
            raise StructureError(f"{twice} of the units to decay are decaying already, or gone")
        self.decaying |= new
        self._taken[new] = 0
        self._seen[:, :, new] = torch.nan
        self._changed()
        now = self._fading.norms(self._network.tensors())
        self._first = torch.where(new.to(now.device), now, self._first)
        if at_once:
            self._shrink(new)
            self._finish()

    def after_backward(self) -> None:
        """Keeps what self-rectifying compares: weights before the step, lengths of gradients."""
        if self.options.rectify is None or not self.decaying.any():
            return
        values = self._fading.take(self._network.tensors())
        pulls = self.entries.norms(self._network.gradients())
        self._before = self.decaying.clone(), self._fading, values, pulls

    def after_step(self) -> None:
        """Rescales what decays, releases what resists, and holds at zero what is gone."""
        self._resting = (self._resting - 1).clamp(min=0)
        self._observe()
        self._shrink(self.decaying)
        self._release()
        self._finish()

    @property
    def resting(self) -> Tensor:
        """`[units]` booleans: released ones on cool-down."""
        return self._resting > 0

    @property
    def releases(self) -> int:
        return int(self._released.sum())

    def state_dict(self) -> dict[str, Any]:
        held = {name: getattr(self, name).clone() for name in _STATE}
        return {"rectifying": self.rectifying, **held}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.rectifying = state["rectifying"]
        for name in _STATE:
            setattr(self, name, state[name].to(getattr(self, name).device, copy=True))
        self._before = None
        self._zero(self.gone)
        self._changed()

    # One step.

    def _shrink(self, chosen: Tensor) -> None:
        """One rescaling of the chosen units; zero for those that are gone."""
        if not (self.decaying | self.gone).any():
            return
        self._taken += chosen
        tensors = self._network.tensors()
        left = (self.options.steps - self._taken).to(self._first)
        if self.options.ramp == "relative":
            factors = left / (left + 1)
        else:
            first, now = self._first, self._active.norms(tensors)
            if self.options.norm == "joint":
                first, now = first.norm(dim=0), now.norm(dim=0)
            target = left / self.options.steps * first
            factors = torch.where(now > 0, target / now, 0)
        kept = torch.where(chosen.to(factors.device), factors, 1)
        self._active.scale_(tensors, torch.where(self.gone.to(kept.device), 0, kept))

    def _finish(self) -> None:
        done = self.decaying & (self._taken >= self.options.steps)
        if done.any():
            self.gone |= done
            self.decaying &= ~done
            self._zero(done)
            momenta = self._training.momenta()
            mine = self.entries.only(done)
            held = {name: place for name, place in mine.places.items() if name in momenta}
            Entries(held, mine.sizes).scale_(momenta, torch.zeros(mine.units))
            self._changed()

    def _zero(self, units: Tensor) -> None:
        """Zero units for good, padded shortcuts included, which have nothing that could fade."""
        for group, mine in zip(self._groups, self.entries.listed(units), strict=True):
            group.zero_(mine)

    def _changed(self) -> None:
        """Another set decays or is gone: its entries are looked up anew."""
        self._fading = self.entries.only(self.decaying)
        self._active = self.entries.only(self.decaying | self.gone)

    # Self-rectifying.

    def _observe(self) -> None:
        """C_rate and C_len of the step just taken, of the units that decayed before it."""
        if self.options.rectify is None or self._before is None:
            return
        watched, fading, before, pulls = self._before
        self._before = None
        after = fading.take(self._network.tensors())
        steps = [now - one for now, one in zip(after, before, strict=True)]
        squares = fading.sums([one * one for one in before])
        along = fading.sums([one * step for one, step in zip(before, steps, strict=True)])
        moved = fading.sums([step * step for step in steps])
        if self.options.rectify.on == "vectors":
            weight = self._vectors.to(pulls)
        else:  # rows of units that decay count by how much of them is left
            shrunk = (squares.sqrt() / self._first).nan_to_num(0)
            whole = self._vectors | ~watched.to(pulls.device)
            weight = torch.where(whole, 1, shrunk)
        counted = (weight > 0).to(pulls)
        rate = escape_rate(
            (counted * squares).sum(0), (weight * along).sum(0), (weight**2 * moved).sum(0)
        )
        sizes = (weight * pulls).norm(dim=0).cpu()
        length = relative_length(sizes, self._group, watched, self.gone)
        seen = torch.stack([rate.cpu(), length]).to(self._seen)
        seen = torch.where(watched, seen, torch.nan)
        self._seen = torch.cat([self._seen[:, 1:], seen[:, None]], dim=1)

    def _release(self) -> None:
        """The first and the last step are exempt; what is released keeps the weights it has."""
        rules = self.options.rectify
        if rules is None or not self.rectifying:
            return
        rate, length = self._seen.nanmean(dim=1)  # not a number where nothing was seen: no release
        outward, large = rate > rules.rate, length > rules.length
        resists = outward & large if rules.combine == "and" else outward | large
        midway = (self._taken > 1) & (self._taken < self.options.steps)
        free = self.decaying & midway & resists & (self._released < rules.max_releases)
        if free.any():
            self.decaying &= ~free
            self._released += free
            rest = self.options.steps if rules.cool_down is None else rules.cool_down
            self._resting[free] = rest
            self._changed()


_STATE = ("decaying", "gone", "_taken", "_resting", "_released", "_first", "_seen")


def escape_rate(squares: Tensor, along: Tensor, moved: Tensor) -> Tensor:
    """C_rate, `[units]` in [-1, 1]: (|x + s| - |x|) / |s| of a step s; 0 where there is none.

    1 is straight outward, 0 sideways, -1 straight inward. Ours, after the description.

    `squares`, `along`, `moved`: |x|^2, x.s and |s|^2 of each unit.
    """
    before, size = squares.sqrt(), moved.sqrt()
    after = (squares + 2 * along + moved).clamp(min=0).sqrt()
    gained = (2 * along + moved) / (before + after)  # the difference of lengths, without rounding
    return (gained / size).nan_to_num(0)


def relative_length(pulls: Tensor, group: Tensor, decaying: Tensor, gone: Tensor) -> Tensor:
    """C_len, `[units]`: a gradient's length over the mean of the other units of its group.

    The others are those that stay; where all decay, those that decay too. Ours, after the
    description.

    `pulls`: lengths of the gradients. `group`: that of each unit. `decaying`, `gone`: who is what.
    """
    groups = int(group.max()) + 1
    stays = torch.zeros(groups, dtype=torch.bool).index_fill_(0, group[~decaying & ~gone], True)
    peer = ~gone & (~decaying | ~stays[group])
    counts = torch.bincount(group[peer], minlength=groups)[group] - peer.long()
    sums = pulls.new_zeros(groups).index_add_(0, group[peer], pulls[peer])[group] - pulls * peer
    return (pulls * counts / sums).nan_to_num(0, posinf=torch.inf)
