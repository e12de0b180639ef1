"""SynFlow: what flows through a weight when all weights are positive and no data is seen."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from ..criterion import Criterion
from ..errors import NotApplicable
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..registry import register

ACTIVATIONS = (
    {"relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu", "elu", "elu_", "celu", "celu_"}
    | {"selu", "selu_", "gelu", "silu", "mish", "hardswish", "hardtanh", "hardtanh_", "softplus"}
    | {"tanh", "tanh_"}
)
NOT_LINEAR = (
    {"softmax", "scaled_dot_product_attention", "multi_head_attention_forward"}
    | {"sigmoid", "sigmoid_", "hardsigmoid"}
    | {"group_norm", "instance_norm"}
)


@register(
    "synflow",
    cite="Tanaka et al., NeurIPS 2020, arXiv 2006.05467",
    faithful="faithful to the score, without biases, as in the paper's R; batch norm is the scale "
    "|gamma|/sqrt(running variance) that it is in eval mode (the authors' code shifts as well); "
    "the paper's 100 iterations are the iterative procedure's; a channel gets the sum over its "
    "weights",
    needs=Need.GRADIENTS,
    unstructured=True,
)
class SynFlow(Criterion):
    """Weight times gradient of R, the sum of outputs of the network of absolute weights for ones.

    It asks for data only to learn the shape of an image: the values are never looked at.
    """

    kinds = ("conv", "linear")

    def observe(self, batch: Batch) -> None:
        if self.batches:  # every batch has images of one shape
            return
        flow = batch.evidence("synflow", Need.GRADIENTS, lambda: synaptic_flow(batch))
        for member in self.members:
            self.add(member, member.view(flow).sum(1))


def synaptic_flow(batch: Batch) -> dict[str, Tensor]:
    """|w| dR/d|w| of every parameter, by name, in float64: products of all layers grow large.

    Raises:
        NotApplicable: the network multiplies activations with each other.
    """
    absolute = {
        name: torch.zeros_like(one, dtype=torch.float64)
        if name.endswith("bias")
        else one.double().abs()
        for name, one in batch.weights.items()
    }
    for one in absolute.values():
        one.requires_grad_()
    ones = torch.ones_like(batch.images[:1], dtype=torch.float64)
    with Linearised():
        total = functional_call(batch.model, absolute, (ones,)).sum()
    found = torch.autograd.grad(total, list(absolute.values()), materialize_grads=True)
    pairs = zip(absolute.items(), found, strict=True)
    return {name: one.detach() * gradient for (name, one), gradient in pairs}


class Linearised(TorchFunctionMode):
    """A network runs as a linear map: activations are the identity, norms scale and never shift.

    Layer norm is its gamma: the statistics that it divides by are the data's.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        name, kwargs = getattr(func, "__name__", ""), kwargs or {}
        if name in ACTIVATIONS:
            return args[0].clone()  # what is added to it in place must not reach its input
        if name in NOT_LINEAR:
            raise NotApplicable(
                f"synflow: the flow through {name} is not defined; the network has to be linear "
                "but for its activation functions, batch norm and layer norm"
            )
        if name == "batch_norm":
            return _batch_norm(*args, **kwargs)
        if name == "layer_norm":
            return _layer_norm(*args, **kwargs)
        return func(*args, **kwargs)


def _batch_norm(
    input: Tensor, running_mean: Tensor | None, running_var: Tensor | None,
    weight: Tensor | None = None, bias: Tensor | None = None,
    training: bool = False, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """What stands in for `torch.nn.functional.batch_norm`."""
    scale = input.new_ones(input.shape[1])
    if running_var is not None:
        scale = scale * (running_var.double() + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    return input * scale.reshape(-1, *[1] * (input.dim() - 2))


def _layer_norm(
    input: Tensor, normalized_shape: Sequence[int],
    weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """What stands in for `torch.nn.functional.layer_norm`."""
    return input.clone() if weight is None else input * weight
