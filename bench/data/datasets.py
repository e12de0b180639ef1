"""Datasets by name: train, validation and test images, split by seed, the test split never touched.

Adding one is a reader that returns `Splits` and a line in `DATASETS`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from suites.faults import meant
from suites.problem import DatasetSpec

from .. import seeds
from ..errors import DataError
from .images import (
    CPU,
    IN_MEMORY,
    THREADS,
    ArrayImages,
    FileImages,
    Images,
    Listing,
    Normalization,
    decoded,
    native_size,
    resized,
)

NORMALIZATIONS = {
    "cifar": Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    # CIFAR-10 with the mean over images of each image's own deviation: OBA, OBC, RGD.
    "cifar-classic": Normalization((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": Normalization((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    # Of wide residual networks, in 255ths: OBC's criteria benchmark, for both datasets.
    "cifar-wide": Normalization(
        (125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255)
    ),
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "digits": Normalization((0.3055,), (0.3761,)),  # over all but the test split
    "half": Normalization((0.5,), (0.5,)),  # timm's vision transformers
    "none": Normalization((0.0,), (1.0,)),
}

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".tif", ".tiff", ".webp", ".gif"}


@dataclass(frozen=True)
class Dataset:
    """Labelled images in three splits that share none."""

    name: str
    classes: int
    channels: int
    image_size: int  # pixels a side, as given to the network
    train: Images
    validation: Images
    test: Images
    digest: str  # SHA-256 of what the images are, how they are prepared, and of the split
    device: torch.device = CPU  # that batches are on


@dataclass(frozen=True)
class Source:
    """What a reader is asked for."""

    spec: DatasetSpec
    data_root: Path
    cache: Path
    download: bool
    device: torch.device
    threads: int

    def folder(self, default: str) -> Path:
        return self.data_root / (self.spec.root or default)


@dataclass(frozen=True)
class Split:
    """The labels of a split as it is given, and a view of any share of its images."""

    labels: Tensor
    view: Callable[[Tensor], Images]


@dataclass(frozen=True)
class Splits:
    """What a reader returns; `identity` tells equal images from others and is JSON."""

    classes: int
    channels: int
    image_size: int
    train: Split
    test: Split
    identity: object


def load_dataset(
    spec: DatasetSpec,
    data_root: Path,
    cache: Path,
    download: bool = False,
    device: torch.device = CPU,
    threads: int = THREADS,
) -> Dataset:
    """A dataset by name, for a device: small images are held there, batches are sent there.

    Of `train` (or of a seeded `spec.train_images` of it), the seeded share `spec.validation` is
    held out. Decoded small images are kept under `cache`; large ones are decoded by `threads`.
    Raises DataError for an unknown name, missing or corrupt data, and impossible sizes.
    """
    if spec.name not in DATASETS:
        raise DataError(
            f"there is no dataset {spec.name!r}{meant(spec.name, DATASETS)}; there are "
            + ", ".join(DATASETS)
        )
    source = Source(spec, Path(data_root), Path(cache), download, device, threads)
    found = DATASETS[spec.name].read(source)
    pool = _subset(spec, "train", found.train, spec.train_images)
    order = torch.randperm(len(pool), generator=_generator("validation-split", spec))
    held_out = max(1, round(len(pool) * spec.validation))
    if held_out == len(pool):
        raise DataError(f"{spec.name}: {len(pool)} training images leave none beside validation")
    chosen = {
        "train": pool[order[held_out:].sort().values],
        "validation": pool[order[:held_out].sort().values],
        "test": _subset(spec, "test", found.test, spec.test_images),
    }
    return Dataset(
        name=spec.title,
        classes=found.classes,
        channels=found.channels,
        image_size=found.image_size,
        train=found.train.view(chosen["train"]),
        validation=found.train.view(chosen["validation"]),
        test=found.test.view(chosen["test"]),
        digest=_digest(found, chosen),
        device=device,
    )


def list_datasets() -> dict[str, str]:
    """One line about each dataset."""
    return {name: reader.about for name, reader in DATASETS.items()}


def _generator(purpose: str, spec: DatasetSpec) -> torch.Generator:
    return seeds.generator(purpose, dataset=spec.name)


def _subset(spec: DatasetSpec, name: str, split: Split, count: int | None) -> Tensor:
    """Positions of all images of a split, or of a seeded `count` of them, in order."""
    there = len(split.labels)
    if count is None:
        return torch.arange(there)
    if count > there:
        raise DataError(f"{spec.name}: {name}_images asks for {count}, there are {there}")
    order = torch.randperm(there, generator=_generator(f"{name}-subset", spec))
    return order[:count].sort().values


def _digest(found: Splits, chosen: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(found.identity, sort_keys=True).encode())
    for name, positions in chosen.items():
        digest.update(f"{name} {len(positions)}".encode() + positions.numpy().tobytes())
    return digest.hexdigest()


# --- arrays: digits and CIFAR -----------------------------------------------------------------


def read_digits(source: Source) -> Splits:
    """1797 handwritten digits (Alpaydin and Kaynak 1998), 8x8; a seeded fifth is the test split."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    # Ink 0..16 in steps of 15, exact in a byte; white is 240.
    pixels = torch.from_numpy((bunch.images * 15).astype(np.uint8)).unsqueeze(1)
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    content = hashlib.sha256(pixels.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()
    order = torch.randperm(len(labels), generator=_generator("test-split", source.spec))
    test, train = (part.sort().values for part in order.tensor_split([len(order) // 5]))
    parts = [(pixels[part], labels[part]) for part in (train, test)]
    return _arrays(source, "digits", parts, content, white=240, shift=1, flip=False)


def read_cifar10(source: Source) -> Splits:
    """CIFAR-10 (Krizhevsky 2009): 60,000 images 32x32."""
    return _cifar(source, "CIFAR10")


def read_cifar100(source: Source) -> Splits:
    """CIFAR-100 (Krizhevsky 2009): 60,000 images 32x32."""
    return _cifar(source, "CIFAR100")


def _cifar(source: Source, name: str) -> Splits:
    from .vision import torchvision

    reader = getattr(torchvision.datasets, name)
    folder = source.data_root
    try:
        both = [reader(folder, train=train, download=source.download) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise DataError(
            f"{source.spec.name}: no intact {reader.base_folder}/ under {folder} ({error}); unpack "
            f"{reader.filename} there, or let --download fetch it"
        ) from error
    # torchvision has checked the files against these sums.
    content = [reader.train_list, reader.test_list]
    parts = [
        (torch.from_numpy(one.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(one.targets))
        for one in both
    ]
    return _arrays(source, "cifar", parts, content)


def _arrays(
    source: Source,
    normalization: str,
    parts: list[tuple[Tensor, Tensor]],
    content: object,
    white: float = 255,
    shift: int = 4,
    flip: bool = True,
) -> Splits:
    """Splits of uint8 images [n, c, h, h] in memory, resized if the suite asks for a size."""
    normalize = _normalization(source.spec, normalization, channels=parts[0][0].shape[1])
    size = source.spec.image_size or parts[0][0].shape[-1]

    def split(pixels: Tensor, labels: Tensor) -> Split:
        sized, labels = resized(pixels, size).to(source.device), labels.to(source.device)
        return Split(
            labels,
            lambda chosen: ArrayImages(sized, labels, chosen, normalize, white, shift, flip),
        )

    train, test = (split(*part) for part in parts)
    return Splits(
        classes=int(parts[0][1].max()) + 1,
        channels=parts[0][0].shape[1],
        image_size=size,
        train=train,
        test=test,
        identity=[content, size, normalize.mean, normalize.std],
    )


def _normalization(spec: DatasetSpec, default: str, channels: int) -> Normalization:
    name = spec.normalize or default
    found = NORMALIZATIONS[name]
    if len(found.mean) not in (1, channels):
        raise DataError(
            f"{spec.name}: normalize: {name} is for {len(found.mean)} channels, the images have "
            f"{channels}; leave it out, or say none"
        )
    return found


# --- folders of files -------------------------------------------------------------------------


def read_imagefolder(source: Source) -> Splits:
    """Any folder of `train/CLASS/*` and `test/CLASS/*` (or `val/`), at its own or a given size."""
    if not source.spec.root:
        raise DataError("imagefolder: give its root, a folder with train/ and test/ (or val/)")
    return _class_folders(source, source.folder(""), "it")


def read_imagenet(source: Source) -> Splits:
    """ImageNet-1k (Russakovsky et al. 2015) as class folders; its val split is the test split."""
    how = "ILSVRC2012 (register at image-net.org), each archive unpacked into its class folder,"
    return _class_folders(source, source.folder("imagenet"), how, size=224)


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
                [names[one] for one in names if in_train[one] == flag],
                [int(of_class[one]) - 1 for one in names if in_train[one] == flag],
            )
            for flag in ("1", "0")
        ]
    except OSError as error:
        raise DataError(how) from error
    except (ValueError, KeyError) as error:
        raise DataError(f"the index files do not agree ({error!r}); {how}") from error
    return _files(source, listings, classes=max(listings[0].labels) + 1, size=224)


def _class_folders(source: Source, root: Path, how: str, size: int | None = None) -> Splits:
    test = root / "test" if (root / "test").is_dir() else root / "val"
    train = root / "train"
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
    return _files(source, [_listing(each, classes) for each in (train, test)], len(classes), size)


def _class_names(folder: Path) -> list[str]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    if not names:
        raise DataError(f"{folder} has no class folders")
    return names


def _listing(folder: Path, classes: list[str]) -> Listing:
    names: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = sorted(
            (Path(where) / one).relative_to(folder).as_posix()
            for where, _, files in os.walk(folder / name)
            for one in files
            if Path(one).suffix.lower() in SUFFIXES
        )
        if not found:
            raise DataError(f"{folder / name} has no images")
        names += found
        labels += [label] * len(found)
    return Listing(folder, names, labels)


def _files(source: Source, listings: list[Listing], classes: int, size: int | None) -> Splits:
    """Splits of RGB files: decoded once if small, read batch by batch if not."""
    size = source.spec.image_size or size or native_size(listings[0].files[0]) or 224
    small = size <= IN_MEMORY
    normalize = _normalization(source.spec, "cifar" if small else "imagenet", channels=3)

    def split(listing: Listing) -> Split:
        labels = torch.tensor(listing.labels)
        if small:
            pixels = decoded(listing, size, source.cache).to(source.device)
            known = labels.to(source.device)
            return Split(labels, lambda chosen: ArrayImages(pixels, known, chosen, normalize))
        how = normalize, size, source.device, source.threads
        return Split(labels, lambda chosen: FileImages(listing.files, labels, chosen, *how))

    train, test = map(split, listings)
    content = [listing.identity() for listing in listings]
    identity = [content, size, normalize.mean, normalize.std]
    return Splits(classes, 3, size, train, test, identity)


@dataclass(frozen=True)
class Reader:
    """A dataset's line for `bench list` and the function that reads it."""

    about: str
    read: Callable[[Source], Splits]


DATASETS = {
    "digits": Reader("1797 digits 8x8, 10 classes; in scikit-learn, no download", read_digits),
    "cifar10": Reader("60,000 photos 32x32, 10 classes; --download can fetch it", read_cifar10),
    "cifar100": Reader("60,000 photos 32x32, 100 classes; --download can fetch it", read_cifar100),
    "imagefolder": Reader("any folder of train/CLASS/* and test/ or val/CLASS/*", read_imagefolder),
    "imagenet": Reader("ILSVRC2012 as class folders in imagenet/train and /val", read_imagenet),
    "cub200": Reader("200 bird species, from the folder CUB_200_2011", read_cub200),
}
