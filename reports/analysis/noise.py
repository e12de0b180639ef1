"""What chance does to a number: where noise comes from, and what choosing the best would add."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .. import statistics
from ..records import Record
from .cells import Averaged

KEYS = ["problem", "recovery", "method"]


def noise(averaged: Averaged) -> pd.DataFrame:
    """One row a finished (problem, recovery, method), of retained top-1 over budgets, in points.

    Columns: `base_sd` and `repeat_sd` (nested variance components), `base_share` (of the variance),
    `aa_sd` (of the difference of two runs of this method on the same bases). A repeat redraws the
    calibration images and, where there is recovery, its order: without recovery `repeat_sd` is the
    calibration's noise, with it that of both. NaN: one base, or one repeat.
    """
    rows = [(*key, *statistics.noise(values)) for key, values in averaged.items()]
    return pd.DataFrame(rows, columns=[*KEYS, *statistics.Noise._fields])


def inflation(averaged: Averaged, records: Sequence[Record]) -> pd.DataFrame:
    """One row a (recovery, method): what two bad habits would have added, in points of top-1.

    Columns: `runs` (bases times repeats, the most over problems), `best_of_n` (the best run of each
    problem instead of the mean of all), `epochs` (of recovery), `best_epoch` (the best epoch
    instead of the last, on the split that chose it: validation stands for the test split, which
    recovery never sees). NaN where there is one run, or no epoch, or no validation.
    """
    histories: dict[tuple[str, str], list[statistics.Floats]] = defaultdict(list)
    for record in records:
        if record.measurements is not None and record.measurements.history:
            tops = [epoch.validation_top1 for epoch in record.measurements.history]
            curve = 100 * np.array(tops, dtype=float)  # NaN where no images are held out
            histories[record.labels.recovery, record.labels.method].append(curve)
    runs: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for (_, recovery, method), values in averaged.items():
        runs[recovery, method].append(values.ravel())
    rows = []
    for (recovery, method), by_problem in runs.items():
        curves = histories[recovery, method]
        most = max(one.size for one in by_problem)
        best = [one.max() - one.mean() for one in by_problem]
        gain = [one.max() - one[-1] for one in curves if np.isfinite(one).all()]
        epochs = max((len(one) for one in curves), default=0)
        best_of_n = float(np.mean(best)) if most > 1 else np.nan
        best_epoch = float(np.mean(gain)) if gain else np.nan
        rows.append((recovery, method, most, best_of_n, epochs, best_epoch))
    columns = ["recovery", "method", "runs", "best_of_n", "epochs", "best_epoch"]
    return pd.DataFrame(rows, columns=columns)
