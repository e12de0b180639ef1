"""Trials as claims take them, one record each, and what one method has over another on a problem.

Whether settings are declared no label tells: `--set` leaves the suite's name as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import groupby, islice, product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from suites import Suite, library, load_suite, scales_of
from suites.overrides import PAPER
from suites.problem import problem_name

from ..formats import counted
from ..records import Labels, Record
from ..statistics import per_trial
from .claim_file import DENSE, Range

Missing = tuple[str, str, float]  # a trial that is not there: method, outcome, budget


class Differences(NamedTuple):
    """Method minus reference on one problem, in points of retained top-1."""

    bases: dict[str, float]  # by the hash of their weights
    budgets: tuple[float, ...]
    keys: frozenset[str]  # of the records that it is made from
    missing: list[Missing]

    def minus(self, other: Differences) -> Differences:
        """What is larger here than at other budgets, on the bases that both have."""
        return Differences(
            {one: self.bases[one] - other.bases[one] for one in self.bases if one in other.bases},
            self.budgets + other.budgets,
            self.keys | other.keys,
            self.missing + other.missing,
        )


def differences(rows: pd.DataFrame, method: str, reference: str, span: Range) -> Differences:
    """Of each base the area over the budgets at which both have all their repeats on all bases.

    `rows`: of `claim_trials`, of one problem and recovery. `reference`: a method, or `dense`.
    `span`: the budgets' range, shares kept.
    """
    inside = in_range(rows, span)
    ours, theirs = (inside[inside["method"] == one] for one in (method, reference))
    gap = base_means(ours) - (0 if reference == DENSE else base_means(theirs))
    gap = gap.dropna(axis=1, how="all").dropna()
    both = pd.concat([ours, theirs])
    lacking = list(missing(both, {method, reference} - {DENSE}))
    if gap.empty:
        return Differences({}, (), frozenset(), lacking)
    shares = None if "threshold" in set(both["cost"]) else gap.index
    values = per_trial(gap.to_numpy()[:, :, None], shares)[:, 0]
    used = both["budget"].isin(gap.index) & both["base"].isin(gap.columns)
    keys = frozenset(both.loc[used & (both["outcome"] == "done"), "key"])
    bases = dict(zip(map(str, gap), values.tolist(), strict=True))
    return Differences(bases, tuple(gap.index), keys, lacking)


def in_range(rows: pd.DataFrame, span: Range) -> pd.DataFrame:
    """Trials at budgets of a range."""
    return rows[rows["budget"].between(span[0] - 1e-9, span[1] + 1e-9)]


def base_means(rows: pd.DataFrame) -> pd.DataFrame:
    """[budgets, bases] mean over the repeats of one method; NaN where one of them is missing."""
    done = rows[rows["outcome"] == "done"]
    table = done.pivot(index="budget", columns=["base", "repeat"], values="retained_top1")
    means = {one: table[one].mean(axis=1, skipna=False) for one in done["base"].unique()}
    return pd.DataFrame(means, index=table.index)


def missing(rows: pd.DataFrame, methods: Iterable[str]) -> Iterator[Missing]:
    """Trials that methods lack on one problem, at bases and budgets that any of them has."""
    outcomes = rows.set_index(["method", "base", "budget", "repeat"])["outcome"].to_dict()
    for method in methods:
        repeats = set(rows.loc[rows["method"] == method, "repeat"]) or {0}
        for base, budget, repeat in product(set(rows["base"]), set(rows["budget"]), repeats):
            outcome = outcomes.get((method, base, budget, repeat), "not run")
            if outcome != "done":
                yield method, outcome, budget


def in_words(lacking: Iterable[Missing]) -> str:
    """What is not there: a trial that failed may have failed for being bad.

    >>> in_words([("a", "failed", 0.5), ("a", "failed", 0.25), ("b", "timed out", 0.5)])
    'a: 2 trials failed (budgets 0.25, 0.5); b: 1 trial timed out (budgets 0.5)'
    """
    said = []
    for (method, outcome), several in groupby(sorted(lacking), key=lambda one: one[:2]):
        budgets = [f"{budget:g}" for _, _, budget in several]
        at = ", ".join(dict.fromkeys(budgets))
        said.append(f"{method}: {counted(len(budgets), 'trial')} {outcome} (budgets {at})")
    return "; ".join(said)


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
        trial = one.labels.model_copy(update={"base": 0, "all_repeats": False}), base
        newest.pop(trial, None)  # the newer goes to the end
        newest[trial] = one
    recipes = {_place(one): _recipe(one) for one in newest.values()}  # the newest stands
    rows = [
        {**dict(one.labels), "problem": one.labels.problem, "key": one.key, "base": base,
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
    suite = suite_under(record.labels.suite)
    if suite is None:
        return True
    identity, dense = record.identity, _dense(record.identity)
    places = (one for one in suite.problems if problem_name(*one) == record.labels.problem)
    recoveries = (one for one in suite.recoveries if one.name == record.labels.recovery)
    for (dataset, model), recovery in product(islice(places, 1), islice(recoveries, 1)):
        known, base = suite.recipes_on(dataset, model), suite.base_recipe_of(model)
        after = suite.recipe_after(dataset, model, recovery.recipe, recovery.rewind)
        images = suite.calibration_of(model).keyed(suite.alteration_of(dataset, model))
        return (
            identity.get("calibration") in (None, images)
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


def scale_of(label: str, suite: str) -> str | None:
    """The scale at which a suite was run under this label, "paper" for its file as it stands; None
    where the label is of another suite."""
    scale = label.removeprefix(f"{suite}-")
    if scale == label or label in library():
        return PAPER if label == suite else None
    return scale if scale in (scales_of(suite) if suite in library() else ["reduced"]) else None


@cache
def suite_under(label: str) -> Suite | None:
    found = ((one, scale_of(label, one)) for one in library())
    name, scale = next((one for one in found if one[1]), ("", None))
    suite = load_suite(name, scale=None if scale == PAPER else scale) if name else None
    return suite if isinstance(suite, Suite) else None
