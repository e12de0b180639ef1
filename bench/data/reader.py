"""What a reader of a dataset is asked for, what it returns, and how its pixels are normalised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from suites.problem import DatasetSpec

from ..errors import DataError
from .images import IN_MEMORY, Images, Normalization

NORMALIZATIONS = {  # docs/suites.md says whose
    "cifar": Normalization((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar-short": Normalization((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)),
    # CIFAR-10 with the mean over images of each image's own deviation.
    "cifar-classic": Normalization((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": Normalization((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    # Of wide residual networks, in 255ths.
    "cifar-wide": Normalization(
        (125.3 / 255, 123.0 / 255, 113.9 / 255), (63.0 / 255, 62.1 / 255, 66.7 / 255)
    ),
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "digits": Normalization((0.3055,), (0.3761,)),  # over all but the test split
    "mnist5k": Normalization((0.1307,), (0.3081,)),  # as usual, over MNIST's training images
    "half": Normalization((0.5,), (0.5,)),  # timm's vision transformers
    "none": Normalization((0.0,), (1.0,)),
}


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


def normalization(spec: DatasetSpec, default: str, channels: int) -> Normalization:
    """The one that the suite names, or else the default.

    Raises:
        DataError: it is for images of another number of channels.
    """
    name = spec.normalize or default
    normalize = NORMALIZATIONS[name]
    if len(normalize.mean) not in (1, channels):
        raise DataError(
            f"{spec.name}: normalize: {name} is for {len(normalize.mean)} channels, the images "
            f"have {channels}; leave it out, or say none"
        )
    return normalize


def refuse_crops(spec: DatasetSpec) -> None:
    """Small images are shifted and not cropped: raises DataError where crops are asked for."""
    if spec.crops != "resized":
        raise DataError(
            f"{spec.name}: crops: {spec.crops} is for images of more than {IN_MEMORY} pixels a "
            "side; smaller ones are shifted, so leave it out"
        )
