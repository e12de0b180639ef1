"""The tables of a comparison as they are set on the page and for papers."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..analysis import best as standing
from ..analysis.against_published import published_table
from ..formats import (
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
from ..records import budget_words
from .extras import extras_table

if TYPE_CHECKING:
    from ..analysis.analysis import Results


def typeset(results: Results) -> dict[str, list[Table]]:
    """All of them under their headings, in the order of the page."""
    makers = (
        *(standing_table, rank_table, overall_table),
        *(extras_table, difference_table, cost_table),
    )
    found = {}
    for recovery in results.recoveries:
        made = (make(results, recovery) for make in makers)
        found[_first_upper(_after(recovery))] = [one for one in made if one is not None]
    if len(results.published):
        found["Ours and the published"] = [published_table(results.published)]
    notes = [note_table(results)] if any(_notes(results)) else []
    return found | {"Whole suite": [noise_table(results), *notes, cell_table(results)]}


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
        f"Retained top-1 {_after(recovery)} (points against the dense network, "
        f"{_budgets(results)}): {spread}. "
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
        said = f"missing: {row['reason']}" if row["reason"] else row["verdict"]
        mean = signed(row["mean"])
        span = Cell(interval(row["low"], row["high"]), mean.value)
        cells = [Cell(row["method"]), Cell(row["reference"]), Cell(row["problem"])]
        cells += [mean, span, whole(row["n_bases"])]
        rows.append([*cells, Cell(counts(row), whole(row["wins"]).value), Cell(said)])
    names = ["Method", "Against", "Problem", "Difference", f"{_percent(results)} interval", "Bases"]
    columns = [*heads([*names, "Won/tied/lost"], 3), Column("Against the ROPE")]
    caption = (
        f"Paired differences {_after(recovery)} on each problem, in points of retained top-1 "
        "averaged over budgets: method minus reference, mean over bases (n in the column) with "
        f"the t-interval over bases, unadjusted. Against the ROPE of "
        f"± {results.suite.analysis.rope:g} points: better or worse where the interval lies wholly "
        "outside, equivalent where wholly inside, else undecided"
    )
    return Table(f"paired_{recovery}", "Differences on each problem", caption, columns, rows)


def overall_table(results: Results, recovery: str) -> Table:
    """Differences over problems: size first, then how often, then tests where they could reject."""
    names = ["Method", "Against", "Problems", "Failed", "Mean", "Shift", "Shift, interval"]
    names += ["Won/tied/lost", "Share won", "Rank-biserial", "Better/equal/worse %"]
    tested = results.power.can_reach_alpha
    names += ["Mean, interval", "p", "Holm p"] if tested else []
    rows = []
    for row in results.overall[results.overall["recovery"] == recovery].to_dict("records"):
        shift, mean = signed(row["hodges_lehmann"]), signed(row["mean"])
        cells = [Cell(row["method"]), Cell(row["reference"]), whole(row["n_problems"])]
        cells += [whole(row["n_failed"]), mean, shift]
        cells += [Cell(interval(row["shift_low"], row["shift_high"]), shift.value)]
        cells += [Cell(counts(row), whole(row["wins"]).value)]
        cells += [number(row["share_won"]), number(row["rank_biserial"]), _beliefs(row)]
        if tested:
            cells += [Cell(interval(row["low"], row["high"]), mean.value)]
            cells += [Cell(p_value(row[one]), number(row[one]).value) for one in ("p", "p_holm")]
        rows.append(cells)
    analysis = results.suite.analysis
    said = "the problems are too few for any test to reject, so no p is shown"
    if tested:
        said = "p: exact Wilcoxon, and adjusted by Holm over all declared comparisons"
    failing = {"worst": "counts as the worse there", "drop": "leaves the problem out"}
    caption = (
        f"Differences {_after(recovery)} over {_counted(len(results.problems), 'problem')}, in "
        "points, one value a problem. Mean: with its t-interval. Shift: Hodges–Lehmann, with the "
        f"interval of the signed-rank test, {_percent(results)} both. A method that failed "
        f"{failing[analysis.failures]}. Better/equal/worse: Bayesian signed-rank with the ROPE of "
        f"± {analysis.rope:g} points; {said}"
    )
    title = "Differences over problems"
    return Table(f"overall_{recovery}", title, caption, heads(names, 2), rows)


def _beliefs(row: dict[Any, Any]) -> Cell:
    beliefs = [row["p_better"], row["p_equal"], row["p_worse"]]
    if pd.isna(beliefs[0]):
        return Cell("–")
    return Cell("/".join(f"{100 * one:.0f}" for one in beliefs), float(beliefs[0]))


def rank_table(results: Results, recovery: str) -> Table | None:
    """Mean ranks over problems and who is not told from whom; None below two problems."""
    ranking = results.ranking[recovery]
    test = ranking.omnibus
    if test is None:
        return None
    cliques = dict(enumerate(ranking.cliques))
    order = sorted(range(len(ranking.methods)), key=lambda at: test.mean_ranks[at])
    rows = []
    for at in order:
        letters = "".join(_letter(i) for i, members in cliques.items() if at in members)
        rows.append([Cell(ranking.methods[at]), number(test.mean_ranks[at]), Cell(letters or "–")])
    left_out = "; ".join(f"{problem} ({why})" for problem, why in ranking.left_out)
    caption = (
        f"Mean ranks {_after(recovery)} over {_counted(test.blocks, 'problem')} (1 is best). "
        f"Friedman, ties corrected: χ² = {test.statistic:.2f}, p = {p_value(test.p_value)}; "
        f"Iman–Davenport F = {test.f_statistic:.2f}, p = {p_value(test.f_p_value)}; by permutation "
        f"p = {p_value(test.permutation_p)}; Kendall's W = {test.kendall_w:.2f}; tied cells: "
        f"{100 * test.tied:.0f} %. Methods that share a letter are not told apart by any pairwise "
        "Wilcoxon test (Holm over all pairs)" + (f". Left out: {left_out}" if left_out else "")
    )
    columns = [Column("Method"), Column("Mean rank", numeric=True), Column("Not told apart")]
    return Table(f"ranks_{recovery}", "Ranks", caption, columns, rows)


def _letter(at: int) -> str:
    """a to z, then aa, ab ..."""
    return (_letter(at // 26 - 1) if at >= 26 else "") + chr(ord("a") + at % 26)


def noise_table(results: Results) -> Table:
    """Where noise comes from, and what bad habits would have added."""
    habits = results.inflation.set_index(["recovery", "method"]).to_dict("index")
    keys = ["recovery", "method"]
    columns = ["base_sd", "repeat_sd", "aa_sd"]
    means = results.noise.groupby(keys, sort=False)[columns].mean()
    rows = []
    recoveries, methods = list(results.recoveries), results.suite.method_names
    place = {key: at for at, key in enumerate(product(recoveries, methods))}
    for row in sorted(
        means.reset_index().to_dict("records"),
        key=lambda one: place[one["recovery"], one["method"]],
    ):
        added = habits.get((row["recovery"], row["method"]), {})
        cells = [Cell(row["recovery"]), Cell(row["method"]), *(number(row[one]) for one in columns)]
        rows.append([*cells, *(number(added.get(one)) for one in ("best_of_n", "best_epoch"))])
    names = ["Recovery", "Method", "SD of bases", "SD of repeats", "SD of A − A"]
    names += ["Best of n adds", "Best epoch adds"]
    caption = (
        "Noise of retained top-1 in points, means over problems: standard deviations of the "
        f"{_counted(results.suite.bases, 'base')} and of the "
        f"{_counted(results.suite.repeats, 'repeat')} inside them (variance components), and of "
        "the difference of two runs of one method. A repeat draws calibration images and "
        "finetuning order anew, both at once: after a recovery its spread is that of both, and "
        "nothing here tells one from the other. And how much reporting the best run, or the "
        "epoch that is best on the split that chose it, would have added"
    )
    return Table(
        "noise", "Noise, and what choosing the best would add", caption, heads(names, 2), rows
    )


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
    if results.suite.budgets.unstructured or not results.suite.latency:
        del columns["latency_ratio"]
    trials = results.trials.reindex(columns=["recovery", "method", "problem", *columns])
    mine = trials[trials["recovery"] == recovery]
    rows = []
    for method, found in mine.groupby("method", sort=False):
        means = found[list(columns)].astype(float).mean()
        means[[one for one in columns if one.endswith("_ratio")]] *= 100
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


def _budgets(results: Results) -> str:
    """How budgets become one number."""
    counts = sorted({len(kept) for kept in results.budgets.values()})
    several = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    if counts[-1] == 1:
        return "at one budget"
    if results.suite.budgets.cost == "threshold":
        return f"mean over {several} thresholds"
    return f"area over {several} budgets and log compression"


def _counted(n: int, what: str) -> str:
    return f"{n} {what}{'s' if n != 1 else ''}"


def _percent(results: Results) -> str:
    return f"{100 * (1 - results.suite.analysis.alpha):g} %"


def _descending(value: float | None) -> float:
    return float("inf") if value is None or pd.isna(value) else -value


def _first_upper(text: str) -> str:
    return text[0].upper() + text[1:]
