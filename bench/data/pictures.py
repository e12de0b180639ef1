"""Splits of RGB images: small ones are decoded once for all runs, large ones when asked for."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from reports.records import content_key

from ..errors import DataError
from ..store.sealed import holds, write_large
from .images import IN_MEMORY, THREADS, ArrayImages, FileImages, centered
from .known import find
from .picture import Picture, decode
from .reader import Source, Split, Splits, normalization, refuse_crops


class Pictures(Protocol):
    """Images of one split with their labels, each decoded when it is asked for."""

    @property
    def labels(self) -> list[int]:
        """The class of each."""

    @property
    def files(self) -> Sequence[Picture]:
        """The images, in the order of the labels."""

    def identity(self, cache: Path) -> object:
        """JSON that is equal for equal images, names and labels."""


def read_pictures(source: Source, listings: Sequence[Pictures]) -> Splits:
    """Splits of RGB images: decoded once if small, read batch by batch if not."""
    known = find(source.spec.name)
    content = [listing.identity(source.cache) for listing in listings]
    fixed = known and known.contents
    native = fixed.image_size if fixed else native_size(listings[0].files[0])
    size = source.spec.image_size or native or 224
    small = size <= IN_MEMORY
    normalize = normalization(source.spec, "cifar" if small else "imagenet", channels=3)
    if small:
        refuse_crops(source.spec)

    def split(listing: Pictures, identity: object) -> Split:
        labels = torch.tensor(listing.labels)
        if small:
            pixels = decoded(listing, identity, size, source.cache).to(source.device)
            there = labels.to(source.device)
            return Split(labels, lambda chosen: ArrayImages(pixels, there, chosen, normalize))
        how = normalize, size, source.spec.crops == "whole", source.device, source.threads
        return Split(labels, lambda chosen: FileImages(listing.files, labels, chosen, *how))

    train, test = map(split, listings, content)
    classes = 1 + max(max(one.labels) for one in listings)
    identity = [content, size, normalize.mean, normalize.std, source.spec.crops]
    return Splits(classes, 3, size, train, test, identity)


def native_size(file: Picture) -> int | None:
    """Pixels a side of a small square image; None of others."""
    height, width, _ = decode(file, lambda image: image).shape
    return width if width == height <= IN_MEMORY else None


def decoded(listing: Pictures, identity: object, size: int, cache: Path) -> Tensor:
    """All images of a listing as uint8 [n, 3, size, size], from the cache or into it.

    `identity` is the listing's own, which takes a look at every file to find.
    """
    stored = cache / "images" / f"{content_key([size, identity])}.npy"
    shape = (len(listing.labels), 3, size, size)
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


def _store(listing: Pictures, size: int, stored: Path, shape: tuple[int, ...]) -> None:
    def square(file: Picture) -> np.ndarray:
        return decode(file, lambda image: centered(image, size, size)).transpose(2, 0, 1)

    def fill(whole: Path) -> None:
        pixels = np.lib.format.open_memmap(whole, mode="w+", dtype=np.uint8, shape=shape)
        with ThreadPoolExecutor(THREADS) as pool:
            for number, image in enumerate(pool.map(square, listing.files)):
                pixels[number] = image
        pixels.flush()

    write_large(stored, fill)
