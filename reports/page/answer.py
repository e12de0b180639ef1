"""The first screen of a comparison: the answer in a few sentences, and the rows beneath it.

The tests decide the words; here they are only made short. `findings` says the same in full.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pandas as pd

from ..analysis.best import OVER
from ..analysis.changes import AGAINST, COSTS
from ..analysis.power import sampling_test
from ..analysis.results import Results
from ..formats import after, capital, confidence, number, points, ranged, shown, spanned
from ..metric import spoken
from ..records import budget_of
from ..statistics import FEWEST_BASES
from ..words import Words, titles
from .chart_data import Board, Mark, Switch, View
from .findings import ByWord, answered, by_word_of, concludes, of_control, with_interval

# Methods that a clause names; with the control, as many as the first table has rows.
NAMED = {"better": 3, "worse": 3, "equivalent": 2}
ROWS = 9  # methods of the first table; the dense network is its tenth row
TOLD = ("better", "worse")
MEAN = "mean"  # of all budgets, in an address
NAN = float("nan")


def answers(results: Results) -> dict[str, str]:
    """What may be said of each recovery, by its words, in about two sentences; and of factors."""
    if results.footing.rehearsal:
        return {"A rehearsal": "Nothing is concluded."}
    said = {
        capital(after(one)): answered(results, of_control(results, one), _TEXTS)
        for one in results.recoveries
    }
    if results.suite.analysis.factors and not results.footing.void(results.problems):
        said["Factors"] = _TEXTS("comparison", "factors", results.factorial.to_dict("records"))
    return said


def like_these(results: Results, recovery: str) -> str:
    """What may be said of other problems: of datasets and models of which these are a sample."""
    rows, why_not = of_control(results, recovery), sampling_test(results.layout).why_not
    sizes = defaultdict[str, list[str]](list)
    for row in rows:
        sizes[row["like_word"]].append(f"{row['method']} ({points(row['mean'])} {spoken().points})")
    return _TEXTS("comparison", "like_these", sizes, results=results, why_not=why_not)


def are(names: Sequence[str], most: int) -> str:
    """`a, b and 4 more are`: so many of the names, and how many more."""
    more = [f"{len(names) - most} more"] if len(names) > most else []
    *first, last = [*names[:most], *more]
    return f"{', '.join(first)} and {last} are" if first else f"{last} is"


_TEXTS = Words("answer.yaml", are, with_interval, NAMED=NAMED, FEWEST_BASES=FEWEST_BASES)


def board(results: Results) -> Board:
    """The views of a comparison: by recovery, budget and problem."""
    suite, axis = results.suite, results.suite.budgets.cost
    table = results.changes.assign(at=[_named(one) for one in results.changes["budget"]])
    names = {key: list(dict.fromkeys(table[key])) for key in ("recovery", "at", "problem")}
    kept = sorted({one for several in results.budgets.values() for one in several}, reverse=True)
    words = {_named(one): budget_of(axis, one) for one in kept}
    each = "threshold" if axis == "threshold" else "budget"
    counts = [len(several) for several in results.budgets.values()]
    mean = f"mean over {ranged(counts, each)}"
    words[MEAN] = mean if max(counts) > 1 else ", ".join(words.values())
    n = len(results.problems)
    words[OVER] = f"mean over {n} problems" if n > 1 else results.problems[0]
    switches = [
        Switch("recovery", "Recovery", [(one, capital(after(one))) for one in names["recovery"]]),
        Switch("budget", "Budget", [(one, words[one]) for one in names["at"]]),
        Switch("problem", "Problem", [(one, words.get(one, one)) for one in names["problem"]]),
    ]
    of_words = {one: by_word_of(of_control(results, one)) for one in names["recovery"]}
    views = {
        cast("tuple[str, ...]", place): _view(rows, results, of_words[place[0]])
        for place, rows in table.groupby(list(names), sort=False)
    }
    level, metric = confidence(suite.analysis.alpha), spoken()
    heads = [
        (capital(metric.quality), f"{metric.title}, {metric.unit}"),
        ("Change", f"{metric.points} [{level}]"),
        (f"Against {suite.analysis.control}", f"{metric.points} [{level}, all at once]"),
        ("MACs kept", "%"),
        ("Parameters kept", "%"),
        ("Scoring time", "s"),
        ("Verdict", "of the mean over budgets" if max(counts) > 1 else ""),
    ]
    costs = ["MACs kept (%)", "parameters kept (%)", "scoring time (s)"]
    several = suite.bases >= FEWEST_BASES
    spans = f"Line: {level} interval over bases; arrow: it leaves the axis. " if several else ""
    told = concludes(results, results.problems)
    filled = f"filled: {suite.analysis.control}, and what is shown to differ from it"
    nothing = "nothing is concluded: the control alone is filled"
    legend = spans + capital(filled if told else nothing)
    return Board(metric.change, legend, heads, costs, switches, views)


def _named(budget: float) -> str:
    """A budget in an address."""
    return MEAN if pd.isna(budget) else f"{budget:g}"


def _view(rows: pd.DataFrame, results: Results, words: ByWord) -> View:
    """Rows of one view, best first; those without numbers last."""
    control, problem = results.suite.analysis.control, str(rows["problem"].iloc[0])
    there = results.problems if problem == OVER else [problem]
    single = pd.notna(rows["budget"].iloc[0])  # the tests are of the mean over budgets
    told = concludes(results, there) and not single
    ordered = rows.sort_values("change", ascending=False, kind="stable")
    marks = [_mark(row, control, told) for row in ordered.to_dict("records")]
    top1 = (ordered["top1"] - ordered["change"]).mean()
    texts = [shown(top1), points(0), "–", "100", "100", "–", "reference"]
    own = ordered[ordered["matched_to"].isna() | (ordered["method"] == control)]
    lines = _shown(own, results, words)
    n, of = int(rows["n_problems"].max()), len(there)
    over = f"mean over {n} of {of} problems" if 0 < n < of else ""
    if single:
        over = over or (f"mean over {of} problems" if of > 1 else there[0])
        over += "; no test is of one budget alone"
    return View(marks, lines, Mark("dense network", 0.0, NAN, NAN, "", texts), over)


def _mark(row: Mapping[Any, Any], control: str, told: bool) -> Mark:
    """A row; its word only where something may be told."""
    word = "control" if row["method"] == control else row["verdict"] if told else "–"
    texts = [
        shown(row["top1"]),
        spanned(row["change"], row["low"], row["high"]),
        spanned(*(row[one] for one in AGAINST)),
        *(number(row[one], digits).text for one, digits in zip(COSTS, (3, 3, 2), strict=True)),
        "–" if pd.isna(word) else word,
    ]
    there = row["against_low"] > 0 if word == "better" else row["against_high"] < 0
    tone = word if word == "control" or (word in TOLD and there) else ""
    costs = [row[one] for one in COSTS]
    return Mark(row["method"], row["change"], row["low"], row["high"], tone, texts, costs)


def _shown(own: pd.DataFrame, results: Results, words: ByWord) -> list[str]:
    """The control, whom the answer names, criteria of the reader's own, random where it is told
    apart, and the best; best first. All that are told from the control, where there is room."""
    named = [row["method"] for word, most in NAMED.items() for row in words[word][:most]]
    random = {one.name for one in results.suite.methods if one.criterion == "random"}
    mine = {one.name for one in results.suite.methods if one.criterion not in titles()}
    told = list(own.loc[own["verdict"].isin(TOLD), "method"])
    kept = {results.suite.analysis.control, *named}
    for more in (mine, random & set(told), set(told)):
        kept |= more if len(kept | more) <= ROWS else set()
    kept &= set(own["method"]) if own["change"].notna().any() else set()
    best = [one for one in own.dropna(subset=["change"])["method"] if one not in kept]
    most = ROWS if len(own) > ROWS + 1 else len(own)
    kept |= set(best[: max(0, most - len(kept))])
    return [one for one in own["method"] if one in kept]
