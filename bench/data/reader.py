"""What a reader of a dataset is asked for, what it returns, and how its pixels are normalised."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any, get_type_hints

import torch
from pydantic import ConfigDict, TypeAdapter, ValidationError, create_model

from suites.faults import explained
from suites.files import read_yaml
from suites.problem import DatasetSpec

from ..errors import BenchError, DataError, fault
from .images import Images, Normalization

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
class Splits:
    """What a reader returns: all samples of both splits."""

    # What a network is built for, by the names that its constructor may ask for.
    shape: dict[str, int]
    train: Images
    test: Images
    identity: object  # JSON that is equal for equal samples
    by_position: bool = False  # whether the end of `train` is held out, not a draw
    # How a sample becomes an input, in JSON, for whoever feeds a network elsewhere.
    prepared: Mapping[str, Any] = field(default_factory=dict)


def image_shape(classes: int, channels: int, image_size: int) -> dict[str, int]:
    """What a network of images is built for."""
    return {"classes": classes, "channels": channels, "image_size": image_size}


def options_of(
    where: str,
    options: Mapping[str, Any],
    function: Callable[..., Any],
    taken: Collection[str] = (),
    *,
    strict: bool = False,
    wrong: type[BenchError] = DataError,
) -> dict[str, Any]:
    """The suite's options as a function's parameters understand them.

    Not among these are the first and what is `taken`; `strict` converts nothing.

    Raises `wrong` for an unknown option, one of another type, and one that is missing.
    """
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {
        name: (hints.get(name, Any), ... if one.default is one.empty else one.default)
        for name, one in list(signature(function).parameters.items())[1:]
        if name not in taken
    }
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, strict=strict)
    model = create_model("Options", __config__=config, **fields)
    try:
        return dict(model.model_validate(options))
    except ValidationError as error:
        raise wrong(f"{where}.options: {explained(error, model)}") from error


def normalization(spec: DatasetSpec, default: str | Normalization, channels: int) -> Normalization:
    """The one that the suite names, or else the default; DataError if it is for other channels."""
    name = spec.normalize or default
    normalize = NORMALIZATIONS[name] if isinstance(name, str) else name
    if len(normalize.mean) not in (1, channels):
        its = {"normalize": name, "its": len(normalize.mean), "channels": channels}
        raise DataError(fault("other_channels", name=spec.name, **its))
    return normalize


def preparation(
    normalize: Normalization,
    size: int,
    resized: str,
    classes: Sequence[str] = (),
    white: float = 255,
) -> dict[str, Any]:
    """How an image becomes an input, for whoever feeds a network elsewhere."""
    named = {"classes": list(classes)} if classes else {}
    pixels = {"image_size": size, "resized": resized, "divided_by": white}
    return {**pixels, **asdict(normalize), **named}


def refuse_keys(spec: DatasetSpec, *keys: str) -> None:
    """Raises DataError for keys of a suite that mean nothing for a dataset.

    Such as crops of images that are held in memory: those are shifted.
    """
    for key in keys:
        if key in spec.model_fields_set:
            raise DataError(f"{spec.name}: {key} means nothing for it; leave it out")
