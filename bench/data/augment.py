"""Augmentation: random shifts, crops and mirroring, and changes of color and shape on top.

torchvision's draw from the global generator, which threads cannot share; these draw from the one
that they are given.
"""

import math
from collections.abc import Sequence
from functools import cache
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

# False: none; True: crops and mirroring; a name: that on top.
Augmentation = bool | Literal["trivial", "randaugment"]
JITTERED = ("brightness", "contrast", "saturation", "hue")
Jitter = Sequence[float] | None  # how far each of these may change
Picture = TypeVar("Picture", Image.Image, Tensor)


def shifted(pixels: Tensor, most: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Images [n, c, h, w], each moved by up to `most` pixels over black and maybe mirrored."""
    n, _, h, w = pixels.shape
    device = pixels.device
    down, across = torch.randint(2 * most + 1, (2, n), generator=generator).to(device)
    padded = F.pad(pixels, (most, most, most, most))
    windows = padded.unfold(2, h, 1).unfold(3, w, 1)  # a view: [n, c, down, across, h, w]
    moved = windows[torch.arange(n, device=device), :, down, across]
    if not flip:
        return moved
    mirrored = torch.rand(n, 1, generator=generator) < 0.5
    return torch.where(mirrored.to(device)[:, :, None, None], moved.flip(3), moved)


def randomly_cropped(image: Image.Image, size: int, generator: torch.Generator) -> Image.Image:
    """A random 8 to 100 % of the area at aspect 3/4 to 4/3, resized and maybe mirrored.

    The augmentation of Szegedy et al. 2015 (arXiv 1409.4842).
    """
    width, height = image.size
    draws = torch.rand(10, 4, generator=generator, dtype=torch.float64).tolist()
    mirrored = torch.rand((), generator=generator).item() < 0.5
    box = _fallback_box(width, height)
    for area, aspect, across, down in draws:
        pixels = width * height * (0.08 + 0.92 * area)
        ratio = math.exp((2 * aspect - 1) * math.log(4 / 3))
        w, h = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if 0 < w <= width and 0 < h <= height:
            left, top = int(across * (width - w + 1)), int(down * (height - h + 1))
            box = (left, top, left + w, top + h)
            break
    image = image.crop(box).resize((size, size), Image.Resampling.BILINEAR)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else image


def randomly_squared(image: Image.Image, size: int, generator: torch.Generator) -> Image.Image:
    """The shorter side resized to `size`, a random square of that, maybe mirrored."""
    from .vision import torchvision

    image = torchvision.transforms.functional.resize(image, size)
    across, down, mirrored = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    left, top = int(across * (image.width - size + 1)), int(down * (image.height - size + 1))
    image = image.crop((left, top, left + size, top + size))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored < 0.5 else image


def _fallback_box(width: int, height: int) -> tuple[int, int, int, int]:
    """The largest central box of an aspect from 3/4 to 4/3."""
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    left, top = (width - w) // 2, (height - h) // 2
    return (left, top, left + w, top + h)


def varied(
    image: Picture, augment: Augmentation, jitter: Jitter, generator: torch.Generator
) -> Picture:
    """An image, or pixels uint8 [c, h, w], after its crop: jittered and changed as asked for."""
    image = jittered(image, jitter, generator) if jitter else image
    return automatically(image, augment, generator) if isinstance(augment, str) else image


def jittered(image: Picture, most: Sequence[float], generator: torch.Generator) -> Picture:
    """Brightness, contrast, saturation and hue changed, in random order (Howard 2013, 1312.5402).

    Three are multiplied by a draw from 1 ± most; hue turns by up to `most` circles either way.
    """
    from .vision import torchvision

    draws = (2 * torch.rand(4, generator=generator, dtype=torch.float64) - 1).tolist()
    for at in torch.randperm(4, generator=generator).tolist():
        name, much = JITTERED[at], most[at] * draws[at]
        if much:
            adjust = getattr(torchvision.transforms.functional, f"adjust_{name}")
            image = adjust(image, much if name == "hue" else 1 + much)
    return image


STRENGTHS = 31  # as many steps from none to the strongest


def automatically(image: Picture, how: str, generator: torch.Generator) -> Picture:
    """An image, or pixels uint8 [c, h, w], changed at random.

    `trivial`: one change of any strength (TrivialAugmentWide, Mueller and Hutter 2021, 2103.10158).
    `randaugment`: two of strength 9 of 30 (RandAugment, Cubuk et al. 2020, 1909.13719).
    """
    from .vision import torchvision

    transforms, wide = torchvision.transforms, how == "trivial"
    height, width = image.shape[-2:] if isinstance(image, Tensor) else image.size[::-1]
    space = _space(wide, height, width)
    for _ in range(1 if wide else 2):
        which, step, sign = torch.randint(2**31, (3,), generator=generator).tolist()
        name, (strengths, signed) = space[which % len(space)]
        much = strengths[step % STRENGTHS if wide else 9] if strengths.dim() else strengths
        image = transforms.autoaugment._apply_op(
            image,
            name,
            # In float32, 16 pixels are 15.999999, of which the whole ones would be taken.
            round(float(much), 5) * (1 - 2 * (sign % 2) if signed else 1),
            interpolation=transforms.InterpolationMode.NEAREST,
            fill=None,
        )
    return image


@cache
def _space(wide: bool, height: int, width: int) -> list[tuple[str, tuple[Tensor, bool]]]:
    """The changes by their names in torchvision: strengths, and whether there are two ways."""
    from .vision import torchvision

    transforms = torchvision.transforms
    if wide:
        return list(transforms.TrivialAugmentWide()._augmentation_space(STRENGTHS).items())
    space = transforms.RandAugment()._augmentation_space(STRENGTHS, (height, width))
    return list(space.items())
