"""Images in batches: small ones held in memory, large ones read from disk when asked for."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise
from typing import Literal

import torch
from PIL import Image
from torch import Tensor

from ..errors import DataError, fault
from .augment import Augmentation, Jitter, randomly_cropped, randomly_squared, shifted, varied
from .picture import Picture, decode

Batch = tuple[Tensor, Tensor]
Channels = tuple[float, ...]
Draw = torch.Generator | None

THREADS = min(8, os.cpu_count() or 1)  # that decode files, where no one says how many
CPU = torch.device("cpu")
IN_MEMORY = 64  # images up to so many pixels a side are decoded once and held in memory


@dataclass(frozen=True, kw_only=True)
class Images:
    """Samples of one split, the `chosen` of more; a subclass says where they come from."""

    chosen: Tensor  # their places among all
    channels_last: bool = False  # how batches lie in memory, whatever their values
    # How networks are evaluated on them
    precision: Literal["bf16"] | None = None
    compile: bool = False

    def __len__(self) -> int:
        return len(self.chosen)

    def batches(
        self,
        batch_size: int,
        *,
        indices: Tensor | None = None,
        generator: torch.Generator | None = None,
        augment: Augmentation = False,
        jitter: Jitter = None,
    ) -> Iterator[Batch]:
        """Normalised float32 images [n, c, h, w] and int64 labels [n]; the last batch may be short.

        They are on the device that the images were loaded for, and normalised there.
        `indices` (int64 positions in this split) takes only these. With a generator they are
        shuffled, and augmented if asked to, by that generator alone; without, they come in order.
        `jitter` is a part of augmentation.
        Raises ValueError for augmentation without a generator.
        """
        if augment and generator is None:
            raise ValueError("augmentation needs a generator")
        order = self.chosen if indices is None else self.chosen[indices]
        if generator is not None:
            order = order[torch.randperm(len(order), generator=generator)]
        parts = order.split(batch_size) if len(order) else ()
        found = self._batches(parts, generator, augment, jitter)
        if not self.channels_last:
            return found
        # A clone, as images of one channel pass for channels-last as they are.
        last = torch.channels_last
        return ((images.clone(memory_format=last), labels) for images, labels in found)

    def _batches(
        self, parts: Sequence[Tensor], draw: Draw, augment: Augmentation, jitter: Jitter
    ) -> Iterator[Batch]:
        return (self._batch(at, draw, augment, jitter) for at in parts)

    def _batch(self, at: Tensor, draw: Draw, augment: Augmentation, jitter: Jitter) -> Batch:
        """Those at these places, in this order."""
        raise NotImplementedError


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation a channel, of pixels in [0, 1]."""

    mean: Channels
    std: Channels

    def __call__(self, pixels: Tensor, white: float = 255) -> Tensor:
        """Pixels [n, c, h, w] in 0..white as normalised float32; those of floats in place."""
        mean, std = _on(self.mean, pixels.device), _on(self.std, pixels.device)
        return pixels.float().div_(white).sub_(mean).div_(std)


@cache
def _on(values: Channels, device: torch.device) -> Tensor:
    """Values a channel [c, 1, 1], sent to a device once."""
    return torch.tensor(values, device=device).view(-1, 1, 1)


@dataclass(frozen=True)
class ArrayImages(Images):
    """Those `chosen` of images [n, c, h, w] held in the memory of some device, mostly uint8."""

    pixels: Tensor
    labels: Tensor
    normalize: Normalization
    white: float = 255
    shift: int = 4
    flip: bool = True

    def _batch(self, at: Tensor, draw: Draw, augment: Augmentation, jitter: Jitter) -> Batch:
        """Augmentation: a random shift over black, and a random mirroring."""
        at = at.to(self.pixels.device)
        pixels = self.pixels[at]
        if augment and draw is not None:
            pixels = shifted(pixels, self.shift, self.flip, draw)
            if jitter or isinstance(augment, str):
                if pixels.is_floating_point():
                    raise DataError(fault("floats"))
                pixels = torch.stack([varied(one, augment, jitter, draw) for one in pixels])
        return self.normalize(pixels, self.white), self.labels[at]


@dataclass(frozen=True)
class FileImages(Images):
    """Those `chosen` of image files, decoded batch by batch; the next while this one is used.

    Of `whole` images squares as wide as their shorter side are taken, of others smaller ones.
    By threads, as Pillow decodes and resizes without Python's lock, and a worker process may have
    no processes of its own. Their number changes no batch.
    """

    files: Sequence[Picture]
    labels: Tensor
    normalize: Normalization
    image_size: int
    whole: bool = False
    device: torch.device = CPU
    threads: int = THREADS

    def _batches(
        self, parts: Sequence[Tensor], draw: Draw, augment: Augmentation, jitter: Jitter
    ) -> Iterator[Batch]:
        """Augmentation: a random crop, and mirroring."""
        pinned = self.device.type == "cuda"

        def read(number: int, seed: int) -> Tensor:
            return self._read(self.files[number], augment, jitter, seed)

        def begun(part: Tensor) -> tuple[Tensor, Iterator[Tensor]]:
            # One seed an image, drawn here: which thread is first then decides nothing.
            seeds = torch.zeros_like(part)
            if augment:
                seeds = torch.randint(2**62, part.shape, generator=draw)
            return part, pool.map(read, part.tolist(), seeds.tolist())

        with ThreadPoolExecutor(self.threads) as pool:
            # The next batch is asked for before this one is handed out.
            ahead = chain(map(begun, parts), [(torch.empty(0), iter(()))])
            for (part, images), _ in pairwise(ahead):
                pixels = torch.stack(list(images))
                pixels = pixels.pin_memory() if pinned else pixels
                pixels = pixels.to(self.device, non_blocking=True)
                yield self.normalize(pixels), self.labels[part].to(self.device)

    def _read(self, file: Picture, augment: Augmentation, jitter: Jitter, seed: int) -> Tensor:
        """Pixels uint8 [3, image_size, image_size]."""

        def cut(image: Image.Image) -> Image.Image:
            size = self.image_size
            if not augment:
                return centered(image, size, size if self.whole else beyond(size))
            generator = torch.Generator().manual_seed(seed)
            image = (randomly_squared if self.whole else randomly_cropped)(image, size, generator)
            return varied(image, augment, jitter, generator)

        return torch.from_numpy(decode(file, cut)).permute(2, 0, 1)


def beyond(size: int) -> int:
    """The shorter side of an image of which a central square of `size` pixels is taken."""
    return round(size * 256 / 224)


def centered(image: Image.Image, size: int, shorter: int) -> Image.Image:
    """The shorter side resized to `shorter`, then the central square of `size` pixels."""
    from .vision import torchvision

    transforms = torchvision.transforms.functional
    return transforms.center_crop(transforms.resize(image, shorter), size)


def resized(pixels: Tensor, size: int) -> Tensor:
    """Images uint8 [n, c, h, w] at `size` pixels a side."""
    if pixels.shape[-1] == size:
        return pixels
    from .vision import torchvision

    resize = torchvision.transforms.functional.resize
    return torch.cat([resize(part, [size, size], antialias=True) for part in pixels.split(4096)])
