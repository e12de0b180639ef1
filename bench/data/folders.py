"""Datasets that come as folders of image files: class folders, ImageNet and CUB-200.

Files are known by their content; small images are decoded once for all runs.
"""

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import DataError
from ..store.sealed import holds, read_json, write_json, write_large
from .images import IN_MEMORY, THREADS, ArrayImages, FileImages, centered, decode
from .known import DATASETS, Contents
from .reader import Source, Split, Splits, normalization, refuse_crops

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".gif"}


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
    def square(file: Path) -> np.ndarray:
        return decode(file, lambda image: centered(image, size, size)).transpose(2, 0, 1)

    def fill(whole: Path) -> None:
        pixels = np.lib.format.open_memmap(whole, mode="w+", dtype=np.uint8, shape=shape)
        with ThreadPoolExecutor(THREADS) as pool:
            for number, image in enumerate(pool.map(square, listing.files)):
                pixels[number] = image
        pixels.flush()

    write_large(stored, fill)


def read_imagefolder(source: Source) -> Splits:
    """Any folder of `train/CLASS/*` and `test/CLASS/*` (or `val/`), at its own or a given size."""
    if not source.spec.root:
        raise DataError("imagefolder: give its root, a folder with train/ and test/ (or val/)")
    return _class_folders(source, source.folder(""), "it")


def read_imagenet(source: Source) -> Splits:
    """ImageNet-1k (Russakovsky et al. 2015) as class folders; its val split is the test split."""
    how = "ILSVRC2012 (register at image-net.org), each archive unpacked into its class folder,"
    return _class_folders(source, source.folder("imagenet"), how)


def read_cub200(source: Source) -> Splits:
    """CUB-200-2011 (Wah et al. 2011), by its index files: 5994 training and 5794 test images."""
    folder = source.folder("CUB_200_2011")
    how = (
        f"cub200: put the unpacked CUB_200_2011.tgz (Caltech-UCSD Birds, data.caltech.edu) at "
        f"{folder}, so that {folder / 'images.txt'} exists"
    )
    try:
        names, of_class, in_train = (
            dict(line.split() for line in (folder / name).read_text().splitlines())
            for name in ("images.txt", "image_class_labels.txt", "train_test_split.txt")
        )
        listings = [
            Listing(
                folder / "images",
                [names[image] for image in names if in_train[image] == flag],
                [int(of_class[image]) - 1 for image in names if in_train[image] == flag],
            )
            for flag in ("1", "0")
        ]
    except OSError as error:
        raise DataError(how) from error
    except (ValueError, KeyError) as error:
        raise DataError(f"the index files do not agree ({error!r}); {how}") from error
    return _files(source, listings, classes=max(listings[0].labels) + 1)


def count_images(root: Path, image_size: int) -> Contents | None:
    """The contents of class folders, by their files' names; None where there are no folders."""
    train, test = _train_and_test(root)
    if not train.is_dir() or not test.is_dir():
        return None
    to_train_on, to_test_on = (
        sum(file.suffix.lower() in SUFFIXES for file in folder.glob("*/*"))
        for folder in (train, test)
    )
    classes = sum(entry.is_dir() for entry in train.iterdir())
    return Contents(to_train_on, to_test_on, classes, 3, image_size)


def _train_and_test(root: Path) -> tuple[Path, Path]:
    """The folders of the two splits; `val` serves where there is no `test`."""
    return root / "train", root / ("test" if (root / "test").is_dir() else "val")


def _class_folders(source: Source, root: Path, how: str) -> Splits:
    """The splits of class folders; `how` says what a person has to put there."""
    train, test = _train_and_test(root)
    for folder in (train, test):
        if not folder.is_dir():
            raise DataError(
                f"{source.spec.name}: no folder {folder}; put {how} at {root}, with class folders "
                "of images in train/ and in test/ or val/"
            )
    classes = _class_names(train)
    if _class_names(test) != classes:
        odd = sorted(set(classes) ^ set(_class_names(test)))
        raise DataError(f"{train} and {test} differ in their class folders: {', '.join(odd[:5])}")
    return _files(source, [_listing(each, classes) for each in (train, test)], len(classes))


def _class_names(folder: Path) -> list[str]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if not names:
        raise DataError(f"{folder} has no class folders")
    return names


def _listing(folder: Path, classes: list[str]) -> Listing:
    names: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        images = sorted(
            (Path(where) / file).relative_to(folder).as_posix()
            for where, _, files in os.walk(folder / name)
            for file in files
            if Path(file).suffix.lower() in SUFFIXES
        )
        if not images:
            raise DataError(f"{folder / name} has no images")
        names += images
        labels += [label] * len(images)
    return Listing(folder, names, labels)


def _files(source: Source, listings: list[Listing], classes: int) -> Splits:
    """Splits of RGB files: decoded once if small, read batch by batch if not."""
    known = DATASETS[source.spec.name].contents
    native = known.image_size if known else native_size(listings[0].files[0])
    size = source.spec.image_size or native or 224
    small = size <= IN_MEMORY
    normalize = normalization(source.spec, "cifar" if small else "imagenet", channels=3)
    if small:
        refuse_crops(source.spec)

    content = [listing.identity(source.cache) for listing in listings]

    def split(listing: Listing, identity: object) -> Split:
        labels = torch.tensor(listing.labels)
        if small:
            pixels = decoded(listing, identity, size, source.cache).to(source.device)
            there = labels.to(source.device)
            return Split(labels, lambda chosen: ArrayImages(pixels, there, chosen, normalize))
        how = normalize, size, source.spec.crops == "whole", source.device, source.threads
        return Split(labels, lambda chosen: FileImages(listing.files, labels, chosen, *how))

    train, test = map(split, listings, content)
    identity = [content, size, normalize.mean, normalize.std, source.spec.crops]
    return Splits(classes, 3, size, train, test, identity)
