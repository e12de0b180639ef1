"""What one method has over another on a problem: a number a base, and the trials it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, product

import pandas as pd

from ..formats import counted
from ..statistics import per_trial
from .claim_file import DENSE, Range

Missing = tuple[str, str, float]  # a trial that is not there: method, outcome, budget


@dataclass(frozen=True)
class Differences:
    """Method minus reference on one problem, in points of retained top-1."""

    bases: dict[str, float]  # by the hash of their weights
    budgets: int
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

    Args:
        rows: of `trials.claim_trials`, of one problem and recovery.
        method, reference: names; the reference may be `dense`.
        span: the budgets' range, shares kept.
    """
    inside = in_range(rows, span)
    ours, theirs = (inside[inside["method"] == one] for one in (method, reference))
    gap = base_means(ours) - (0 if reference == DENSE else base_means(theirs))
    gap = gap.dropna(axis=1, how="all").dropna()
    both = pd.concat([ours, theirs])
    lacking = list(missing(both, {method, reference} - {DENSE}))
    if gap.empty:
        return Differences({}, 0, frozenset(), lacking)
    shares = None if "threshold" in set(both["cost"]) else gap.index
    values = per_trial(gap.to_numpy()[:, :, None], shares)[:, 0]
    used = both["budget"].isin(gap.index) & both["base"].isin(gap.columns)
    keys = frozenset(both.loc[used & (both["outcome"] == "done"), "key"])
    return Differences(
        dict(zip(map(str, gap), values.tolist(), strict=True)), len(gap), keys, lacking
    )


def in_range(rows: pd.DataFrame, span: Range) -> pd.DataFrame:
    """Trials at budgets of a range."""
    return rows[rows["budget"].between(span[0] - 1e-9, span[1] + 1e-9)]


def base_means(rows: pd.DataFrame) -> pd.DataFrame:
    """[budgets, bases] mean over the repeats of one method; NaN where one of them is missing."""
    done = rows[rows["outcome"] == "done"]
    table = done.pivot(index="budget", columns=["base", "repeat"], values="retained_top1")
    bases = dict.fromkeys(done["base"])
    means = {one: table[one].mean(axis=1, skipna=False) for one in bases}
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
