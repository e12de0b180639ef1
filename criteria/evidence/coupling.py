"""The part of the Hessian that couples layers in series (Optimal Brain Apoptosis, ICLR 2025).

With y the output of a layer, x its input, G = dL/dy, and t the change of x along the weights of
all layers (the direction), the product of Hessian and weights has for a layer's weights W

    DOWN: the derivative of <G, W t> by W: its input moved by the layers before it.
    UP:   the derivative of the sum of <G, W' x> over later layers by W, their own W' frozen: its
          output gradient moved by the layers behind it.

What else the Hessian has is left out: curvature of the loss (Gauss-Newton), of activations and
norms, of products of activations (attention). What is left is all of the residual (see
`curvature.residual_of`) where activations are piecewise linear and batch norm is in eval mode.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.autograd.graph import GradientEdge, get_gradient_edge

from ..errors import NotApplicable, fault
from ..network.member import convolutions, norms
from .curvature import Function, plain_attention

LAYERS, NORMS = (*convolutions(), nn.Linear), norms()


@dataclass
class _Use:
    """One use of a layer."""

    module: nn.Module
    edge: GradientEdge  # its output's place in the graph
    # That of W t, connected to W alone; None of norms, and where nothing ahead moves.
    moved: GradientEdge | None


def coupling_of(
    model: nn.Module, images: Tensor, function: Function, *, norms: bool = False
) -> dict[str, dict[str, Tensor]]:
    """`up`, `down` and `both`, by name of the parameters of convolutions and linear layers.

    They are not yet multiplied by the weights; `down` is zero for biases. They take one forward
    pass with tangents and two backward passes, at any depth.

    `function`: of the network's outputs, a scalar: the loss. `norms`: whether the affine parameters
    of norm layers move along (the paper: they do not).

    Raises NotApplicable: norms are to move, and there are parameters of other kinds (class tokens).
    """
    moving = LAYERS + NORMS if norms else LAYERS
    if norms:
        _refuse_other_parameters(model)
    with plain_attention():
        with _recording(model, moving) as uses:
            outputs = model(images)
        value = function(outputs)
        edges = [use.edge for use in uses]
        found = torch.autograd.grad(value, edges, retain_graph=True, allow_unused=True)
        reached = [(use, one) for use, one in zip(uses, found, strict=True) if one is not None]
        layers = {use.module: None for use in uses if isinstance(use.module, LAYERS)}
        parameters = [one for layer in layers for one in layer.parameters(recurse=False)]
        # Sum <G, y> moves with a layer's own weights too: by dL/dW, which `value` takes off again.
        terms = [(use.edge, gradient) for use, gradient in reached]
        terms.append((get_gradient_edge(value), -torch.ones_like(value)))
        up = dict(zip(parameters, _derivatives(terms, parameters), strict=True))
        weights = [layer.get_parameter("weight") for layer in layers]
        terms = [(use.moved, gradient) for use, gradient in reached if use.moved is not None]
        down = dict(zip(weights, _derivatives(terms, weights), strict=True))
    parts: dict[str, dict[str, Tensor]] = {"up": {}, "down": {}, "both": {}}
    for name, one in model.named_parameters():
        if one in up:
            parts["up"][name] = up[one]
            parts["down"][name] = down.get(one, torch.zeros_like(one))
            parts["both"][name] = up[one] + parts["down"][name]
    return parts


@contextmanager
def _recording(model: nn.Module, moving: tuple[type[nn.Module], ...]) -> Iterator[list[_Use]]:
    """Carry tangents through every forward pass inside the block, along the weights of `moving`.

    By exact type: what derives from a layer may do anything with its weights. Between layers the
    tangents follow torch's own forward-mode rules; into a layer they go without their graph.
    """
    uses: list[_Use] = []
    tangents: list[Tensor | None] = []

    def enter(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        value, tangent = forward_ad.unpack_dual(inputs[0])
        tangents.append(None if tangent is None else tangent.detach())
        if tangent is not None and isinstance(module, NORMS):
            value = forward_ad.make_dual(value, tangents[-1])
        return value, *inputs[1:]

    def leave(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
        edge, place = get_gradient_edge(output), None
        value, moved = forward_ad.unpack_dual(output)
        tangent, own = tangents.pop(), value.detach()
        if tangent is not None and not isinstance(module, NORMS):
            moved = module.forward(tangent)  # torch's rule would convolve the value with zeros too
            place = get_gradient_edge(moved)
            own = own - _offset(module, own)  # it is in `moved` as well
        uses.append(_Use(module, edge, place))
        # Linear in its own weights, a layer moves by what it makes of them.
        return forward_ad.make_dual(value, own if moved is None else own + moved.detach())

    layers = [one for one in model.modules() if type(one) in moving and one.weight is not None]
    with ExitStack() as hooks, forward_ad.dual_level():
        for layer in layers:
            hooks.enter_context(layer.register_forward_pre_hook(enter))
            hooks.enter_context(layer.register_forward_hook(leave))
        yield uses


def _derivatives(
    terms: Sequence[tuple[GradientEdge, Tensor]], parameters: Sequence[Tensor]
) -> Sequence[Tensor]:
    """Derivatives of the sum of <tensor, cotangent> over the terms, zero where there is none.

    The graph is freed.

    `terms`: (place in the graph, cotangent of what is there).
    """
    if not terms:
        return [torch.zeros_like(parameter) for parameter in parameters]
    edges, cotangents = zip(*terms, strict=True)
    return torch.autograd.grad(edges, parameters, cotangents, materialize_grads=True)


def _refuse_other_parameters(model: nn.Module) -> None:
    for prefix, module in model.named_modules():
        for name, _ in module.named_parameters(prefix, recurse=False):
            if type(module) not in LAYERS + NORMS:
                raise NotApplicable(fault("direction", name=name))


def _offset(module: nn.Module, output: Tensor) -> Tensor | float:
    """The bias, in a shape that can be taken off the output."""
    bias = getattr(module, "bias", None)
    if bias is None:
        return 0.0
    last = isinstance(module, nn.Linear)
    return bias.detach() if last else bias.detach().reshape(-1, *(1 for _ in output.shape[2:]))
