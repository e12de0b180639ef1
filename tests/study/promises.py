"""Which statements of a report are false, and which of its intervals hold the truth."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from study.pipeline import Pipeline
from study.worlds import Booleans, Experiment, Floats

from reports.analysis.best import OVER
from reports.analysis.ranking import MethodRanks
from reports.analysis.results import Results
from reports.page import findings
from reports.page.answer import like_these

SAME = 1e-9  # points
FEW = 10  # methods of which all pairs are asked for
SAYS = {  # what a sentence says before the colon, behind which its methods are named -> the word
    **{"better than": "better", "worse than": "worse"},
    **{"typically worse": "worse", "as good as equal": "equivalent"},
}
DIRECTION = {"better": 1.0, "worse": -1.0}
# Kinds of false statements, each promised to be on at most alpha of all pages.
KINDS = {
    "on these problems": "better or worse than the control, on these problems",
    "like these": "better or worse than the control, for problems like these",
    "one problem": "better or worse than the control, on one problem",
    "all pairs": "one of any two methods better, on these problems",
    "behind": "behind the best, but of the highest true mean",
    "ranks": "a rank interval without the true rank",
    "compare": "better or worse, of any two methods that `bench compare` is asked for",
    "equivalent": "equivalent to the control, on these problems or on one",
    "headline": "better, worse or equal, as the headline's sentences say it",
}
INTERVALS = {
    "on these problems": "mean difference on these problems",
    "of the highest": "the same of the method named highest",
    "all at once": "all of these at once",
    "like these": "mean difference for problems like these",
    "one problem": "difference on one problem",
    "all problems at once": "all of these at once",
    "by factor": "mean difference on one dataset or with one model",
    "top-1": "top-1 of one cell",
}


class Judge:
    """Knows the rows of a world's tables, and holds what they say against what is true."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.rope = pipeline.suite.analysis.rope
        self.recoveries = {one: at for at, one in enumerate(pipeline.whole.recoveries)}
        self.methods = {one: at for at, one in enumerate(pipeline.names)}
        self.problems = {one: at for at, one in enumerate(pipeline.whole.problems)}
        self._rows: dict[str, Places] = {}

    def rows(self, name: str, table: pd.DataFrame) -> Places:
        """Where the rows of a table lie in the truth; found once, as they are always the same."""
        if name not in self._rows:
            self._rows[name] = Places(self, table)
        return self._rows[name]


class Places:
    """Where the rows of a table of comparisons lie among recoveries, methods and problems."""

    def __init__(self, judge: Judge, table: pd.DataFrame) -> None:
        self.recovery = _places(table["recovery"], judge.recoveries)
        self.method = _places(table["method"], judge.methods)
        self.reference = _places(table["reference"], judge.methods)
        self.problems = np.ones((len(table), len(judge.problems)), dtype=bool)
        if "problem" in table:
            own = _places(table["problem"], judge.problems)
            self.problems = own[:, None] == np.arange(len(judge.problems))
        if "level" in table:
            parts = [problem.split(" on ") for problem in judge.problems]
            self.problems = np.array([[level in one for one in parts] for level in table["level"]])


