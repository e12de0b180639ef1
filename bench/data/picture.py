"""One image, in a file or at hand, as the RGB pixels that it shows."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import DataError, fault

Picture = Path | Image.Image


def decode(picture: Picture, cut: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """Pixels uint8 [h, w, 3] of an image after `cut`; DataError if its file is no readable one."""
    if isinstance(picture, Image.Image):
        return np.array(cut(shown(picture)))
    try:
        with Image.open(picture) as image:
            # np.array copies: the pixels outlive the image, and torch wants them writable.
            return np.array(cut(shown(image)))
    except Exception as error:  # whatever a decoder raises
        raise DataError(fault("no_picture", picture=picture, error=error)) from error


def shown(image: Image.Image) -> Image.Image:
    """An RGB image as people see it: turned as its EXIF says, 16 bits scaled to 8, over white.
    Raises ValueError for several frames, and for pixels that are no numbers of 8 or 16 bits."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO":  # phones store a preview beside the photo
        raise ValueError(f"it has {frames} frames; keep one")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):
        levels = np.asarray(image)
        if image.mode == "F" or levels.min() < 0 or levels.max() > 65535:
            raise ValueError("its pixels are no numbers of 8 or 16 bits; write it with 8")
        image = Image.fromarray(np.round(levels / 257).astype(np.uint8))
    if not image.has_transparency_data:
        return image.convert("RGB")
    over = Image.new("RGBA", image.size, "white")
    over.alpha_composite(image.convert("RGBA"))
    return over.convert("RGB")


def examined(content: bytes) -> bool:
    """Whether a file of this content is shown otherwise than as its plain RGB pixels.

    It is decoded whole, but JPEGs at an eighth of their size. Raises whatever a decoder raises.
    """
    try:
        opened = Image.open(BytesIO(content))
    except UnidentifiedImageError as error:  # it would name the bytes by their address
        raise ValueError("it holds no image") from error
    with opened as image:
        turned = image.getexif().get(0x0112, 1) != 1
        image.draft("RGB", (32, 32))
        plain = image.convert("RGB")
        return turned or np.asarray(shown(image)).tobytes() != plain.tobytes()
