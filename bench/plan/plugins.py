"""Users' own criteria: loading their files, and what is wrong with names that nobody bears."""

from collections.abc import Iterable
from pathlib import Path

from criteria import CriteriaError, load_plugin, registry

from ..errors import Interrupted, PlanError, at_fault


def load_plugins(paths: Iterable[Path]) -> None:
    """Make the criteria in users' files known.

    Raises:
        PlanError: a file that does not run; with the line at fault.
        CriteriaError: there is no such file, or it registers nothing.
    """
    for path in paths:
        try:
            load_plugin(path)
        except (CriteriaError, Interrupted):
            raise
        except BaseException as error:  # a user's code, which may even exit
            raise PlanError(f"plugin {at_fault(path, error)}") from error


def unknown_criteria(names: Iterable[str]) -> list[str]:
    """What is wrong with the names that no criterion bears, in words."""
    faults = []
    for name in dict.fromkeys(names):
        try:
            registry.find(name)
        except CriteriaError as error:
            faults.append(str(error))
    return faults
