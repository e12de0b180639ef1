"""Ranks of all methods over problems, under one recovery: omnibus test, every pair, cliques."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from suites.schema import Suite

from .. import statistics
from ..statistics import Floats, Friedman, Pairwise
from .cells import Averaged, failures


@dataclass(frozen=True)
class MethodRanks:
    """What ranks say; a block is a problem.

    Attributes:
        recovery: under which.
        methods: in the order of the suite; controls matched to a method's widths do not take part.
        problems: the blocks, where every method has finished or failed.
        left_out: (problem, why) of the others.
        waiting: methods that have finished nowhere yet, and so hold up nobody.
        failed: (problem, method) that take the worst rank; under `drop`, none.
        scores: [problems, methods] retained top-1 in points, area over budgets and mean over bases;
            NaN where the method failed.
        omnibus: Friedman's test; None below two methods or two problems.
        pairwise: p, Holm-adjusted p over all pairs, and shift; None likewise.
        cliques: indices of methods that nothing tells apart, at the suite's alpha.
    """

    recovery: str
    methods: tuple[str, ...]
    problems: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]
    waiting: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    scores: Floats
    omnibus: Friedman | None
    pairwise: Pairwise | None
    cliques: tuple[tuple[int, ...], ...]


def rank_methods(
    recovery: str, averaged: Averaged, cells: pd.DataFrame, suite: Suite
) -> MethodRanks:
    """Rank the suite's methods under one recovery.

    Args:
        recovery: its name.
        averaged: of `cells.by_trial`.
        cells: of `cells.cells`.
        suite: gives the order of methods, alpha, and what failing means.
    """
    of_recovery = cells[cells["recovery"] == recovery]
    planned = set(of_recovery["method"])
    lost = failures(of_recovery)
    problems = [str(one) for one in of_recovery["problem"].unique()]
    settled = {key for key in averaged if key[1] == recovery} | lost
    names = [one.name for one in suite.methods if one.name in planned]
    methods = [one for one in names if any((p, recovery, one) in settled for p in problems)]
    left_out = _left_out(problems, recovery, methods, settled)
    if suite.analysis.failures == "drop":
        left_out |= {
            problem: f"{method} failed"
            for problem, _, method in sorted(lost)
            if method in methods and problem not in left_out
        }
    kept = [one for one in problems if one not in left_out]
    scores = np.full((len(kept), len(methods)), np.nan)
    for i, problem in enumerate(kept):
        for j, method in enumerate(methods):
            if (problem, recovery, method) not in lost:
                scores[i, j] = averaged[problem, recovery, method].mean()
    omnibus = pairwise = None
    groups: Sequence[tuple[int, ...]] = ()
    if len(kept) > 1 and len(methods) > 1:
        omnibus = statistics.friedman(scores)
        pairwise = statistics.pairwise(scores)
        groups = statistics.cliques(omnibus.mean_ranks, pairwise.adjusted, suite.analysis.alpha)
    return MethodRanks(
        recovery=recovery,
        methods=tuple(methods),
        problems=tuple(kept),
        left_out=tuple(left_out.items()),
        waiting=tuple(one for one in names if one not in methods),
        failed=tuple((kept[i], methods[j]) for i, j in np.argwhere(np.isnan(scores))),
        scores=scores,
        omnibus=omnibus,
        pairwise=pairwise,
        cliques=tuple(groups),
    )


def _left_out(
    problems: Sequence[str],
    recovery: str,
    methods: Sequence[str],
    settled: set[tuple[str, str, str]],
) -> dict[str, str]:
    """Problem -> which methods have not finished there."""
    reasons = {}
    for problem in problems:
        open_ = [one for one in methods if (problem, recovery, one) not in settled]
        if open_:
            reasons[problem] = f"not finished: {', '.join(open_)}"
    return reasons
