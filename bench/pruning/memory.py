"""Budgets of memory: weights, and the activations that a forward pass of one image holds at once.

Sizes of activations are linear in widths, and which are held at which moment does not depend on
them. So the peak is the largest of sums, one a moment, all known from the dense network. What a
kernel takes for itself while it works is not in it.
"""

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from criteria.network.given import tensors
from criteria.network.modes import evaluated

from ..errors import BenchError, fault
from ..export.runtimes import resized
from .cost import Cost
from .network import Network
from .selection import InfeasibleBudget
from .thresholds import Choice


class _Tape(TorchDispatchMode):
    """Notes the memory that tensors hold: bytes of each, and the places of those held at once."""

    def __init__(self, model: nn.Module, inputs: tuple[Any, ...]) -> None:
        super().__init__()
        self.bytes = [one.nbytes for one in model.buffers()]  # which are held all the time
        self.held, self.moments = set(range(len(self.bytes))), list[frozenset[int]]()
        state = (*model.parameters(), *model.buffers())
        self._known = {one.untyped_storage().data_ptr() for one in state}
        for one in tensors(inputs):
            self._hold(one)
        with evaluated(model), torch.inference_mode(), self:
            model(*inputs)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for one in tensors(made):
            self._hold(one)
        return made

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._known:
            self._known.add(storage.data_ptr())
            self.held.add(len(self.bytes))
            weakref.finalize(storage, self._let_go, len(self.bytes), storage.data_ptr())
            self.bytes.append(storage.nbytes())
            self.moments.append(frozenset(self.held))

    def _let_go(self, place: int, address: int) -> None:
        self._known.discard(address)
        self.held.discard(place)


def memory_model(network: Network) -> Cost:
    """Bytes of a network at its peak, by units removed. Raises BenchError where it holds other
    tensors once a group is narrower."""
    groups, image = network.structure.groups, resized(network.inputs, 1)
    whole = _Tape(network.model, image)
    dense = torch.tensor(whole.bytes, dtype=torch.float64)
    lost = torch.zeros(len(dense), len(groups), dtype=torch.float64)
    for at, group in enumerate(groups):
        one = [torch.arange(at == other and group.units > 1) for other in range(len(groups))]
        narrow = _Tape(network.cut(one), image)
        if narrow.moments != whole.moments:
            raise BenchError(fault("memory_model", root=group.root))
        lost[:, at] = dense - torch.tensor(narrow.bytes)
    held = torch.tensor([[one in places for one in range(len(dense))] for places in whole.moments])
    parameters = [one for each in network.model.modules() for one in each.parameters(recurse=False)]
    each = torch.tensor([one.element_size() for one in parameters])  # in the order of the terms
    weights = replace(network.cost.params, weight=network.cost.params.weight * each)

    def peak(removed: Tensor) -> float:
        activations = held.double() @ (dense - lost @ removed.double())
        return weights(removed) + float(activations.max())

    return peak


def peak_bytes(model: nn.Module, inputs: tuple[Any, ...], batch: int = 1) -> int:
    """The same of a network as it is, counted in a forward pass of a batch."""
    tape = _Tape(model, resized(inputs, batch))
    most = max(sum(tape.bytes[place] for place in moment) for moment in tape.moments)
    return most + sum(one.nbytes for one in model.parameters())


def met_in_memory(
    network: Network, choose: Callable[[Network], Choice | InfeasibleBudget]
) -> Choice | InfeasibleBudget:
    """What leaves by the memory that is modelled, held against a forward pass of what is left.
    Raises ArithmeticError where the network holds other memory than the model of it says."""
    model = memory_model(network)
    choice = choose(replace(network, cost=replace(network.cost, budgeted=model)))
    if isinstance(choice, Choice):
        expected = model(torch.tensor([len(gone) for gone in choice.removed]))
        found = peak_bytes(network.cut(choice.removed), network.inputs)
        if round(expected) != found:
            raise ArithmeticError(f"{found} bytes at the peak after the cut, not {expected:.0f}")
    return choice
