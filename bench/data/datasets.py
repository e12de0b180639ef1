"""Datasets by name: train, validation and test images; the test split is never learned from."""

import hashlib
import json
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from suites.faults import no_such
from suites.problem import DatasetSpec
from suites.section import Chosen

from .. import seeds
from ..errors import DataError, at_fault
from ..tasks.known import find_task
from ..tasks.task import Task
from .given import as_splits
from .images import CPU, THREADS, Images
from .known import find, list_datasets, task_of
from .reader import Source, Splits, options_of


@dataclass(frozen=True)
class Dataset:
    """Samples with targets in three splits that share none; that for validation may have none."""

    name: str
    # What a network is built for, by the names that its constructor may ask for.
    shape: Mapping[str, int]
    train: Images
    validation: Images
    test: Images
    digest: str  # SHA-256 of what the samples are, how they are prepared, and of the split
    device: torch.device = CPU  # that batches are on
    # How a sample becomes an input, in JSON, for whoever feeds a network elsewhere.
    prepared: Mapping[str, Any] = field(default_factory=dict)
    # What networks are for there.
    task: Task = field(default_factory=lambda: find_task(Chosen(name="classification")))

    @property
    def classes(self) -> int:
        """How many classes an output has."""
        return self.shape[self.task.sizes[0]]

    def worked(self, **how: Any) -> Self:
        """The same samples, on which networks work otherwise: fields of `Images`."""
        parts = ("train", "validation", "test")
        return replace(self, **{name: replace(getattr(self, name), **how) for name in parts})

    def noise(self) -> Tensor:
        """Two inputs of noise, to trace and to verify with: no data is looked at."""
        return self.task.noise(self.shape, 2).to(self.device)


def load_dataset(
    spec: DatasetSpec, data_root: Path, cache: Path, download: bool = False, threads: int = THREADS
) -> Dataset:
    """A dataset by name, on the CPU, in the one split that is nobody's own.

    Decoded small images are kept under `cache`; large ones are decoded by `threads`.

    Raises DataError for an unknown name, missing or corrupt data, or impossible sizes.

    >>> data = load_dataset(DatasetSpec(name="digits"), Path("data"), Path("cache"))
    >>> data.classes, len(data.train), len(data.validation), len(data.test)
    (10, 1294, 144, 359)
    >>> images, labels = next(data.test.batches(32))
    >>> images.shape, labels.shape
    (torch.Size([32, 1, 8, 8]), torch.Size([32]))
    """
    source = Source(spec, Path(data_root), Path(cache), download, CPU, threads)
    return divide(source, read(source), {"dataset": spec.name})


def read(source: Source) -> Splits:
    """The images of a dataset as it is given; raises DataError as `load_dataset`."""
    if (known := find(source.spec.name)) is None:
        raise DataError(no_such("dataset", source.spec.name, list_datasets()))
    reader = known.registered or pkgutil.resolve_name(f"{__package__}.{known.where}")
    options = options_of(f"datasets.{source.spec.name}", source.spec.options, reader)
    if known.registered is None:
        splits: Splits = reader(source, **options)
        return splits
    try:
        given = reader(source.folder(""), **options)
    except Exception as error:  # a user's code
        said = at_fault(Path(known.origin), error)
        raise DataError(f"dataset {source.spec.name}: {said}") from error
    return as_splits(source, given)


def divide(source: Source, given: Splits, axes: Mapping[str, str | int]) -> Dataset:
    """Hold the share `spec.validation` of `train` out; other axes draw another share.

    What is divided, all of `train` or a seeded `spec.train_images` of it, does not depend on the
    axes, and nor does `test`.

    Raises DataError where more images are asked for than there are, or none is left to train on.
    """
    spec = source.spec
    pool = _subset(spec, "train", given.train, spec.train_images)
    order = torch.randperm(len(pool), generator=seeds.generator("validation-split", **axes))
    if given.by_position:
        order = torch.arange(len(pool)).flip(0)
    held_out = spec.held_out(len(pool))
    if held_out == len(pool):
        raise DataError(f"{spec.name}: {len(pool)} training samples leave none beside validation")
    chosen = {
        "train": pool[order[held_out:].sort().values],
        "validation": pool[order[:held_out].sort().values],
        "test": _subset(spec, "test", given.test, spec.test_images),
    }
    digest = hashlib.sha256(json.dumps(given.identity, sort_keys=True).encode())
    for name, positions in chosen.items():
        digest.update(f"{name} {len(positions)}".encode() + positions.numpy().tobytes())
    return Dataset(
        name=spec.title,
        shape=given.shape,
        train=replace(given.train, chosen=chosen["train"]),
        validation=replace(given.train, chosen=chosen["validation"]),
        test=replace(given.test, chosen=chosen["test"]),
        digest=digest.hexdigest(),
        device=source.device,
        prepared=given.prepared,
        task=task_of(spec),
    )


def _subset(spec: DatasetSpec, name: str, split: Images, count: int | None) -> Tensor:
    """Positions of all images of a split, or of a seeded `count` of them, in order."""
    there = len(split)
    if count is None:
        return torch.arange(there)
    if count > there:
        raise DataError(f"{spec.name}: {name}_images asks for {count}, there are {there}")
    order = torch.randperm(there, generator=seeds.generator(f"{name}-subset", dataset=spec.name))
    return order[:count].sort().values
