"""Augmentation: random shifts, crops and mirroring, and changes of color and shape on top.

torchvision's draw from the global generator, which threads cannot share; these draw from the one
that they are given.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

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
    image = with_shorter_side(image, size)
    across, down, mirrored = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    left, top = int(across * (image.width - size + 1)), int(down * (image.height - size + 1))
    image = image.crop((left, top, left + size, top + size))
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored < 0.5 else image


def with_shorter_side(image: Image.Image, shorter: int) -> Image.Image:
    """Resized in proportion, so that the shorter side has so many pixels."""
    width, height = (int(shorter * side / min(image.size)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BILINEAR)


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

    The first three are multiplied by a draw from 1 - most to 1 + most, hue turns by up to `most`
    circles either way.
    """
    draws = (2 * torch.rand(4, generator=generator, dtype=torch.float64) - 1).tolist()
    for at in torch.randperm(4, generator=generator).tolist():
        name, much = JITTERED[at], most[at] * draws[at]
        if much:
            adjust = getattr(_torchvision().transforms.functional, f"adjust_{name}")
            image = adjust(image, much if name == "hue" else 1 + much)
    return image


# --- automatic augmentation -------------------------------------------------------------------

STRENGTHS = 31  # as many steps from none to the strongest


def automatically(image: Picture, how: str, generator: torch.Generator) -> Picture:
    """An image, or pixels uint8 [c, h, w], changed at random.

    `trivial`: one change of any strength (TrivialAugmentWide, Mueller and Hutter 2021, 2103.10158).
    `randaugment`: two of strength 9 of 30 (RandAugment, Cubuk et al. 2020, 1909.13719).
    """
    changes = list(WIDE if how == "trivial" else RANDAUGMENT)
    for _ in range(1 if how == "trivial" else 2):
        which, step, sign = torch.randint(2**31, (3,), generator=generator).tolist()
        strength = (step % STRENGTHS if how == "trivial" else 9) / (STRENGTHS - 1)
        image = changed(image, changes[which % len(changes)], how, strength, 1 - 2 * (sign % 2))
    return image


def changed(image: Picture, name: str, how: str, strength: float, sign: int) -> Picture:
    """An image after one change; `strength` is in 0..1, `sign` is for those that have two ways."""
    most = (WIDE if how == "trivial" else RANDAUGMENT)[name]
    if name.startswith("Translate") and how == "randaugment":
        height, width = image.shape[-2:] if isinstance(image, Tensor) else image.size[::-1]
        most *= width if name.endswith("X") else height
    much = {"Posterize": 8 - round(strength * most), "Solarize": 255 - strength * most}
    transforms = _torchvision().transforms
    found: Picture = transforms.autoaugment._apply_op(
        image,
        name,
        much.get(name, sign * strength * most),
        interpolation=transforms.InterpolationMode.NEAREST,
        fill=None,
    )
    return found


# The strongest of each, by its name in torchvision; of translations pixels, or shares of a side.
WIDE = {
    "Identity": 0.0,
    **dict.fromkeys(("ShearX", "ShearY"), 0.99),
    **dict.fromkeys(("TranslateX", "TranslateY"), 32.0),
    "Rotate": 135.0,
    **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), 0.99),
    "Posterize": 6.0,  # bits lost
    "Solarize": 255.0,  # inverted are those this far below white
    "AutoContrast": 0.0,
    "Equalize": 0.0,
}
RANDAUGMENT = WIDE | {
    **dict.fromkeys(("ShearX", "ShearY"), 0.3),
    **dict.fromkeys(("TranslateX", "TranslateY"), 150 / 331),
    "Rotate": 30.0,
    **dict.fromkeys(("Brightness", "Color", "Contrast", "Sharpness"), 0.9),
    "Posterize": 4.0,
}


def _torchvision() -> Any:
    from .vision import torchvision

    return torchvision
