"""What chance does to a number: where noise comes from."""

import pandas as pd

from .. import statistics
from .comparisons import Averaged

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
