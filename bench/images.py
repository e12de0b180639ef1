"""Images in batches: small ones held in memory, large ones read from disk when asked for."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from .errors import DataError

Batch = tuple[Tensor, Tensor]
Channels = tuple[float, ...]
T = TypeVar("T")

THREADS = min(8, os.cpu_count() or 1)
IN_MEMORY = 64  # images up to so many pixels a side are decoded once and held in memory


class Images(Protocol):
    """Labelled images of one split."""

    def __len__(self) -> int:
        """Number of images."""

    def batches(
        self,
        batch_size: int,
        *,
        indices: Tensor | None = None,
        generator: torch.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[Batch]:
        """Normalised float32 images [n, c, h, w] and int64 labels [n]; the last batch may be short.

        `indices` (int64 positions in this split) takes only these. With a generator they are
        shuffled, and augmented if asked to, by that generator alone; without, they come in order.
        Raises ValueError for augmentation without a generator.
        """


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation a channel, of pixels in [0, 1]."""

    mean: Channels
    std: Channels

    def __call__(self, pixels: Tensor, white: float = 255) -> Tensor:
        """Pixels uint8 [n, c, h, w] in 0..white, as normalised float32."""
        mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (self.mean, self.std))
        return pixels.float().div_(white).sub_(mean).div_(std)