class Verdict:
    """One experiment's results, held against its truth; `words`: whether sentences are read too."""

    def __init__(
        self, judge: Judge, experiment: Experiment, results: Results, words: bool = True
    ) -> None:
        self._judge, self._results, self._words = judge, results, words
        self._truth = experiment.truth
        self._there = ~(experiment.failed | experiment.missing)

    @cached_property
    def false(self) -> dict[str, bool]:
        """Kind of statement -> whether at least one of it is false."""
        results = self._results
        overall, paired = results.overall, results.paired
        here, one = self._here("overall", overall), self._here("paired", paired)
        found = {
            "on these problems": _wrong(overall["word"], here),
            "like these": _wrong(overall["like_word"], self._anywhere(overall)),
            "one problem": _wrong(paired["verdict"], one),
            "equivalent": self._unequal(overall["word"], here)
            or self._unequal(paired["verdict"], one),
        }
        if self._words:
            found["headline"] = self._headline(here)
        if self._words and len(self._judge.methods) <= FEW:
            asked = self._judge.pipeline.asked(results)
            found["compare"] = _wrong(asked["word"], self._here("compare", asked))
        for recovery, ranks in results.ranking.items():
            for kind, wrong in self._of_ranks(recovery, ranks).items():
                found[kind] = found.get(kind, False) or wrong
        return found

    @cached_property
    def covered(self) -> dict[str, float]:
        """Interval -> share of those drawn that hold the truth; without those of which none is."""
        overall, paired = self._results.overall, self._results.paired
        here, one = self._here("overall", overall), self._here("paired", paired)
        means = overall.groupby("recovery", sort=False)["mean"]
        top = (overall["mean"] == means.transform("max")).to_numpy()
        held = {
            "on these problems": _held(overall, here),
            "of the highest": _held(overall[top], here[top], "joint_"),
            "all at once": _all(_held(overall, here, "joint_")),
            "like these": _held(overall, self._anywhere(overall), "like_"),
            "one problem": _held(paired, one),
            "all problems at once": _all(_held(paired, one, "joint_")),
        }
        factors = self._results.by_factor
        if self._words:
            held["top-1"] = _held(self._results.cells, self._top1(), "top1_")
        if len(factors):
            held["by factor"] = _held(factors, self._here("by factor", factors))
        return {name: float(one.mean()) for name, one in held.items() if one.size}

    def _top1(self) -> Floats:
        """[cells] expected accuracy."""
        cells, judge = self._results.cells, self._judge
        known = (judge.recoveries, judge.methods, judge.problems)
        columns = ("recovery", "method", "problem")
        at = tuple(_places(cells[one], two) for one, two in zip(columns, known, strict=True))
        return np.asarray(self._truth.dense[at[2]] + self._truth.here[at])

    def _here(self, name: str, table: pd.DataFrame) -> Floats:
        """[rows] true mean difference over those of the row's problems that have both."""
        at = self._judge.rows(name, table)
        there, here = self._there, self._truth.here
        both = at.problems & there[at.recovery, at.method] & there[at.recovery, at.reference]
        differences = here[at.recovery, at.method] - here[at.recovery, at.reference]
        count = both.sum(axis=1)
        total = np.where(both, differences, 0).sum(axis=1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def _anywhere(self, overall: pd.DataFrame) -> Floats:
        at, anywhere = self._judge.rows("overall", overall), self._truth.anywhere
        return np.asarray(anywhere[at.recovery, at.method] - anywhere[at.recovery, at.reference])

    def _headline(self, here: Floats) -> bool:
        """Whether a sentence says of a method what is false of it."""
        overall, wrong = self._results.overall, False
        anywhere = self._anywhere(overall)
        for recovery in self._judge.recoveries:
            own = (overall["recovery"] == recovery).to_numpy()
            methods = overall.loc[own, "method"]
            for true, text in (
                (here, findings.headline(self._results, recovery)),
                (anywhere, like_these(self._results, recovery)),
            ):
                said = said_of(text)
                words = [said.get(method, "") for method in methods]
                wrong |= _wrong(words, true[own]) or self._unequal(words, true[own])
        return wrong

    def _unequal(self, words: Iterable[str], true: Floats) -> bool:
        called = np.array([word == "equivalent" for word in words])
        return bool((called & (np.abs(true) > self._judge.rope + SAME)).any())

    def _of_ranks(self, recovery: str, ranks: MethodRanks) -> dict[str, bool]:
        """All pairs, standing and rank intervals of one recovery."""
        if ranks.pairwise is None:
            return {}
        at = [self._judge.methods[one] for one in ranks.methods]
        where = [self._judge.problems[one] for one in ranks.problems]
        own = self._judge.recoveries[recovery]
        here = self._truth.here[own][np.ix_(at, where)]
        there = self._there[own][np.ix_(at, where)]
        both = there[:, None] & there[None]
        gap = np.where(both, here[:, None] - here[None], 0).sum(axis=2)
        gap = gap / np.maximum(both.sum(axis=2), 1)
        told = ranks.pairwise.adjusted <= ranks.alpha
        sign = np.sign(ranks.pairwise.difference)
        above, below = 1 + (gap < -SAME).sum(axis=1), len(at) - (gap > SAME).sum(axis=1)
        outside = (ranks.low > above) | (ranks.high < below)
        whole = self._there[own].all(axis=1)  # the standing is of methods that are everywhere
        means = self._truth.here[own].mean(axis=1)
        best = whole & (means >= means[whole].max(initial=-np.inf) - SAME)
        standing = self._standing(recovery)
        return {
            "all pairs": bool((told & (sign * gap <= SAME)).any()),
            "behind": any(
                standing[name] == "behind"
                for name, is_best in zip(self._judge.methods, best, strict=True)
                if is_best
            ),
            # A rank of means over other problems is no rank.
            "ranks": bool(there.all() and outside.any()),
        }

    def _standing(self, recovery: str) -> Mapping[str, str]:
        """Method -> standing in the column that is tested."""
        table, problems = self._results.standing, self._judge.problems
        column = OVER if len(problems) > 1 else next(iter(problems))
        rows = (table["recovery"] == recovery) & (table["problem"] == column)
        return dict(zip(table.loc[rows, "method"], table.loc[rows, "standing"], strict=True))


def said_of(text: str) -> dict[str, str]:
    """Method -> `better`, `worse` or `equivalent`, as the sentences of a headline say it."""
    words = {}
    for sentence in text.split(". "):
        head, _, methods = sentence.partition(": ")
        for start, word in SAYS.items():
            if start in head.lower():
                words |= dict.fromkeys(re.findall(r"\bm\d+\b", methods), word)
    return words


def _places(column: pd.Series, known: Mapping[str, int]) -> NDArray[np.int64]:
    return np.array([known[one] for one in column], dtype=int)


def _wrong(words: Iterable[str], true: Floats) -> bool:
    """Whether any word has the wrong direction, or speaks of a difference that is not there."""
    said = np.array([DIRECTION.get(word, 0.0) for word in words])
    return bool(((said != 0) & (said * np.nan_to_num(true) <= SAME)).any())


def _held(table: pd.DataFrame, true: Floats, which: str = "") -> Booleans:
    """[drawn] whether each interval that is drawn holds the truth."""
    low = table[f"{which}low"].to_numpy(dtype=float)
    high = table[f"{which}high"].to_numpy(dtype=float)
    held = (low - SAME <= true) & (true <= high + SAME)
    return np.asarray(held[~np.isnan(low)])


def _all(held: Booleans) -> Booleans:
    """One, whether all hold, of any."""
    return np.array([held.all()]) if held.size else held
