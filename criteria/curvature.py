"""Hessian-vector products, exact, by differentiating the gradient once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@dataclass(frozen=True)
class GradientGraph:
    """The gradient of a function of the network's outputs, with the graph that made it.

    Attributes:
        parameters, gradients: by parameter name; only those that the function depends on.
    """

    parameters: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]

    @classmethod
    def of(
        cls, model: nn.Module, images: Tensor, function: Callable[[Tensor], Tensor]
    ) -> GradientGraph:
        """Of `function(model(images))`, a scalar."""
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative
            value = function(model(images))
            parameters = dict(model.named_parameters())
            found = torch.autograd.grad(
                value, list(parameters.values()), create_graph=True, allow_unused=True
            )
        gradients = {
            name: one for name, one in zip(parameters, found, strict=True) if one is not None
        }
        return cls(parameters, gradients)

    def hessian_product(self, vector: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """H v by name (Pearlmutter, 1994); what is missing in `vector` is zero there."""
        along = {
            name: vector[name]
            for name, one in self.gradients.items()
            if name in vector and one.requires_grad
        }
        found = torch.autograd.grad(
            [self.gradients[name] for name in along],
            list(self.parameters.values()),
            grad_outputs=list(along.values()),
            retain_graph=True,  # other vectors may follow; it goes with the batch
            allow_unused=True,
        )
        return {
            name: torch.zeros_like(parameter) if one is None else one
            for (name, parameter), one in zip(self.parameters.items(), found, strict=True)
        }
