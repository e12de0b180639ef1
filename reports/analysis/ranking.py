"""Ranks of all methods under one recovery: every pair on these problems, and what ranks follow."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .. import statistics
from ..statistics import Floats, Pairwise
from .cells import Scores, failures
from .comparisons import looks_of, scores_of


@dataclass(frozen=True)
class MethodRanks:
    """What ranks say."""

    recovery: str  # under which
    # Methods of the suite that have trials there; controls matched to a method's widths do not take
    # part.
    planned: tuple[str, ...]
    methods: tuple[str, ...]  # those that have finished, or failed, somewhere
    problems: tuple[str, ...]  # those where each of these has
    left_out: tuple[tuple[str, str], ...]  # (problem, why) of the others
    # (problem, method) that take the worst rank; under `drop`, none.
    failed: tuple[tuple[str, str], ...]
    # [problems, methods] retained top-1 in points, over budgets and bases; NaN where the method
    # failed.
    scores: Floats
    alpha: float  # level of all pairs and recoveries together
    # Welch's test of every pair of methods that failed nowhere, on these problems; None below two
    # of these, on half of the plan's problems or fewer, or where nothing is tested.
    pairwise: Pairwise | None
    # low, high: [methods] ranks, by the mean over problems, that the told pairs leave open; those
    # that failed share the last
    low: Floats
    high: Floats
    # Indices of methods that nothing tells apart, at the suite's alpha.
    cliques: tuple[tuple[int, ...], ...]

    @property
    def waiting(self) -> tuple[str, ...]:
        """Methods that have finished nowhere yet, and so hold up nobody."""
        return tuple(one for one in self.planned if one not in self.methods)

    def apart(self, one: str, other: str) -> float:
        """By how many points these two differ, if they are told apart; else 0."""
        if self.pairwise is None or not {one, other} <= set(self.methods):
            return 0.0
        places = self.methods.index(one), self.methods.index(other)
        told = self.pairwise.adjusted[places] <= self.alpha
        return float(self.pairwise.difference[places]) if told else 0.0


def rank_methods(recovery: str, scored: Scores, *, tested: bool = True) -> MethodRanks:
    """Rank the suite's methods under one recovery. Where nothing may be concluded, pairs are not
    `tested`."""
    suite, cells, by_base = scored.suite, scored.cells, scored.by_base
    alpha = suite.analysis.alpha
    of_recovery = cells[cells["recovery"] == recovery]
    there = set(of_recovery["method"])
    lost = failures(of_recovery)
    everywhere = [str(one) for one in of_recovery["problem"].unique()]
    settled = {key for key in by_base if key[1] == recovery} | set(lost)
    names = [one.name for one in suite.methods if one.name in there]
    methods = [one for one in names if any((p, recovery, one) in settled for p in everywhere)]
    left_out = {
        problem: f"not finished: {', '.join(open_)}"
        for problem in everywhere
        if (open_ := [one for one in methods if (problem, recovery, one) not in settled])
    }
    if suite.analysis.failures == "drop":
        left_out |= {
            problem: f"{method} {how}"
            for (problem, _, method), how in sorted(lost.items())
            if method in methods and problem not in left_out
        }
    problems = [one for one in everywhere if one not in left_out]
    cube = scores_of(by_base, [(recovery, one) for one in methods], problems)
    scores = statistics.known_mean(cube, axis=2).T
    pairs = None
    groups: Sequence[tuple[int, ...]] = ()
    low, high = np.ones(len(methods)), np.full(len(methods), float(len(methods)))
    whole = np.asarray(~np.isnan(scores).any(axis=0))
    if tested and whole.sum() > 1 and 2 * len(problems) > len(everywhere):
        cube[~whole] = np.nan  # a method that failed comes last, whatever it reached elsewhere
        pairs = statistics.pairwise(cube, cells["recovery"].nunique(), looks_of(suite))
        low, high = pairs.ranks(alpha)
        low[~whole], high[whole] = whole.sum() + 1.0, np.minimum(high[whole], whole.sum())
        order = -np.nan_to_num(scores, nan=-1e9).mean(axis=0)
        groups = statistics.cliques(order, pairs.adjusted, alpha)
    return MethodRanks(
        recovery=recovery,
        planned=tuple(names),
        methods=tuple(methods),
        problems=tuple(problems),
        left_out=tuple(left_out.items()),
        failed=tuple((problems[i], methods[j]) for i, j in np.argwhere(np.isnan(scores))),
        scores=scores,
        alpha=alpha,
        pairwise=pairs,
        low=low,
        high=high,
        cliques=tuple(groups),
    )
