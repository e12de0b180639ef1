"""What MLflow shows of several trials: the numbers of the report, from the same analysis.

A summary run is a method on a problem under a recovery, a comparison run a row of the report's
differences over problems; both in the report's order. MLflow's page averages the hundred runs that
it has loaded: with these no view needs to average.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from reports.analysis.analysis import analyse
from reports.analysis.fidelity import STATISTICS, FidelityResults, analyse_fidelity
from reports.analysis.power import sampling_test
from reports.analysis.results import Analysed, Results
from reports.metric import spoken
from reports.page.findings import concludes, headline
from reports.records import Labels, Record, budget_of, content_key, of_its_metric
from reports.words import Words
from suites.fidelity import FidelitySuite
from suites.schema import AnySuite, Suite

from . import fields

VERDICTS = {"word": "verdict", "like_word": "verdict_for_problems_like_these"}  # tags of columns
Points = dict[tuple[str, int], float]  # (metric, step) -> value
Rows = list[dict[Any, Any]]

STEPS = "Means over bases. Steps of metrics are budgets; step 0 is the dense network."
WORDS = Words("summaries.yaml")


@dataclass(frozen=True)
class Summary:
    """One such run, known by its name; `note` is Markdown, `status` MLflow's."""

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str]
    points: Points
    note: str
    records: Sequence[Record]  # of its trials
    status: str = "FINISHED"

    def moment(self, at: str) -> int:
        """When its first trial `started`, or its last one `ended`."""
        times = [fields.milliseconds(one, at) for one in self.records]
        return min(times) if at == "started" else max(times)

    @property
    def digest(self) -> str:
        """Changes with what a run cannot take back."""
        return content_key([sorted(self.points.items()), dict(self.params)])[:16]


class Conclusions(NamedTuple):
    """What records say, as their report does; the headline is Markdown."""

    records: Sequence[Record]
    summaries: list[Summary]
    headline: str = ""


@of_its_metric
def conclude(suite: AnySuite, records: Sequence[Record], expected: Sequence[Labels]) -> Conclusions:
    """Analyse the records of a plan, of which `expected` are the labels."""
    if isinstance(suite, FidelitySuite):
        return Conclusions(records, [*_of_fidelity(analyse_fidelity(suite, records, expected))])
    assert isinstance(suite, Suite)
    results = analyse(suite, records, expected)
    said = [f"**{one}**: {headline(results, one)}" for one in results.recoveries]
    summaries = [*_of_methods(results), *_of_comparisons(results)]
    return Conclusions(records, summaries, "\n\n".join(said))


def steps_of(budgets: Iterable[float]) -> dict[float, int]:
    """The step of each budget or threshold: its distance from 1, in thousandths, or in finer parts
    where two would meet. The last step, which tables show, keeps least.
    """
    kept, unit = set(budgets), 1000
    while len({round(unit * (1 - Fraction(one))) for one in kept}) < len(kept):
        unit *= 10
    return {one: round(unit * (1 - Fraction(one))) for one in sorted(kept, reverse=True)}


def _of_methods(results: Results) -> Iterator[Summary]:
    dense = results.dense.groupby("problem")["dense_top1"].mean()
    of_run = dict(iter(results.cells.groupby(["method", "problem", "recovery"], sort=False)))
    steps = steps_of(results.cells["budget"])
    runs = sorted(_runs(results), key=lambda run: _place(run[0], results))
    for first, trials in runs:
        cells = of_run[first.method, first.problem, first.recovery].to_dict("records")
        points = Points()
        if any(one["complete"] for one in cells):  # the curves begin at the dense network
            top1 = dense[first.problem]
            begin = {"dense_test_top1": top1, "test_top1": top1, "accuracy_change": 0.0}
            points = {(f"eval/{spoken().named(one)}", 0): x for one, x in begin.items()}
        for one in cells:
            asked = {f"network/{one['cost']}_budget_percent": 100 * one["budget"]}
            if one["cost"] == "threshold":
                asked = {"network/threshold": one["budget"]}
            named = fields.named(one) | asked
            points |= {(name, steps[one["budget"]]): x for name, x in named.items()}
        yield _summary(first, trials, cells, points, f"{STEPS}\n\n{_told(cells, steps)}")


