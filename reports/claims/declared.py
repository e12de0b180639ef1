"""Whether a record's settings are those of the library's suite whose name it bears.

Labels do not tell: `--set` changes epochs or images and leaves the suite's name as it is.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from suites import FidelitySuite, Suite, library, load_suite
from suites.problem import problem_name

from ..records import Record


def as_declared(record: Record) -> bool:
    """Whether data, calibration and recipes are as in the suite's file.

    No for a problem that the file does not have; yes where the library has no such suite, whose
    records cannot be others than its file's.
    """
    suite = _suite(record.labels.suite)
    if suite is None:
        return True
    asked = record.identity
    for dataset, model in suite.problems:
        if problem_name(dataset, model) != record.labels.problem:
            continue
        known = suite.recipes_on(dataset, model)
        base = suite.base_recipe_of(model)
        recovery = [one for one in suite.recoveries if one.name == record.labels.recovery]
        after = recovery[0].recipe if recovery else None
        dense = _dense(asked)
        return bool(recovery) and (
            asked.get("calibration") == suite.calibration_of(model).identity
            and asked.get("recipe") == (known[after].identity if after else None)
            and dense.get("recipe") == (known[base].identity if base else None)
            and dense.get("dataset") == dataset.identity
        )
    return False


def _dense(identity: dict[str, Any]) -> dict[str, Any]:
    """The base's, under the preparations that may lie over it; empty where it is unknown."""
    base = identity.get("base")
    while isinstance(base, dict) and "dataset" not in base:
        base = base.get("base")
    return base if isinstance(base, dict) else {}


@cache
def _suite(label: str) -> Suite | None:
    name = label.removesuffix("-reduced")
    if name not in library():
        return None
    suite = load_suite(name, scale="reduced" if label != name else None)
    return None if isinstance(suite, FidelitySuite) else suite
