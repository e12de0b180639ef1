"""Vision transformers that can be pruned, on torchvision's.

Dosovitskiy et al. 2021, arXiv 2010.11929.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..data.vision import torchvision
from ..errors import ModelError
from .attention import Unit, convert_attention


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
    convert_attention(model, attention)
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
