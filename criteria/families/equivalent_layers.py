"""Dense layers between compressor and decompressor: see `criteria.recoveries.equivalent`."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..errors import NotApplicable, StructureError, fault
from ..network.given import bake
from ..network.member import Group, Side, channels_lost

Kept = dict[Side, Tensor]  # of the sides of a layer that lose channels, [channels], bool


class Fold(nn.Module):
    """Parametrization of a pruned layer by a dense one, by equation (8).

    Attributes:
        blocks: groups of a convolution, 1 of most layers.
        compressor: `[blocks, out'/blocks, out/blocks]`, None where all outputs stay.
        decompressor: `[blocks, in/blocks, in'/blocks]`, None where all inputs stay.
    """

    def __init__(self, dense: nn.Module, kept: Kept) -> None:
        """`kept`: equally many channels of each block."""
        super().__init__()
        self.blocks = int(getattr(dense, "groups", 1))
        rows, columns = (_kept_rows(kept.get(side), self.blocks) for side in ("out", "in"))
        like = dense.get_parameter("weight")
        self.compressor = None if rows is None else nn.Parameter(rows.to(like))
        self.decompressor = None if columns is None else nn.Parameter(columns.mT.to(like))

    def forward(self, whole: Tensor) -> Tensor:
        """W' of the dense layer's W, or b' `[out']` of its b."""
        if whole.dim() == 1:
            by_block = whole.reshape(self.blocks, -1, 1)
            return whole if self.compressor is None else (self.compressor @ by_block).flatten()
        outputs, inputs = whole.shape[:2]
        blocks = whole.reshape(self.blocks, outputs // self.blocks, inputs, -1)
        steps = [("bpo,boik->bpik", self.compressor), ("bij,boik->bojk", self.decompressor)]
        for equation, matrix in steps if self._compress_first else reversed(steps):
            if matrix is not None:
                blocks = torch.einsum(equation, matrix, blocks)
        # Laid out as any weight: a convolution would take its layout for a wish about the images'.
        return blocks.contiguous().reshape(-1, blocks.shape[2], *whole.shape[2:])

    @property
    def _compress_first(self) -> bool:
        """Whether (C W) D takes fewer products than C (W D)."""
        if self.compressor is None or self.decompressor is None:
            return True
        (_, p, o), (_, i, j) = self.compressor.shape, self.decompressor.shape
        return p * o * i + p * i * j <= o * i * j + p * o * j


def fold_(pruned: nn.Module, dense: nn.Module, kept: Kept) -> None:
    """Let a pruned layer compute its weight and bias from a dense one's, in place; see `Fold`."""
    fold = Fold(dense, kept)
    for name, parameter in dense.named_parameters():
        setattr(pruned, name, copy.deepcopy(parameter))
        parametrize.register_parametrization(pruned, name, fold, unsafe=True)
    pruned.train(pruned.training)  # what was added, too


def _kept_rows(kept: Tensor | None, blocks: int) -> Tensor | None:
    """`[blocks, kept/blocks, channels/blocks]`: rows of each block's identity; None if all stay."""
    if kept is None or kept.all():
        return None
    width = len(kept) // blocks
    return torch.eye(width)[kept.nonzero()[:, 0].reshape(blocks, -1) % width]


def insert(
    dense: nn.Module, pruned: nn.Module, groups: Sequence[Group], removed: Sequence[Tensor]
) -> nn.Module:
    """A copy of the pruned network, in which the dense layers are whole between C and D.

    It computes exactly what the pruned network computes, in training and in evaluation. All that
    is cut naively, or lost nothing, and all state is the pruned network's own.

    `dense`: the network before removal. `pruned`: the same without the removed units, not yet
    trained again. Both are left as they are. `removed`: of each group of `dense`, the units that
    went.

    Raises:
        NotApplicable: a group that lost units has no layer for C or D, or a layer computes with
            more than a weight and a bias.
        StructureError: a layer of `pruned` is not that of `dense` without the removed units.
    """
    network = copy.deepcopy(pruned)
    kept = _kept(dense, groups, removed)
    for name, layer in dense.named_modules():
        if not _dense(layer):
            continue
        small = network.get_submodule(name)
        weight, bias = small.weight, small.bias
        if name in kept:
            fold_(small, layer, kept[name])
            layer = small
        if not _equal(weight, layer.weight) or not _equal(bias, layer.bias):
            raise StructureError(fault("other_layer", name=name))
    return network


def merge(model: nn.Module) -> nn.Module:
    """The plain pruned network that a network with C and D computes, by equation (8) in float64.

    Names, shapes and types of all layers are those of the network that `insert` was given. The
    model is left as it is.
    """
    network = copy.deepcopy(model)
    for layer in list(network.modules()):
        if parametrize.is_parametrized(layer):
            dtype = next(layer.parameters()).dtype
            bake(layer.double())
            layer.to(dtype)
    return network


def compressors(model: nn.Module) -> list[nn.Parameter]:
    """All compressors and decompressors of a network, in the order of its layers."""
    folds = (one for one in model.modules() if isinstance(one, Fold))
    return [matrix for fold in folds for matrix in fold.parameters()]


def _dense(layer: nn.Module) -> bool:
    """Whether it mixes channels: not a depthwise, nor a transposed convolution."""
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return layer.groups == 1 or layer.groups != layer.out_channels
    return isinstance(layer, nn.Linear)


def _kept(dense: nn.Module, groups: Sequence[Group], removed: Sequence[Tensor]) -> dict[str, Kept]:
    """What stays of each dense layer that loses channels of a side to any group, by name."""
    layers = {name: one for name, one in dense.named_modules() if _dense(one)}
    for group, units in zip(groups, removed, strict=True):
        if len(units) and all(one.name not in layers for one in group.members):
            raise NotApplicable(fault("nothing_to_fold", root=group.root))
    kept: dict[str, Kept] = {}
    for (name, side), (member, gone) in channels_lost(groups, removed).items():
        if name in layers and len(gone):
            _refuse_unfit(name, layers[name])
            whole = torch.ones(member.width, dtype=torch.bool)
            kept.setdefault(name, {})[side] = whole.index_fill(0, gone, False)
    return kept


def _equal(one: Any, other: Any) -> bool:
    """Whether two tensors are equal, or a layer does without both."""
    return one is other or (one is not None and other is not None and torch.equal(one, other))


def _refuse_unfit(name: str, layer: nn.Module) -> None:
    """A layer is folded by weight and bias; any other state would stay as wide as it was."""
    state = {key for key, _ in [*layer.named_parameters(), *layer.named_buffers()]}
    if not state <= {"weight", "bias"}:
        raise NotApplicable(fault("more_state", name=name, held=", ".join(sorted(state))))