def _place(first: Labels, results: Results) -> tuple[int, int, float]:
    """Problems and recoveries in the order of the plan; in each the best first."""
    scores = results.averaged.get((first.problem, first.recovery, first.method))
    worst_last = math.inf if scores is None else -float(scores.mean())
    places = results.problems.index(first.problem), results.recoveries.index(first.recovery)
    return *places, worst_last


def _of_fidelity(results: FidelityResults) -> Iterator[Summary]:
    runs = {(first.problem, first.method): (first, trials) for first, trials in _runs(results)}
    ends = [f"{name}{end}" for name in STATISTICS for end in ("", "_low", "_high")]
    for row in results.methods.to_dict("records"):  # best first
        first, trials = runs[row["problem"], row["method"]]
        named = {**{f"fidelity/{name}": row[name] for name in ends}, **fields.named(row)}
        points = {(name, 0): x for name, x in named.items()}
        yield _summary(first, trials, [row], points, "Means over bases, with their intervals.")


def _runs(results: Analysed) -> list[tuple[Labels, list[Record]]]:
    """Of every summary run, in the order of the plan: its first trial's labels, its records."""
    runs: dict[str, tuple[Labels, list[Record]]] = {}
    for labels in results.expected:
        runs.setdefault(fields.summary_name(labels), (labels, []))
    for one in results.records:
        runs[fields.summary_name(one.labels)][1].append(one)
    return list(runs.values())


def _summary(
    first: Labels, trials: Sequence[Record], cells: Rows, points: Points, note: str
) -> Summary:
    flat = [fields.params(one.identity).items() for one in trials]
    done, expected = (sum(one[count] for one in cells) for count in ("done", "expected"))
    return Summary(
        name=fields.summary_name(first),
        tags=fields.summary_tags(first),
        params=dict(set(flat[0]).intersection(*flat[1:])) if flat else {},  # the same in all
        points={at: float(x) for at, x in points.items() if math.isfinite(x)},
        note=note,
        records=trials,
        status="FINISHED" if done == expected else "FAILED" if done < len(trials) else "SCHEDULED",
    )


def _of_comparisons(results: Results) -> Iterator[Summary]:
    """By recovery: those against the control, then all others; the best first."""
    table = results.overall.rename(columns=VERDICTS)
    groups = (rows for _, rows in table.groupby(["recovery", "family"], sort=False))
    best_first = (rows.sort_values("mean", ascending=False, kind="stable") for rows in groups)
    for row in (row for rows in best_first for row in rows.to_dict("records")):
        words = {str(name): x for name, x in row.items() if isinstance(x, str) and x}
        if not concludes(results, results.problems):
            words["verdict"] = "nothing is concluded"
        if sampling_test(results.layout).why_not:
            del words[VERDICTS["like_word"]]
        numbers = fields.named({name: x for name, x in row.items() if isinstance(x, int | float)})
        yield Summary(
            name=fields.named_by(f"{row['method']} against {row['reference']}", row["recovery"]),
            tags={**words, "suite": results.suite.suite, "role": "comparison"},
            params={name: words[name] for name in ("method", "reference", "recovery")},
            points={(name, 0): x for name, x in numbers.items() if math.isfinite(x)},
            note=WORDS("comparison", "note", row, verdict=words["verdict"]),
            records=results.records,
        )


def _told(cells: Rows, steps: Mapping[float, int]) -> str:
    """Which budget each step is, and how many networks have it, in Markdown."""
    lines = []
    for one in cells:
        budget = budget_of(one["cost"], one["budget"])
        lines.append(f"- {steps[one['budget']]}: {budget}, {one['done']} of {one['expected']}")
    return "\n".join(lines)