@dataclass(frozen=True)
class ArrayImages:
    """Those `chosen` of uint8 images [n, c, h, w] held in memory."""

    pixels: Tensor
    labels: Tensor
    chosen: Tensor
    normalize: Normalization
    white: float = 255
    shift: int = 4
    flip: bool = True

    def __len__(self) -> int:
        return len(self.chosen)

    def batches(
        self,
        batch_size: int,
        *,
        indices: Tensor | None = None,
        generator: torch.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[Batch]:
        """See `Images.batches`. Augmentation: a random shift over black, and a random mirroring."""
        for at in _parts(_ordered(self.chosen, indices, generator, augment), batch_size):
            pixels = self.pixels[at]
            if augment and generator is not None:
                pixels = shifted(pixels, self.shift, self.flip, generator)
            yield self.normalize(pixels, self.white), self.labels[at]


@dataclass(frozen=True)
class FileImages:
    """Those `chosen` of image files, decoded batch by batch; the next while this one is used."""

    files: list[Path]
    labels: Tensor
    chosen: Tensor
    normalize: Normalization
    image_size: int

    def __len__(self) -> int:
        return len(self.chosen)

    def batches(
        self,
        batch_size: int,
        *,
        indices: Tensor | None = None,
        generator: torch.Generator | None = None,
        augment: bool = False,
    ) -> Iterator[Batch]:
        """See `Images.batches`. Augmentation: a random crop of random size, and mirroring."""
        order = _ordered(self.chosen, indices, generator, augment)
        # One seed an image, drawn at once: which thread is first then decides nothing.
        seeds = torch.zeros_like(order)
        if augment:
            seeds = torch.randint(2**62, order.shape, generator=generator)

        def read(number: int, seed: int) -> Tensor:
            return self._read(self.files[number], seed if augment else None)

        with ThreadPoolExecutor(THREADS) as pool:
            jobs = (
                (at, [pool.submit(read, *each) for each in zip(at.tolist(), by, strict=True)])
                for at, by in zip(
                    _parts(order, batch_size),
                    map(Tensor.tolist, _parts(seeds, batch_size)),
                    strict=True,
                )
            )
            for at, futures in _one_ahead(jobs):
                pixels = torch.stack([future.result() for future in futures])
                yield self.normalize(pixels), self.labels[at]

    def _read(self, file: Path, seed: int | None) -> Tensor:
        """Pixels uint8 [3, image_size, image_size]."""

        def cut(image: Image.Image) -> Image.Image:
            if seed is None:
                return centered(image, self.image_size, round(self.image_size * 256 / 224))
            generator = torch.Generator().manual_seed(seed)
            return randomly_cropped(image, self.image_size, generator)

        return torch.from_numpy(decode(file, cut)).permute(2, 0, 1)


def decode(file: Path, cut: Callable[[Image.Image], Image.Image]) -> np.ndarray:
    """Pixels uint8 [h, w, 3] of a file after `cut`; DataError that names it if it is unreadable."""
    try:
        with Image.open(file) as image:
            # np.array copies: the pixels outlive the image, and torch wants them writable.
            return np.array(cut(image.convert("RGB")))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{file} is no readable image ({error}); replace or remove it") from error


def centered(image: Image.Image, size: int, shorter: int) -> Image.Image:
    """The shorter side resized to `shorter`, then the central square of `size` pixels."""
    if image.size == (size, size) and shorter == size:
        return image
    width, height = (int(shorter * side / min(image.size)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return image.crop((left, top, left + size, top + size))


def randomly_cropped(image: Image.Image, size: int, generator: torch.Generator) -> Image.Image:
    """A random 8 to 100 % of the area at aspect 3/4 to 4/3, resized and maybe mirrored.

    The augmentation of Szegedy et al. 2015 (arXiv 1409.4842). torchvision's draws from the global
    generator, which threads cannot share; this draws from the one given.
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


def _fallback_box(width: int, height: int) -> tuple[int, int, int, int]:
    """The largest central box of an aspect from 3/4 to 4/3."""
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    left, top = (width - w) // 2, (height - h) // 2
    return (left, top, left + w, top + h)


def shifted(pixels: Tensor, most: int, flip: bool, generator: torch.Generator) -> Tensor:
    """Images [n, c, h, w], each moved by up to `most` pixels over black and maybe mirrored."""
    n, c, h, w = pixels.shape
    down, across = torch.randint(2 * most + 1, (2, n, 1), generator=generator)
    rows, columns = down + torch.arange(h), across + torch.arange(w)
    if flip:
        mirrored = torch.rand(n, 1, generator=generator) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    padded = F.pad(pixels, (most, most, most, most))
    image, channel = torch.arange(n).view(n, 1, 1, 1), torch.arange(c).view(c, 1, 1)
    return padded[image, channel, rows.view(n, 1, h, 1), columns.view(n, 1, 1, w)]


def resized(pixels: Tensor, size: int) -> Tensor:
    """Images uint8 [n, c, h, w] at `size` pixels a side."""
    if pixels.shape[-1] == size:
        return pixels
    parts = [
        F.interpolate(part.float(), size=(size, size), mode="bilinear", antialias=True)
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
        for part in pixels.split(4096)
    ]
    return torch.cat(parts)


def _ordered(
    chosen: Tensor, indices: Tensor | None, generator: torch.Generator | None, augment: bool
) -> Tensor:
    if augment and generator is None:
        raise ValueError("augmentation needs a generator")
    order = chosen if indices is None else chosen[indices]
    if generator is None:
        return order
    return order[torch.randperm(len(order), generator=generator)]


def _parts(order: Tensor, size: int) -> tuple[Tensor, ...]:
    return order.split(size) if len(order) else ()


def _one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The items, each fetched before the one in front of it is handed out."""
    for first in items:
        waiting = first
        for item in items:
            yield waiting
            waiting = item
        yield waiting


# --- small images, decoded once ---------------------------------------------------------------


@dataclass(frozen=True)
class Listing:
    """Image files of one split under `folder`, with their labels."""

    folder: Path
    names: list[str]
    labels: list[int]

    @property
    def files(self) -> list[Path]:
        return [self.folder / name for name in self.names]

    @cached_property
    def _stats(self) -> list[os.stat_result]:
        try:
            return [file.stat() for file in self.files]
        except OSError as error:
            raise DataError(f"{error.filename} is listed but cannot be read: {error}") from error

    def identity(self) -> list[list[object]]:
        """Names, labels and sizes in bytes: equal for a copy on another machine."""
        sizes = (stat.st_size for stat in self._stats)
        return [list(each) for each in zip(self.names, self.labels, sizes, strict=True)]

    def cache_key(self, size: int) -> str:
        """Changes as soon as any file is touched."""
        times = [stat.st_mtime_ns for stat in self._stats]
        text = json.dumps([size, self.identity(), times])
        return hashlib.sha256(text.encode()).hexdigest()[:32]


def native_size(file: Path) -> int | None:
    """Pixels a side of a small square image; None of others."""
    height, width, _ = decode(file, lambda image: image).shape
    return width if width == height <= IN_MEMORY else None


def decoded(listing: Listing, size: int, cache: Path) -> Tensor:
    """All images of a listing as uint8 [n, 3, size, size], from the cache or into it."""
    stored = cache / "images" / f"{listing.cache_key(size)}.npy"
    shape = (len(listing.names), 3, size, size)
    pixels = _stored(stored, shape)
    if pixels is None:
        _store(listing, size, stored, shape)
        pixels = _stored(stored, shape)
    if pixels is None:
        raise DataError(f"{stored} could not be read back after it was written; is the disk full?")
    return torch.from_numpy(pixels)


def _stored(file: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The cached array if it is there and whole. Copy-on-write: torch wants writable memory."""
    try:
        pixels = np.load(file, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return pixels if pixels.shape == shape and pixels.dtype == np.uint8 else None


def _store(listing: Listing, size: int, stored: Path, shape: tuple[int, ...]) -> None:
    """Decode into a file of our own, then rename: two processes at once end with one whole file."""

    def square(file: Path) -> np.ndarray:
        return decode(file, lambda image: centered(image, size, size)).transpose(2, 0, 1)

    stored.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=stored.parent, prefix="decoding-") as folder:
        whole = Path(folder) / stored.name
        pixels = np.lib.format.open_memmap(whole, mode="w+", dtype=np.uint8, shape=shape)
        with ThreadPoolExecutor(THREADS) as pool:
            for number, image in enumerate(pool.map(square, listing.files)):
                pixels[number] = image
        pixels.flush()
        del pixels
        whole.replace(stored)
