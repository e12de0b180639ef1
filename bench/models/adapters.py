"""Layers of other libraries that torch-pruning cannot follow, made such that it can, in place.

Only a layer's class changes, and a packed layer of queries, keys and values becomes three; what a
network computes stays, and checkpoints with the packed names still fit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch_pruning.pruner.function import BasePruningFunc

from criteria.lazy import Tensor, nn

from .vit import SelfAttention, Unit


def adapted(model: nn.Module, unit: Unit = "head_dims") -> nn.Module:
    """The same network, of layers that torch-pruning cuts rightly or keeps whole.

    Of attention leaves what `unit` says.
    """
    for layer in list(model.modules()):
        kind = type(layer)
        adapt = ADAPTERS.get(f"{kind.__module__}.{kind.__qualname__}")
        if adapt:
            adapt(layer, unit)
    return model


def logits_alone(model: nn.Module) -> nn.Module:
    """The same network, whose keys stay as they are published, with logits as its only output."""
    kind = type(model)

    def forward(self: nn.Module, *inputs: Any, **named: Any) -> Any:
        return kind.forward(self, *inputs, **named).logits

    model.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return model


class _Unfollowed(BasePruningFunc):
    """torch-pruning's handler of a layer whose channels all stay."""

    def prune_out_channels(self, layer: nn.Module, idxs: list[int]) -> nn.Module:
        return layer

    prune_in_channels = prune_out_channels

    def get_out_channels(self, layer: nn.Module) -> None:
        return None

    get_in_channels = get_out_channels


class _Kept:
    """A layer that mixes channels by their places, so that those before it stay."""

    pruning_func: ClassVar[type[BasePruningFunc]] = _Unfollowed

    def kept_whole(self) -> list[Any]:
        return [self]


class _KeptInside:
    """A layer whose own channels all stay."""

    def kept_whole(self) -> list[Any]:
        return [self]


class _Packed(SelfAttention):
    """timm's attention, its packed layer as three."""

    proj_drop: nn.Module

    def forward(self, x: Tensor, **masked: Any) -> Tensor:  # type: ignore[override]
        return self.proj_drop(super().forward(x, x, x, **masked)[0])


class _Table(nn.Module):
    """A table of relative positions as a layer, which stays as it is."""

    pruning_func: ClassVar[type[BasePruningFunc]] = _Unfollowed

    def __init__(self, table: nn.Parameter) -> None:
        super().__init__()
        self.table = table

    def forward(self, places: Tensor) -> Tensor:
        return self.table[places]


class _Windowed(_Packed):
    """Swin's attention within windows, which adds a table of relative positions."""

    relative: nn.Module

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:  # type: ignore[override]
        bias = self.relative(self.relative_position_index).permute(2, 0, 1)[None]
        if mask is not None:
            bias = (bias + mask.unsqueeze(1)).repeat(len(x) // len(mask), 1, 1, 1)
        return super().forward(x, attn_mask=bias)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        table = state.pop(f"{prefix}relative_position_bias_table", None)
        if table is not None:
            state[f"{prefix}relative.table"] = table
        super()._load_from_state_dict(state, prefix, *rest)


def _becomes(layer: nn.Module, *kinds: type) -> None:
    layer.__class__ = type(type(layer).__name__, (*kinds, type(layer)), {})


def _unpacked(kind: type[SelfAttention]) -> Callable[[nn.Module, Unit], None]:
    def adapt(layer: Any, unit: Unit) -> None:
        width, inner = layer.qkv.in_features, layer.qkv.out_features // 3
        norms = [getattr(layer, one, None) for one in ("q_norm", "k_norm", "norm", "gate")]
        if any(not isinstance(one, nn.Identity | None) for one in norms):
            return  # it is traced as it is, and kept whole
        for name, weight, bias in zip(
            "qkv",
            layer.qkv.weight.chunk(3),
            [None] * 3 if layer.qkv.bias is None else layer.qkv.bias.chunk(3),
            strict=True,
        ):
            linear = nn.Linear(width, inner, bias is not None, device="meta")
            linear.weight = nn.Parameter(weight.detach().clone())
            if bias is not None:
                linear.bias = nn.Parameter(bias.detach().clone())
            layer.add_module(name, linear)
        del layer.qkv
        heads = layer.num_heads
        _becomes(layer, kind)
        layer.unit, layer.dense_heads, layer.dense_head_dim = unit, heads, inner // heads
        layer.dropout = layer.attn_drop.p
        if kind is _Windowed:
            layer.relative = _Table(layer.relative_position_bias_table)
            del layer.relative_position_bias_table

    return adapt


ADAPTERS: dict[str, Callable[[nn.Module, Unit], None]] = {
    "timm.layers.attention.Attention": _unpacked(_Packed),
    "timm.models.swin_transformer.WindowAttention": _unpacked(_Windowed),
    "timm.layers.eca.EcaModule": lambda layer, _: _becomes(layer, _Kept),
    "timm.layers.eca.CecaModule": lambda layer, _: _becomes(layer, _Kept),
    "timm.models.ghostnet.GhostModule": lambda layer, _: _becomes(layer, _KeptInside),
}
