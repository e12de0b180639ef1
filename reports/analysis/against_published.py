"""Ours and the published: the same method at the same cost, and whether the two differ."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from suites.schema import Suite

from ..statistics import Floats
from .published import Metric, Published, published_for

MEASURED: tuple[Metric, ...] = ("top1", "top5", "train_top1", "loss")  # columns of our trials
_COSTS = ("macs", "channels", "params")  # the first that the published row gives is the axis
EDGE = 0.01  # share of the dense cost, as of budgets: so near, an end of ours still counts
FRAME = [
    *("problem", "recovery", "method", "method_in_paper", "setting", "metric", "cost"),
    *("kept_percent", "published", "published_spread", "published_drop", "ours", "ours_spread"),
    *("n_trials", "ours_drop", "ours_drop_spread", "difference", "combined_spread", "verdict"),
    *("drop_difference", "drop_combined_spread", "drop_verdict", "source", "mark", "note"),
]  # fmt: skip
DIFFER, AGREE, UNKNOWN, BEYOND = "differ", "agree", "spread unknown", "beyond our range"


def matching(suite: Suite, problems: Sequence[str]) -> Iterator[tuple[Published, str]]:
    """Published rows of the suite's own problems and methods, each with a recovery of the suite.

    A recovery at equal compute is no paper's, so a row meets it by its whole name only.
    """
    names = set(suite.method_names)
    for row in published_for(suite.suite):
        if row.problem in problems and row.method in names:
            for recovery in suite.recoveries:
                kind = recovery.kind if recovery.total_epochs is None else recovery.name
                if row.recovery in (recovery.name, kind):
                    yield row, recovery.name


def ours_and_published(suite: Suite, problems: Sequence[str], trials: pd.DataFrame) -> pd.DataFrame:
    """A row for each published number whose method has finished trials on that problem.

    Columns: `FRAME`. `cost` is the axis of `kept_percent`; accuracies in percent, differences in
    points (of a loss: nats), ours minus published; a drop is dense minus pruned. `verdict` and
    `drop_verdict` are `differ`, `agree`, `spread unknown`, `beyond our range`, or empty where the
    paper does not print the number.
    """
    places = ["problem", "recovery", "method"]
    ours = dict(iter(trials.groupby(places))) if len(trials) else {}
    rows = [
        _row(row, recovery, ours[row.problem, recovery, row.method])
        for row, recovery in matching(suite, problems)
        if row.metric in MEASURED and (row.problem, recovery, row.method) in ours
    ]
    return pd.DataFrame(rows, columns=FRAME)


def _row(row: Published, recovery: str, trials: pd.DataFrame) -> dict[str, Any]:
    cost = next((one for one in _COSTS if row.kept(one) is not None), "")
    kept = row.kept(cost)
    compared: dict[str, Any] = {name: getattr(row, name) for name in FRAME if hasattr(row, name)}
    compared |= {"recovery": recovery, "cost": cost, "published": row.value}
    compared |= {"published_spread": row.spread, "published_drop": row.drop}
    compared["kept_percent"] = 100 * kept if kept is not None else None
    curve = _curve(trials, cost, row.metric)
    if kept is None or curve.empty:
        why = "no cost is printed" if kept is None else "ours has not been measured"
        return compared | _held(row.value, None, row.spread, None) | {"note": why}
    drops = row.metric == "top1" and row.drop is not None  # ours is of top-1 alone
    low, high = curve["kept"].min(), curve["kept"].max()
    if not low - EDGE <= kept <= high + EDGE:
        note = f"ours keeps {100 * low:.1f} to {100 * high:.1f} %"
        beyond = {"verdict": BEYOND if row.value is not None else ""}
        return compared | beyond | {"drop_verdict": BEYOND if drops else "", "note": note}
    ours = {name: _at(curve, name, kept) for name in curve.columns.drop("kept")}
    compared |= {"ours": ours["value"], "ours_spread": ours["spread"]}
    compared["n_trials"] = int(ours["n"] or 0)
    compared |= _held(row.value, ours["value"], row.spread, ours["spread"])
    if drops:
        drop = None if ours["retained"] is None else -ours["retained"]
        held = _held(row.drop, drop, row.spread, ours["retained_spread"])
        compared |= {"ours_drop": drop, "ours_drop_spread": ours["retained_spread"]}
        compared |= {f"drop_{name}": value for name, value in held.items()}
    lacking = ["the paper prints no spread"] if row.spread is None else []
    lacking += ["ours is one trial"] if ours["spread"] is None else []
    return compared | {"note": ", and ".join(lacking)}


def _held(
    theirs: float | None, ours: float | None, their_spread: float | None, our_spread: float | None
) -> dict[str, Any]:
    """`difference`, `combined_spread` and `verdict` of one pair of numbers."""
    if theirs is None or ours is None:
        return {"difference": None, "combined_spread": None, "verdict": ""}
    known = [one for one in (their_spread, our_spread) if one is not None]
    combined = math.hypot(*known) if known else None
    told = combined is not None and (DIFFER if abs(ours - theirs) > combined else AGREE)
    return {"difference": ours - theirs, "combined_spread": combined, "verdict": told or UNKNOWN}


def _curve(trials: pd.DataFrame, cost: str, metric: Metric) -> pd.DataFrame:
    """Ours by budget, least kept first: mean cost, mean and spread over trials, their number."""
    measured = trials.assign(
        kept=trials[f"{cost}_ratio"].astype(float) if cost else np.nan,
        value=trials[metric].astype(float),
    ).dropna(subset=["kept", "value"])
    by_budget = measured.groupby("budget").agg(
        kept=("kept", "mean"),
        value=("value", "mean"),
        spread=("value", "std"),
        retained=("retained_top1", "mean"),
        retained_spread=("retained_top1", "std"),
        n=("kept", "size"),
    )
    return by_budget.sort_values("kept", ignore_index=True)


def _at(curve: pd.DataFrame, name: str, kept: float) -> float | None:
    """Linear over log cost; the number of trials is that of the poorer neighbour."""
    cost: Floats = curve["kept"].to_numpy(dtype=float)
    values: Floats = curve[name].to_numpy(dtype=float)
    right = int(np.clip(np.searchsorted(cost, kept), 0, len(cost) - 1))
    left = max(right - 1, 0) if cost[right] > kept else right
    if name == "n":
        return float(values[[left, right]].min())
    found = float(np.interp(np.log(kept), np.log(cost), values))
    return None if math.isnan(found) else found
