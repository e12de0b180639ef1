"""Images with a class for every pixel: `images/*` and `masks/*` of the same names, side by side."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..errors import DataError
from .augment import Augmentation, Jitter, jittered, shifted
from .folders import images_in, test_folder
from .images import ArrayImages, Batch, Draw, Tensor
from .picture import decode
from .reader import Source, Splits, image_shape, normalization, refuse_keys

IGNORED = 255  # in masks


@dataclass(frozen=True)
class MaskedImages(ArrayImages):
    """Those `chosen` of images [n, 3, h, w]; labels are masks uint8 [n, h, w]."""

    def _batch(self, at: Tensor, draw: Draw, augment: Augmentation, jitter: Jitter) -> Batch:
        """Augmentation: images and masks are shifted, over what is ignored, and mirrored alike."""
        at = at.to(self.pixels.device)
        masks = IGNORED - self.labels[at]  # what is shifted in is zero
        both = torch.cat([self.pixels[at], masks[:, None]], dim=1)
        if augment and draw is not None:
            both = shifted(both, self.shift, self.flip, draw)
            if jitter:
                both[:, :3] = torch.stack([jittered(one, jitter, draw) for one in both[:, :3]])
        return self.normalize(both[:, :3], self.white), (IGNORED - both[:, 3]).long()


def read_segmentation(source: Source) -> Splits:
    """Folders of images and masks (palette or grey, of class numbers), squeezed to squares. Raises
    DataError that names a folder or a mask that is missing, or no mask."""
    spec, size = source.spec, source.spec.image_size or 224
    refuse_keys(spec, "crops")
    if not spec.root:
        raise DataError(f"{spec.name}: give its root, with images/ and masks/ in train/ and test/")
    normalize = normalization(spec, "imagenet", channels=3)
    content = hashlib.sha256(f"{size} {normalize}".encode())

    def split(folder: Path) -> MaskedImages:
        if not (pairs := [_pair(folder, name, size) for name in images_in(folder, "images")]):
            raise DataError(f"{spec.name}: {folder / 'images'} has no images")
        pixels, labels = (torch.from_numpy(np.stack(each)) for each in zip(*pairs, strict=True))
        content.update(pixels.numpy().tobytes() + labels.numpy().tobytes())
        there = pixels.permute(0, 3, 1, 2).to(source.device), labels.to(source.device)
        return MaskedImages(*there, normalize, chosen=torch.arange(len(labels)))

    root = source.folder("")
    train, test = split(root / "train"), split(test_folder(root))
    classes = [int(one.labels[one.labels != IGNORED].max()) + 1 for one in (train, test)]
    if classes[1] > classes[0]:
        raise DataError(f"{spec.name}: masks for tests have classes that train/ has not")
    return Splits(image_shape(classes[0], 3, size), train, test, content.hexdigest())


def _pair(folder: Path, name: str, size: int) -> tuple[np.ndarray, np.ndarray]:
    """An image, uint8 [size, size, 3], and its mask, uint8 [size, size]."""
    mask = folder / "masks" / f"{Path(name).stem}.png"
    pixels = decode(folder / name, lambda one: one.resize((size, size), Image.Resampling.BILINEAR))
    try:
        with Image.open(mask) as found:
            mode, labels = found.mode, found.resize((size, size), Image.Resampling.NEAREST)
    except OSError as error:
        raise DataError(f"{mask} is no readable mask of {folder / name} ({error})") from error
    if mode not in ("P", "L", "1"):
        raise DataError(f"{mask} is {mode}; a mask holds a class number a pixel")
    return pixels, np.array(labels, np.uint8)
