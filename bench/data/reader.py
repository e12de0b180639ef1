"""What a reader of a dataset is asked for, what it returns, and how its pixels are normalised."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from pydantic import TypeAdapter
from torch import Tensor

from suites.files import read_yaml
from suites.problem import DatasetSpec

from ..errors import DataError
from .images import IN_MEMORY, Images, Normalization

NORMALIZATIONS = TypeAdapter(dict[str, Normalization]).validate_python(
    read_yaml(Path(__file__).with_name("normalizations.yaml"))
)


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
    by_position: ClassVar[bool] = False  # whether the end of `train` is held out, not a draw

    @property
    def shape(self) -> dict[str, int]:
        """What a network is built for, by the names that its constructor may ask for."""
        names = ("classes", "channels", "image_size")
        return {name: getattr(self, name) for name in names}


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


def refuse_keys(spec: DatasetSpec, *keys: str) -> None:
    """Raises DataError for keys of a suite that mean nothing for a dataset."""
    for key in keys:
        if key in spec.model_fields_set:
            raise DataError(f"{spec.name}: {key} means nothing for it; leave it out")


def refuse_crops(spec: DatasetSpec) -> None:
    """Small images are shifted and not cropped: raises DataError where crops are asked for."""
    if spec.crops != "resized":
        raise DataError(
            f"{spec.name}: crops: {spec.crops} is for images of more than {IN_MEMORY} pixels a "
            "side; smaller ones are shifted, so leave it out"
        )
