"""A penalty that grows on doomed units while a network trains: what GReg and TPP share.

First the strength grows in steps to its ceiling; then, at the strength reached, the network
stabilises while the doomed units are set to zero layer by layer, from the front.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, ClassVar

from pydantic import Field, ValidationInfo, field_validator

from ..errors import OptionError, fault
from ..lazy import nn, torch
from ..network.member import kind_of
from ..network.units import Units
from ..options import Options
from ..training import Training
from .leaving import DoomedEntries, doomed_entries, norm_of
from .procedure import Procedure, Removed


def _is_layer(module: nn.Module) -> bool:
    return kind_of(module) in ("conv", "linear")


def called_next(model: nn.Module) -> list[nn.Module]:
    """A model's modules in the order in which its next forward pass calls them, which fills it."""
    called: list[nn.Module] = []

    def note(module: nn.Module, _: Any) -> None:
        called.append(module)

    def end(*_: Any) -> None:
        for handle in handles:
            handle.remove()

    handles = [one.register_forward_pre_hook(note) for one in model.modules()]
    handles.append(model.register_forward_hook(end))
    return called


@dataclass(frozen=True)
class Ramp:
    """A strength that rises from `low` by `delta` every so many steps after `start`, to `high`."""

    start: int
    every: int
    low: float
    high: float
    delta: float

    @property
    def updates(self) -> int:
        """How many it takes to reach `high`."""
        return math.ceil(round((self.high - self.low) / self.delta, 6))  # 0.3 / 0.1 > 3

    @property
    def end(self) -> int:
        """The first step at `high`."""
        return self.start + self.every * self.updates

    def strength(self, step: int) -> float:
        passed = max(step - self.start, 0) // self.every
        return self.high if passed >= self.updates else self.low + self.delta * passed


class GrowthOptions(Options):
    """How the penalty grows, and how the doomed units are zeroed."""

    growth: float | None = Field(default=None, gt=0, lt=1)
    """share of the training's steps after which the strength has reached its ceiling, rounded down
    to a whole update; what is left of the training stabilises. Default: as in the papers' CIFAR
    runs, 100,000 of 110,000 steps."""
    delta: float | None = Field(default=None, gt=0)
    """instead, what an update adds, as the papers have it (1e-4)."""
    update_every: int = Field(default=10, ge=1)
    """steps from one update to the next; 10 in the papers on CIFAR, 5 on ImageNet."""
    ceiling: float = Field(default=1.0, gt=0)
    """of the strength; the papers' 1."""
    zero_every: int | None = Field(default=None, ge=1)
    """steps between the zeroing of one layer and the next in the stabilising phase; 100 in TPP's
    code. Default: spread over that phase."""
    stabilize: int | None = Field(default=None, ge=1)
    """steps of the stabilising phase, after which the training ends, whatever its recipe has left;
    10,000 in the papers on CIFAR, 40,000 on ImageNet. Default: all that the recipe has left."""
    bn_term: bool = True
    """whether gamma and beta of doomed channels are penalised."""

    @field_validator("delta", "pick_delta", check_fields=False)
    @classmethod
    def one_pace(cls, delta: float | None, info: ValidationInfo) -> float | None:
        share = "growth" if info.field_name == "delta" else "pick"
        if delta is not None and info.data.get(share) is not None:
            raise ValueError(f"{share} says how fast already; give one of the two")
        return delta


