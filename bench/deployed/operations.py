"""The operations of a forward pass, what they are called with, and what memory they hold."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from criteria.lazy import Tensor, nn, pytree, torch
from criteria.network.modes import evaluated


@dataclass(frozen=True)
class Sized:
    """What stands for a tensor among the arguments of an operation; its sizes are numbers.

    Attributes:
        order: its dimensions from the largest stride to the smallest.
        weight: whether it is a parameter or buffer of the network.
    """

    order: tuple[int, ...]
    dtype: torch.dtype
    weight: bool

    def drawn(self, sizes: Sequence[int]) -> Tensor:
        """A tensor of these sizes, which lies in memory as the original does."""
        laid = [sizes[dim] for dim in self.order]
        draw = torch.rand if self.dtype.is_floating_point else torch.zeros
        made = draw(laid, dtype=self.dtype)
        return made.permute([self.order.index(dim) for dim in range(len(laid))])


@dataclass(frozen=True)
class Operation:
    """An operator with its arguments, without the numbers in them.

    Attributes:
        leaves: of the arguments, `Sized` for tensors, `int` for whole numbers, or themselves.
        tree: how the leaves make up the arguments.
    """

    function: Any
    leaves: tuple[Any, ...]
    tree: Any

    def arguments(self, numbers: Sequence[int]) -> list[Any]:
        """The leaves of arguments with these numbers, tensors drawn anew."""
        rest, filled = list(numbers), list[Any]()
        for leaf in self.leaves:
            if isinstance(leaf, Sized):
                filled.append(leaf.drawn(rest[: len(leaf.order)]))
                del rest[: len(leaf.order)]
            else:
                filled.append(rest.pop(0) if leaf is int else leaf)
        return filled

    def __call__(self, leaves: Sequence[Any]) -> Any:
        args, named = pytree.tree_unflatten(leaves, self.tree)
        return self.function(*args, **named)

    def signature(self, numbers: Sequence[int]) -> str:
        """What names it in a table: equal calls have equal ones."""
        return f"{self.function} {self.leaves} {list(numbers)}"


Recorded = tuple[Operation, list[int]]  # with its numbers


@dataclass
class Tape(TorchDispatchMode):
    """Writes down the operations of a forward pass, in order.

    Attributes:
        operations: with their numbers: sizes of tensors, and whole numbers.
        held: bytes of every tensor that an operation has made memory for.
        events: places in `held`, as they are made, and -1 - place as they are let go.
    """

    weights: set[int]

    def __post_init__(self) -> None:
        super().__init__()
        self.operations: list[Recorded] = []
        self.held: list[int] = []
        self.events: list[int] = []
        self._seen = set(self.weights)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        numbers: list[int] = []
        given, tree = pytree.tree_flatten((args, kwargs or {}))
        leaves = tuple(self._leaf(one, numbers) for one in given)
        self.operations.append((Operation(func, leaves, tree), numbers))
        made = func(*args, **(kwargs or {}))
        for one in pytree.tree_leaves(made):
            if isinstance(one, torch.Tensor):
                self.hold(one)
        return made

    def hold(self, tensor: Tensor) -> None:
        """Note the memory of a tensor, once, and when it is let go."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() in self._seen:
            return
        self._seen.add(storage.data_ptr())
        place = len(self.held)
        self.held.append(storage.nbytes())
        self.events.append(place)
        weakref.finalize(storage, self._free, place, storage.data_ptr())

    def _free(self, place: int, address: int) -> None:
        self._seen.discard(address)
        self.events.append(-1 - place)

    def _leaf(self, value: Any, numbers: list[int]) -> Any:
        if isinstance(value, torch.Tensor):
            numbers.extend(value.shape)
            strides = value.stride()
            order = sorted(range(value.dim()), key=lambda dim: -strides[dim])
            weight = value.untyped_storage().data_ptr() in self.weights
            return Sized(tuple(order), value.dtype, weight)
        if type(value) is int:
            numbers.append(value)
            return int
        return value


def recorded(model: nn.Module, inputs: tuple[Any, ...]) -> Tape:
    """The tape of a forward pass in eval mode."""
    state = (*model.parameters(), *model.buffers())
    tape = Tape({one.untyped_storage().data_ptr() for one in state})
    for one in pytree.tree_leaves(inputs):
        if isinstance(one, torch.Tensor):
            tape.hold(one)
    with evaluated(model), torch.inference_mode(), tape:
        model(*inputs)
    return tape
