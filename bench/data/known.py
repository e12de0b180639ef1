"""The datasets that there are: what each is, how large, where it comes from, and who reads it.

Adding one here is a reader, a function of a `Source` that returns `Splits`, with options as
keyword-only parameters, and an entry in `known.yaml`; users register theirs. Modules are imported
when a dataset is read, so that plans and lists need no torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter

from criteria.catalog import Catalog, Registered, registering
from suites.files import read_yaml
from suites.problem import DatasetSpec
from suites.section import Chosen

from ..errors import DataError
from ..tasks.known import find_task
from ..tasks.task import Task

T = TypeVar("T")


@dataclass(frozen=True)
class Contents:
    """Images to train on and to test on, as they are given, and what they are images of."""

    train: int
    test: int
    classes: int
    channels: int
    image_size: int  # pixels a side, as given to a network where the suite does not say


@dataclass(frozen=True)
class KnownDataset:
    """All that is known of a dataset without a look at it."""

    about: str  # its line in `bench list`
    where: str  # the reader, `module:function` in this package
    origin: str  # where it comes from
    # That are fetched from there, where there is something to fetch.
    download_bytes: float | None = None
    contents: Contents | None = None  # None where every copy has its own
    task: str = "classification"  # what its targets are for, where a suite does not say
    registered: Callable[..., Any] | None = None  # a user's function, in place of a reader


DATASETS = TypeAdapter(dict[str, KnownDataset]).validate_python(
    read_yaml(Path(__file__).with_name("known.yaml"))
)
CATALOG: Catalog[Registered] = Catalog("dataset", (), DataError)  # of users


def register_dataset(name: str) -> Callable[[T], T]:
    """Decorator that makes a function known as a dataset of that name.

    It is called with the data root, a `Path`, and with the suite's `options` by name. It returns
    `{"train": ..., "test": ...}`, each either images and labels, as arrays [n, h, w] or
    [n, channels, h, w] (bytes; or floats, which are taken as they are) and [n]; or a sequence of
    `(image, label)`, whose images are paths, PIL images or arrays.

    Raises ValueError: a function of another file has the name.

    Example:
        >>> @register_dataset("stripes")
        ... def stripes(root: Path, width: int = 2):
        ...     '''Lying and standing stripes.'''
        ...     import numpy as np
        ...     lying = np.arange(64).reshape(8, 8) // 8 // width % 2 * 255
        ...     both = np.stack([lying, lying.T] * 20).astype(np.uint8), np.tile([0, 1], 20)
        ...     return {"train": both, "test": both}
        >>> find("stripes").about
        'Lying and standing stripes.'
    """
    return registering(CATALOG, name)


def find(name: str) -> KnownDataset | None:
    """What is known of the dataset of that name; `hf:NAME` is any of Hugging Face's."""
    CATALOG.load()
    if name in CATALOG.by_name:
        of = CATALOG.by_name[name]
        return KnownDataset(of.summary, "", str(of.file), registered=of.type)
    return DATASETS.get("hf:NAME" if name.startswith("hf:") else name)


def task_of(spec: DatasetSpec) -> Task:
    """What networks are for on a dataset: what the suite says, or what its targets decide."""
    known = find(spec.name)
    return find_task(spec.task or Chosen(name=known.task if known else "classification"))


def list_datasets() -> dict[str, str]:
    """One line about each dataset."""
    names = {**DATASETS, **{one.name: None for one in CATALOG.all()}}
    return {name: known.about for name in names if (known := find(name))}
