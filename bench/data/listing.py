"""Image files of a split: what they are, by content, and small ones decoded once for all runs."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..store.sealed import holds, read_json, write_json, write_large
from .images import IN_MEMORY, THREADS, centered, decode


@dataclass(frozen=True)
class Listing:
    """Image files of one split under `folder`, with their labels."""

    folder: Path
    names: list[str]
    labels: list[int]

    @property
    def files(self) -> list[Path]:
        """Paths of the images, in the order of their names here."""
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
                files = dict(zip(self.names, pool.map(digest, self.names), strict=True))
        except OSError as error:
            raise DataError(f"{error.filename} is listed but cannot be read: {error}") from error
        if not files.items() <= known.items():
            write_json(stored, known | files)
        return [str(files[name][2]) for name in self.names]


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
    """Decode all images into the cache."""

    def square(file: Path) -> np.ndarray:
        return decode(file, lambda image: centered(image, size, size)).transpose(2, 0, 1)

    def fill(whole: Path) -> None:
        pixels = np.lib.format.open_memmap(whole, mode="w+", dtype=np.uint8, shape=shape)
        with ThreadPoolExecutor(THREADS) as pool:
            for number, image in enumerate(pool.map(square, listing.files)):
                pixels[number] = image
        pixels.flush()

    write_large(stored, fill)
