"""The memory of a forward pass: weights, and the activations that are held at once.

Sizes of activations are linear in widths, and which are held at which moment does not depend on
them. So the peak is the largest of sums, one a moment, all known from the dense network. It is that
of one image in eval mode; what a kernel takes for itself while it works is not in it.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ..deployed.operations import Tape, recorded
from ..errors import BenchError
from ..export.runtimes import resized
from .cost import Cost
from .network import Network


@dataclass(frozen=True, eq=False)
class MemoryModel:
    """Bytes of a network at its peak, by units removed.

    Attributes:
        params: how many parameters are left.
        per_parameter: bytes.
        moments: `[moments, tensors]`, 1 where a tensor is held; buffers always are.
        held: `[tensors]`, bytes in the dense network.
        lost: `[tensors, groups]`, bytes lost for each unit.
        gone: `[groups]`, units that have left before.
    """

    params: Cost
    per_parameter: float
    moments: Tensor
    held: Tensor
    lost: Tensor
    gone: Tensor

    def __call__(self, removed: Tensor) -> float:
        """The peak after each group has lost `removed` units more, [groups]."""
        gone = (self.gone + removed).double()
        activations = self.moments @ (self.held - self.lost @ gone)
        return self.per_parameter * self.params(gone) + float(activations.max())

    def after(self, removed: Tensor) -> "MemoryModel":
        """The same of what is left once units have gone."""
        return replace(self, gone=self.gone + removed)


def memory_model(network: Network) -> MemoryModel:
    """Find out what a network's activations lose with a unit of each group.

    Raises:
        BenchError: it holds other tensors once a group is narrower.
    """
    groups, image = network.structure.groups, resized(network.inputs, 1)
    tape, held = _tensors(network.model, image)
    lost = torch.zeros(len(held), len(groups)).double()
    for at, group in enumerate(groups):
        if group.units > 1:
            removed = [torch.arange(at == other) for other in range(len(groups))]
            narrow, left = _tensors(network.cut(removed), image)
            if narrow.events != tape.events or len(left) != len(held):
                raise BenchError(
                    f"budget memory: with fewer channels of {group.root} the network holds other "
                    "tensors, so its memory cannot be told from its widths; give a budget of params"
                )
            lost[:, at] = held - left
    parameters = sum(one.nbytes for one in network.model.parameters())
    none = torch.zeros(len(groups))
    return MemoryModel(
        network.cost.params,
        parameters / max(network.cost.params(none), 1),
        _moments(tape, len(held)),
        held,
        lost,
        none,
    )


def peak_bytes(model: nn.Module, inputs: tuple[Any, ...]) -> int:
    """The same of a network as it is, by a forward pass."""
    tape, held = _tensors(model, resized(inputs, 1))
    parameters = sum(one.nbytes for one in model.parameters())
    return parameters + round(float((_moments(tape, len(held)) @ held).max()))


def _tensors(model: nn.Module, image: tuple[Any, ...]) -> tuple[Tape, Tensor]:
    """A tape, and bytes of all tensors: those on the tape, and the network's buffers."""
    tape = recorded(model, image)
    buffers = [one.nbytes for one in model.buffers()]
    return tape, torch.tensor([*tape.held, *buffers], dtype=torch.float64)


def _moments(tape: Tape, tensors: int) -> Tensor:
    """What is held after each event: of `tensors`, those that are not on the tape always are."""
    changes = torch.zeros(len(tape.events), tensors, dtype=torch.float64)
    for moment, event in enumerate(tape.events):
        changes[moment, max(event, -1 - event)] = 1 if event >= 0 else -1
    moments = changes.cumsum(0)
    moments[:, len(tape.held) :] = 1
    return moments
