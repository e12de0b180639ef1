"""The page of a fidelity report: what it says in words, and its tables."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import pandas as pd

from suites.section import slug

from ..analysis.fidelity import STATISTICS, FidelityResults
from ..figures.plot import Drawing
from ..formats import Cell, Table, capital, confidence, number
from ..statistics import FEWEST_BASES
from .answer import ROWS
from .captions import captioned, caution
from .chart_data import Board, Mark, Switch, View
from .findings import TEXTS, rounded
from .page import rendered
from .record_warnings import missing_warnings, record_warnings
from .warnings import toys
from .wording import halved

KINDS = {"spearman": "over all units", "spearman_within": "within layers"}
NOISY = 0.8  # ceiling of the correlation below which the truth itself is worth a word


def fidelity_tables(results: FidelityResults) -> dict[str, list[Table]]:
    """One by problem, best criteria first."""
    return {problem: [_table(results, problem)] for problem in results.problems}


def render_fidelity(
    results: FidelityResults, drawings: Iterable[Drawing], tables: Mapping[str, Sequence[Table]]
) -> str:
    """One HTML page without outside parts."""
    return rendered(
        "fidelity.html",
        results,
        drawings,
        tables=tables,
        images=sorted({one.fidelity.images for one in results.records if one.fidelity}),
        answers=fidelity_answers(results),
        scope=toys(results.suite),
        board=board(results),
        warnings=list(warnings(results)),
    )


def fidelity_answers(results: FidelityResults) -> dict[str, str]:
    """What may be said of each problem."""
    if results.footing.rehearsal:
        return {"A rehearsal": "Nothing is concluded."}
    return {problem: headline(results, problem) for problem in results.problems}


def headline(results: FidelityResults, problem: str) -> str:
    """Which criterion has the highest correlation, and how far that can be trusted."""
    found = _rows(results, problem)
    rows = found.dropna(subset=["spearman"]).to_dict("records")
    if not rows and found["complete"].any():
        return "Nothing can be ranked: it takes three units that change the loss differently."
    if not rows:
        return "No criterion has all its trials yet."
    inside = max(rows, key=lambda row: (pd.notna(row["spearman_within"]), row["spearman_within"]))
    random = {one.name for one in results.suite.methods if one.criterion == "random"}
    lost = [row["method"] for row in rows if row["regret_30_normalised"] >= 1]
    known = {"all": len(rows) if found["complete"].all() else len(found), "inside": inside}
    known |= {"near": sum(not row["told"] for row in rows[1:])}
    known |= {"worse": [one for one in lost if one not in random]}
    return TEXTS("fidelity", "ranked", rows, ceiling=results.ceilings[problem], **known)


def board(results: FidelityResults) -> Board:
    """The views of a fidelity suite: correlation over all units or within layers, by problem."""
    level = confidence(results.suite.analysis.alpha)
    span = f"[{level}]" if results.suite.bases >= FEWEST_BASES else ""
    heads = [(capital(words), f"Spearman ρ {span}") for words in KINDS.values()]
    heads += [("Regret, lowest 30 %", "0 best, 1 random"), ("Scoring time", "s")]
    heads += [("Standing", "over all units")]
    switches = [
        Switch("problem", "Problem", [(one, one) for one in results.problems]),
        Switch("over", "Correlation", list(KINDS.items())),
    ]
    views: dict[tuple[str, ...], View] = {
        (problem, name): _view(results, problem, name)
        for problem, name in product(results.problems, KINDS)
    }
    spans = f"Line: {level} interval over bases; " if span else ""
    legend = f"{spans}filled: the highest, where all others are shown to differ from it"
    value, costs = "rank correlation with the truth", ["scoring time (s)"]
    return Board(value, capital(legend), heads, costs, switches, views)


def _view(results: FidelityResults, problem: str, name: str) -> View:
    ordered = _rows(results, problem).sort_values(name, ascending=False, kind="stable")
    best, marks = ordered["spearman"].max(), []
    alone = ordered["told"].any() and (ordered["complete"] & ~ordered["told"]).sum() == 1
    for row in ordered.to_dict("records"):
        word = "differs from the highest" if row["told"] else "not shown to differ"
        word = "highest" if row["spearman"] == best else word if row["complete"] else "–"
        word = "–" if results.footing.rehearsal else word
        texts = [_said(row, one) for one in (*KINDS, "regret_30_normalised")]
        texts += [rounded(row["score_s"]), word]
        value, low, high = (float(row[name + end]) for end in ("", "_low", "_high"))
        tone = "better" if word == "highest" and alone else ""
        marks.append(Mark(row["method"], value, low, high, tone, texts, [row["score_s"]]))
    known = ordered.dropna(subset=[name])["method"]
    nan, ceiling = float("nan"), results.ceilings.get(problem, float("nan"))
    line = ceiling if name == "spearman" else 1.0
    texts = [rounded(ceiling), "–", "0", "–", "reference"]
    return View(marks, list(known[:ROWS]), Mark("perfect criterion", line, nan, nan, "", texts))


def warnings(results: FidelityResults) -> Iterator[str]:
    """Everything a reader should know before believing a number."""
    suite, records = results.suite, results.records
    if said := toys(suite):
        yield said
    if half := halved(suite):
        yield caution("precision", "half", what=half)
    yield from missing_warnings(records, len(results.expected), results.ignored)
    if suite.bases < FEWEST_BASES:
        nothing = "no criterion is shown to differ from another"
        known = {"bases": suite.bases, "fewest": FEWEST_BASES, "why": ""}
        yield caution("bases", "few", nothing=nothing, **known)
    yield from record_warnings(records, results.labs)
    spanned = defaultdict[str, set[str]](set)
    for one in records:
        if one.fidelity is not None and one.fidelity.spanned:
            spanned[one.labels.problem].update(one.fidelity.spanned)
    for problem, roots in sorted(spanned.items()):
        yield caution("fidelity", "spanned", problem=problem, roots=sorted(roots))
    for problem, value in results.ceilings.items():
        if value < NOISY:
            yield caution("fidelity", "noisy", problem=problem, ceiling=rounded(value))


def _table(results: FidelityResults, problem: str) -> Table:
    rows = []
    for row in _rows(results, problem).to_dict("records"):
        cells = [Cell(_said(row, one), number(row[one]).value) for one in STATISTICS]
        seconds = Cell(rounded(row["score_s"]), number(row["score_s"]).value)
        trials = Cell(f"{row['done']}/{row['expected']}", row["done"])
        rows.append([Cell(row["method"]), *cells, seconds, trials])
    level = confidence(results.suite.analysis.alpha)
    known = {"problem": problem, "intervals": ""}
    if results.suite.bases >= FEWEST_BASES:
        known["intervals"] = f"; {level} intervals over bases, each alone"
    return captioned("fidelity", slug(problem), results, rows, **known)


def _rows(results: FidelityResults, problem: str) -> pd.DataFrame:
    return results.methods[results.methods["problem"] == problem]


def _said(row: Mapping[Any, Any], name: str) -> str:
    """`0.86 [0.84, 0.88]`; without an interval the number alone."""
    value, low, high = (row[name + end] for end in ("", "_low", "_high"))
    span = "" if pd.isna(low) else f" [{rounded(low)}, {rounded(high)}]"
    return rounded(value) + span
