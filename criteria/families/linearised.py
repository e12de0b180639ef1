"""A network as a linear map, for SynFlow."""

from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from ..errors import NotApplicable, fault

ACTIVATIONS = (
    {"relu", "relu_", "relu6", "leaky_relu", "leaky_relu_", "prelu", "elu", "elu_", "celu", "celu_"}
    | {"selu", "selu_", "gelu", "silu", "mish", "hardswish", "hardtanh", "hardtanh_", "softplus"}
    | {"tanh", "tanh_"}
)
NOT_LINEAR = (
    {"softmax", "scaled_dot_product_attention", "multi_head_attention_forward"}
    | {"sigmoid", "sigmoid_", "hardsigmoid", "embedding"}
    | {"group_norm", "instance_norm"}
)


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
            raise NotApplicable(fault("no_flow", name=name))
        if name not in ("batch_norm", "layer_norm"):
            return func(*args, **kwargs)
        given = signature(func).bind(*args, **kwargs)
        given.apply_defaults()
        return (_batch_norm if name == "batch_norm" else _layer_norm)(**given.arguments)


def _batch_norm(
    input: Tensor, running_var: Tensor | None, weight: Tensor | None, eps: float, **_: Any
) -> Tensor:
    """What stands in for `torch.nn.functional.batch_norm`."""
    scale = input.new_ones(input.shape[1])
    if running_var is not None:
        scale = scale * (running_var.double() + eps).rsqrt()
    if weight is not None:
        scale = scale * weight
    return input * scale.reshape(-1, *[1] * (input.dim() - 2))


def _layer_norm(input: Tensor, weight: Tensor | None, **_: Any) -> Tensor:
    """What stands in for `torch.nn.functional.layer_norm`."""
    return input.clone() if weight is None else input * weight
