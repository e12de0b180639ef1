"""Pictures of coloured shapes on noise, with masks, and a network that finds them: docs/tasks.md.

python tests/study/shapes.py data
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor, nn

SIDE = 48  # pixels
MANY = {"train": 320, "test": 100}


def draw_all(root: Path) -> None:
    """Classes are 0 ground, 1 disc, 2 square, 3 triangle; one of each, over each other."""
    chance = np.random.default_rng(0)
    for split, many in MANY.items():
        for kind in ("images", "masks"):
            (root / "shapes" / split / kind).mkdir(parents=True, exist_ok=True)
        for at in range(many):
            for kind, picture in zip(("images", "masks"), drawn(chance), strict=True):
                picture.save(root / "shapes" / split / kind / f"{at}.png")


def drawn(chance: np.random.Generator) -> tuple[Image.Image, Image.Image]:
    """A picture and its mask."""
    noise = chance.integers(0, 120, (SIDE, SIDE, 3)).astype(np.uint8)
    image, mask = Image.fromarray(noise), Image.new("L", (SIDE, SIDE))
    for shape in chance.permutation([1, 2, 3]):
        r = int(chance.integers(5, 11))
        x, y = (int(one) for one in chance.integers(r, SIDE - r, 2))
        red, green, blue = (int(one) for one in chance.integers(100, 255, 3))
        box = (x - r, y - r, x + r, y + r)
        corners = [(x, y - r), (x - r, y + r), (x + r, y + r)]
        for pen, fill in (
            (ImageDraw.Draw(image), (red, green, blue)),
            (ImageDraw.Draw(mask), int(shape)),
        ):
            if shape == 1:
                pen.ellipse(box, fill=fill)
            elif shape == 2:
                pen.rectangle(box, fill=fill)
            else:
                pen.polygon(corners, fill=fill)
    return image, mask


def block(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU())


class Small(nn.Module):
    """Down by four and up again, beside a way at full resolution; outputs as torchvision's."""

    def __init__(self, num_classes: int, in_channels: int, width: int = 16) -> None:
        super().__init__()
        wide, wider = 2 * width, 4 * width
        self.first = nn.Sequential(block(in_channels, width), block(width, width))
        self.down = nn.Sequential(block(width, wide, 2), block(wide, wider, 2), block(wider, wider))
        self.narrow = block(wider, width)
        self.up = nn.Upsample(scale_factor=4, mode="bilinear", align_corners=False)
        self.last = nn.Sequential(block(width, width), nn.Conv2d(width, num_classes, 1))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        early = self.first(images)
        return {"out": self.last(early + self.up(self.narrow(self.down(early))))}


if __name__ == "__main__":
    draw_all(Path(sys.argv[1]))
