"""One pass forward and backward: what every layer read and made, and the gradients as they pass by.

Sums are taken while a gradient is in the processor's cache, and the gradient is let go: keeping all
of them would cost more time in fresh memory than the sums do.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial, reduce
from operator import add
from typing import Any

from ..errors import NotApplicable
from ..lazy import Tensor, graph, nn, torch
from ..network.member import kind_of
from .meter import Meter
from .needs import Need
from .samples import full, of_samples, sample_dots, sample_gradients


@dataclass
class Use:
    """One use of a layer: what it made of its input, and the gradient of that."""

    module: nn.Module
    # given, made: its input and output
    given: Tensor
    made: Tensor
    version: int  # of the output when it was made
    reads: bool  # whether the gradient of the input arrives too, after that of the output
    made_gradient: Tensor | None = None  # that of the output, where it was asked to be kept

    def input(self) -> Tensor:
        """What went into the layer."""
        return full(self.given.detach())

    def output(self) -> Tensor:
        """The output as the layer made it, made again where it was changed in place since."""
        if self.made._version == self.version:
            return full(self.made.detach())
        with torch.no_grad():
            return self.module.forward(self.input())


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
        """The only use of a layer. Raises NotApplicable: the layer is used several times, or
        never."""
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
                    alias = partial(_alias, aliases)
                    hooks.enter_context(module.register_forward_pre_hook(alias))
                    record = partial(self._record, name, aliases)
                    hooks.enter_context(module.register_forward_hook(record))
            yield self

    def _record(
        self, name: str, aliases: list[Tensor], module: nn.Module, _: Any, output: Tensor
    ) -> None:
        given = aliases.pop()
        # Images need no gradient, and of a norm layer both sides are the same channels.
        reads = given.grad_fn is not None and kind_of(module) in ("conv", "linear")
        use = Use(module, given, output, output._version, reads)
        self.uses.setdefault(name, []).append(use)
        if self._arrived is None:
            return
        # Hooks on tensors see the gradient before any in-place activation behind the layer.
        told = partial(torch.no_grad()(self._arrived), name, use)
        if output.requires_grad:
            if given.grad_fn is None:
                self.first.append(graph.get_gradient_edge(output))
            self._waiting.append(output.register_hook(partial(told, False)))
        if reads:
            self._waiting.append(given.register_hook(partial(told, True)))


def _alias(aliases: list[Tensor], _: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """Give the layer a view of its input, whose gradient is that of this consumer alone."""
    if not inputs:
        raise NotApplicable("a layer is called with its input by keyword; call it by place")
    alias = inputs[0].view_as(inputs[0])
    if torch.is_grad_enabled() and alias.grad_fn is None:
        alias.requires_grad_()  # or frozen weights would leave nothing to differentiate
    aliases.append(alias)
    return (alias, *inputs[1:])


class BackwardPass:
    """What is made of the gradients of a batch's mean loss on their way back.

    Attributes:
        dots: (layer, whether of its inputs) -> `[samples, channels]`: values times gradients,
            summed over positions and uses.
        squares, last_squares: by parameter name: squared gradients, summed over samples, and of
            the last sample.
        hooks: uses of all layers, with the gradients of their inputs and outputs where wanted.
        failures: why evidence of a kind could not be made.
    """

    def __init__(self, wanted: Need, meter: Meter, samples: int) -> None:
        self.wanted, self.meter, self.samples = wanted, meter, samples
        self.dots: dict[tuple[str, bool], Tensor] = {}
        self.squares: dict[str, Tensor] = {}
        self.last_squares: dict[str, Tensor] = {}
        self.failures: dict[Need, str] = {}
        backward = wanted & (Need.SAMPLES | Need.SQUARES | Need.ACTIVATION_GRADIENTS)
        self.hooks = LayerHooks(self._arrived if backward else None)

    def charge(self, need: Need) -> Hashable:
        """The key under which the meter keeps the time of what was made for `need`."""
        return (id(self), need)

    def finish(self) -> None:
        """Make, after the backward pass, what had to wait for all uses of a layer."""
        for name, uses in self.hooks.uses.items():
            if len(uses) > 1 and Need.SQUARES in self.wanted:
                passed = [(one, one.made_gradient) for one in uses if one.made_gradient is not None]
                self._attempt(Need.SQUARES, partial(self._add_squares, name, passed))

    def _arrived(self, name: str, use: Use, into: bool, gradient: Tensor) -> None:
        if Need.SAMPLES in self.wanted:
            self._attempt(Need.SAMPLES, lambda: self._multiply(name, use, into, gradient))
        if Need.SQUARES in self.wanted and not into:
            self._attempt(Need.SQUARES, lambda: self._square(name, use, gradient))
        if Need.ACTIVATION_GRADIENTS in self.wanted:
            if not into:
                use.made_gradient = gradient
            return
        done = into or not use.reads
        if done and Need.ACTIVATIONS not in self.wanted and len(self.hooks.uses[name]) == 1:
            use.given = use.made = gradient.new_empty(0)  # memory that the pass can use again

    def _attempt(self, need: Need, work: Callable[[], None]) -> None:
        """Do the work on the clock of those who need it; its failure is theirs, not the pass's.

        Kept in words: the exception would hold on to everything that it has seen.
        """
        if need in self.failures:
            return
        with self.meter.timing(self.charge(need), aside=True):
            try:
                work()
            except Exception as failure:  # of layers that no formula was written for
                self.failures[need] = str(failure)

    def _multiply(self, name: str, use: Use, into: bool, gradient: Tensor) -> None:
        of_samples(gradient, name, self.samples)
        values = use.input() if into else use.output()
        last = isinstance(use.module, nn.Linear | nn.LayerNorm)
        found = sample_dots(values, full(gradient), last)
        before = self.dots.get((name, into))
        self.dots[name, into] = found if before is None else before + found

    def _square(self, name: str, use: Use, gradient: Tensor) -> None:
        of_samples(gradient, name, self.samples)
        if len(self.hooks.uses[name]) > 1:
            use.made_gradient = gradient
        else:
            self._add_squares(name, [(use, gradient)])

    def _add_squares(self, name: str, passed: Sequence[tuple[Use, Tensor]]) -> None:
        """Square each sample's gradient: the sum over all uses of a layer that the loss reaches."""
        found = [sample_gradients(use.module, use.input(), full(one)) for use, one in passed]
        for uses in zip(*found, strict=True):
            for part in uses[0]:
                key = f"{name}.{part}" if name else part
                squares = reduce(add, (one[part] for one in uses)).square()
                self.last_squares[key] = squares[-1].clone()
                total = squares.sum(0)
                self.squares[key] = self.squares[key] + total if key in self.squares else total