class GrowingPenalty(Procedure):
    """Decays all makers of `Ground.doomed`, ever more strongly, and zeroes them in the end."""

    options_type: ClassVar[type[Options]] = GrowthOptions
    follows = True
    resumed: ClassVar[tuple[str, ...]] = ("_units", "_norms", "stable", "_taken")
    growth: ClassVar[float] = 10 / 11  # share of the steps, where the options give no other

    def attach(self, training: Training) -> None:
        super().attach(training)
        self.order = called_next(training.model)
        self.layers = sum(map(_is_layer, training.model.modules()))
        self.ramp = self.ramps(training.steps)[-1]
        self.stable = self.ramp.end  # the first step of the stabilising phase
        self._taken = 0
        self._zero_every()
        doomed = self.ground.doomed
        if doomed is None:  # until some are picked
            doomed = [torch.arange(group.units) for group in self.ground.groups]
        self.doom(doomed)

    def check_length(self, steps: int) -> None:
        """Raises OptionError where nothing is left to stabilise in."""
        end, wanted = self.ramps(steps)[-1].end, self.options.stabilize
        if steps < end + (wanted or 1):
            known = {"end": end, "steps": steps, "wanted": wanted or "some"}
            raise OptionError(fault("growth", name=self.name, **known))

    def ramps(self, steps: int) -> list[Ramp]:
        """One after the other, of a training of so many steps."""
        share = self.options.growth or self.growth
        return [self.ramp_over(steps * share, self.options.delta, 0, 0.0, self.options.ceiling)]

    def ramp_over(
        self, steps: float, delta: float | None, start: int, low: float, high: float
    ) -> Ramp:
        """A ramp of a given increment, or as fast as reaches `high` in so many steps."""
        every = self.options.update_every
        if delta is None:
            delta = (high - low) / max(1, round(steps) // every)
        return Ramp(start, every, low, high, delta)

    def _zero_every(self) -> float:
        """Steps from the zeroing of one layer to the next, in the steps that stabilise."""
        left = self.options.stabilize or self.training.steps - self.stable
        layers = self.layers
        if self.options.zero_every is None:
            return left / (layers + 1)
        every = self.options.zero_every
        if (least := layers * every) >= left:
            known = {"every": every, "least": least, "layers": layers, "left": left}
            raise OptionError(fault("zero_every", name=self.name, **known))
        return every

    def doom(self, units: Removed) -> None:
        """Penalise, and in the end zero, these units of each group from here on."""
        self._units = units
        self.parts = doomed_entries(self.training.model, self.ground.groups, units)
        self.decayed = [part for part in self.parts if self.decays(part)]
        self._norms = [norm_of(self.parts)]  # now, and when stabilising begins

    def decays(self, part: DoomedEntries) -> bool:
        """Whether the penalty holds for this parameter."""
        return self.options.bn_term or not part.norm

    def strength(self, step: int) -> float:
        return self.ramp.strength(min(step, self.stable))

    def after_backward(self, step: int) -> None:
        strength = self.strength(step)
        if strength > 0:
            for part in self.decayed:
                part.decay_(strength)

    def after_step(self, step: int) -> None:
        self._taken, since = step + 1, step - self.stable
        if since == 0:
            self._norms.append(norm_of(self.parts))
            self._silence()
        for part in self.parts if since >= 0 else ():
            owner = self.training.model.get_submodule(part.name.rpartition(".")[0])
            if since >= max(1, self._places.get(owner, self.layers)) * self._zero_every():
                part.zero_()

    @cached_property
    def _places(self) -> dict[nn.Module, int]:
        """How many convolutions and linear layers have run when a module first does, itself too."""
        ran = list(dict.fromkeys(self.order))
        return dict(zip(ran, accumulate(map(_is_layer, ran)), strict=True))

    @property
    def done(self) -> bool:
        length = self.options.stabilize
        return length is not None and self._taken >= self.stable + length

    def _silence(self) -> None:
        """Cut off padded shortcuts, which have nothing that could decay."""
        for group, gone in zip(self.ground.groups, self._units, strict=True):
            Units(self.training.model, group).silence(gone)

    def removed(self) -> Removed:
        return self._units

    def notes(self) -> dict[str, float]:
        """norm_left: what growth left of the norm of what was doomed, as a share."""
        if len(self._norms) < 2 or not self._norms[0]:
            return {}
        return {"norm_left": self._norms[1] / self._norms[0]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.doom(state["_units"])
        super().load_state_dict(state)
        if len(self._norms) > 1:  # it stabilises already
            self._silence()
