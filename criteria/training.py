"""What may ride on a training: changes to the loss, the gradients and the weights of every step.

Preparations, procedures and recoveries are riders; the loop itself belongs to whoever trains.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from .lazy import Tensor, nn, torch
from .options import NoOptions, Options

Kind = Literal["preparation", "procedure", "recovery"]


class Scale(NamedTuple):
    """Factors on the recipe's settings for one parameter."""

    learning_rate: float
    weight_decay: float


@dataclass(frozen=True, eq=False)
class Training:
    """The training that a rider is attached to."""

    model: nn.Module  # as it is trained; its parameters are those of the optimizer
    optimizer: torch.optim.Optimizer
    steps_per_epoch: int  # steps of the optimizer, one a batch
    steps: int  # of the whole training, where no rider ends it before

    @property
    def learning_rate(self) -> float:
        """Learning rate of the step at hand, before any `Scale`."""
        return float(self.optimizer.param_groups[0]["lr"])

    def momenta(self) -> dict[str, Tensor]:
        """The optimizer's momentum buffers by parameter name; none before its first step."""
        state = self.optimizer.state
        return {
            name: buffer
            for name, parameter in self.model.named_parameters()
            if parameter in state
            and (buffer := state[parameter].get("momentum_buffer")) is not None
        }


class Rider:
    """Rides on one training. Every hook does nothing unless it is overridden.

    In order: `begin`, `attach`; at every step `rate`, `loss_term`, `after_backward`, `after_step`;
    `after_epoch` at the end of each; `at_end` once. `step` counts the optimizer's steps from 0. A
    training that is resumed calls `begin` and `attach` again and then `load_state_dict`, so these
    two only set up, and whatever later steps depend on is in `state_dict`.
    """

    resumed: ClassVar[tuple[str, ...]] = ()  # names of the attributes that later steps depend on

    def begin(self, model: nn.Module) -> None:
        """Called before there is an optimizer: layers may be replaced in place."""

    def scales(self, model: nn.Module) -> Mapping[nn.Parameter, Scale]:
        """Parameters that are trained at settings of their own."""
        return {}

    def attach(self, training: Training) -> None:
        """Called before the first step; what is needed later is kept by the rider."""

    def rate(self, step: int) -> float | None:
        """Factor on the recipe's learning rate instead of its schedule's; None leaves that."""
        return None

    def loss_term(self, step: int) -> Tensor | None:
        """A scalar that is added to the loss."""
        return None

    def after_backward(self, step: int) -> None:
        """Gradients are there and may be changed in place, or set to None to freeze a parameter."""

    def after_step(self, step: int) -> None:
        """The optimizer has moved the weights."""

    def after_epoch(self, epoch: int) -> None:
        """Whole epochs are counted from 0; the model is in train mode, and evaluated after this."""

    @property
    def done(self) -> bool:
        """Whether training may end now; asked after every step."""
        return False

    def at_end(self) -> None:
        """Called after the last step: makes hold what must hold of the weights from here on."""

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers, strings, and lists and dicts of these: what `resumed` names."""
        held = {name: getattr(self, name) for name in self.resumed}
        return {
            name: one.state_dict() if hasattr(one, "state_dict") else copy.deepcopy(one)
            for name, one in held.items()
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a `state_dict`."""
        for name in self.resumed:
            if hasattr(mine := getattr(self, name), "load_state_dict"):
                mine.load_state_dict(state[name])
            else:
                setattr(self, name, copy.deepcopy(state[name]))


class Phase(Rider):
    """Base of preparations, procedures and recoveries: riders with options, known by name."""

    kind: ClassVar[Kind]
    options_type: ClassVar[type[Options]] = NoOptions
    name: ClassVar[str]

    def __init__(self, options: Any) -> None:
        self.options = options
