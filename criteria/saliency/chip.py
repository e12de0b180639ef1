"""CHIP: a channel whose map the others can stand in for is redundant."""

import math

from pydantic import Field

from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..families.activations import ActivationCriterion, ActivationOptions, maps
from ..lazy import Tensor, torch
from ..registry import register


class ChipOptions(ActivationOptions):
    """A part of each batch may stand for all of it."""

    images: int | None = Field(default=None, ge=1)
    """of each batch, the first so many are looked at; None for all."""


@register("chip", cite="Sui et al., NeurIPS 2021, arXiv 2110.13981", needs=Need.ACTIVATIONS)
class Chip(ActivationCriterion):
    """Channel independence: the nuclear norm that the matrix of all maps loses without this one."""

    options_type = ChipOptions
    mean_over = "looked_at"

    def begin(self) -> None:
        self.looked_at = 0

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            seen = maps(batch, member)[: self.options.images].flatten(2)
            self.add(member, independence(seen).sum(0))
        self.looked_at += len(range(batch.size)[: self.options.images])


def independence(matrices: Tensor, nodes: int = 96) -> Tensor:
    """`[..., rows]`: nuclear norm of each matrix, less that of the matrix without the row.

    With singular values σ, left singular vectors u and p_i = u_ci², the loss for row c is
    2/π ∫ (Σ p_i σ_i² / (σ_i² + s²)²) / (Σ p_i / (σ_i² + s²)) ds over s > 0: the square root of a
    Gram matrix as an integral of resolvents, and the resolvent of a principal submatrix by its
    Schur complement. One decomposition serves all rows.

    `matrices`: `[..., rows, columns]`. `nodes`: of the double-exponential rule for the integral. 96
    leave a relative error of 1e-12, 1e-9 where singular values span eight decades.
    """
    left, values, _ = torch.linalg.svd(matrices.double(), full_matrices=False)
    scale = values.amax(-1, keepdim=True)
    scale = torch.where(scale == 0, 1, scale)
    squares = (values / scale).square()[..., None]
    places = torch.linspace(-3.6, 3.6, nodes, dtype=left.dtype, device=left.device)
    s = torch.exp(math.pi / 2 * places.sinh())
    steps = math.pi / 2 * places.cosh() * s * (places[1] - places[0])
    resolvents = 1 / (squares + s.square())
    shares = left.square()
    above, below = shares @ (squares * resolvents.square()), shares @ resolvents
    if matrices.shape[-2] > matrices.shape[-1]:  # rows reach into the kernel, where σ is 0
        kernel = (1 - shares.sum(-1, keepdim=True)).clamp_min(0)
        below = below + kernel / s.square()
    return 2 / math.pi * scale * ((above / below) @ steps)
