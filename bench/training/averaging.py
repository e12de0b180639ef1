"""A running mean of a network's weights while it trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from suites.recipe import Averaging


class Average:
    """Mean of weights and buffers: decay x mean + (1 - decay) x now, every few steps.

    Before `begins`, and at the first step, it is a copy of the weights. Integers are copied always.
    What is zero all along stays so.
    """

    def __init__(self, model: nn.Module, spec: Averaging, begins: float) -> None:
        self._model, self._spec, self._begins = model, spec, begins
        self.weights = {name: one.clone() for name, one in model.state_dict().items()}

    def after_step(self, step: int) -> None:
        """The weights have moved; steps are counted from 0."""
        if step % self._spec.every:
            return
        copies = step == 0 or step < self._begins
        for name, now in self._model.state_dict().items():
            if copies or not now.is_floating_point():
                self.weights[name].copy_(now)
            else:
                self.weights[name].lerp_(now, 1 - self._spec.decay)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the mean weights meanwhile."""
        now = {name: one.clone() for name, one in self._model.state_dict().items()}
        self.keep()
        try:
            yield
        finally:
            self._model.load_state_dict(now)

    def keep(self) -> None:
        """The model has them from here on."""
        self._model.load_state_dict(self.weights)

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Go on from these."""
        with torch.no_grad():
            for name, one in weights.items():
                self.weights[name].copy_(one)
