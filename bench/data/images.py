"""Images in batches: small ones held in memory, large ones read from disk when asked for."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise

import torch
from PIL import Image
from torch import Tensor

from ..errors import DataError, fault
from .augment import (
    Augmentation,
    Jitter,
    randomly_cropped,
    randomly_squared,
    shifted,
    varied,
    with_shorter_side,
)
from .picture import Picture, decode

Batch = tuple[Tensor, Tensor]
Channels = tuple[float, ...]
Draw = torch.Generator | None

THREADS = min(8, os.cpu_count() or 1)  # that decode files, where no one says how many
CPU = torch.device("cpu")
IN_MEMORY = 64  # images up to so many pixels a side are decoded once and held in memory


class Images:
    """Labelled images of one split, the `chosen` of more; a subclass says where they come from."""

    labels: Tensor
    chosen: Tensor

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
        return self._batches(order, batch_size, generator, augment, jitter)

    def _batches(
        self, order: Tensor, size: int, draw: Draw, augment: Augmentation, jitter: Jitter
    ) -> Iterator[Batch]:
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
    chosen: Tensor
    normalize: Normalization
    white: float = 255
    shift: int = 4
    flip: bool = True

    def _batches(
        self, order: Tensor, size: int, draw: Draw, augment: Augmentation, jitter: Jitter
    ) -> Iterator[Batch]:
        """Augmentation: a random shift over black, and a random mirroring."""
        for part in in_parts(order, size):
            numbers = part.to(self.pixels.device)
            pixels = self.pixels[numbers]
            if augment and draw is not None:
                pixels = shifted(pixels, self.shift, self.flip, draw)
                if jitter or isinstance(augment, str):
                    if pixels.is_floating_point():
                        raise DataError(fault("floats"))
                    pixels = torch.stack([varied(one, augment, jitter, draw) for one in pixels])
            yield self.normalize(pixels, self.white), self.labels[numbers]


@dataclass(frozen=True)
class FileImages(Images):
    """Those `chosen` of image files, decoded batch by batch; the next while this one is used.

    Of `whole` images squares as wide as their shorter side are taken, of others smaller ones.
    By threads, as Pillow decodes and resizes without Python's lock, and a worker process may have
    no processes of its own. Their number changes no batch.
    """

    files: Sequence[Picture]
    labels: Tensor
    chosen: Tensor
    normalize: Normalization
    image_size: int
    whole: bool = False
    device: torch.device = CPU
    threads: int = THREADS

    def _batches(
        self, order: Tensor, size: int, draw: Draw, augment: Augmentation, jitter: Jitter
    ) -> Iterator[Batch]:
        """Augmentation: a random crop, and mirroring."""
        pinned = self.device.type == "cuda"
        # One seed an image, drawn at once: which thread is first then decides nothing.
        seeds = torch.zeros_like(order)
        if augment:
            seeds = torch.randint(2**62, order.shape, generator=draw)

        def read(number: int, seed: int) -> Tensor:
            return self._read(self.files[number], augment, jitter, seed)

        with ThreadPoolExecutor(self.threads) as pool:
            parts = in_parts(order, size)
            jobs = (
                (part, [pool.submit(read, *each) for each in zip(part.tolist(), by, strict=True)])
                for part, by in zip(parts, map(Tensor.tolist, in_parts(seeds, size)), strict=True)
            )
            # The next batch is asked for before this one is handed out.
            for (part, futures), _ in pairwise(chain(jobs, [(torch.empty(0), [])])):
                pixels = torch.stack([future.result() for future in futures])
                pixels = pixels.pin_memory() if pinned else pixels
                pixels = pixels.to(self.device, non_blocking=True)
                yield self.normalize(pixels), self.labels[part].to(self.device)

    def _read(self, file: Picture, augment: Augmentation, jitter: Jitter, seed: int) -> Tensor:
        """Pixels uint8 [3, image_size, image_size]."""

        def cut(image: Image.Image) -> Image.Image:
            size = self.image_size
            if not augment:
                return centered(image, size, size if self.whole else round(size * 256 / 224))
            generator = torch.Generator().manual_seed(seed)
            image = (randomly_squared if self.whole else randomly_cropped)(image, size, generator)
            return varied(image, augment, jitter, generator)

        return torch.from_numpy(decode(file, cut)).permute(2, 0, 1)


def centered(image: Image.Image, size: int, shorter: int) -> Image.Image:
    """The shorter side resized to `shorter`, then the central square of `size` pixels."""
    if image.size == (size, size) and shorter == size:
        return image
    image = with_shorter_side(image, shorter)
    left, top = round((image.width - size) / 2), round((image.height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def resized(pixels: Tensor, size: int) -> Tensor:
    """Images uint8 [n, c, h, w] at `size` pixels a side."""
    if pixels.shape[-1] == size:
        return pixels
    from .vision import torchvision

    resize = torchvision.transforms.functional.resize
    return torch.cat([resize(part, [size, size], antialias=True) for part in pixels.split(4096)])


def in_parts(order: Tensor, size: int) -> tuple[Tensor, ...]:
    return order.split(size) if len(order) else ()
