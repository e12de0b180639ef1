"""The first screen of a comparison: the answer in a few sentences, and the rows beneath it.

The tests decide the words; here they are only made short. `findings` says the same in full.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import pandas as pd

from ..analysis.best import OVER
from ..analysis.results import Results
from ..formats import after, capital, confidence, counted, interval, number, points, ranged
from ..records import budget_words
from ..statistics import FEWEST_BASES
from .chart_data import Board, Mark, Switch, View
from .findings import nothing, of_control
from .wording import WORDS

NAMED = 3  # methods that a clause names
ROWS = 9  # methods of the first table; the dense network is its tenth row
WORST = 2  # of these, methods that are told worse than the control
TOLD = ("better", "worse")
MEAN = 0.0  # stands for the mean over budgets where a budget is asked for


def short(results: Results, recovery: str) -> str:
    """What may be said of one recovery, in about two sentences."""
    control, rope = results.suite.analysis.control, results.suite.analysis.rope
    rows = of_control(results, recovery)
    by_word: dict[str, list[Mapping[Any, Any]]] = defaultdict(list)
    for row in rows:
        by_word[row["word"]].append(row)
    lost = by_word.pop("not compared", [])
    if not rows:
        return f"The suite holds {control} alone: nothing is compared."
    guessed = results.footing.guessing
    if guessed and set(guessed) == set(results.problems):
        return f"Nothing is concluded: {results.footing.near_chance}."
    if not by_word:
        return nothing(rows, control)
    if results.suite.bases < FEWEST_BASES:
        bases = counted(results.suite.bases, "base")
        why = f"With {bases} per problem that may be chance: it takes {FEWEST_BASES}."
        return f"{_highest(rows, control)}. {why}"
    better, worse = by_word["better"], by_word["worse"][::-1]
    parts = [f"{_led(better)} better than {control}"] if better else []
    if worse:
        parts += [] if parts else [f"No method is shown to be better than {control}"]
        parts += [f"{_led(worse)} worse"]
    sentences = ["; ".join(parts)] if parts else []
    if equal := [str(row["method"]) for row in by_word["equivalent"]]:
        sentences.append(f"{_are(equal)} as good as equal to {control} (within {rope:g} points)")
    rest = list(_rest(by_word, lost, others=bool(sentences)))
    if not sentences:
        sentences = [f"No method is shown to differ from {control}", _highest(rows, control)]
        rest = rest[1:]
    if rest:
        sentences.append(capital("; ".join(rest)))
    return " ".join(f"{one}." for one in sentences)


def _led(rows: Sequence[Mapping[Any, Any]]) -> str:
    """`a (+3.20 points [+1.00, +5.40]), b and 4 more are`: the first with its size."""
    first = rows[0]
    size = f"{points(first['mean'])} points {interval(first['joint_low'], first['joint_high'])}"
    return _are([f"{first['method']} ({size})", *(str(one["method"]) for one in rows[1:])])


def _are(names: Sequence[str]) -> str:
    """`a is`, `a and b are`, `a, b, c and 4 more are`."""
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    *most, last = [*names[:NAMED], *more]
    return f"{', '.join(most)} and {last} are" if most else f"{last} is"


def _highest(rows: Sequence[Mapping[Any, Any]], control: str) -> str:
    """Whose mean is the highest, of all problems, or of those where a method has one."""
    known = [row for row in rows if row["word"] != "not compared"]
    top = next((row for row in known if row["n_problems"] == row["of"]), known[0])
    span = interval(top["joint_low"], top["joint_high"])
    size = f"{points(top['mean'])} points" + (f" {span}" if span != "–" else "")
    if top["mean"] < 0:
        return f"The highest mean is that of {control}, and {top['method']} is nearest ({size})"
    return f"The highest mean is that of {top['method']} ({size} against {control})"


def _rest(
    by_word: Mapping[str, Sequence[Any]], lost: Sequence[Any], *, others: bool
) -> Iterator[str]:
    """How many are called nothing."""
    if undecided := len(by_word["undecided"]):
        who = counted(undecided, "other") if others else counted(undecided, "method")
        yield f"no difference is shown for {who}"
    if mixed := len(by_word["mixed"]):
        yield f"{mixed} {'is' if mixed == 1 else 'are'} mixed"
    if lost:
        yield f"{len(lost)} {'has' if len(lost) == 1 else 'have'} no result"


def answers(results: Results) -> list[tuple[str, str]]:
    """Each recovery in words, with its short answer."""
    return [(capital(after(one)), short(results, one)) for one in results.recoveries]


def of_what(results: Results) -> str:
    """What the sizes of the answer are of, and what their intervals hold for."""
    counts = [len(kept) for kept in results.budgets.values()]
    over = [f"{len(results.problems)} problems"] if len(results.problems) > 1 else []
    over += [ranged(counts, "budget")] if max(counts) > 1 else []
    text = f"Accuracy change, mean over {' and '.join(over)}" if over else "Accuracy change"
    if results.suite.bases < FEWEST_BASES or not results.layout.comparisons:
        return f"{text}."
    level = confidence(results.suite.analysis.alpha)
    tests = counted(results.layout.comparisons, "comparison")
    return f"{text}. In brackets: {level} intervals that hold for all {tests} at once."


def board(results: Results) -> Board:
    """The views of a comparison: by recovery, budget and problem."""
    table, level = results.changes, confidence(results.suite.analysis.alpha)
    control = results.suite.analysis.control
    budgets = _budgets(results)
    problems = {OVER: f"mean over {counted(len(results.problems), 'problem')}"}
    problems |= {one: one for one in results.problems}
    shown = [(one, words) for one, words in problems.items() if one in set(table["problem"])]
    switches = [
        Switch("recovery", "Recovery", [(one, capital(after(one))) for one in results.recoveries]),
        Switch("budget", "Budget", list(budgets.values())),
        Switch("problem", "Problem", shown if len(shown) > 1 else list(problems.items())[1:]),
    ]
    views: dict[tuple[int, ...], View] = {}
    keys = ["recovery", "budget", "problem"]
    orders = [list[Any](one) for one in (results.recoveries, budgets, problems)]
    for place, rows in table.fillna({"budget": MEAN}).groupby(keys):
        at = zip(orders, cast("tuple[Any, ...]", place), strict=True)
        views[tuple(order.index(one) for order, one in at)] = _view(rows, results)
    heads = [
        ("Accuracy", "top-1, %"),
        ("Change", f"points [{level}]"),
        (f"Against {control}", f"points [{level}, all at once]"),
        ("MACs kept", "%"),
        ("Parameters kept", "%"),
        ("Scoring time", "s"),
        ("Verdict", "of the mean over budgets" if len(budgets) > 1 else ""),
    ]
    costs = ["MACs kept (%)", "parameters kept (%)", "scoring time (s)"]
    spans = f"line: {level} interval over bases; " if results.suite.bases >= FEWEST_BASES else ""
    legend = (
        f"Filled: shown to differ from {control}; {spans}dashed: dense network; solid: {control}."
    )
    return Board(
        "accuracy change (points)", legend, heads, costs, switches, dict(sorted(views.items()))
    )


def _budgets(results: Results) -> dict[float, tuple[str, str]]:
    """Budgets of the views, each with its name in an address and its words; first their mean."""
    axis = results.suite.budgets.cost
    of = "" if axis == "threshold" else f" of {WORDS[axis]}"
    single = sorted(set(results.changes["budget"].dropna()), reverse=True)
    counts = [len(kept) for kept in results.budgets.values()]
    mean = f"mean over {ranged(counts, 'threshold' if axis == 'threshold' else 'budget')}"
    if max(counts) == 1:
        least = sorted(set(results.tightest.values()), reverse=True)
        mean = f"{', '.join(budget_words(axis, one) for one in least)}{of}"
    words = {one: (f"{one:g}", f"{budget_words(axis, one)}{of}") for one in single}
    return {MEAN: ("mean", mean), **words}


def _view(rows: pd.DataFrame, results: Results) -> View:
    """Rows of one view, best first; those without numbers last."""
    control = results.suite.analysis.control
    ordered = rows.sort_values("change", ascending=False, kind="stable")
    found = ordered.to_dict("records")
    marks = [_mark(row, control) for row in found]
    dense = (ordered["top1"] - ordered["change"]).mean()
    texts = [_two(dense), points(0), "–", "100", "100", "–", "reference"]
    reference = Mark("dense network", 0.0, float("nan"), float("nan"), "", texts)
    return View(marks, _shown(found, results), reference)


def _mark(row: Mapping[Any, Any], control: str) -> Mark:
    own = pd.isna(row["matched_to"])
    said = "control" if row["method"] == control else f"control of {row['matched_to']}"
    word = str(row["verdict"]) if not pd.isna(row["verdict"]) else said
    if own and word == said and said != "control":
        word = "–"
    texts = [
        _two(row["top1"]),
        _spanned(row["change"], row["low"], row["high"]),
        _spanned(row["against"], row["against_low"], row["against_high"]),
        number(row["macs_percent"]).text,
        number(row["params_percent"]).text,
        number(row["score_s"], 2).text,
        word,
    ]
    tone = word if word in (*TOLD, "control") else ""
    costs = (row["macs_percent"], row["params_percent"], row["score_s"])
    return Mark(row["method"], row["change"], row["low"], row["high"], tone, texts, costs)


def _shown(rows: Sequence[Mapping[Any, Any]], results: Results) -> list[str]:
    """The control, random and the worst where they are told from it, and the best; best first."""
    known = [row for row in rows if not pd.isna(row["change"])]
    control = results.suite.analysis.control
    own = [row for row in known if pd.isna(row["matched_to"]) or row["method"] == control]
    chance = {one.name for one in results.suite.methods if one.criterion == "random"}
    kept = {row["method"] for row in own if row["method"] == control}
    kept |= {row["method"] for row in own if row["method"] in chance and row["verdict"] in TOLD}
    kept |= {row["method"] for row in [one for one in own if one["verdict"] == "worse"][-WORST:]}
    most = ROWS if len(own) > ROWS + 1 else len(own)
    for row in own:
        if len(kept) < most:
            kept.add(row["method"])
    return [row["method"] for row in own if row["method"] in kept]


def _two(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"


def _spanned(value: float, low: float, high: float) -> str:
    """`+0.30 [−0.10, +0.70]`; without an interval the number alone."""
    span = interval(low, high)
    return points(value) + (f" {span}" if span != "–" else "")
