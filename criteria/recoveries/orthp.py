"""Orthogonal filters once, before the pruned network is finetuned."""

from __future__ import annotations

from pydantic import Field

from ..families.orthogonality import layers_of, matrices
from ..lazy import Tensor, nn, torch
from ..options import Options
from ..phases import register_phase
from .recovery import Recovery


class OrthPOptions(Options):
    """How large the orthogonal filters are made."""

    gain: float = Field(default=2**0.5, gt=0)
    """factor of the orthonormal weight; the default is the gain of layers before a ReLU."""


@register_phase("orthp", cite="Wang and Fu, ICLR 2023, arXiv 2207.12534 (OrthP)")
class OrthP(Recovery):
    """Each weight is replaced by the orthogonal part of its QR decomposition."""

    options_type = OrthPOptions

    def begin(self, model: nn.Module) -> None:
        with torch.no_grad():
            for layer in layers_of(model):
                new = self.options.gain * orthogonalized(matrices(layer))
                layer.weight.copy_(new.reshape(layer.weight.shape))


def orthogonalized(weight: Tensor) -> Tensor:
    """Matrices `[..., rows, columns]`, their rows or columns, whichever are fewer, orthonormal.

    The first keeps its direction, and each its side of those before it.
    """
    wide = weight.shape[-2] < weight.shape[-1]
    q, r = torch.linalg.qr(weight.mT if wide else weight)
    signs = torch.where(r.diagonal(dim1=-2, dim2=-1) < 0, -1, 1).to(q)
    q = q * signs[..., None, :]
    return q.mT if wide else q
