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
        place = f"{type(layer).__module__}.{type(layer).__qualname__}"
        if adapt := ADAPTERS.get(place):
            adapt(layer, unit)
        elif place.startswith("transformers.") and hasattr(layer, "v_proj"):
            _becomes(layer, _Heads if _heads_follow(layer) and unit == "heads" else _HeadsKept)
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


class _Rows(nn.Module):
    """A table whose entries all stay."""

    pruning_func: ClassVar[type[BasePruningFunc]] = _Unfollowed

    def __init__(self, table: nn.Parameter) -> None:
        super().__init__()
        self.table = table


class _Lookup(nn.Module):
    """What of a table is at given places, as a layer that torch-pruning does not follow."""

    pruning_func: ClassVar[type[BasePruningFunc]] = _Unfollowed

    def __init__(self, table: nn.Parameter) -> None:
        super().__init__()
        self.rows = _Rows(table)  # not its own: it would be taken for as wide as the output

    def forward(self, places: Tensor) -> Tensor:
        return self.rows.table[places]


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
            state[f"{prefix}relative.rows.table"] = table
        super()._load_from_state_dict(state, prefix, *rest)


class _HeadsKept:
    """Attention of transformers whose inner channels all stay."""

    def kept_whole(self: Any) -> list[nn.Module]:
        return [self.q_proj, self.k_proj, self.v_proj]


class _Heads:
    """Attention of transformers, which always has heads of one width, and as many as there are."""

    def whole_blocks(self: Any) -> dict[nn.Module, int]:
        heads = self.q_proj.out_features // self.head_dim
        return dict.fromkeys((self.q_proj, self.k_proj, self.v_proj), heads)

    @property
    def products_follow(self: Any) -> nn.Module:
        return self.q_proj


def _heads_follow(layer: Any) -> bool:
    """Whether heads are counted as they come, and nothing else is there of each."""
    inner = [getattr(layer, f"{one}_proj", None) for one in "qkv"]
    widths = {one.out_features for one in inner if isinstance(one, nn.Linear)}
    own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
    return hasattr(layer, "head_dim") and len(widths) == 1 and not own and _linear(layer)


def _linear(layer: nn.Module) -> bool:
    return all(isinstance(one, nn.Linear | nn.Dropout) for one in layer.children())


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
            layer.relative = _Lookup(layer.relative_position_bias_table)
            del layer.relative_position_bias_table

    return adapt


ADAPTERS: dict[str, Callable[[nn.Module, Unit], None]] = {
    "timm.layers.attention.Attention": _unpacked(_Packed),
    "timm.models.swin_transformer.WindowAttention": _unpacked(_Windowed),
    "timm.layers.eca.EcaModule": lambda layer, _: _becomes(layer, _Kept),
    "timm.layers.eca.CecaModule": lambda layer, _: _becomes(layer, _Kept),
    "timm.models.ghostnet.GhostModule": lambda layer, _: _becomes(layer, _KeptInside),
}
