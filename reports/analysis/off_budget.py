"""Trials that keep another share of the cost than their budget asks, so that costs are unequal: as
where groups are skipped, or layers that no pattern fits."""

import pandas as pd

from suites.protocol import Axis

from ..records import LATENCY_BOUND

TOLERANCE = 0.01  # of the dense cost that a budget may be missed by; of a latency, a share of it


def off_budget(trials: pd.DataFrame, axis: Axis) -> pd.DataFrame:
    """Those of `records.frame` that miss their budget on this axis by more than the tolerance."""
    if trials.empty or axis == "threshold":  # which asks for no share
        return trials[:0]
    allowed = LATENCY_BOUND * trials["budget"] if axis == "latency" else TOLERANCE
    return trials[(trials[f"{axis}_ratio"] - trials["budget"]).abs() > allowed]


def off_by_method(off: pd.DataFrame, axis: Axis) -> list[str]:
    """What each method keeps at each budget, by the mean over these trials, farthest first."""
    if off.empty:
        return []
    means = off.groupby(["method", "budget"])[f"{axis}_ratio"].mean()
    far = (means - means.index.get_level_values("budget")).abs().sort_values(ascending=False)
    return [
        f"{one} {100 * means[one, b]:.0f} % where {100 * b:g} % is asked" for one, b in far.index
    ]
