"""Layers of other libraries that torch-pruning cannot follow, made such that it can, in place.

A layer's class changes, and a packed layer of queries, keys and values becomes three; what a
network computes stays, and checkpoints with the packed names still fit.
"""

from typing import Any

from torch import nn
from torch_pruning.ops import ElementWisePruner

from ..tasks.logits import logits_in
from .vit import SelfAttention, Unit


def adapted(model: nn.Module, unit: Unit = "head_dims") -> nn.Module:
    """The same network, of layers that torch-pruning cuts rightly or keeps whole.

    Of timm's attention leaves what `unit` says, of transformers' whole heads or nothing.
    """
    for layer in list(model.modules()):
        place = f"{type(layer).__module__}.{type(layer).__qualname__}"
        if place == "timm.layers.attention.Attention":
            _unpack(layer, unit)
        elif isinstance(layer, nn.Embedding):  # the residual stream of a language model
            _becomes(layer, _Kept)
        elif place.startswith("timm.layers.eca."):
            _becomes(layer, _AcrossChannels)
        elif place == "timm.models.metaformer.Scale":
            vars(layer)["shape"] = (-1, *vars(layer)["shape"][1:])
        elif place.startswith("transformers.") and hasattr(layer, "v_proj"):
            _becomes(layer, _Heads)
            vars(layer)["unit"] = unit
    return model


def logits_alone(model: nn.Module) -> nn.Module:
    """The same network, whose keys stay as they are published, with logits as its only output."""
    kind = type(model)

    def forward(self: nn.Module, *inputs: Any, **named: Any) -> Any:
        return logits_in(kind.forward(self, *inputs, **named))

    model.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return model


class _Packed(SelfAttention):
    """timm's attention, its packed layer as three."""

    proj_drop: nn.Module

    def forward(self, x: Any, **masked: Any) -> Any:  # type: ignore[override]
        return self.proj_drop(super().forward(x, x, x, **masked)[0])


class _Heads:
    """Transformers' attention, whose forward takes as many heads as there are, all as wide."""

    def whole_blocks(self: Any) -> dict[nn.Module, int]:
        heads = self.q_proj.out_features // self.head_dim
        return dict.fromkeys(_inner(self), heads) if _heads_follow(self) else {}

    def kept_whole(self: Any) -> list[nn.Module]:
        return [] if _heads_follow(self) else _inner(self)

    @property
    def products_follow(self: Any) -> nn.Module:
        return self.q_proj


def _inner(layer: Any) -> list[nn.Module]:
    return [layer.q_proj, layer.k_proj, layer.v_proj]


def _heads_follow(layer: Any) -> bool:
    """Whether keys have as many heads as queries, and nothing else is there of each head."""
    alike = len({one.weight.shape for one in _inner(layer)}) == 1
    plain = all(isinstance(one, nn.Linear | nn.Dropout) for one in layer.children())
    own = [*layer.parameters(recurse=False), *layer.buffers(recurse=False)]
    return alike and plain and not own and layer.unit == "heads"


class _Kept:
    """A layer whose own channels all stay."""

    def kept_whole(self) -> list[Any]:
        return [self]


class _AcrossChannels(_Kept):
    """A layer that mixes channels by their places, so that those before it stay."""

    pruning_func = ElementWisePruner  # for torch-pruning, which does not look into it


def _unpack(layer: Any, unit: Unit) -> None:
    """Attention with norms of its own is left as it is: it is traced, and kept whole."""
    own = (getattr(layer, one, None) for one in ("q_norm", "k_norm", "norm", "gate"))
    if any(not isinstance(one, nn.Identity | None) for one in own):
        return
    packed, inner = layer.qkv, layer.qkv.out_features // 3
    for at, name in enumerate("qkv"):
        part = nn.Linear(packed.in_features, inner, packed.bias is not None).to(packed.weight)
        for key, parameter in part.named_parameters():
            parameter.data.copy_(packed.get_parameter(key).data.chunk(3)[at])
        layer.add_module(name, part)
    del layer.qkv
    _becomes(layer, _Packed)
    layer.unit, layer.dropout = unit, layer.attn_drop.p
    layer.dense_heads, layer.dense_head_dim = vars(layer)["num_heads"], layer.head_dim


def _becomes(layer: nn.Module, kind: type) -> None:
    layer.__class__ = type(type(layer).__name__, (kind, type(layer)), {})
