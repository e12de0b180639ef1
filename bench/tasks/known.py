"""Tasks by name: ours, and those that users register."""

from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

from criteria.catalog import Catalog, Registered, registering
from criteria.errors import CriteriaError
from suites.section import Chosen

from ..errors import PlanError
from .task import Task

TASKS: Catalog[Registered] = Catalog("task", (), PlanError)
T = TypeVar("T", bound=type[Task])


def register_task(name: str) -> Callable[[T], T]:
    """Make a subclass of `bench.Task` known by its name, for `task: NAME` of a dataset.

    Raises ValueError: a task of another file has the name.

    >>> @register_task("sentiment")
    ... class Sentiment(Task):
    ...     "One class a text."
    >>> find_task(Chosen(name="sentiment")).name
    'sentiment'
    """
    return registering(TASKS, name)


def find_task(spec: Chosen) -> Task:
    """A task with its options; raises PlanError where there is no such task or option."""
    for ours in ("classification", "language_model", "segmentation"):
        import_module(f"{__package__}.{ours}")
    kind: Any = TASKS.find(spec.name).type
    try:
        return kind(spec.name, TASKS.options(spec.name, spec.options))
    except CriteriaError as error:
        raise PlanError(f"task: {error}") from error
