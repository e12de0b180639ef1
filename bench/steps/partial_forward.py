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


@dataclass
class _Call:
    """One call of a module in the recorded pass."""

    name: str
    # Calls that had begun when it returned: those up to there are its own or inside it.
    end: int = 0
    output: Any = None  # a copy of what it returned, as the pass may write into that later
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
        return outputs

    def start(self, group: Group) -> int | None:
        """The first recorded call that a change of this group reaches.

        None where one of its layers was never called: its weights are used in some other way.
        """
        called = [call.name for call in self._calls]
        layers = {_layer(member) for member in group.members}
        return min(map(called.index, layers)) if layers <= set(called) else None

    def resume(self, start: int = 0) -> Any:
        """Outputs for the recorded inputs; calls that had returned before `start` are not run.

        With 0 that is a whole forward pass.
        """
        self._at, self._start = 0, start
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
        call.output = pytree.tree_map_only(Tensor, torch.clone, output)
        return output

    def _resume(self, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self._at > self._start:
            return forward(*args, **kwargs)
        call = self._calls[self._at]
        if call.writes or call.end > self._start:
            self._at += 1  # it runs, and those inside it are asked in turn
            return forward(*args, **kwargs)
        self._at = call.end
        return pytree.tree_map_only(Tensor, torch.clone, call.output)


def _layer(member: Member) -> str:
    """The module that a member's change reaches first; a bare parameter's owner."""
    return member.name.rpartition(".")[0] if member.kind == "parameter" else member.name


def _versions(given: Any) -> list[int]:
    """Changes with every in-place operation on the tensors inside."""
    return [one._version for one in pytree.tree_leaves(given) if isinstance(one, Tensor)]
