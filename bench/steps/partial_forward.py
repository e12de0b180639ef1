"""A forward pass that starts late: what lies before the first change is remembered, not computed.

Every call of every module is recorded on the intact network. When some layers change, a call that
had returned before the first of them began gives what it gave then; whole stages are left out at
once. Whatever stands between modules (sums, concatenations, reshapes) is run as it is, so nothing
has to be known of the network's shape.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from criteria import Group, Member
from criteria.network.member import convolutions

# Layers whose output channel is zero once its weights are, and whose other channels do not notice,
# with the dimension of their channels. Exact types: a subclass may do anything.
_CHANNELS: dict[type[nn.Module], int] = {nn.Linear: -1, **dict.fromkeys(convolutions(), 1)}


class _Kept:
    """A tensor that gives its value of this moment, whatever is written into it later."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor, self._version = tensor, tensor._version
        self._copy: Tensor | None = tensor.detach().clone()

    def settle(self) -> None:
        """The recorded pass is over: without writes in it, the copy is not needed."""
        if self._tensor._version == self._version:
            self._copy = None

    def give(self) -> Tensor:
        # Where the recorded pass wrote into it, the next one will: each gets a copy of its own.
        return self._tensor if self._copy is None else self._copy.clone()


@dataclass
class _Call:
    """One call of a module in the recorded pass."""

    name: str
    # Calls that had begun when it returned: those up to there are its own or inside it.
    end: int = 0
    output: Any = None  # what it returned, each tensor as a `_Kept`
    writes: bool = False  # it changed its inputs in place, so it cannot be left out


class Replay:
    """A copy of a network, in eval mode, that can take up a recorded pass from any call on.

    Mask a unit in `model`, ask `start` from where on the recorded pass is no longer true, and
    `resume` there. Memory: all activations of one pass, as in training.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model).eval()
        self._calls: list[_Call] = []
        self._inputs: tuple[Any, ...] = ()
        self._recording = False
        self._at = self._start = 0
        self._zeroed: tuple[int, Tensor] | None = None  # dimension and channels of that call
        for name, module in self.model.named_modules():
            if not isinstance(module, torch.jit.ScriptModule):  # it calls its own code alone
                module.forward = self._wrapped(name, module.forward)

    def record(self, *inputs: Any) -> Any:
        """The network's outputs as it is now; every call inside is kept."""
        self._calls, self._inputs, self._recording = [], inputs, True
        try:
            with torch.no_grad():
                outputs = self.model(*inputs)
        finally:
            self._recording = False
        for call in self._calls:
            pytree.tree_map_only(_Kept, _Kept.settle, call.output)
        return outputs

    def start(self, group: Group) -> int | None:
        """The first recorded call that a change of this group reaches.

        None where one of its layers was never called: its weights are used in some other way.
        """
        called = [call.name for call in self._calls]
        layers = {_layer(member) for member in group.members}
        return min(map(called.index, layers)) if layers <= set(called) else None

    def resume(self, start: int = 0, group: Group | None = None, unit: Tensor | None = None) -> Any:
        """Outputs for the recorded inputs; calls that had returned before `start` are not run.

        `start`: 0 is a whole forward pass. `group`, `unit`: all that is masked in `model` by now. A
        plain layer that comes first is then not run either: its output is the recorded one, with
        these channels at zero.
        """
        self._at, self._start, self._zeroed = 0, start, None
        if group is not None and unit is not None:
            name = self._calls[start].name
            mine = [member for member in group.members if _layer(member) == name]
            dim = _CHANNELS.get(type(self.model.get_submodule(name)))
            if dim is not None and [member.side for member in mine] == ["out"]:
                channels = mine[0].indices[torch.isin(mine[0].units, unit)]
                self._zeroed = dim, channels.to(next(self.model.parameters()).device)
        with torch.no_grad():
            return self.model(*self._inputs)

    def _wrapped(self, name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            if self._recording:
                return self._record(name, forward, args, kwargs)
            return self._resume(forward, args, kwargs)

        return run

    def _record(self, name: str, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        call = _Call(name)
        self._calls.append(call)
        before = _versions((args, kwargs))
        output = forward(*args, **kwargs)
        call.end = len(self._calls)
        call.writes = _versions((args, kwargs)) != before
        call.output = pytree.tree_map_only(Tensor, _Kept, output)
        return output

    def _resume(self, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self._at > self._start:
            return forward(*args, **kwargs)
        call = self._calls[self._at]
        zeroed = self._zeroed if self._at == self._start else None
        if call.writes or (call.end > self._start and zeroed is None):
            self._at += 1  # it runs, and those inside it are asked in turn
            return forward(*args, **kwargs)
        self._at = call.end
        output = pytree.tree_map_only(_Kept, _Kept.give, call.output)
        return output if zeroed is None else output.index_fill(*zeroed, 0.0)


def _layer(member: Member) -> str:
    """The module that a member's change reaches first; a bare parameter's owner."""
    return member.name.rpartition(".")[0] if member.kind == "parameter" else member.name


def _versions(given: Any) -> list[int]:
    """Changes with every in-place operation on the tensors inside."""
    return [one._version for one in pytree.tree_leaves(given) if isinstance(one, Tensor)]
