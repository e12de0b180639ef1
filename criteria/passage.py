"""One pass forward and backward, and what is made of the gradients as they pass by.

Sums are taken while a gradient is in the processor's cache, and the gradient is let go: keeping all
of them would cost more time in fresh memory than the sums do.
"""

from __future__ import annotations

from collections.abc import Hashable

import torch
from torch import Tensor, nn

from .errors import NotApplicable
from .meter import Meter
from .needs import Need
from .samples import fold_gradients, sample_dots
from .taps import Taps, Use


class Passage:
    """Of the gradients of a batch's mean loss.

    Attributes:
        dots: (layer, whether of its inputs) -> `[samples, channels]`: values times gradients,
            summed over positions and uses.
        squares, last_squares: by parameter name: squared gradients, summed over samples, and of
            the last sample.
        taps: uses of all layers, with the gradients of their inputs and outputs where wanted.
        failures: why evidence of a kind could not be made.
    """

    def __init__(self, wanted: Need, meter: Meter) -> None:
        self.wanted, self.meter = wanted, meter
        self.dots: dict[tuple[str, bool], Tensor] = {}
        self.squares: dict[str, Tensor] = {}
        self.last_squares: dict[str, Tensor] = {}
        self.failures: dict[Need, NotApplicable] = {}
        backward = wanted & (Need.SAMPLES | Need.SQUARES | Need.ACTIVATION_GRADIENTS)
        self.taps = Taps(self._arrived if backward else None)

    def charge(self, need: Need) -> Hashable:
        """Under which the meter keeps the time of what was made for `need`."""
        return (id(self), need)

    def _arrived(self, name: str, use: Use, into: bool, gradient: Tensor) -> None:
        if Need.SAMPLES in self.wanted:
            with self.meter.timing(self.charge(Need.SAMPLES), aside=True):
                self._multiply(name, use, into, gradient)
        if Need.SQUARES in self.wanted and not into and Need.SQUARES not in self.failures:
            with self.meter.timing(self.charge(Need.SQUARES), aside=True):
                try:
                    self._square(name, use, gradient)
                except NotApplicable as failure:
                    self.failures[Need.SQUARES] = failure
        if Need.ACTIVATION_GRADIENTS in self.wanted:
            if into:
                use.given_gradient = gradient
            else:
                use.made_gradient = gradient
        elif into and Need.ACTIVATIONS not in self.wanted and len(self.taps.uses[name]) == 1:
            use.given = use.made = gradient.new_empty(0)  # memory that the pass can use again

    def _multiply(self, name: str, use: Use, into: bool, gradient: Tensor) -> None:
        values = use.given.detach() if into else use.output()
        last = isinstance(use.module, nn.Linear | nn.LayerNorm)
        found = sample_dots(values, gradient, last)
        before = self.dots.get((name, into))
        self.dots[name, into] = found if before is None else before + found

    def _square(self, name: str, use: Use, gradient: Tensor) -> None:
        uses = self.taps.uses[name]
        use.made_gradient = gradient
        if any(one.made_gradient is None for one in uses):
            return  # a sample's gradient is the sum over uses: whole before it is squared
        whole: dict[str, list[list[Tensor]]] = {}
        for at, one in enumerate(uses):
            assert one.made_gradient is not None

            def fold(part: str, gradients: Tensor, at: int = at) -> None:
                if len(uses) == 1:
                    self._add_squares(name, part, gradients)
                else:
                    whole.setdefault(part, [[] for _ in uses])[at].append(gradients)

            fold_gradients(one.module, one.given.detach(), one.made_gradient, fold)
            if Need.ACTIVATION_GRADIENTS not in self.wanted:
                one.made_gradient = None
        for part, chunks in whole.items():
            self._add_squares(name, part, torch.stack([torch.cat(one) for one in chunks]).sum(0))

    def _add_squares(self, name: str, part: str, gradients: Tensor) -> None:
        key = f"{name}.{part}" if name else part
        squares = gradients.square()
        self.last_squares[key] = squares[-1].clone()
        total = squares.sum(0)
        self.squares[key] = self.squares[key] + total if key in self.squares else total
