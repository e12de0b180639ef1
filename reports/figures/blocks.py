"""Scores by block and method, what places and profiles are drawn from; and what budgets became, in
words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..analysis.results import Results
from ..formats import counted
from ..records import budget_words
from .accuracy_cost import COSTS


@dataclass(frozen=True)
class Blocks:
    """Scores: a row a block, a column a method in the order of the suite; NaN where one failed."""

    scores: pd.DataFrame  # points of retained top-1
    problems: list[str]
    unit: str  # "problems", or "bases" of the one problem that there is
    left_out: int  # methods without a score

    @property
    def n(self) -> int:
        return len(self.scores)

    @property
    def said(self) -> str:
        """n in words, and whom it speaks of."""
        if self.unit == "problems":
            text = f"n = {counted(self.n, 'problem')}"
        else:
            text = f"n = {counted(self.n, 'base')} of one problem, and true of it "
            text += "alone"
        if not self.left_out:
            return text
        return f"{text} ({counted(self.left_out, 'unfinished method')} left out)"


def blocks(results: Results, recovery: str) -> Blocks | None:
    """Scores of one recovery: the ranking's, over problems; of a suite of one problem, over bases.

    Matched controls are left out. None where fewer than two methods remain, or no block.
    """
    names = [one.name for one in results.suite.methods]
    if len(results.problems) > 1:
        ranks = results.ranking[recovery]
        scores = pd.DataFrame(ranks.scores, index=list(ranks.problems), columns=list(ranks.methods))
        unit, problems = "problems", list(ranks.problems)
    else:
        (problem,) = results.problems
        averaged = {name: results.averaged.get((problem, recovery, name)) for name in names}
        means = {name: one.mean(axis=1) for name, one in averaged.items() if one is not None}
        scores, unit, problems = pd.DataFrame(means), "bases", [problem]
    if scores.shape[1] < 2 or scores.empty:
        return None
    return Blocks(scores, problems, unit, len(names) - scores.shape[1])


def over_budgets(results: Results) -> str:
    """How budgets became one number, for titles and captions: `at 50 % of MACs`."""
    counts = sorted({len(kept) for kept in results.budgets.values()})
    if counts == [1]:
        return at_the_tightest(results)
    several = "–".join(str(one) for one in dict.fromkeys([counts[0], counts[-1]]))
    if results.suite.budgets.cost == "threshold":
        return f"averaged over {several} thresholds"
    return f"averaged over {several} budgets, weighted by log compression"


def change(results: Results) -> str:
    """What methods are measured by, for captions."""
    return f"accuracy change (top-1, pruned minus dense network, in points) {over_budgets(results)}"


def on_these_problems(results: Results) -> str:
    """What the test of every pair says, for captions."""
    problems = "this problem" if len(results.problems) == 1 else "these problems"
    return (
        f"on {problems}, whichever training its bases come from (Welch's t-test over bases, "
        f"adjusted for all pairs after Holm, level {results.suite.analysis.alpha:g})"
    )


def at_the_tightest(results: Results) -> str:
    """The least that is kept, for captions: problems may have budgets of their own."""
    least = {kept[-1] for kept in results.budgets.values()}
    single = max(map(len, results.budgets.values())) == 1
    if len(least) > 1:
        return f"at the {'' if single else 'tightest '}budget of each problem"
    axis = results.suite.budgets.cost
    words = budget_words(axis, min(least))
    if axis != "threshold":
        words += f" of {COSTS[axis].removesuffix(' kept (%)')}"
    return f"at {words}" if single else f"at the tightest budget, {words}"


def at_budget(results: Results, recovery: str, budget: float, like: Blocks) -> pd.DataFrame:
    """The same blocks and methods at one budget alone."""
    trials = results.trials[results.trials["recovery"] == recovery]
    trials = trials[(trials["budget"] == budget) & trials["problem"].isin(like.problems)]
    by_base = trials.groupby(["problem", "base", "method"])["retained_top1"].mean()
    block = "problem" if like.unit == "problems" else "base"
    scores = by_base.groupby([block, "method"]).mean().unstack("method")
    scores = scores.reindex(index=like.scores.index, columns=like.scores.columns)
    # A method that failed on a problem at any budget has no score there.
    return scores.where(np.isfinite(like.scores))
