"""One pass forward and backward, and what is made of the gradients as they pass by.

Sums are taken while a gradient is in the processor's cache, and the gradient is let go: keeping all
of them would cost more time in fresh memory than the sums do.
"""

from collections.abc import Callable, Hashable
from functools import partial

from ..lazy import Tensor, nn, torch
from .layer_hooks import LayerHooks, Use
from .meter import Meter
from .needs import Need
from .samples import fold_gradients, of_samples, sample_dots


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
                self._attempt(Need.SQUARES, partial(self._square_all, name))

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
        values = use.given.detach() if into else use.output()
        last = isinstance(use.module, nn.Linear | nn.LayerNorm)
        found = sample_dots(values, gradient, last)
        before = self.dots.get((name, into))
        self.dots[name, into] = found if before is None else before + found

    def _square(self, name: str, use: Use, gradient: Tensor) -> None:
        of_samples(gradient, name, self.samples)
        if len(self.hooks.uses[name]) > 1:
            use.made_gradient = gradient  # a sample's gradient is the sum over uses, then squared
            return
        add = partial(self._add_squares, name)
        fold_gradients(use.module, use.given.detach(), gradient, add)

    def _square_all(self, name: str) -> None:
        """Square the sum over a layer's uses; those that the loss does not reach add nothing."""
        uses = [one for one in self.hooks.uses[name] if one.made_gradient is not None]
        whole: dict[str, list[list[Tensor]]] = {}
        for at, one in enumerate(uses):
            assert one.made_gradient is not None

            def fold(part: str, gradients: Tensor, at: int = at) -> None:
                whole.setdefault(part, [[] for _ in uses])[at].append(gradients)

            fold_gradients(one.module, one.given.detach(), one.made_gradient, fold)
        for part, chunks in whole.items():
            self._add_squares(name, part, torch.stack([torch.cat(one) for one in chunks]).sum(0))

    def _add_squares(self, name: str, part: str, gradients: Tensor) -> None:
        key = f"{name}.{part}" if name else part
        squares = gradients.square()
        self.last_squares[key] = squares[-1].clone()
        total = squares.sum(0)
        self.squares[key] = self.squares[key] + total if key in self.squares else total
