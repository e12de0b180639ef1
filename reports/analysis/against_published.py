"""Ours and the published: the same method at the same cost, and whether the two differ."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from suites.schema import Suite

from ..formats import Cell, Column, Table, number, signed, whole
from ..statistics import Floats
from .published import Metric, Published, published_for

MEASURED: tuple[Metric, ...] = ("top1", "top5", "train_top1", "loss")  # columns of our trials
_COSTS = ("macs", "channels", "params")  # the first that the published row gives is the axis
EDGE = 0.01  # share of the dense cost, as of budgets: so near, an end of ours still counts
RULE = (
    "They differ where the distance is larger than the square root of the sum of the squared "
    "standard deviations: theirs over runs as printed, ours over bases and repeats. Where the "
    "paper prints none, ours stands alone; where neither is known, nothing is said. Between two of "
    "our budgets ours is interpolated over log cost, beyond them it is not. Bases differ, so the "
    "drop from the dense network is held against the published drop too"
)
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
    names = ("problem", "method", "method_in_paper", "setting", "metric", "source", "mark")
    compared: dict[str, Any] = {name: getattr(row, name) for name in names}
    compared |= {"recovery": recovery, "cost": cost, "published": row.value}
    compared |= {"published_spread": row.spread, "published_drop": row.drop}
    compared["kept_percent"] = 100 * kept if kept is not None else None
    curve = _curve(trials, cost, row.metric)
    if kept is None or curve.empty:
        why = "no cost is printed" if kept is None else "ours has not been measured"
        return compared | _held(row.value, None, row.spread, None) | {"note": why}
    low, high = curve["kept"].min(), curve["kept"].max()
    if not low - EDGE <= kept <= high + EDGE:
        note = f"ours keeps {100 * low:.1f} to {100 * high:.1f} %"
        beyond = {"verdict": BEYOND if row.value is not None else ""}
        return compared | beyond | {"drop_verdict": BEYOND if _drops(row) else "", "note": note}
    ours = {name: _at(curve, name, kept) for name in curve.columns.drop("kept")}
    compared |= {"ours": ours["value"], "ours_spread": ours["spread"]}
    compared["n_trials"] = int(ours["n"] or 0)
    compared |= _held(row.value, ours["value"], row.spread, ours["spread"])
    if _drops(row):
        drop = None if ours["retained"] is None else -ours["retained"]
        held = _held(row.drop, drop, row.spread, ours["retained_spread"])
        compared |= {"ours_drop": drop, "ours_drop_spread": ours["retained_spread"]}
        compared |= {f"drop_{name}": value for name, value in held.items()}
    return compared | {"note": _note(row.spread, ours["spread"])}


def _drops(row: Published) -> bool:
    """Whether the drop can be held against ours, which is of top-1 alone."""
    return row.metric == "top1" and row.drop is not None


def _held(
    theirs: float | None, ours: float | None, their_spread: float | None, our_spread: float | None
) -> dict[str, Any]:
    """`difference`, `combined_spread` and `verdict` of one pair of numbers; see `RULE`."""
    if theirs is None or ours is None:
        return {"difference": None, "combined_spread": None, "verdict": ""}
    known = [one for one in (their_spread, our_spread) if one is not None]
    combined = math.hypot(*known) if known else None
    verdict = UNKNOWN
    if combined is not None:
        verdict = DIFFER if abs(ours - theirs) > combined else AGREE
    return {"difference": ours - theirs, "combined_spread": combined, "verdict": verdict}


def _note(theirs: float | None, ours: float | None) -> str:
    if theirs is None:
        return "the paper prints no spread" + (", and ours is one trial" if ours is None else "")
    return "ours is one trial" if ours is None else ""


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


def summary(table: pd.DataFrame) -> str:
    """One sentence; empty where there is nothing to compare."""
    counts = Counter(table["verdict"]) + Counter(table["drop_verdict"])
    told = counts[DIFFER] + counts[AGREE]
    if not told:
        return ""
    sentence = (
        f"Of {told} published numbers (top-1 and drops) at costs that ours reach, {counts[DIFFER]} "
        "differ from ours by more than the combined spread"
    )
    marked = int((table["mark"] != "").sum())
    return sentence + (
        f"; {marked} published rows bear a mark that says what is doubtful." if marked else "."
    )


def published_table(table: pd.DataFrame) -> Table:
    """The table of the page: numbers that differ first, what ours do not reach last."""
    columns = [
        *(Column(name) for name in ("problem", "recovery", "method", "in the paper", "what")),
        *(Column(name, numeric=True) for name in ("kept (%)", "published", "ours", "trials")),
        *(Column("ours − published", numeric=True), Column("spread", numeric=True), Column("")),
        *(Column("of the drop", numeric=True), Column("spread", numeric=True), Column("")),
        *(Column("source"), Column("to note")),
    ]
    order = {DIFFER: 0, AGREE: 1, UNKNOWN: 2, BEYOND: 3, "": 4}
    rows = sorted(
        table.astype(object).where(table.notna(), None).to_dict("records"),
        key=lambda one: min(order[one["verdict"] or ""], order[one["drop_verdict"] or ""]),
    )
    caption = (
        f"Published numbers beside ours. {summary(table)} {RULE}. All columns: tables/published.csv"
    )
    return Table("published", "Ours and the published", caption, columns, [*map(_cells, rows)])


def _cells(row: dict[Any, Any]) -> list[Cell]:
    what = f"{row['metric']} by {row['cost']}" if row["cost"] else row["metric"]
    paper = row["method_in_paper"] + (f" ({row['setting']})" if row["setting"] else "")
    return [
        *map(Cell, (row["problem"], row["recovery"], row["method"], paper, what)),
        number(row["kept_percent"]),
        *(number(row[name], 4) for name in ("published", "ours")),
        whole(None if row["n_trials"] is None else int(row["n_trials"])),
        *(signed(row["difference"]), number(row["combined_spread"]), Cell(row["verdict"] or "–")),
        *(signed(row["drop_difference"]), number(row["drop_combined_spread"])),
        Cell(row["drop_verdict"] or "–"),
        Cell(row["source"]),
        Cell("; ".join(filter(None, [row["mark"], row["note"]]))),
    ]
