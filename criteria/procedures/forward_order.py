"""The order in which layers run; that of their definition says nothing about it."""

from __future__ import annotations

from typing import Any

from ..lazy import nn
from ..network.member import kind_of


class ForwardOrder:
    """Depth of every module with parameters, found out in the next forward pass of the model.

    The depth is counted in convolutions and linear layers, from 0; any other module stands where
    the last of these before it does, so a norm where the layer does that it follows.

    Attributes:
        layers: convolutions and linear layers in the model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._depths: dict[str, int] = {}
        self._run = 0
        self._handles = [model.register_forward_hook(self._end)]
        self.layers = 0
        for name, module in model.named_modules():
            counts = kind_of(module) in ("conv", "linear")
            self.layers += counts
            if counts or any(True for _ in module.parameters(recurse=False)):
                self._handles.append(module.register_forward_pre_hook(self._noting(name, counts)))

    def depth(self, name: str) -> int:
        """Place of the named module; one that the pass did not reach stands with the last layer."""
        return self._depths.get(name, self.layers - 1)

    def _noting(self, name: str, counts: bool) -> Any:
        def note(*_: Any) -> None:
            if name not in self._depths:
                self._run += counts
                self._depths[name] = max(self._run - 1, 0)

        return note

    def _end(self, *_: Any) -> None:
        for handle in self._handles:
            handle.remove()
