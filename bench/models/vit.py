"""Vision transformers that can be pruned, on torchvision's (Dosovitskiy et al. 2021, 2010.11929).

Attention is four linear layers with names, in place of one packed module. torch-pruning re-cuts the
heads of `nn.MultiheadAttention`, so that new heads mix old ones, and ties its inner width to the
residual stream. Here the query, key and value layers are cut like any linear layer, on condition
that every head loses as much (`equal_blocks`), or goes as a whole (`whole_blocks`), or stays
(`kept_whole`).
"""

from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from ..data.vision import torchvision
from ..errors import ModelError

# What of the heads may leave: channels of all heads alike, whole heads, or nothing.
Unit = Literal["head_dims", "heads", "kept"]


class PrunableViT(torchvision.models.VisionTransformer):
    """torchvision's, with the residual width read off the patches and not off a constant."""

    def _process_input(self, x: Tensor) -> Tensor:
        """Images [n, c, h, w] -> patches [n, s, width]."""
        if x.shape[-2:] != (self.image_size, self.image_size):
            raise ValueError(f"images {tuple(x.shape[-2:])}, not {self.image_size} pixels square")
        return self.conv_proj(x).flatten(2).transpose(1, 2)

    def reset_parameters(self) -> None:
        """Draw as torchvision does, and the head as in `vit_small`."""
        for name, module in self.encoder.named_modules():
            if isinstance(module, nn.Linear) and ".mlp." in name:
                nn.init.xavier_uniform_(module.weight)
                nn.init.normal_(module.bias, std=1e-6)
        patches = self.conv_proj
        nn.init.trunc_normal_(patches.weight, std=patches.weight[0].numel() ** -0.5)
        nn.init.zeros_(patches.bias)
        nn.init.zeros_(self.class_token)
        nn.init.normal_(self.encoder.pos_embedding, std=0.02)
        self.draw_head()

    def draw_head(self) -> None:
        """torchvision starts it at zero, where no gradient passes to the layers before it."""
        nn.init.trunc_normal_(self.heads.head.weight, std=0.02)
        nn.init.zeros_(self.heads.head.bias)


def make_prunable(model: nn.Module, attention: Unit = "head_dims") -> nn.Module:
    """The same network, of modules that torch-pruning cuts rightly; in place."""
    if type(model) is torchvision.models.VisionTransformer:
        model.__class__ = PrunableViT
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.MultiheadAttention):
                setattr(parent, name, converted(child, attention))
    return model


def vit_small(
    classes: int,
    channels: int,
    image_size: int,
    *,
    patch_size: int | None = None,
    depth: int = 4,
    width: int = 64,
    heads: int = 4,
    mlp_ratio: int = 2,
    attention: Unit = "head_dims",
) -> nn.Module:
    """`depth` encoder blocks of `width` channels.

    Patches are by default a quarter of the image's side, an eighth from 32 pixels on: 16 or 64.
    What leaves the attention: channels of all heads alike, whole heads, or nothing (kept).
    """
    patch = patch_size or max(1, image_size // (4 if image_size < 32 else 8))
    if image_size % patch:
        raise ModelError(f"vit_small: patch_size {patch} does not divide {image_size} pixels")
    if width % heads:
        raise ModelError(f"vit_small: heads {heads} does not divide width {width}")
    model = PrunableViT(
        image_size, patch, depth, heads, width, mlp_ratio * width, num_classes=classes
    )
    if channels != 3:
        model.conv_proj = nn.Conv2d(channels, width, patch, patch)
    model.draw_head()
    return make_prunable(model, attention)


class SelfAttention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, arXiv 1706.03762): [n, s, c] -> [n, s, c].

    With `head_dims` there are always as many heads, and their width follows the layers as they are;
    with `heads` they are always as wide, and their number follows. The scale stays that of the
    unpruned head, so that cutting a channel equals zeroing it.
    """

    def __init__(
        self, width: int, num_heads: int, dropout: float = 0.0, unit: Unit = "head_dims"
    ) -> None:
        super().__init__()
        self.unit = unit
        self.dense_heads = num_heads
        self.dense_head_dim = width // num_heads
        self.scale = self.dense_head_dim**-0.5
        self.dropout = dropout
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def reset_parameters(self) -> None:
        """Draw as `nn.MultiheadAttention` does: query, key, value as one matrix, hence the gain."""
        for layer in (self.q, self.k, self.v):
            nn.init.xavier_uniform_(layer.weight, gain=0.5**0.5)
        for layer in (self.q, self.k, self.v, self.proj):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    @property
    def num_heads(self) -> int:
        """The number of heads that are left."""
        if self.unit == "heads":
            return self.q.out_features // self.dense_head_dim
        return self.dense_heads

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, need_weights: bool = False, **masked: Any
    ) -> tuple[Tensor, None]:
        """Called like `nn.MultiheadAttention` with batch_first; the weights are not returned.

        What is `masked` is what `scaled_dot_product_attention` takes: `attn_mask` or `is_causal`.
        """
        heads = (-1, self.dense_head_dim) if self.unit == "heads" else (self.dense_heads, -1)
        q, k, v = (
            layer(x).unflatten(-1, heads).transpose(1, 2)
            for layer, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        dropout = self.dropout if self.training else 0.0
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, scale=self.scale, **masked)
        return self.proj(out.transpose(1, 2).flatten(2)), None

    def equal_blocks(self) -> dict[nn.Module, int]:
        """Layers whose output channels come in so many equal blocks that stay equally wide."""
        return self._heads() if self.unit == "head_dims" else {}

    def whole_blocks(self) -> dict[nn.Module, int]:
        """Layers whose output channels come in so many equal blocks that leave or stay whole."""
        return self._heads() if self.unit == "heads" else {}

    def kept_whole(self) -> list[nn.Module]:
        """Layers whose output channels all stay."""
        return list(self._heads()) if self.unit == "kept" else []

    @property
    def products_follow(self) -> nn.Module:
        """The layer in proportion to whose output channels both attention products cost MACs."""
        return self.q

    def _heads(self) -> dict[nn.Module, int]:
        return dict.fromkeys((self.q, self.k, self.v), self.num_heads)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the packed names of `nn.MultiheadAttention` and timm too, as they save them."""
        for kind in ("weight", "bias"):
            for packed in {f"{prefix}in_proj_{kind}", f"{prefix}qkv.{kind}"} & {*state}:
                parts = zip("qkv", state.pop(packed).chunk(3), strict=True)
                state |= {f"{prefix}{name}.{kind}": part for name, part in parts}
            if (out := state.pop(f"{prefix}out_proj.{kind}", None)) is not None:
                state[f"{prefix}proj.{kind}"] = out
        super()._load_from_state_dict(state, prefix, *rest)


def converted(attention: nn.MultiheadAttention, unit: Unit = "head_dims") -> SelfAttention:
    """A `SelfAttention` equal to that of torchvision's encoders, its weights copied."""
    new = SelfAttention(attention.embed_dim, attention.num_heads, attention.dropout, unit)
    new.to(attention.in_proj_weight)
    new.load_state_dict(attention.state_dict())
    return new.train(attention.training)
