"""Images in batches: small ones held in memory, large ones read from disk when asked for."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from reports.seal import seal_file

from ..errors import DataError
from ..store.sealed import holds, read_json, sealed_name, write_json
from .augment import Augmentation, automatically, randomly_cropped, shifted

Batch = tuple[Tensor, Tensor]
Channels = tuple[float, ...]
T = TypeVar("T")

THREADS = min(8, os.cpu_count() or 1)  # that decode files, where no one says how many
CPU = torch.device("cpu")
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
        augment: Augmentation = False,
    ) -> Iterator[Batch]:
        """Normalised float32 images [n, c, h, w] and int64 labels [n]; the last batch may be short.

        They are on the device that the images were loaded for, and normalised there.
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
        mean, std = _on(self.mean, pixels.device), _on(self.std, pixels.device)
        return pixels.float().div_(white).sub_(mean).div_(std)


@cache
def _on(values: Channels, device: torch.device) -> Tensor:
    """Values a channel [c, 1, 1], sent to a device once."""
    return torch.tensor(values, device=device).view(-1, 1, 1)


@dataclass(frozen=True)
class ArrayImages:
    """Those `chosen` of uint8 images [n, c, h, w] held in the memory of some device."""

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
        augment: Augmentation = False,
    ) -> Iterator[Batch]:
        """See `Images.batches`. Augmentation: a random shift over black, and a random mirroring."""
        for part in _parts(_ordered(self.chosen, indices, generator, augment), batch_size):
            numbers = part.to(self.pixels.device)
            pixels = self.pixels[numbers]
            if augment and generator is not None:
                pixels = shifted(pixels, self.shift, self.flip, generator)
                if isinstance(augment, str):
                    pixels = torch.stack([automatically(one, augment, generator) for one in pixels])
            yield self.normalize(pixels, self.white), self.labels[numbers]


@dataclass(frozen=True)
class FileImages:
    """Those `chosen` of image files, decoded batch by batch; the next while this one is used.

    By threads, as Pillow decodes and resizes without Python's lock, and a worker process may have
    no processes of its own. Their number changes no batch.
    """

    files: list[Path]
    labels: Tensor
    chosen: Tensor
    normalize: Normalization
    image_size: int
    device: torch.device = CPU
    threads: int = THREADS

    def __len__(self) -> int:
        return len(self.chosen)

    def batches(
        self,
        batch_size: int,
        *,
        indices: Tensor | None = None,
        generator: torch.Generator | None = None,
        augment: Augmentation = False,
    ) -> Iterator[Batch]:
        """See `Images.batches`. Augmentation: a random crop of random size, and mirroring."""
        pinned = self.device.type == "cuda"
        order = _ordered(self.chosen, indices, generator, augment)
        # One seed an image, drawn at once: which thread is first then decides nothing.
        seeds = torch.zeros_like(order)
        if augment:
            seeds = torch.randint(2**62, order.shape, generator=generator)

        def read(number: int, seed: int) -> Tensor:
            return self._read(self.files[number], augment, seed)

        with ThreadPoolExecutor(self.threads) as pool:
            jobs = (
                (part, [pool.submit(read, *each) for each in zip(part.tolist(), by, strict=True)])
                for part, by in zip(
                    _parts(order, batch_size),
                    map(Tensor.tolist, _parts(seeds, batch_size)),
                    strict=True,
                )
            )
            for part, futures in _one_ahead(jobs):
                pixels = torch.stack([future.result() for future in futures])
                pixels = pixels.pin_memory() if pinned else pixels
                pixels = pixels.to(self.device, non_blocking=True)
                yield self.normalize(pixels), self.labels[part].to(self.device)

    def _read(self, file: Path, augment: Augmentation, seed: int) -> Tensor:
        """Pixels uint8 [3, image_size, image_size]."""

        def cut(image: Image.Image) -> Image.Image:
            if not augment:
                return centered(image, self.image_size, round(self.image_size * 256 / 224))
            generator = torch.Generator().manual_seed(seed)
            image = randomly_cropped(image, self.image_size, generator)
            return automatically(image, augment, generator) if isinstance(augment, str) else image

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
    chosen: Tensor,
    indices: Tensor | None,
    generator: torch.Generator | None,
    augment: Augmentation,
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

    def identity(self, cache: Path) -> list[list[object]]:
        """Names, labels and the SHA-256 of every file: equal for a copy on another machine.

        A file of known size and modification time is not read again: digests lie in `cache`.
        Raises DataError for a file that is listed and cannot be read.
        """
        digests = self._digests(cache / "images" / f"{_short_sha256(str(self.folder))}.json")
        return [list(each) for each in zip(self.names, self.labels, digests, strict=True)]

    def _digests(self, stored: Path) -> list[str]:
        known = read_json(stored) or {}

        def digest(name: str) -> list[object]:
            file = self.folder / name
            stat = file.stat()
            state = [stat.st_size, stat.st_mtime_ns]
            if known.get(name, [])[:2] == state:
                return known[name]
            return [*state, hashlib.sha256(file.read_bytes()).hexdigest()]

        try:
            with ThreadPoolExecutor(THREADS) as pool:
                found = dict(zip(self.names, pool.map(digest, self.names), strict=True))
        except OSError as error:
            raise DataError(f"{error.filename} is listed but cannot be read: {error}") from error
        if not found.items() <= known.items():
            write_json(stored, known | found)
        return [str(found[name][2]) for name in self.names]


def _short_sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def native_size(file: Path) -> int | None:
    """Pixels a side of a small square image; None of others."""
    height, width, _ = decode(file, lambda image: image).shape
    return width if width == height <= IN_MEMORY else None


def decoded(listing: Listing, identity: object, size: int, cache: Path) -> Tensor:
    """All images of a listing as uint8 [n, 3, size, size], from the cache or into it.

    `identity` is the listing's own, which takes a look at every file to find.
    """
    content = json.dumps([size, identity])
    stored = cache / "images" / f"{_short_sha256(content)}.npy"
    shape = (len(listing.names), 3, size, size)
    pixels = _stored(stored, shape)
    if pixels is None:
        _store(listing, size, stored, shape)
        pixels = _stored(stored, shape)
    if pixels is None:
        raise DataError(f"{stored} could not be read back after it was written; is the disk full?")
    return torch.from_numpy(pixels)


def _stored(file: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    """The cached array, if what is there is what was stored.

    Copy-on-write: torch wants writable memory.
    """
    if not holds(file):
        return None
    pixels = np.load(file, mmap_mode="c", allow_pickle=False)
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
        seal_file(whole, sealed_name(stored))
        whole.replace(stored)
