"""Trials as claims take them: one record a trial, and whether its settings are declared.

Labels do not tell: `--set` changes epochs or images and leaves the suite's name as it is.
"""

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from suites import FidelitySuite, Suite, library, load_suite
from suites.problem import problem_name

from ..records import Labels, Record


def claim_trials(records: Iterable[Record]) -> pd.DataFrame:
    """Trials of comparisons, one row each, sorted by their labels.

    Columns: the labels, `problem`, `key`, `outcome`, `retained_top1` (points; NaN unless done),
    `base` (the hash of its weights) and `declared` (whether the settings are those of the suite's
    file). Of two records of one trial a finished one stands, and of those the newer. Where one
    recovery of a suite stands for several recipes, the newest: methods that trained by different
    ones are not compared.
    """
    compared = [one for one in records if one.fidelity is None]
    compared.sort(key=lambda one: (one.status == "done", str(one.provenance.get("ended")), one.key))
    weights = {_base(one): one.provenance.get("base_sha256") for one in compared}
    newest: dict[Any, Record] = {}  # by labels, with the base's weights in place of its number
    for one in compared:
        # What did not finish bears no hash: that of its base's other trials.
        base = one.provenance.get("base_sha256") or weights[_base(one)] or f"base {one.labels.base}"
        trial = one.labels.model_copy(update={"base": 0}), base
        newest.pop(trial, None)  # the newer goes to the end
        newest[trial] = one
    recipes = {_place(one): _recipe(one) for one in newest.values()}  # the newest stands
    rows = [
        {**one.labels.model_dump(), "problem": one.labels.problem, "key": one.key, "base": base,
         "outcome": one.outcome, "declared": as_declared(one), "retained_top1":
         100 * (found.pruned.top1 - found.dense.top1) if (found := one.measurements) else np.nan}
        for (_, base), one in newest.items() if recipes[_place(one)] == _recipe(one)
    ]  # fmt: skip
    order = [*Labels.model_fields, "key"]
    return pd.DataFrame(rows).sort_values(order, ignore_index=True) if rows else pd.DataFrame()


def _base(record: Record) -> tuple[str, str, int]:
    return record.labels.suite, record.labels.problem, record.labels.base


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
        dense = _dense(identity)
        if recovery is None:
            return False
        after = suite.recipe_after(dataset, model, recovery.recipe, recovery.rewind)
        return (
            identity.get("calibration")
            == suite.calibration_of(model).keyed(suite.alteration_of(dataset, model))
            and identity.get("recipe") == (after and after.identity)
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
