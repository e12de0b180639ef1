"""The tables of a paper: one problem with its costs, and all problems beside one another."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import pandas as pd

from ..analysis.best import MARKED, OVER, against_best
from ..analysis.cells import gaps
from ..analysis.results import Results
from ..figures.captions import over_budgets
from ..formats import Cell, Mark, capital, points, shown
from ..metric import spoken
from ..records import budget_of
from .choice import Choice

_COSTS = {"weights": "Weights", "macs": "MACs", "params": "Params", "latency": "Latency"}
_UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""))
ALL = None  # budgets of the suite: their mean
_THIN = "\N{THIN SPACE}"
_EQUAL = 9  # decimals to which means are equal


class Column(NamedTuple):
    """A column: its head, the head above that, and what stands in it."""

    over: str
    head: str
    dense: str
    at: Callable[[str, float | None], Cell]  # of method and budget, or `ALL`


class Shown:
    """Results under one recovery, of which a paper shows some methods, problems and budgets."""

    def __init__(self, results: Results, choice: Choice, recovery: str) -> None:
        self.results, self.choice = results, choice
        self.ranks = results.ranking[recovery]
        self.table = results.cells[results.cells["recovery"] == recovery]
        whole = self.table[self.table["complete"].astype(bool)].to_dict("records")
        self.cells = {(row["problem"], row["method"], row["budget"]): row for row in whole}
        standing = against_best(results, {recovery: self.ranks}, choice.names)
        self.standing: dict[Any, Any] = standing.set_index(["problem", "method"]).to_dict("index")
        self.several = max(map(len, results.budgets.values())) > 1  # budgets

    def tables(self) -> Iterator[dict[str, Any]]:
        """What `paper_table.tex` sets: all problems, where several are shown, and each alone."""
        problems, ranked = self.choice.problems, self.ranks.problems
        if len(problems) > 1:
            columns = [column for one in problems for column in self._accuracy(one, one)]
            columns.append(self._change(f"Mean of {len(ranked)}", OVER, ranked))
            yield self._table(OVER, problems, columns)
        for one in problems:
            over = f"{capital(spoken().quality)} ({spoken().unit})"
            columns = [*self._accuracy(one, over), *self._costs(one)]
            yield self._table(one, [one], columns)

    def _table(
        self, place: str, problems: Sequence[str], columns: Sequence[Column]
    ) -> dict[str, Any]:
        axis, names = self.results.suite.budgets.cost, self.choice.names
        kept = "" if axis == "threshold" else " kept"
        groups = [("", [[Cell("Dense"), *(Cell(one.dense) for one in columns)]])]
        there = {budget for one in problems for budget in self.results.budgets[one]}
        parts: dict[float | None, tuple[str, list[str]]] = {
            budget: (budget_of(axis, budget) + kept, list(names))
            for budget in self.choice.budgets
            if budget in there
        }
        if self.several:  # matched controls are not ranked
            parts[ALL] = over_budgets(self.results), [m for m in names if m in self.ranks.planned]
        for budget, (heading, who) in parts.items():
            rows = [[Cell(names[m]), *(one.at(m, budget) for one in columns)] for m in who]
            groups.append((capital(heading), rows))
        standings = [self.standing.get((place, one), {}) for one in names]
        over = groupby(one.over for one in columns)
        return {
            "place": place,
            "heads": [one.head for one in columns],
            "over": [(text, len(list(same))) for text, same in over],  # of so many columns
            "groups": groups,
            "tested": any(of.get("standing") in ("near", "behind") for of in standings),
            "missing": list(self._missing(problems)),
        }

    def _accuracy(self, problem: str, over: str) -> list[Column]:
        """Top-1, with its spread over bases, and its change."""
        _, best = self._changes([problem])

        def top1(method: str, budget: float | None) -> Cell:
            if budget not in self.results.budgets[problem]:
                return Cell("")
            row = self.cells.get((problem, method, budget))
            text = _spread(row["top1"], row["top1_sd"]) if row else "–"
            return Cell(text, mark="best" if (method, budget) in best else "")

        dense = self.results.dense.query("problem == @problem")["dense_top1"]
        text = _spread(dense.mean(), dense.std(ddof=1))
        return [Column(over, spoken().title, text, top1), self._change(over, problem, [problem])]

    def _change(self, over: str, place: str, problems: Sequence[str]) -> Column:
        """Mean change over these problems; the standing of methods there is that of all budgets."""
        means, best = self._changes(problems)

        def at(method: str, budget: float | None) -> Cell:
            standing = self.standing.get((place, method), {})
            tested = MARKED.get(standing.get("standing", ""), "")
            if budget is ALL:
                return Cell(points(standing.get("mean", math.nan)), mark=tested)
            if not all(budget in self.results.budgets[one] for one in problems):
                return Cell("")
            mark: Mark = "best" if (method, budget) in best else ""
            if not self.several:  # then what is tested is this very number
                mark = tested or mark
            return Cell(points(means.get((method, budget), math.nan)), mark=mark)

        return Column(over, "change", "", at)

    def _changes(self, problems: Sequence[str]) -> tuple[dict[Any, float], set[Any]]:
        """By (method, budget) the mean change over problems that all have one; and the highest."""
        shown = [row for row in self.cells.values() if row["method"] in self.choice.names]
        table = pd.DataFrame(shown, columns=["problem", "method", "budget", "retained_top1"])
        wide = table.pivot(index=["method", "budget"], columns="problem", values="retained_top1")
        means = wide.reindex(columns=list(problems)).mean(axis=1, skipna=False)
        means = means.round(_EQUAL).dropna()
        highest = means.groupby("budget").transform("max")
        return means.to_dict(), set(means.index[means == highest])

    def _costs(self, problem: str) -> Iterator[Column]:
        """Of every cost that was measured the count, in the dense network's unit, and the share."""

        def numbers(name: str, size: float, digits: int) -> Callable[[str, float | None], Cell]:
            def at(method: str, budget: float | None) -> Cell:
                row = self.cells.get((problem, method, budget))
                missing = "" if budget is ALL else "–"
                return Cell(f"{row[name] / size:.{digits}f}" if row else missing)

            return at

        own = self.table.query("problem == @problem")
        dense = self.results.dense.query("problem == @problem").mean(numeric_only=True)
        for cost, over in _COSTS.items():
            masked = cost == "params" and self.results.suite.budgets.unstructured  # as weights
            if own[f"{cost}_percent"].isna().all() or masked:
                continue
            if (whole := dense.get(f"dense_{cost}")) is not None:
                size, unit = next(one for one in _UNITS if whole >= one[0])
                digits = max(2 - int(math.log10(whole / size)), 0)  # three are shown
                yield Column(over, unit, f"{whole / size:.{digits}f}", numbers(cost, size, digits))
            yield Column(over, "%", "100", numbers(f"{cost}_percent", 1, 1))

    def _missing(self, problems: Sequence[str]) -> Iterator[str]:
        own = self.table["problem"].isin(problems) & self.table["budget"].isin(self.choice.budgets)
        for (problem, _, method), what in gaps(self.table[own]).items():
            if method in self.choice.names:
                where = f" ({problem})" if len(problems) > 1 else ""
                yield f"{self.choice.names[method]}{where}: {what}"


def _spread(mean: float, deviation: float) -> str:
    """`93.42 ± 0.12`; a dash where there is no mean."""
    if pd.isna(mean):
        return "–"
    return shown(mean) + ("" if pd.isna(deviation) else f"{_THIN}±{_THIN}{shown(deviation)}")
