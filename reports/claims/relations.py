"""Whether methods stand in the same order in two places: Spearman's rank correlation over them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtri

from ..analysis.fidelity import fidelity_frame
from ..records import Record
from ..statistics import budget_weights, rank_correlation
from .claim_file import Place, Relation
from .claims import ALPHA, answers_to
from .differences import claim_trials

FEWEST = 5  # methods: fewer have no order to speak of


class Related(NamedTuple):
    """How alike two orders are, and the interval were these methods a sample of such."""

    rho: float  # NaN where too few methods are in both places
    low: float
    high: float
    methods: int  # that are in both
    problems: int  # that both have; 0: each place has its own


def related(relation: Relation, records: Sequence[Record]) -> Related:
    """Spearman's rho of the methods' means in both places, on the problems that both have, if any.

    The interval is by Fisher's z, whose error over m methods is sqrt((1 + rho^2 / 2) / (m - 3))
    (Bonett and Wright 2000).
    """
    if any(one.suite not in {each.labels.suite for each in records} for one in relation.places):
        return Related(np.nan, np.nan, np.nan, 0, 0)
    one, other = (_means(place, records) for place in relation.places)
    problems = one.columns.intersection(other.columns)
    if len(problems):
        one, other = one[problems], other[problems]
    both = pd.concat([one.mean(axis=1, skipna=False), other.mean(axis=1, skipna=False)], axis=1)
    both = both.dropna()
    if len(both) < FEWEST:
        return Related(np.nan, np.nan, np.nan, len(both), len(problems))
    rho = rank_correlation(both[0], both[1])
    half = ndtri(1 - ALPHA / 2) * np.sqrt((1 + rho**2 / 2) / (len(both) - 3))
    middle = np.arctanh(np.clip(rho, -0.9999, 0.9999))
    low, high = np.tanh([middle - half, middle + half])
    return Related(rho, float(low), float(high), len(both), len(problems))


def _means(place: Place, records: Sequence[Record]) -> pd.DataFrame:
    """[methods, problems] what each comes to, budgets weighted; NaN where a trial is missing.

    Controls matched to another method's widths take no part.
    """
    of_suite = [one for one in records if one.labels.suite == place.suite]
    if place.problems:
        of_suite = [one for one in of_suite if one.labels.problem in place.problems]
    if not place.recovery:
        rows, value = fidelity_frame(of_suite), "spearman"
    else:
        rows, value = claim_trials(of_suite), "retained_top1"
        rows = rows[rows["matched_to"].isna()]
        rows = rows[[answers_to(place.recovery, one) for one in rows["recovery"]]]
        if "threshold" not in set(rows["cost"]):
            weights = rows.groupby("problem")["budget"].transform(_weights)
            rows = rows.assign(retained_top1=rows[value] * weights)
    by_method = rows.groupby(["method", "problem"])[value]
    means = by_method.agg(lambda one: one.mean(skipna=False)).unstack("problem")
    visited = rows.drop_duplicates(["method", "problem", "base", *({"budget"} & {*rows})])
    counts = visited.groupby(["method", "problem"]).size().unstack("problem")
    return means.where(counts == counts.max())


def _weights(budgets: pd.Series) -> pd.Series:
    """Of each trial of a problem, 1 on average."""
    kept = budgets.unique()
    return budgets.map(dict(zip(kept, len(kept) * budget_weights(kept), strict=True)))
