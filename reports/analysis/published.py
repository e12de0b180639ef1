"""Published results, one CSV a paper in `published/`, each row with its source, doubts as marks;
and ours beside them: the same method at the same cost, and whether the two differ.
"""

import csv
import math
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from suites.faults import explained
from suites.files import SuiteError
from suites.schema import Suite

FOLDER = Path(__file__).parents[1] / "published"
DENSE = "dense"  # the file of unpruned networks, whose models are named as the registry does
Metric = Literal["top1", "top5", "train_top1", "loss", "map"]
Share = Annotated[float, Field(gt=0, le=1)]

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


class Published(BaseModel):
    """One published number; empty cells are None or empty.

    Percent for `top1`, `top5`, `train_top1` and `map` (mAP 50-95), nats for `loss`; `drop` is
    dense minus value, in the same unit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    suites: tuple[str, ...] = ()  # of our library; none where no suite repeats the row
    dataset: str
    model: str
    method: str = ""  # of these suites; empty where it holds no such method
    method_in_paper: str
    setting: str = ""  # what else tells rows of the paper apart
    recovery: str  # `none`, `bn` or `finetune`, or the whole name of a recovery of the suite
    speedup: Annotated[float, Field(ge=1)] | None = None
    macs_kept: Share | None = None
    params_kept: Share | None = None
    channels_kept: Share | None = None
    metric: Metric
    value: Annotated[float, Field(ge=0)] | None = None
    dense: Annotated[float, Field(ge=0)] | None = None
    drop: float | None = None
    spread: Annotated[float, Field(ge=0)] | None = None  # standard deviation over runs, as printed
    runs: Annotated[int, Field(ge=1)] | None = None
    source: str = Field(min_length=1)
    mark: str = ""  # why the row is doubtful

    @field_validator("suites", mode="before")
    @classmethod
    def _names(cls, given: Any) -> Any:
        return tuple(given.split()) if isinstance(given, str) else given

    def kept(self, cost: str) -> float | None:
        """Share kept of `macs` (from the speed-up, where that is printed), `params`, `channels`."""
        if cost == "macs" and self.speedup is not None:
            return 1 / self.speedup
        return getattr(self, f"{cost}_kept", None)

    @property
    def problem(self) -> str:
        return f"{self.model} on {self.dataset}"


def read_published(path: Path) -> list[Published]:
    """All rows of one file. Raises SuiteError where a column is missing or unknown, or a cell holds
    what it may not."""
    with path.open(encoding="utf-8", newline="") as file:
        lines = csv.DictReader(file, restkey="", strict=True)
        return [_row(one, f"{path}, line {lines.line_num}") for one in lines]


def _row(cells: dict[str, str], place: str) -> Published:
    if "" in cells or None in cells.values():
        raise SuiteError(f"{place}: as many cells as columns are needed")
    try:
        return Published.model_validate({name: cell for name, cell in cells.items() if cell})
    except ValidationError as error:
        raise SuiteError(f"{place}: {explained(error, Published)}") from None


@cache
def published() -> tuple[Published, ...]:
    """Rows of all papers; those of dense networks are `published_dense`."""
    files = sorted(path for path in FOLDER.glob("*.csv") if path.stem != DENSE)
    return tuple(row for path in files for row in read_published(path))


@cache
def published_dense() -> dict[tuple[str, str], Published]:
    """(dataset, model, as the registries name them) -> the unpruned network's top-1."""
    return {(row.dataset, row.model): row for row in read_published(FOLDER / f"{DENSE}.csv")}


def matching(suite: Suite, problems: Sequence[str]) -> Iterator[tuple[Published, str]]:
    """Published rows of the suite's own problems and methods, each with a recovery of the suite.

    They are of the suite at whichever scale: NAME, or NAME-reduced. A recovery at equal compute is
    no paper's, so a row meets it by its whole name only.
    """
    name, names = suite.suite.removesuffix("-reduced"), set(suite.method_names)
    for row in published():
        if name in row.suites and row.problem in problems and row.method in names:
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
        _compared(row, recovery, ours[row.problem, recovery, row.method])
        for row, recovery in matching(suite, problems)
        if row.metric in MEASURED and (row.problem, recovery, row.method) in ours
    ]
    return pd.DataFrame(rows, columns=FRAME)


def _compared(row: Published, recovery: str, trials: pd.DataFrame) -> dict[str, Any]:
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
    ours = {name: _at(curve, name, kept) for name in curve.columns.drop(["kept", "n"])}
    compared |= {"ours": ours["value"], "ours_spread": ours["spread"]}
    below, above = curve["kept"] <= kept, curve["kept"] >= kept
    beside = [*curve["n"][below].tail(1), *curve["n"][above].head(1)]
    compared["n_trials"] = int(min(beside))  # of the poorer neighbour
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
    """Linear over log cost."""
    found = float(np.interp(np.log(kept), np.log(curve["kept"]), curve[name]))
    return None if math.isnan(found) else found
