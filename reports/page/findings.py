"""What a report says in words: the headline, what tests can show, what is missing, where from."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from ..analysis.cells import failures as failures_of
from ..analysis.results import Results
from ..formats import counted, few, interval, points
from ..metric import spoken
from ..records import Record
from ..statistics import FEWEST_BASES
from ..words import Words

ByWord = dict[str, list[Mapping[Any, Any]]]  # rows of a table by their verdict


def headline(results: Results, recovery: str) -> str:
    """What the suite shows under one recovery on its own problems, no stronger than its data.

    Words, sizes and intervals are of the mean over these problems; the intervals allow for all
    comparisons of the page, so that whatever is named for standing out keeps its 95 %.
    """
    rows = of_control(results, recovery)
    said = [answered(results, rows, TEXTS)]
    if no_conclusion(results, rows):
        return said[0]
    if results.suite.bases >= FEWEST_BASES:
        said += _collapsed(rows, results.suite.analysis.control)
    said += [f"Beware: {results.footing.near_chance}."] if results.footing.guessing else []
    return " ".join([*said, *_failing(results, recovery, rows)])


def answered(results: Results, rows: Sequence[Mapping[Any, Any]], texts: Words) -> str:
    """What these rows show, in the words of a file, or why nothing is said of them. The highest
    mean is that over all problems, with an interval that allows for its being chosen."""
    suite, control = results.suite, results.suite.analysis.control
    if why_not := no_conclusion(results, rows):
        return why_not
    if not (known := [row for row in rows if row["word"] != "not compared"]):
        return TEXTS("comparison", "nothing", rows, control=control)
    part = "few_bases" if suite.bases < FEWEST_BASES else "tested"
    whole = [row for row in known if row["n_problems"] == row["of"]]
    top = [TEXTS("comparison", "highest", row, control=control) for row in whole[:1]]
    return texts("comparison", part, by_word_of(rows), results=results, suite=suite, highest=top)


def concludes(results: Results, problems: Sequence[str]) -> bool:
    """Whether words such as better may be said of these problems at all."""
    return results.suite.bases >= FEWEST_BASES and not results.footing.void(problems)


def no_conclusion(results: Results, rows: Sequence[Mapping[Any, Any]]) -> str:
    """Why nothing could be said whatever the trials gave; "" where something can."""
    if not rows:
        return f"The suite holds {results.suite.analysis.control} alone: nothing is compared."
    void = results.footing.void(results.problems)
    return f"Nothing is concluded: {void}." if void else ""


def of_control(results: Results, recovery: str) -> list[dict[Any, Any]]:
    """Rows of the methods against the control, highest mean first."""
    table = results.overall
    rows = table[(table["family"] == "control") & (table["recovery"] == recovery)]
    return rows.sort_values("mean", ascending=False, kind="stable").to_dict("records")


def by_word_of(rows: Sequence[Mapping[Any, Any]]) -> ByWord:
    """In the order in which a sentence names them: the best first, of the worse the worst."""
    found: dict[str, list[Mapping[Any, Any]]] = defaultdict(list)
    for row in rows:
        found[row["word"]].append(row)
    found["worse"].reverse()
    return found


def with_interval(row: Mapping[Any, Any]) -> str:
    span = interval(row["joint_low"], row["joint_high"])
    some = f" on {row['n_problems']} of {row['of']} problems"
    where = some if row["n_problems"] < row["of"] else ""
    few = abs(row["typical"]) < abs(row["mean"]) / 2  # that carry the mean
    typical = f"; typically {points(row['typical'])}" if few else ""
    return f"{row['method']} ({points(row['mean'])} {spoken().points}, {span}{where}{typical})"


def _collapsed(rows: Sequence[Mapping[Any, Any]], control: str) -> Iterator[str]:
    """Who falls far behind on single problems: methods, or the control behind them."""
    losses: list[tuple[float, str]] = []
    for row in (one for one in rows if one["word"] != "not compared"):
        for problem, gap in row["collapses"].items():
            ahead, behind = (control, row["method"]) if gap < 0 else (row["method"], control)
            far = f"{abs(gap):{'.0f' if abs(gap) >= 10 else '.3g'}} {spoken().points}"
            losses.append((-abs(gap), f"{behind} lies {far} behind {ahead} on {problem}"))
    if losses:
        yield f"Collapses: {few([said for _, said in sorted(losses)])}."


def _failing(results: Results, recovery: str, rows: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Which methods have no result somewhere because they failed, each kind by itself."""
    ends = failures_of(results.cells).items()
    lost = Counter((method, how) for (_, where, method), how in ends if where == recovery)
    control = results.suite.analysis.control
    words = [
        f"{method}{', the control,' if method == control else ''} {how} on {n} of "
        f"{counted(len(results.problems), 'problem')}"
        for (method, how), n in sorted(lost.items(), key=lambda one: one[0][0] != control)
    ]
    left = [row for row in rows if row["word"] == "not compared" and row["n_problems"]]
    said = [f"No result: {few(words)}."] if words else []
    if left:
        names = few([row["method"] for row in left])
        said.append(f"Not compared, as too few problems have both results: {names}.")
    return said


