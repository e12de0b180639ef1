"""The declared comparisons at equal amounts of the cost that the budgets do not hold equal.

Methods that keep the same MACs keep very different numbers of parameters, and the other way round.
What a method retains is interpolated between its budgets, over the stretch of the other cost that
both methods reach; nothing is extrapolated.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from suites.protocol import Axis

from .. import statistics
from ..statistics import Floats
from .cells import CELL, Scores, by_method
from .comparisons import bounded

OTHER: Mapping[Axis, str] = {
    "macs": "params", "params": "macs", "channels": "params", "weights": "macs",
    "threshold": "macs", "latency": "macs", "memory": "macs",
}  # fmt: skip
COLUMNS = ["family", "recovery", "method", "reference", "cost", "n_problems"]
COLUMNS += ["share_low", "share_high", "mean", "low", "high"]
LEAST = 0.1  # of log share: a shorter common stretch compares next to nothing
_POINTS = 65  # of a curve, evenly over log compression: its area to a thousandth of its height

Curves = tuple[Floats, Floats]  # [bases, repeats, budgets] log share kept, ascending; retained


def at_equal_cost(scored: Scores) -> pd.DataFrame:
    """One row a (recovery, comparison) where both methods have two budgets and a common stretch.

    Columns: `cost` (the other one, as `macs` or `params`), `n_problems` (with a common stretch),
    `share_low` and `share_high` (its ends, means over problems), and the mean difference over
    problems of retained top-1 there, in points, with its interval on these problems, alone (`low`,
    `high`). A description beside the declared tests, without one of its own."""
    suite, problems = scored.suite, scored.problems
    cost = OTHER[suite.budgets.cost]
    curves = _curves(scored, f"{cost}_ratio")
    rows, cubes = [], []
    for one in scored.family:
        cube = np.full((len(problems), suite.bases), np.nan)
        stretches = []
        for place, problem in enumerate(problems):
            keys = [(problem, one.recovery, name) for name in (one.method, one.reference)]
            if found := _difference(curves, keys):
                values, stretch = found
                cube[place, : len(values)] = values
                stretches.append(stretch)
        if stretches:
            low, high = np.exp(stretches).mean(axis=0)
            row = {**vars(one), "cost": cost, "n_problems": len(stretches)}
            rows.append(row | {"share_low": low, "share_high": high})
            cubes.append(cube)
    table = pd.DataFrame(rows).reindex(columns=COLUMNS)
    if cubes:
        test = statistics.on_these_problems(np.stack(cubes))
        table["mean"] = test.mean
        table["low"], table["high"] = bounded(test.interval(1 - suite.analysis.alpha))
    return table


def _curves(scored: Scores, share: str) -> dict[tuple[str, str, str], Curves]:
    """What each complete method retains against the log of the share that it keeps."""
    found: dict[tuple[str, str, str], Curves] = {}
    columns = ["base", "budget", share, "retained_top1"]
    known = scored.trials.reindex(columns=[*CELL[:3], *columns, "repeat"])
    known = known.sort_values(["base", "repeat", share, "budget"])
    for place, rows in by_method(known):
        bases, budgets, x, y = (rows[one].to_numpy(dtype=float) for one in columns)
        shape = (np.unique(bases).size, -1, np.unique(budgets).size)
        if place in scored.by_base and shape[-1] > 1 and not np.isnan(x).any():
            found[place] = np.log(x).reshape(shape), y.reshape(shape)
    return found


def _difference(
    curves: Mapping[tuple[str, str, str], Curves], keys: Sequence[tuple[str, str, str]]
) -> tuple[Floats, tuple[float, float]] | None:
    """[bases] difference of the first to the second, and the stretch that all their curves have."""
    if not all(key in curves for key in keys):
        return None
    pair = [curves[key] for key in keys]
    low = max(float(x[:, :, 0].max()) for x, _ in pair)
    high = min(float(x[:, :, -1].min()) for x, _ in pair)
    if high - low < LEAST:
        return None
    grid = np.linspace(low, high, _POINTS)
    ours, theirs = (_areas(x, y, grid) for x, y in pair)
    shared = min(len(ours), len(theirs))
    return ours[:shared] - theirs[:shared], (low, high)


def _areas(x: Floats, y: Floats, grid: Floats) -> Floats:
    """[bases] mean height of the curves over the grid, repeats averaged."""
    weights = np.full(_POINTS, 1 / (_POINTS - 1))  # of the trapezoid rule
    weights[[0, -1]] /= 2
    heights = [
        [np.interp(grid, one, of) @ weights for one, of in zip(*base, strict=True)]
        for base in zip(x, y, strict=True)
    ]
    return np.asarray(np.mean(heights, axis=1))
