"""Hooks on every layer: what went in, what came out, and the gradients of both as they arrive."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..errors import NotApplicable
from ..lazy import Tensor, graph, nn, torch
from ..network.member import kind_of


@dataclass
class Made:
    """What a layer made of its input in one use."""

    module: nn.Module
    # given, made: its input and output
    given: Tensor
    made: Tensor
    version: int  # of the output when it was made

    def output(self) -> Tensor:
        """The output as the layer made it, made again where it was changed in place since."""
        if self.made._version == self.version:
            return self.made.detach()
        with torch.no_grad():
            return self.module.forward(self.given.detach())


@dataclass
class Use(Made):
    """One use of a layer, with the gradient of its output."""

    reads: bool = False  # whether the gradient of the input arrives too, after that of the output
    made_gradient: Tensor | None = None  # that of the output, where it was asked to be kept


Arrival = Callable[[str, Use, bool, Tensor], None]


class LayerHooks:
    """Uses of each layer with parameters, by name, in the order of the forward pass.

    Attributes:
        first: outputs of layers that nothing differentiable comes before: where gradients end
            in a network without gradients of weights.

    Args:
        arrived: called in the backward pass with (layer, use, whether it is the input's, gradient),
            while the gradient is still in the processor's cache.
    """

    def __init__(self, arrived: Arrival | None = None) -> None:
        self.uses: dict[str, list[Use]] = {}
        self.first: list[graph.GradientEdge] = []
        self._arrived = arrived
        self._waiting: list[torch.utils.hooks.RemovableHandle] = []

    def release(self) -> None:
        """Let go of all tensors. Their hooks know them, a circle that Python cannot see."""
        for handle in self._waiting:
            handle.remove()
        self._waiting.clear()
        self.uses.clear()
        self.first.clear()
        self._arrived = None

    def once(self, name: str) -> Use:
        """The only use of a layer.

        Raises:
            NotApplicable: the layer is used several times, or never.
        """
        uses = self.uses.get(name, [])
        if len(uses) != 1:
            raise NotApplicable(f"layer {name} is used {len(uses)} times in one forward pass")
        return uses[0]

    @contextmanager
    def on(self, model: nn.Module) -> Iterator[LayerHooks]:
        """Record every use of the model's layers inside the block."""
        with ExitStack() as hooks:
            for name, module in model.named_modules():
                if list(module.parameters(recurse=False)) and kind_of(module) != "other":
                    aliases: list[Tensor] = []
                    record = self._record(name, aliases)
                    hooks.enter_context(module.register_forward_pre_hook(_alias(aliases)))
                    hooks.enter_context(module.register_forward_hook(record))
            yield self

    def _record(self, name: str, aliases: list[Tensor]) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
            given = aliases.pop()
            # Images need no gradient, and of a norm layer both sides are the same channels.
            reads = given.grad_fn is not None and kind_of(module) in ("conv", "linear")
            use = Use(module, given, output, output._version, reads)
            self.uses.setdefault(name, []).append(use)
            arrived = self._arrived
            if arrived is None:
                return
            # Hooks on tensors see the gradient before any in-place activation behind the layer.
            if output.requires_grad:
                if given.grad_fn is None:
                    self.first.append(graph.get_gradient_edge(output))
                told = partial(_hand_over, arrived, name, use, False)
                self._waiting.append(output.register_hook(told))
            if reads:
                told = partial(_hand_over, arrived, name, use, True)
                self._waiting.append(given.register_hook(told))

        return hook


def _hand_over(arrived: Arrival, name: str, use: Use, into: bool, gradient: Tensor) -> None:
    with torch.no_grad():
        arrived(name, use, into, gradient)


def _alias(aliases: list[Tensor]) -> Callable[..., tuple[Any, ...]]:
    """Give the layer a view of its input, whose gradient is that of this consumer alone."""

    def hook(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        alias = inputs[0].view_as(inputs[0])
        if torch.is_grad_enabled() and alias.grad_fn is None:
            alias.requires_grad_()  # or frozen weights would leave nothing to differentiate
        aliases.append(alias)
        return (alias, *inputs[1:])

    return hook