def headline_numbers(results: Results) -> dict[str, dict[str, Any]]:
    """The same by recovery and in numbers.

    `best` has the highest mean difference to the control, on so many `problems` as both have
    finished, of `mean` points with the simultaneous interval `low`, `high` and `p_adjusted` where
    there is one; `compared` counts the methods, `better`, `worse`, `equivalent` those of each word;
    `like_better` and `like_worse` those for problems like these. Empty where nothing may be
    concluded.
    """
    numbers_of: dict[str, dict[str, Any]] = {}
    if results.footing.void(results.problems):
        return numbers_of
    for recovery in results.recoveries:
        rows = [row for row in of_control(results, recovery) if row["word"] != "not compared"]
        if not rows:
            continue
        best = rows[0]
        numbers = {"mean": best["mean"], "low": best["joint_low"], "high": best["joint_high"]}
        numbers["p_adjusted"] = best["p_adjusted"]
        words, like = (Counter(row[one] for row in rows) for one in ("word", "like_word"))
        numbers_of[recovery] = {
            "best": str(best["method"]),
            **{name: float(value) for name, value in numbers.items() if not pd.isna(value)},
            "problems": int(best["n_problems"]),
            "compared": len(rows),
            **{name: words[name] for name in ("better", "worse", "equivalent")},
            **{f"like_{name}": like[name] for name in ("better", "worse")},
        }
    return numbers_of


def failures(records: Sequence[Record]) -> list[tuple[str, str, int, str]]:
    """(outcome, message, how many, an example) of the trials that ended without measurements."""
    grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in records:
        if one.failure is not None:
            kind = one.failure.kind if one.outcome == "failed" else one.outcome
            grouped[kind, one.failure.message].append(one.labels.brief)
    return [(*key, len(found), min(found)) for key, found in sorted(grouped.items())]


def provenance(records: Sequence[Record]) -> dict[str, Counter[str]]:
    """Dotted name -> each value with the number of records that bear it."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    alike: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for one in records:
        for name, value in one.provenance.items():
            alike[name, repr(value)].append(value)
    for (name, _), values in alike.items():
        for inner, told in _flat(values[0], name):
            found[inner][told] += len(values)
    return found


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, str(value)


def rounded(value: float) -> str:
    """Two decimals, or two digits of a small number, with a true minus."""
    if pd.isna(value):
        return "–"
    text = f"{value:.2f}" if abs(value) >= 0.095 or value == 0 else f"{value:.2g}"
    return text.replace("-", "−")


TEXTS = Words("findings.yaml", with_interval, rounded, FEWEST_BASES=FEWEST_BASES)
