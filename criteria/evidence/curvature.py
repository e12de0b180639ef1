"""Hessian-vector products, exact, by differentiating the gradient once more.

Along the weights themselves they are cheaper than along any other vector: see
`hessian_times_weights`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from ..lazy import Tensor, graph, nn, torch
from ..network.member import convolutions, kind_of, norms
from .backward import Made

Function = Callable[[Tensor], Tensor]
Terms = Sequence[tuple["graph.GradientEdge", Tensor]]


def layer_types() -> tuple[type[nn.Module], ...]:
    """The types of convolutions and linear layers."""
    return (*convolutions(), nn.Linear)


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


@dataclass
class Placed(Made):
    """What a layer made in one use, and where it stands in the graph."""

    name: str
    edge: graph.GradientEdge  # its place, whatever is done to it in place later on


@contextmanager
def recording(model: nn.Module) -> Iterator[list[Placed]]:
    """Every use, inside the block, of a layer whose output is linear in its own parameters.

    By exact type: what derives from a layer may do anything with its weights.
    """
    made: list[Placed] = []

    def record(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        edge = graph.get_gradient_edge(output)
        made.append(Placed(module, inputs[0], output, output._version, name, edge))

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            if type(module) in layer_types() + norms() and module.weight is not None:
                hooks.enter_context(module.register_forward_hook(partial(record, name)))
        yield made


def hessian_times_weights(
    model: nn.Module, images: Tensor, function: Function, along: Collection[str] | None = None
) -> dict[str, Tensor]:
    """H v by parameter name, where v is the weights themselves.

    A layer is linear in its own parameters, so the sum of their products with the gradient is
    <dL/dy, y>, y the layer's output (Euler): v'g comes without the gradient of any weight. Its
    derivative is H v + g, g being that of L; so H v is the derivative of v'g - L, by one backward
    pass. Parameters of no such layer (class tokens) enter by their own gradient. Costs 2 forward
    and backward passes in multiplications; H v along another vector costs 3.

    `function`: of the network's outputs, a scalar: L. `along`: names of the parameters in v, all by
    default; the others are zero there.
    """
    parameters = dict(model.named_parameters())
    along = set(parameters if along is None else along)
    with plain_attention(), recording(model) as uses:
        value = function(model(images))
        uses = [one for one in uses if _own(one.module, one.name) <= along]
        apart = set(parameters).difference(*(_own(one.module, one.name) for one in uses))
        names = [name for name in parameters if name in apart]
        edges = [one.edge for one in uses]
        edges += [graph.get_gradient_edge(parameters[one]) for one in names]
        first = torch.autograd.grad(value, edges, create_graph=True, allow_unused=True)
        gradients = dict(zip(names, first[len(uses) :], strict=True))
        # Of v'g = sum <gradient, output>: each factor moves, the other is its cotangent.
        terms = [(graph.get_gradient_edge(value), -torch.ones_like(value))]
        for one, gradient in zip(uses, first, strict=False):
            if gradient is not None:
                terms.append((one.edge, gradient.detach()))
                if gradient.requires_grad:
                    terms.append((graph.get_gradient_edge(gradient), one.output()))
        for name, gradient in gradients.items():
            if name in along and gradient is not None and gradient.requires_grad:
                terms.append((graph.get_gradient_edge(gradient), parameters[name].detach()))
        second = derivatives(terms, list(parameters.values()))
    # v'g of the layers holds g of their own parameters, which L takes off again; and only that.
    products = dict(zip(parameters, second, strict=True))
    for name, gradient in gradients.items():
        if gradient is not None:
            products[name] = products[name] + gradient.detach()
    return products


def derivatives(terms: Terms, parameters: Sequence[Tensor]) -> list[Tensor]:
    """Derivatives of the sum of <tensor, cotangent> over the terms, zero where there is none.

    The graph is freed.

    `terms`: (place in the graph, cotangent of what is there).
    """
    if not terms:
        return [torch.zeros_like(parameter) for parameter in parameters]
    edges, cotangents = zip(*terms, strict=True)
    return list(torch.autograd.grad(edges, parameters, cotangents, materialize_grads=True))


def layer_parameters(model: nn.Module) -> set[str]:
    """Names of the parameters of all convolutions and linear layers."""
    return {
        name
        for prefix, module in model.named_modules()
        if kind_of(module) in ("conv", "linear")
        for name in _own(module, prefix)
    }


def residual_of(loss: Function) -> Function:
    """<dL/dz, z> with the slope frozen: its Hessian is L's without the Gauss-Newton part."""

    def residual(outputs: Tensor) -> Tensor:
        at = outputs.detach().requires_grad_()
        (slope,) = torch.autograd.grad(loss(at), at)
        return (slope * outputs).sum()

    return residual


def _own(module: nn.Module, prefix: str) -> set[str]:
    return {name for name, _ in module.named_parameters(prefix, recurse=False)}
