"""The cells of a report, from the frame of finished trials, and the scores that tests rest on.

A cell is (problem, recovery, method, budget); it is complete when every trial that the plan expects
of it is done. Nothing is averaged over an incomplete cell.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd

from suites.schema import Suite

from .. import statistics
from ..formats import counted
from ..metric import spoken
from ..records import Labels, Outcome, Record, budget_words, frame, others
from .comparisons import Averaged, Comparison, comparisons, planned

CELL = ["problem", "recovery", "method", "budget"]
_LABELS = ("dataset", "model", "cost", "matched_to")  # that all trials of a cell share
LOST = ("failed", "timed_out", "infeasible")  # columns of trials without a result


@dataclass(frozen=True)
class Scores:
    """What all tests of a suite rest on."""

    suite: Suite
    family: list[Comparison]  # all that its plan compares
    trials: pd.DataFrame  # of `records.frame`
    cells: pd.DataFrame  # of `cells`
    averaged: Averaged  # of `by_trial`
    by_base: Averaged  # [bases] means over repeats of it
    by_look: Averaged  # with what was whole at a look, too, of methods that failed later

    @property
    def problems(self) -> list[str]:
        """Models on datasets, in the order of the plan."""
        return self.cells["problem"].unique().tolist()


def scores(
    suite: Suite,
    records: Sequence[Record],
    expected: Sequence[Labels],
    declared: Sequence[Comparison] | None = None,
) -> Scores:
    """Score the records of a plan, of which `expected` are the labels. `declared`: the comparisons;
    default: those of the suite."""
    trials = frame(records)
    ended = {one.labels: one.outcome for one in records if one.status != "done"}
    table = cells(trials, expected, 1 - suite.analysis.alpha, ended)
    averaged = by_trial(trials, table)
    by_base = by_look = _over_repeats(averaged)
    if looks := suite.analysis.looks:
        by_look = _over_repeats(by_trial(trials, table, looks))
    there = dict.fromkeys((one.recovery, one.method) for one in expected)
    family = planned(there, comparisons(suite) if declared is None else declared)
    return Scores(suite, family, trials, table, averaged, by_base, by_look)


def cells(
    trials: pd.DataFrame, expected: Sequence[Labels], level: float, ended: Mapping[Labels, Outcome]
) -> pd.DataFrame:
    """One row a cell, in the order of the plan.

    Columns: the labels with `dataset` and `model`, `expected`, and how many of these are `done`,
    `failed`, `timed_out` or `infeasible` (the rest was not run), `complete`, `bases`; for complete
    cells the mean test top-1 over bases in percent with its t-interval, within [0, 100] and of
    three bases or more (`top1`, `top1_low`, `top1_high`), `retained_top1` (points), of both the
    standard deviation over bases, of two or more (`top1_sd`, `retained_top1_sd`),
    `best_validation_top1` (test top-1 of the epoch that was best on validation, percent), and means
    of `score_s`, `recovery_s`, `macs`, `params` (counts) and, as `_ratio` and as `_percent`, of
    macs, params, channels, weights, latency (and `latency_low`, `latency_high`), and of
    `others`. Incomplete cells hold NaN, and so does what was not measured.
    """
    planned: dict[tuple[Any, ...], list[Labels]] = defaultdict(list)
    for trial in expected:
        planned[_cell(trial)].append(trial)
    done = trials.groupby(CELL, sort=False).size().to_dict() if len(trials) else {}
    lost = Counter((_cell(one), how.replace(" ", "_")) for one, how in ended.items())
    means = _means(trials, level)
    rows = []
    for key, labels in planned.items():
        row: dict[str, Any] = dict(zip(CELL, key, strict=True))
        row |= {name: getattr(labels[0], name) for name in _LABELS}
        row |= {"expected": len(labels), "done": done.get(key, 0)}
        row |= {how: lost[key, how] for how in LOST}
        row["complete"] = row["expected"] == row["done"]
        row["bases"] = len({one.base for one in labels})
        rows.append(row | means[key] if row["complete"] else row)
    columns = [*CELL, *_LABELS, "expected", "done", *LOST]
    columns += ["complete", "bases", *_MEANS, *others(trials)]
    return pd.DataFrame(rows).reindex(columns=columns)


def _cell(labels: Labels) -> tuple[Any, ...]:
    return (labels.problem, labels.recovery, labels.method, labels.budget)


_RATIOS = [*("macs", "params", "channels", "weights", "memory")]
_RATIOS += ["latency", "latency_low", "latency_high"]
_MEANS = [
    *("top1", "top1_low", "top1_high", "top1_sd", "retained_top1", "retained_top1_sd"),
    "best_validation_top1",
    *(f"{one}_{unit}" for one in _RATIOS for unit in ("ratio", "percent")),
    *("macs", "params", "score_s", "recovery_s"),
]


def _means(trials: pd.DataFrame, level: float) -> dict[tuple[Any, ...], dict[str, float]]:
    """Means and intervals of every cell that has a trial."""
    if trials.empty:
        return {}
    names = ["retained_top1", "best_validation_top1", "macs", "params", "score_s", "recovery_s"]
    names += others(trials) + [f"{one}_ratio" for one in _RATIOS]
    # One pass over all cells: a group at a time takes pandas a minute for ten thousand trials.
    means = trials[[*CELL, *names]].astype(dict.fromkeys(names, float)).groupby(CELL).mean()
    for cost in _RATIOS:
        means[f"{cost}_percent"] = 100 * means[f"{cost}_ratio"]
    of_bases = trials.groupby([*CELL, "base"])[["top1", "retained_top1"]].mean()
    means = means.join(of_bases.groupby(CELL).std().add_suffix("_sd"))
    by_cell = cast("dict[tuple[Any, ...], dict[str, float]]", means.to_dict("index"))
    by_base: dict[tuple[Any, ...], list[float]] = defaultdict(list)
    for place, top1 in zip(of_bases.index.to_list(), of_bases["top1"], strict=True):
        by_base[place[:-1]].append(top1)
    for key, values in by_base.items():
        over = statistics.t_interval(values, level, *spoken().ends)
        by_cell[key] |= {"top1": over.mean, "top1_low": over.low, "top1_high": over.high}
    return by_cell


def dense(trials: pd.DataFrame) -> pd.DataFrame:
    """One row a base that has a finished trial: `problem`, `base`, `dense_top1` in percent, and
    `dense_macs` and `dense_params`."""
    columns = ["problem", "base", "dense_top1", "dense_macs", "dense_params"]
    return trials.reindex(columns=columns).drop_duplicates(["problem", "base"], ignore_index=True)


def by_trial(trials: pd.DataFrame, table: pd.DataFrame, looks: Sequence[int] = ()) -> Averaged:
    """[bases, repeats] retained top-1 over the budget grid, where all cells are complete.

    The normalised area under the curve over log compression; over a knob's settings, the mean.
    What is incomplete has its bases up to the last of `looks` that it reached whole: what was
    decided there stays decided, whatever fails later.
    """
    incomplete = gaps(table)
    shares = set(table["cost"]) != {"threshold"}
    result = {}
    for key, rows in by_method(trials):
        if key in incomplete:
            rows = rows[rows["base"] < _reached(key, rows, table, looks)]
        if rows.empty:
            continue
        # Plain arrays: pandas takes a millisecond for what is microseconds, thousands of times.
        axes = [rows[axis].to_numpy() for axis in ("budget", "base", "repeat")]
        levels = [np.unique(axis) for axis in axes]
        cube = rows["retained_top1"].to_numpy(dtype=float)[np.lexsort(axes[::-1])]
        cube = cube.reshape([level.size for level in levels])
        result[key] = statistics.per_trial(cube, levels[0] if shares else None)
    return result


def _reached(
    key: tuple[str, str, str], rows: pd.DataFrame, table: pd.DataFrame, looks: Sequence[int]
) -> int:
    """The last look up to which no trial of a method is missing; 0 where it has not reached one."""
    of = table[(table[CELL[:3]] == list(key)).all(axis=1)]
    counts = rows["base"].value_counts()
    whole = set(counts.index[counts == (of["expected"] / of["bases"]).sum()])
    return max((one for one in looks if whole.issuperset(range(one))), default=0)


def _over_repeats(averaged: Averaged) -> Averaged:
    return {key: found.mean(axis=1) for key, found in averaged.items()}


def noise(averaged: Averaged, trials: pd.DataFrame) -> pd.DataFrame:
    """One row a finished (problem, recovery, method), of retained top-1 over budgets, in points.

    Columns: `base_sd` and `repeat_sd` (nested variance components),
    `aa_sd` (of the difference of two runs of this method on the same bases). A repeat redraws the
    calibration images and, where there is recovery, its order: without recovery `repeat_sd` is the
    calibration's noise, with it that of both. NaN: one base, or one repeat; but one trial that
    stands for all repeats has no noise between them.
    """
    same = {key for key, _ in by_method(trials[trials["all_repeats"].astype(bool)])}
    rows = [
        (*key, *statistics.noise(values.repeat(2, axis=1) if key in same else values))
        for key, values in averaged.items()
    ]
    return pd.DataFrame(rows, columns=[*CELL[:3], *statistics.Noise._fields])


def failures(table: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """(problem, recovery, method) of which a trial ended without a result -> how, in words. What
    has not run is no failure."""
    return {
        key: " and ".join(one.replace("_", " ") for one in LOST if rows[one].any())
        for key, rows in by_method(table[table[list(LOST)].any(axis=1)])
    }


def gaps(table: pd.DataFrame) -> dict[tuple[str, str, str], str]:
    """(problem, recovery, method) -> what is missing, in words, each kind by itself."""
    words = {}
    for key, holes in by_method(table[~table["complete"].astype(bool)]):
        counts = {kind.replace("_", " "): int(holes[kind].sum()) for kind in LOST}
        left = int((holes["expected"] - holes["done"]).sum()) - sum(counts.values())
        counts["not run"] = left
        places = map(budget_words, holes["cost"], holes["budget"])
        said = ", ".join(f"{counted(n, 'trial')} {kind}" for kind, n in counts.items() if n)
        words[key] = f"{said} at {', '.join(places)}"
    return words


def by_method(table: pd.DataFrame) -> Iterator[tuple[tuple[str, str, str], pd.DataFrame]]:
    """The rows of every (problem, recovery, method)."""
    for (problem, recovery, method), rows in table.groupby(CELL[:3], sort=False):
        yield (str(problem), str(recovery), str(method)), rows
