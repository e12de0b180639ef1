"""The tables of a comparison as they are set on the page and for papers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from . import standing
from .formats import (
    Cell,
    Column,
    Mark,
    Table,
    counts,
    heads,
    interval,
    number,
    p_value,
    points,
    signed,
    whole,
)
from .records import budget_words

if TYPE_CHECKING:
    from .analysis import Results

_VERDICTS = {
    "better": "better by more than the ROPE",
    "worse": "worse by more than the ROPE",
    "equivalent": "within the ROPE",
    "open": "undecided",
}


def typeset(results: Results) -> dict[str, list[Table]]:
    """All of them under their headings, in the order of the page."""
    makers = (standing_table, overall_table, difference_table, cost_table)
    found = {
        _first_upper(_after(recovery)): [make(results, recovery) for make in makers]
        for recovery in results.recoveries
    }
    notes = [note_table(results)] if any(_notes(results)) else []
    return found | {"Whole suite": [*notes, cell_table(results)]}


def standing_table(results: Results, recovery: str) -> Table:
    """Methods by problems: who is best, and who is not told from it."""
    rows = results.standing[results.standing["recovery"] == recovery]
    places = [*results.problems, standing.OVER] if len(results.problems) > 1 else results.problems
    cells = {(row["method"], row["problem"]): row for row in rows.to_dict("records")}
    last = rows[rows["problem"] == places[-1]].set_index("method")["mean"].to_dict()
    names = sorted(dict.fromkeys(rows["method"]), key=lambda one: _descending(last.get(one)))
    body = [
        [Cell(name), *(_standing(cells.get((name, place))) for place in places)] for name in names
    ]
    spread = f"mean ± one standard deviation over {results.suite.bases} bases"
    if results.suite.bases == 1:
        spread = "of one base, so its spread over bases is unknown"
    if len(places) > 1:
        spread += f"; of all problems, mean ± one standard deviation over the {len(places) - 1}"
    caption = (
        f"Retained top-1 {_after(recovery)} (points against the dense network, averaged over "
        f"{_counted(len(results.suite.budgets.kept), 'budget')}): {spread}. "
        f"{standing.rule(results)}"
    )
    columns = heads(
        ["Method", *(one if one != standing.OVER else "All problems" for one in places)], 1
    )
    return Table(f"standing_{recovery}", "Standing", caption, columns, body)


_MARKS: dict[str, Mark] = {"best": "best", "near": "near"}


def _standing(row: dict[Any, Any] | None) -> Cell:
    if row is None or row["standing"] == "missing":
        return Cell("–")
    spread = "" if pd.isna(row["sd"]) else f" ± {row['sd']:.2f}"
    return Cell(points(row["mean"]) + spread, float(row["mean"]), _MARKS.get(row["standing"], ""))


def difference_table(results: Results, recovery: str) -> Table:
    """Paired differences of one recovery, a row a problem and comparison."""
    rows = []
    for row in results.paired[results.paired["recovery"] == recovery].to_dict("records"):
        said = _VERDICTS.get(row["verdict"], f"missing: {row['reason']}")
        mean = signed(row["mean"])
        span = Cell(interval(row["low"], row["high"]), mean.value)
        cells = [Cell(row["method"]), Cell(row["reference"]), Cell(row["problem"])]
        cells += [mean, span, whole(row["n_bases"])]
        rows.append([*cells, Cell(counts(row), whole(row["wins"]).value), Cell(said)])
    names = ["Method", "Against", "Problem", "Difference", _level(results), "Bases"]
    columns = [*heads([*names, "Won/tied/lost"], 3), Column("Against the ROPE")]
    caption = (
        f"Paired differences {_after(recovery)} on each problem, in points of retained top-1 "
        "averaged over budgets: method minus reference, mean over bases (n in the column) with "
        f"the t-interval over bases, unadjusted. ROPE: ± {results.suite.analysis.rope:g} points"
    )
    return Table(f"paired_{recovery}", "Differences on each problem", caption, columns, rows)


def overall_table(results: Results, recovery: str) -> Table:
    """Differences over problems; tests only where they could reject."""
    names = ["Method", "Against", "Problems", "Mean", "Hodges–Lehmann", "Won/tied/lost"]
    tested = results.power.can_reach_alpha
    said = "so few that no test can reject: none is shown"
    if tested:
        names += [_level(results), "p", "Holm p"]
        said = (
            "t-interval of their means; exact Wilcoxon p, and adjusted by Holm over all declared "
            "comparisons"
        )
    rows = []
    for row in results.overall[results.overall["recovery"] == recovery].to_dict("records"):
        mean = signed(row["mean"])
        cells = [Cell(row["method"]), Cell(row["reference"]), whole(row["n_problems"]), mean]
        cells += [signed(row["hodges_lehmann"]), Cell(counts(row), whole(row["wins"]).value)]
        if tested:
            cells += [Cell(interval(row["low"], row["high"]), mean.value)]
            cells += [Cell(p_value(row[one]), number(row[one]).value) for one in ("p", "p_holm")]
        rows.append(cells)
    problems = _counted(len(results.problems), "problem")
    caption = (
        f"Differences {_after(recovery)} over {problems}, in points, averaged over bases; {said}"
    )
    return Table(f"overall_{recovery}", "Differences over problems", caption, heads(names, 2), rows)


def cost_table(results: Results, recovery: str) -> Table:
    """What each method took and left, means over problems, budgets and bases."""
    columns = {
        "macs_ratio": "MACs %",
        "params_ratio": "Parameters %",
        "latency_ratio": "Latency %",
        "score_s": "Scoring s",
        "images_scored": "Images scored",
        "phases_s": "Own training s",
        "images_phases": "Images of own training",
        "recovery_s": "Recovery s",
        "images_trained": "Images trained, all",
    }
    trials = results.trials.reindex(columns=["recovery", "method", "problem", *columns])
    mine = trials[trials["recovery"] == recovery]
    rows = []
    for method, found in mine.groupby("method", sort=False):
        means = found[list(columns)].astype(float).mean()
        means[["macs_ratio", "params_ratio", "latency_ratio"]] *= 100
        rows.append([Cell(str(method)), *(number(means[one]) for one in columns)])
    order = {name: at for at, name in enumerate(results.suite.method_names)}
    rows.sort(key=lambda row: order[row[0].text])
    caption = (
        f"What each method took and left {_after(recovery)}: means over all its finished trials. "
        "Own training comes before recovery (preparation and procedure, iterations included); "
        "images trained are those of all training after the base"
    )
    return Table(
        f"costs_{recovery}", "Costs", caption, heads(["Method", *columns.values()], 1), rows
    )


def note_table(results: Results) -> Table:
    """What procedures say of themselves: rounds, releases, channels that came back."""
    notes = pd.DataFrame(_notes(results))
    means = notes.groupby(["method", "note", "budget"], sort=False)["value"].agg(["mean", "count"])
    rows = [
        [Cell(str(method)), Cell(str(note)), _budget(results, budget), number(mean), whole(n)]
        for (method, note, budget), mean, n in means.itertuples(name=None)
    ]
    names = ["Method", "Note", "Budget", "Mean", "Trials"]
    caption = "What procedures say of themselves: means over all finished trials of a budget"
    return Table("notes", "Notes of procedures", caption, heads(names, 2), rows)


def _notes(results: Results) -> Iterator[dict[str, Any]]:
    for one in results.records:
        for note, value in (one.measurements.notes if one.measurements else {}).items():
            labels = one.labels
            yield {"method": labels.method, "note": note, "budget": labels.budget, "value": value}


def _budget(results: Results, budget: Any) -> Cell:
    return Cell(budget_words(results.suite.budgets.cost, budget), float(budget))


def cell_table(results: Results) -> Table:
    """Every cell of the suite."""
    columns = {
        "top1": "Top-1 %",
        "retained_top1": "Retained, points",
        "best_validation_top1": "Top-1 % at best validation",
        "macs_percent": "MACs %",
        "params_percent": "Parameters %",
        "channels_percent": "Channels %",
        "weights_percent": "Weights %",
        "latency_percent": "Latency %",
        "score_s": "Scoring s",
        "recovery_s": "Recovery s",
    }
    left_out = ("channels", "latency") if results.suite.budgets.unstructured else ("weights",)
    for one in left_out:  # a mask leaves these as they are, or only a mask has them
        del columns[f"{one}_percent"]
    rows = []
    for row in results.cells.to_dict("records"):
        cells = [Cell(row[one]) for one in ("problem", "recovery", "method")]
        cells += [_budget(results, row["budget"])]
        cells += [Cell(f"{row['done']}/{row['expected']}", row["done"])]
        rows.append([*cells, *(number(row[one]) for one in columns)])
    names = ["Problem", "Recovery", "Method", "Budget", "Trials", *columns.values()]
    caption = (
        f"Means of every cell over {_counted(results.suite.bases, 'base')} and "
        f"{_counted(results.suite.repeats, 'repeat')}; their spread is in cells.csv"
    )
    return Table("cells", "All cells", caption, heads(names, 3), rows)


def _after(recovery: str) -> str:
    return "without recovery" if recovery == "none" else f"after {recovery}"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}"


def _level(results: Results) -> str:
    return f"{100 * (1 - results.suite.analysis.alpha):g} % interval"


def _descending(value: float | None) -> float:
    return float("inf") if value is None or pd.isna(value) else -value


def _first_upper(text: str) -> str:
    return text[0].upper() + text[1:]
