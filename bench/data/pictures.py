"""Splits of RGB images: small ones are decoded once for all runs, large ones when asked for."""

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from reports.records import content_key

from ..errors import DataError, fault
from ..store.sealed import holds, read_json, write_json, write_large
from .images import IN_MEMORY, THREADS, ArrayImages, FileImages, Images, beyond, centered
from .known import find
from .picture import Picture, decode, examined
from .reader import Source, Splits, image_shape, normalization, preparation, refuse_keys


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

    def part(self, chosen: Sequence[int]) -> "Listing":
        """Those at these places."""
        names = [self.names[at] for at in chosen]
        return Listing(self.folder, names, [self.labels[at] for at in chosen])

    def identity(self, cache: Path) -> list[list[object]]:
        """Names, labels and the SHA-256 of every file: equal for a copy on another machine.

        A file that is shown otherwise than as its plain pixels is marked. One of known size and
        modification time is not read again: digests lie in `cache`.
        Raises DataError that names the files that are listed and are no readable images.
        """
        found = self._digests(cache / "images" / f"{content_key(str(self.folder))}.json")
        return [
            [name, label, digest, *(["as shown"] if odd else [])]
            for name, label, (digest, odd) in zip(self.names, self.labels, found, strict=True)
        ]

    def _digests(self, stored: Path) -> list[list[Any]]:
        """SHA-256 of each file, and whether it is shown otherwise than as its plain pixels."""
        known = read_json(stored) or {}
        broken: list[str] = []

        def digest(name: str) -> list[Any]:
            file = self.folder / name
            try:
                stat = file.stat()
                state = [stat.st_size, stat.st_mtime_ns]
                if len(of := known.get(name, [])) == 4 and of[:2] == state:
                    return of
                if not file.is_file():  # a pipe would be waited for
                    raise ValueError("it is no file")
                content = file.read_bytes()
                return [*state, hashlib.sha256(content).hexdigest(), examined(content)]
            except Exception as error:  # whatever a decoder raises
                gone = isinstance(error, OSError) and error.filename
                what = "is listed but cannot be read" if gone else "is no readable image"
                broken.append(f"{file} {what} ({error})")
                return []

        with ThreadPoolExecutor(THREADS) as pool:
            files = dict(zip(self.names, pool.map(digest, self.names), strict=True))
        if broken:
            more = f"; {len(broken) - 5} more files are none" if len(broken) > 5 else ""
            raise DataError(f"{'; '.join(sorted(broken)[:5])}{more}; replace or remove")
        if not files.items() <= known.items():
            write_json(stored, known | files)
        return [files[name][2:] for name in self.names]


class AtHand(Sequence[Image.Image]):
    """Images that something else decodes, got by their number."""

    def __init__(self, what: str, get: Callable[[int], Any], labels: list[Any]) -> None:
        self.what, self.get, self.files = what, get, self
        self.labels = [int(one) if hasattr(one, "item") else one for one in labels]
        check_labels(what, self.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, at: Any) -> Any:
        image = self.get(at)
        if isinstance(image, Image.Image):
            return image
        return _from_array(f"{self.what}: image {at}", np.asarray(image))

    def identity(self, cache: Path) -> object:
        content = hashlib.sha256()
        for label, image in zip(self.labels, self, strict=True):
            content.update(f"{label} {image.mode} {image.size}".encode() + image.tobytes())
        return content.hexdigest()


def _from_array(what: str, pixels: np.ndarray) -> Image.Image:
    """Bytes [h, w], [1 or 3, h, w] or [h, w, 3] as an image."""
    if pixels.ndim == 3 and pixels.shape[0] in (1, 3):
        pixels = np.moveaxis(pixels, 0, -1)
    pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        shape = list(pixels.shape)
        raise DataError(fault("no_pixels", given=what, dtype=pixels.dtype, shape=shape))
    return Image.fromarray(pixels)


def check_labels(what: str, labels: Sequence[Any]) -> None:
    """Raises DataError for labels that are no classes."""
    for at, label in enumerate(labels):
        if isinstance(label, bool) or not isinstance(label, int) or label < 0:
            raise DataError(f"{what}: label {at} is {label!r}; classes are numbers from 0")


Pictures = Listing | AtHand  # images of one split with their labels, in the same order


def read_pictures(
    source: Source, listings: Sequence[Pictures], names: Sequence[str] = ()
) -> Splits:
    """Splits of RGB images: decoded once if small, read batch by batch if not. `names` are those of
    the classes, where they have any."""
    known = find(source.spec.name)
    content = [listing.identity(source.cache) for listing in listings]
    fixed = known and known.contents
    height, width, _ = decode(listings[0].files[0], lambda image: image).shape
    own = width if width == height <= IN_MEMORY else 224
    size = source.spec.image_size or (fixed.image_size if fixed else own)
    small = size <= IN_MEMORY
    normalize = normalization(source.spec, "cifar" if small else "imagenet", channels=3)
    if small:
        refuse_keys(source.spec, "crops")

    def split(listing: Pictures, identity: object) -> Images:
        labels, chosen = torch.tensor(listing.labels), torch.arange(len(listing.labels))
        if small:
            pixels = decoded(listing, identity, size, source.cache).to(source.device)
            return ArrayImages(pixels, labels.to(source.device), normalize, chosen=chosen)
        how = normalize, size, source.spec.crops == "whole", source.device, source.threads
        return FileImages(listing.files, labels, *how, chosen=chosen)

    train, test = map(split, listings, content)
    classes = 1 + max(max(one.labels) for one in listings)
    identity = [content, size, normalize.mean, normalize.std, source.spec.crops]
    shorter = size if small or source.spec.crops == "whole" else beyond(size)
    how = (
        "turned as EXIF says, 16 bits divided by 257, transparent over white, RGB; shorter side to "
        f"{shorter}, the other to int({shorter} * long / short) (Pillow, bilinear); a square of "
        f"{size} pixels from round((side - {size}) / 2) at left and top"
    )
    prepared = preparation(normalize, size, how, names)
    return Splits(image_shape(classes, 3, size), train, test, identity, prepared=prepared)


def decoded(listing: Pictures, identity: object, size: int, cache: Path) -> Tensor:
    """All images of a listing as uint8 [n, 3, size, size], from the cache or into it. `identity` is
    the listing's own, which takes a look at every file to find."""
    stored = cache / "images" / f"{content_key([size, identity])}.npy"
    shape = (len(listing.labels), 3, size, size)

    def square(file: Picture) -> np.ndarray:
        return decode(file, lambda image: centered(image, size, size)).transpose(2, 0, 1)

    def fill(whole: Path) -> None:
        pixels = np.lib.format.open_memmap(whole, mode="w+", dtype=np.uint8, shape=shape)
        with ThreadPoolExecutor(THREADS) as pool:
            for number, image in enumerate(pool.map(square, listing.files)):
                pixels[number] = image
        pixels.flush()

    if not holds(stored):
        write_large(stored, fill)
    # Copy-on-write, as torch wants writable memory.
    return torch.from_numpy(np.load(stored, mmap_mode="c", allow_pickle=False))
