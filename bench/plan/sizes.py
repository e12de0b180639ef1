"""How large datasets and networks are, without loading or building any: for plans."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import nn

from suites import Recipe
from suites.problem import DatasetSpec, ModelSpec

from ..data.datasets import SUFFIXES
from ..models import build_model
from ..pruning.cost import count_macs


@dataclass(frozen=True)
class Extent:
    """Images of each split, and their shape."""

    train: int
    validation: int
    test: int
    classes: int
    channels: int
    image_size: int

    def steps(self, recipe: Recipe) -> int:
        """Optimizer steps of a whole training."""
        return recipe.epochs * math.ceil(self.train / recipe.batch_size)


# Images to train on and to test on, classes, channels, pixels a side.
_KNOWN = {
    "digits": (1438, 359, 10, 1, 8),
    "cifar10": (50_000, 10_000, 10, 3, 32),
    "cifar100": (50_000, 10_000, 100, 3, 32),
    "imagenet": (1_281_167, 50_000, 1000, 3, 224),
    "cub200": (5994, 5794, 200, 3, 224),
}


def extent_of(spec: DatasetSpec, data_root: Path | None = None) -> Extent | None:
    """The size of a dataset, by its name; of a folder of images, by counting its files.

    None where that cannot be known: a folder that is not there, or images of a size of their own.
    """
    known = _KNOWN.get(spec.name)
    if known is None and data_root is not None and spec.root and spec.image_size:
        known = _counted(data_root / spec.root, spec.image_size)
    if known is None:
        return None
    pool, test, classes, channels, size = known
    pool, test = min(pool, spec.train_images or pool), min(test, spec.test_images or test)
    held_out = max(1, round(pool * spec.validation))
    size = spec.image_size or size
    return Extent(pool - held_out, held_out, test, classes, channels, size)


@cache
def _counted(root: Path, size: int) -> tuple[int, int, int, int, int] | None:
    """Images of train and of test, classes, channels and pixels a side of folders of photos."""
    test = root / "test" if (root / "test").is_dir() else root / "val"
    if not (root / "train").is_dir() or not test.is_dir():
        return None
    counts = [
        sum(one.suffix.lower() in SUFFIXES for one in folder.glob("*/*"))
        for folder in (root / "train", test)
    ]
    classes = sum(one.is_dir() for one in (root / "train").iterdir())
    return counts[0], counts[1], classes, 3, size


@dataclass(frozen=True)
class Size:
    """MACs of one image, and output channels of all convolutions and linear layers."""

    macs: int
    channels: int


def network_size(spec: ModelSpec, extent: Extent) -> Size:
    """The size of the dense network, built without memory for its weights.

    Raises:
        ModelError: no such model or option.
    """
    shape = (extent.classes, extent.channels, extent.image_size)
    return _size(spec.model_copy(update=_NO_WEIGHTS).model_dump_json(), *shape)


_NO_WEIGHTS = {"weights": None, "checkpoint": None, "sha256": None, "recipe": None}


@cache
def _size(spec: str, classes: int, channels: int, image_size: int) -> Size:
    with torch.device("meta"):
        model = build_model(
            ModelSpec.model_validate_json(spec),
            classes=classes,
            channels=channels,
            image_size=image_size,
            seed=0,
        )
        macs = count_macs(model, (torch.empty(1, channels, image_size, image_size),))
    layers = [one for one in model.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    return Size(macs, sum(len(one.weight) for one in layers))
