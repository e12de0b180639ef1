"""Whether a network can be pruned rightly, which is found out before anything is spent on it."""

from typing import Any

import torch
from torch import nn

from criteria import StructureError
from criteria.network.cut import halves, verify
from criteria.network.given import copied
from criteria.network.modes import evaluated

from ..errors import fault
from ..export.runtimes import outputs, resized
from .cost import ChannelCost, count_macs, count_params
from .network import Network, Removed


def examine(network: Network) -> float:
    """Check that a half of every group is cut as if masked, and that what it costs is known.

    Weights are drawn anew for it, as factors that start at zero would hide a wrong cut. Returns the
    largest difference of the outputs, relative to their size; raises StructureError, with layers.
    """
    _refuse_lost_batch(network)
    apart = verify(lively(copied(network.model)), network.inputs, network.structure)
    removed = halves(network.structure.groups)
    try:
        recount(network, removed, network.cut(removed))
    except ArithmeticError as error:
        unknown = ", ".join(network.cost.unmodelled) or "which, nobody knows"
        raise StructureError(f"{error}: {unknown}") from error
    return apart


def _refuse_lost_batch(network: Network) -> None:
    """Raises StructureError where one sample gives outputs of another form than several."""
    with evaluated(network.model):
        several = outputs(network.model, network.inputs)
        try:
            alone = outputs(network.model, resized(network.inputs, 1))
        except Exception as error:  # of the user's forward
            raise StructureError(fault("does_not_run", on="one sample", error=error)) from error
    for one, many in zip(alone, several, strict=True):
        if one.shape != (1, *many.shape[1:]):
            shapes = {"one": [*one.shape], "several": [*many.shape], "count": len(many)}
            raise StructureError(fault("lost_batch", **shapes))


def recount(network: Network, removed: Removed, pruned: nn.Module) -> dict[ChannelCost, int]:
    """MACs and parameters of what is left; ArithmeticError if others were reckoned with."""
    lost = torch.tensor([len(one) for one in removed])
    macs, params = count_macs(pruned, network.inputs), count_params(pruned)
    counts: dict[ChannelCost, int] = {"macs": macs, "params": params}
    for name, count in counts.items():
        expected = network.cost.of(name)(lost)
        if round(expected) != count:
            raise ArithmeticError(fault("recount", count=count, name=name, expected=expected))
    return counts


def lively(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model, its parameters and statistics drawn anew in place, off 0 and 1."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = max(1, parameter.numel() // (len(parameter) if parameter.dim() else 1))
            drawn = torch.randn(parameter.shape, generator=draw).double() / fan_in**0.5
            parameter.copy_(drawn)
        module: Any
        for module in model.modules():
            norm = isinstance(module, nn.modules.batchnorm._BatchNorm)
            if (norm or isinstance(module, nn.LayerNorm)) and module.weight is not None:
                module.weight.copy_(0.5 + torch.rand(module.weight.shape, generator=draw).double())
            if norm and module.running_mean is not None:
                mean, var = module.running_mean, module.running_var
                mean.copy_(torch.randn(mean.shape, generator=draw) / 2)
                var.copy_(0.5 + torch.rand(var.shape, generator=draw))
    return model
