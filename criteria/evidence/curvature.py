"""Hessian-vector products, exact, by differentiating the gradient once more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from ..lazy import Tensor, nn, torch
from ..network.member import kind_of

Function = Callable[[Tensor], Tensor]


def plain_attention() -> AbstractContextManager[None]:
    """Attention by products of matrices: fused attention has no second derivative."""
    return nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH)


@dataclass(frozen=True)
class GradientGraph:
    """The gradient of a function of the network's outputs, with the graph that made it."""

    # parameters, gradients: by parameter name; only those that the function depends on
    parameters: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]

    @classmethod
    def of(cls, model: nn.Module, images: Tensor, function: Function) -> GradientGraph:
        """The gradient of `function(model(images))`, a scalar, with its graph."""
        with plain_attention():
            value = function(model(images))
            parameters = dict(model.named_parameters())
            found = torch.autograd.grad(
                value, list(parameters.values()), create_graph=True, allow_unused=True
            )
        pairs = zip(parameters, found, strict=True)
        return cls(parameters, {name: one for name, one in pairs if one is not None})

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
            materialize_grads=True,
        )
        return dict(zip(self.parameters, found, strict=True))

    def own_product(self, name: str, vector: Tensor) -> Tensor:
        """The Hessian's own block of one parameter times a vector: no other parameter moves."""
        parameter, gradient = self.parameters[name], self.gradients.get(name)
        if gradient is None or not gradient.requires_grad:
            return torch.zeros_like(parameter)
        return torch.autograd.grad(
            gradient, parameter, vector, retain_graph=True, materialize_grads=True
        )[0]


def layer_parameters(model: nn.Module) -> set[str]:
    """Names of the parameters of all convolutions and linear layers."""
    return {
        name
        for prefix, module in model.named_modules()
        if kind_of(module) in ("conv", "linear")
        for name, _ in module.named_parameters(prefix, recurse=False)
    }


def residual_of(loss: Function) -> Function:
    """<dL/dz, z> with the slope frozen: its Hessian is L's without the Gauss-Newton part."""

    def residual(outputs: Tensor) -> Tensor:
        at = outputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss(at), at)
        return (slope * outputs).sum()

    return residual
