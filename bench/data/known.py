"""The datasets that there are: what each is, how large, where it comes from, and who reads it.

Adding one is a reader, a function of a `Source` that returns `Splits`, and an entry in
`known.yaml`. Modules are imported when a dataset is read, so that plans and lists need no torch.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from suites.files import read_yaml
from suites.problem import DatasetSpec, TaskSpec

from ..tasks.known import find_task
from ..tasks.task import Task

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
        where: the reader, `module:function` in this package.
        origin: where it comes from.
        download_bytes: that are fetched from there, where there is something to fetch.
        contents: None where every copy has its own.
        task: what its targets are for, where a suite does not say.
    """

    about: str
    where: str
    origin: str
    download_bytes: float | None = None
    contents: Contents | None = None
    task: str = "classification"

    def reader(self) -> Callable[[Source], Splits]:
        return pkgutil.resolve_name(f"{__package__}.{self.where}")


DATASETS = TypeAdapter(dict[str, KnownDataset]).validate_python(
    read_yaml(Path(__file__).with_name("known.yaml"))
)


def task_of(spec: DatasetSpec) -> Task:
    """What networks are for on a dataset: what the suite says, or what its targets decide.

    Raises:
        PlanError: no such task or option.
    """
    known = DATASETS.get(spec.name)
    return find_task(spec.task or TaskSpec(name=known.task if known else "classification"))


def list_datasets() -> dict[str, str]:
    """One line about each dataset."""
    return {name: known.about for name, known in DATASETS.items()}
