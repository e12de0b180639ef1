"""Gate decorator: a batch norm whose factor multiplies all that it lets through."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..network.member import Group

LIMIT = 10.0  # of a gate's shift, as in the authors' code


class GateNorm(nn.BatchNorm2d):
    """y = g (x + b) of the normalised x: `weight` holds the gates g, `bias` the shifts b.

    A closed gate is silent whatever its shift (You et al., NeurIPS 2019, arXiv 1909.08174).
    """

    def forward(self, input: Tensor) -> Tensor:
        counted = self.training and self.track_running_stats
        momentum = self.momentum
        if counted and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:  # cumulative
                momentum = 1 / float(self.num_batches_tracked)
        return F.batch_norm(
            input,
            self.running_mean if counted or not self.training else None,
            self.running_var if counted or not self.training else None,
            self.weight,
            self.weight * self.bias,
            training=self.training or self.running_mean is None,
            momentum=momentum or 0.0,
            eps=self.eps,
        )


@torch.no_grad()
def open_gates(model: nn.Module, groups: Sequence[Group]) -> list[str]:
    """Turn the plain 2d batch norms of these groups into `GateNorm`s; returns their names.

    In place: whoever holds a layer or its parameters still does. b = clip(beta / gamma, -10, 10),
    so the outputs of channels whose beta is beyond ten times their gamma change, as in the
    authors' code.
    """
    named = {one.name for group in groups for one in group.members}
    found = []
    for name, norm in model.named_modules():
        if name in named and type(norm) is nn.BatchNorm2d and norm.affine:
            shift = (norm.bias / norm.weight).nan_to_num(nan=0.0)  # both zero: nothing to shift
            norm.bias.copy_(shift.clamp(-LIMIT, LIMIT))
            _become(norm, GateNorm)
            found.append(name)
    return found


@torch.no_grad()
def close_gates(model: nn.Module) -> nn.Module:
    """Turn all `GateNorm`s back into batch norms of exactly their outputs, in place."""
    for norm in model.modules():
        if isinstance(norm, GateNorm):
            norm.bias.mul_(norm.weight)
            _become(norm, nn.BatchNorm2d)
    return model


def _become(norm: nn.BatchNorm2d, kind: type[nn.BatchNorm2d]) -> None:
    norm.__class__ = kind
