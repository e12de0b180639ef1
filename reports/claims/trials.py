"""Finished trials as claims take them: one record a trial, and whether its settings are declared.

Labels do not tell: `--set` changes epochs or images and leaves the suite's name as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

import pandas as pd

from suites import FidelitySuite, Suite, library, load_suite
from suites.problem import problem_name

from ..records import Record, frame


def claim_trials(records: Iterable[Record]) -> pd.DataFrame:
    """Finished trials as of `reports.records.frame`, with what claims need to know beside it.

    `base` is the hash of the base's weights; `declared` says whether the settings are those of the
    suite's file. Of two records of one trial the newer stands. Where one recovery of a suite stands
    for several recipes, the newest: methods that trained by different ones are not compared.
    """
    newest: dict[Any, Record] = {}  # by labels, with the base's weights in place of its number
    for record in sorted(records, key=lambda one: (str(one.provenance.get("ended", "")), one.key)):
        if record.measurements is None:
            continue
        base = record.provenance.get("base_sha256") or f"base {record.labels.base}"
        trial = record.labels.model_copy(update={"base": 0}), base
        newest.pop(trial, None)  # the newer goes to the end
        newest[trial] = record
    recipes: dict[Any, str] = {}
    for record in newest.values():  # oldest first
        recipes[_place(record)] = _recipe(record)
    alike = {trial: one for trial, one in newest.items() if recipes[_place(one)] == _recipe(one)}
    table = frame(alike.values())
    bases = {one.key: base for (_, base), one in alike.items()}
    declared = {one.key: as_declared(one) for one in alike.values()}
    return table.assign(base=table["key"].map(bases), declared=table["key"].map(declared))


def _place(record: Record) -> tuple[str, str, str]:
    return record.labels.suite, record.labels.problem, record.labels.recovery


def _recipe(record: Record) -> str:
    """How it was recovered, which a label does not tell: `--set` may have changed the recipe."""
    return json.dumps([record.identity.get(name) for name in ("recipe", "total_epochs")])


def as_declared(record: Record) -> bool:
    """Whether data, calibration and recipes are as in the suite's file.

    No for a problem that the file does not have; yes where the library has no such suite, whose
    records cannot be others than its file's.
    """
    suite = _suite(record.labels.suite)
    if suite is None:
        return True
    identity = record.identity
    for dataset, model in suite.problems:
        if problem_name(dataset, model) != record.labels.problem:
            continue
        known = suite.recipes_on(dataset, model)
        base = suite.base_recipe_of(model)
        recovery = next(
            (one for one in suite.recoveries if one.name == record.labels.recovery), None
        )
        after = recovery.recipe if recovery else None
        dense = _dense(identity)
        return recovery is not None and (
            identity.get("calibration") == suite.calibration_of(model).identity
            and identity.get("recipe") == (known[after].identity if after else None)
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
