"""What a reader of a dataset is asked for, what it returns, and how its pixels are normalised."""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model
from torch import Tensor

from suites.faults import explained
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
        return image_shape(self.classes, self.channels, self.image_size)


def image_shape(classes: int, channels: int, image_size: int) -> dict[str, int]:
    """What a network of images is built for."""
    return {"classes": classes, "channels": channels, "image_size": image_size}


def options_of(spec: DatasetSpec, reader: Callable[..., Any]) -> dict[str, Any]:
    """The suite's options as a reader's parameters after the first understand them.

    Raises:
        DataError: an unknown option, one of another type, or one that is missing.
    """
    hints = get_type_hints(reader, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints.get(name, Any), ... if one.default is one.empty else one.default)
        for name, one in list(signature(reader).parameters.items())[1:]
    }
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
    model = create_model("Options", __config__=config, **fields)
    try:
        return dict(model.model_validate(spec.options))
    except ValidationError as error:
        raise DataError(f"datasets.{spec.name}.options: {explained(error, model)}") from error


def normalization(spec: DatasetSpec, default: str | Normalization, channels: int) -> Normalization:
    """The one that the suite names, or else the default.

    Raises:
        DataError: it is for images of another number of channels.
    """
    name = spec.normalize or default
    normalize = NORMALIZATIONS[name] if isinstance(name, str) else name
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
