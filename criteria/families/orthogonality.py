"""How far layers are from orthogonal: two penalties, which a preparation or a recovery rides on.

A weight is a map from the inputs of one output to its rows, for each block of a grouped convolution
apart, as filters of different blocks meet no common input. For a transposed convolution, whose
weight holds its inputs first, it is the adjoint that is compared, which is orthogonal with it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

from pydantic import Field

from ..errors import NotApplicable
from ..lazy import Tensor, nn, torch
from ..options import Options
from ..training import Phase, Training

Layer: TypeAlias = "nn.modules.conv._ConvNd | nn.Linear"

KERNEL = "Xie et al., CVPR 2017, arXiv 1703.01827"
CONVOLUTIONAL = "Wang et al., CVPR 2020, arXiv 1911.12207"


class PenaltyOptions(Options):
    """How much either penalty weighs."""

    weight: float = Field(default=0.1, ge=0)
    """factor of the penalty; the one that Wang and Fu (ICLR 2023) give both."""


class KernelOrthogonality(Phase):
    """`weight * sum over layers of ||W W^T - I||_F`, of the smaller of both Gram matrices."""

    options_type = PenaltyOptions

    def attach(self, training: Training) -> None:
        self.layers = layers_of(training.model)

    def loss_term(self, step: int) -> Tensor:
        distances = [gram_distance(matrices(one)) for one in self.layers]
        return self.options.weight * torch.stack(distances).sum()


class ConvolutionalOrthogonality(Phase):
    """`weight * sum over layers of ||K * K - I||_F`, each kernel convolved with itself.

    The first convolution is left out; linear layers and kernels of one pixel count as matrices.
    """

    options_type = PenaltyOptions

    def attach(self, training: Training) -> None:
        layers = layers_of(training.model)
        first = next((one for one in layers if not isinstance(one, nn.Linear)), None)
        rest = [one for one in layers if one is not first]
        if not rest:
            raise NotApplicable("orth_conv leaves the first convolution out; there is no other")
        self.kernels = [one for one in rest if one.weight[0, 0].numel() > 1]
        self.plain = [one for one in rest if one.weight[0, 0].numel() == 1]

    def loss_term(self, step: int) -> Tensor:
        distances = [kernel_distance(one) for one in self.kernels]
        distances += [gram_distance(matrices(one)) for one in self.plain]
        return self.options.weight * torch.stack(distances).sum()


def layers_of(model: nn.Module) -> Sequence[Layer]:
    """All convolutions and linear layers, in the order of the model's definition. Raises
    NotApplicable: there is none."""
    kinds = nn.modules.conv._ConvNd | nn.Linear
    layers = [one for one in model.modules() if isinstance(one, kinds)]
    if not layers:
        raise NotApplicable(f"{type(model).__name__} has no convolution and no linear layer")
    return layers


def matrices(layer: Layer) -> Tensor:
    """`[blocks, rows, inputs of a row]`: the weight, one block where it is not grouped."""
    blocks = 1 if isinstance(layer, nn.Linear) else layer.groups
    return layer.weight.unflatten(0, (blocks, -1)).flatten(2)


def gram_distance(weight: Tensor) -> Tensor:
    """Frobenius distance of the smaller Gram matrices of `[blocks, rows, columns]` from I."""
    wide = weight if weight.shape[1] <= weight.shape[2] else weight.mT
    return (wide @ wide.mT - torch.eye(wide.shape[1]).to(wide)).norm()


def kernel_distance(layer: Layer) -> Tensor:
    """Frobenius distance of a kernel's self-convolution from the identity at its centre.

    Taken at all shifts by the layer's stride at which the kernel overlaps itself (Wang et al. 2020:
    a padding of floor((size - 1) / stride) * stride). The pixels of a dilated kernel meet at every
    `stride / gcd(stride, dilation)`-th of its own pixels.
    """
    assert not isinstance(layer, nn.Linear)
    kernel, blocks = layer.weight, layer.groups
    strides = [s // math.gcd(s, d) for s, d in zip(layer.stride, layer.dilation, strict=True)]
    reach = [(size - 1) // s * s for size, s in zip(kernel.shape[2:], strides, strict=True)]
    # The rows of all blocks side by side, so that each block's meet one another alone.
    rows = kernel.unflatten(0, (blocks, -1)).transpose(0, 1).flatten(1, 2)
    convolve = (torch.conv1d, torch.conv2d, torch.conv3d)[kernel.dim() - 3]
    met = convolve(rows, kernel, stride=strides, padding=reach, groups=blocks)
    met = met.unflatten(1, (blocks, -1))  # [rows, blocks, rows, shifts ...]
    target = torch.zeros_like(met)
    centre = tuple(size // 2 for size in met.shape[3:])
    target[(..., *centre)] = torch.eye(len(rows)).to(met)[:, None]
    return (met - target).norm()
