"""A small decoder of text, of the layers of `vit.py`: pre-norm blocks with causal attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..errors import ModelError
from .vit import SelfAttention, Unit


class Block(nn.Module):
    """Causal attention and an MLP, each behind a norm and beside the residual stream."""

    def __init__(self, width: int, heads: int, mlp_ratio: int, attention: Unit) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads, unit=attention, causal=True)
        self.norm2 = nn.LayerNorm(width)
        hidden = mlp_ratio * width
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm1(x)
        x = x + self.attention(normed, normed, normed)[0]
        return x + self.mlp(self.norm2(x))


class Decoder(nn.Module):
    """Tokens [n, length] -> logits of the next token, [n, length, vocabulary]."""

    def __init__(self, vocabulary: int, length: int, width: int, blocks: list[Block]) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(length, width)
        self.blocks = nn.Sequential(*blocks)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary, bias=False)
        for module in self.modules():  # as GPT-2
            if isinstance(module, nn.Embedding | nn.Linear):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        places = torch.arange(tokens.shape[1], device=tokens.device)
        return self.head(self.norm(self.blocks(self.tokens(tokens) + self.positions(places))))


def decoder_small(
    vocabulary: int,
    length: int,
    *,
    depth: int = 2,
    width: int = 64,
    heads: int = 4,
    mlp_ratio: int = 4,
    attention: Unit = "heads",
) -> nn.Module:
    """`depth` blocks of `width` channels; what leaves the attention is as in `vit_small`."""
    if width % heads:
        raise ModelError(f"decoder_small: heads {heads} does not divide width {width}")
    blocks = [Block(width, heads, mlp_ratio, attention) for _ in range(depth)]
    return Decoder(vocabulary, length, width, blocks)
