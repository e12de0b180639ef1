"""What a report says in words: the headline, the power line, and what to read with care."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from suites.schema import Axis

from .caveats import caveats
from .records import Measurements, Record, budget_words
from .tables import interval, points

if TYPE_CHECKING:
    from .analysis import Results
    from .records import Record
    from .statistics import Power

LOW_DENSE_TOP1 = 50.0  # percent; a base below it is hardly trained
BUDGET_TOLERANCE = 0.01  # share of the dense cost (DESIGN.md, decision 1)
THIN = 0.05  # share of a layer's channels from which on it is worth a word
WORDS: dict[Axis, str] = {
    "macs": "MACs",
    "params": "parameters",
    "channels": "channels",
    "weights": "weights",
    "threshold": "thresholds",
}
UNEQUAL = 1.25  # ratio of the other cost at one budget from which it is worth a word
IGNORED = "Records left out because the plan does not hold them: {}."
# Parts of provenance names: differences here may move results; a host's name does not.
_TOLD_APART = ("version", "package", "python", "git", "platform", "device", "cpu", "gpu", "thread")


def headline(results: Results, recovery: str) -> str:
    """What the suite shows under one recovery, no stronger than its data.

    Only methods that are complete on every problem take part. Where the problems are too few for
    a test over them, a method is told from the control if its Bonferroni intervals over bases lie
    on one side of zero on every problem.
    """
    suite, control = results.suite, results.suite.analysis.control
    mine = (results.overall["family"] == "control") & (results.overall["recovery"] == recovery)
    whole = results.overall["n_problems"] == len(results.problems)
    rows = results.overall[mine & whole].reset_index(drop=True)
    if not mine.any():
        return f"The suite holds {control} alone: nothing is compared."
    if rows.empty:
        return f"No method can be compared with {control} yet: trials are missing."
    some = "No method" if len(rows) == mine.sum() else f"None of the {len(rows)} finished methods"
    top = rows.iloc[int(rows["mean"].to_numpy(dtype=float).argmax())]
    best = f"{top['method']} has the highest mean: {points(top['mean'])} points against {control}"
    records = rows.to_dict("records")
    if results.power.can_reach_alpha:
        told = [row for row in records if row["rejected"]]
        where = f"over {len(results.problems)} problems (exact Wilcoxon test, Holm"
        where += f", level {suite.analysis.alpha:g})"
        spread = ""
    else:
        if suite.bases == 1:
            return f"{best}. With one base a problem nothing is known of the uncertainty."
        told = [row for row in records if _told_everywhere(results, recovery, row["method"])]
        where = f"on {_places(results)}, after Bonferroni over {results.power.comparisons}"
        where += " comparisons"
        spread = " " + _spread(results, recovery, top["method"])
    if not told:
        return f"{some} can be told from {control} {where}. {best}{spread}."
    names = ", ".join(f"{row['method']} ({points(row['mean'])} points)" for row in told)
    return f"Told from {control} {where}: {names}. {best}{spread}."


def _places(results: Results) -> str:
    n = len(results.problems)
    return f"all {n} problems at once" if n > 1 else "this problem"


def _spread(results: Results, recovery: str, method: str) -> str:
    mine = _of(results, recovery, method)
    spans = (
        f"{interval(row['low'], row['high'])} on {row['problem']}"
        for row in mine.to_dict("records")
    )
    level = 100 * (1 - results.suite.analysis.alpha)
    return f"({level:g} % intervals, unadjusted: {', '.join(spans)})"


def _told_everywhere(results: Results, recovery: str, method: str) -> bool:
    """Whether the joint intervals of every problem lie on one side of zero."""
    mine = _of(results, recovery, method)
    width = mine["joint_high"] > mine["joint_low"]  # without width the spread is unknown
    above, below = mine["joint_low"] > 0, mine["joint_high"] < 0
    return bool((above & width).all() or (below & width).all())


def _of(results: Results, recovery: str, method: str) -> pd.DataFrame:
    pairs = results.paired
    mine = (pairs["family"] == "control") & (pairs["recovery"] == recovery)
    return pairs[mine & (pairs["method"] == method)].dropna(subset=["mean"])


def _problems(power: Power) -> str:
    return f"{power.problems} problem{'s' if power.problems > 1 else ''}"


def power_line(power: Power) -> str:
    """What the number of problems can show at all."""
    problems = _problems(power)
    if power.can_reach_alpha:
        return (
            f"With {problems} and {power.comparisons} comparisons the smallest p after Holm is "
            f"{power.smallest_adjusted_p:.2g}; a mean difference of {power.detectable_effect:g} "
            "standard deviations over problems is found with 80 % power."
        )
    return (
        f"With {problems} the smallest attainable p is {power.smallest_p:.3g}, and after Holm over "
        f"{power.comparisons} comparisons {power.smallest_adjusted_p:.3g}: no test can reject at "
        f"{power.alpha:g}; it takes {power.problems_needed} problems. Read the intervals as "
        "conditional on each problem."
    )


def warnings(results: Results) -> Iterator[str]:
    """Everything a reader should know before believing a number."""
    yield from missing_warnings(results.records, len(results.expected))
    lost = len(left_out(results))
    if lost:
        yield (
            f"{lost} of {len(results.paired)} paired differences are left out, because a trial of "
            "the method or of what it is held against is missing."
        )
    yield from caveats(results)
    if results.ignored:
        yield IGNORED.format(results.ignored)
    if not results.power.can_reach_alpha:
        yield f"{_problems(results.power)}: nothing here speaks for other models or data."
    if results.suite.bases == 1:
        yield "One base a problem: intervals over bases do not exist."
    yield from record_warnings(results.records)
    flat = results.paired["mean"].notna() & (results.paired["high"] == results.paired["low"])
    if flat.any():
        yield (
            f"Intervals without width: {flat.sum()}. The bases agree to the last image, which "
            "leaves the spread unknown, not zero."
        )
    yield from _cost_warnings(results)
    yield from _width_warnings(results)


def missing_warnings(records: Sequence[Record], expected: int) -> Iterator[str]:
    """How many trials of the plan did not finish, and how they ended."""
    status = Counter(one.status for one in records)
    if status["done"] < expected:
        parts = [f"{status[one]} {one}" for one in ("failed", "infeasible") if status[one]]
        parts.append(f"{expected - len(records)} not run")
        missing = expected - status["done"]
        yield f"{missing} of {expected} trials are missing: {', '.join(parts)}."


def record_warnings(records: Sequence[Record]) -> Iterator[str]:
    """What differs between records that should not, and bases that are hardly trained.

    Pairing rests on one network a base; records made apart may hold several under one name.
    """
    weights: dict[tuple[str, int], set[str]] = defaultdict(set)
    dense: dict[tuple[str, int], float] = {}
    for record in records:
        base = (record.labels.problem, record.labels.base)
        sha = record.provenance.get("base_sha256")
        if sha:
            weights[base].add(str(sha))
        found = record.measurements or record.fidelity
        if found is not None:
            dense.setdefault(base, 100 * found.dense.top1)
    for (problem, number), several in sorted(weights.items()):
        if len(several) > 1:
            yield (
                f"Base {number} of {problem} stands for {len(several)} different networks: its "
                "records were made apart, and differences between methods on it are not paired."
            )
    for name, values in sorted(provenance(records).items()):
        if len(values) > 1 and any(word in name.lower() for word in _TOLD_APART):
            yield f"The records differ in {name}: {', '.join(sorted(values))}."
    for (problem, number), top1 in dense.items():
        if top1 < LOW_DENSE_TOP1:
            yield (
                f"Base {number} of {problem} has {top1:.1f} % dense top-1: "
                "pruning a poorly trained network says little."
            )


def _cost_warnings(results: Results) -> Iterator[str]:
    if results.trials.empty:
        return
    axis = results.suite.budgets.cost
    if axis == "threshold":
        kept = 100 * results.trials["macs_ratio"]
        yield (
            "Budgets are thresholds of the methods' own knob, so they cost what they cost: from "
            f"{kept.min():.0f} % to {kept.max():.0f} % of the MACs. Only a method and its matched "
            "controls stand at equal costs."
        )
        return
    off = (results.trials[f"{axis}_ratio"] - results.trials["budget"]).abs() > BUDGET_TOLERANCE
    if off.any():
        yield f"Off budget by more than 1 % of the dense {WORDS[axis]}: {off.sum()} of the trials."
    # Parameters follow weights up to a constant, so of masks only MACs are a cost of their own.
    others: dict[Axis, list[Axis]] = {
        "macs": ["params"],
        "params": ["macs"],
        "channels": ["macs", "params"],
        "weights": ["macs"],
    }
    for other in others[axis]:
        yield from _unequal(results, axis, other)


def _unequal(results: Results, axis: Axis, other: Axis) -> Iterator[str]:
    """How far methods of one budget lie apart in another cost."""
    for problem, rows in results.trials.groupby("problem", sort=True):
        means = 100 * rows.groupby(["budget", "method"])[f"{other}_ratio"].mean().unstack()
        ratio = means.max(axis=1) / means.min(axis=1)
        worst = means.loc[ratio == ratio.max()].iloc[0]
        if ratio.max() > UNEQUAL:
            yield (
                f"Equal {WORDS[axis]}, unequal {WORDS[other]}: at {100 * float(worst.name):g} % of "
                f"the {WORDS[axis]} on {problem} the methods keep from {worst.min():.0f} % "
                f"({worst.idxmin()}) to {worst.max():.0f} % ({worst.idxmax()})."
            )


def _width_warnings(results: Results) -> Iterator[str]:
    done = [one for one in results.records if one.measurements is not None]
    thin = [
        (kept / channels, f"{kept} of {channels} in {root} ({one.labels.method}, {one.labels.at})")
        for one in done
        for root, (kept, channels) in _measured(one).widths.items()
        if kept < THIN * channels
    ]
    if thin:
        yield (
            f"Layers that keep less than {100 * THIN:g} % of their channels: {len(thin)}, over all "
            f"trials; the thinnest keeps {min(thin)[1]}."
        )
    trimmed = [_measured(one).trimmed for one in done if _measured(one).trimmed]
    if trimmed:
        yield (
            "No setting of a selector's knob met the budget alone: single channels beyond it left "
            f"in {len(trimmed)} trials, at most {max(trimmed)}."
        )


def _measured(record: Record) -> Measurements:
    assert record.measurements is not None
    return record.measurements


def left_out(results: Results) -> list[tuple[str, str, str, str, str]]:
    """(method, reference, problem, recovery, reason) of differences that could not be formed."""
    rows = results.paired[results.paired["reason"] != ""]
    keys = ["method", "reference", "problem", "recovery", "reason"]
    return list(rows[keys].itertuples(index=False, name=None))


def failures(records: Sequence[Record]) -> list[tuple[str, str, int, str]]:
    """(kind, message, how many, an example) of the trials that ended without measurements."""
    grouped: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in records:
        if one.failure is not None:
            grouped[one.failure.kind, one.failure.message].append(one.labels.brief)
    return [(*key, len(found), min(found)) for key, found in sorted(grouped.items())]


def unfinished(results: Results) -> list[tuple[str, str, str, str, int, int]]:
    """(problem, recovery, method, budget, done, expected) of every incomplete cell."""
    holes = results.cells[~results.cells["complete"].astype(bool)]
    kept = [budget_words(one["cost"], one["budget"]) for one in holes.to_dict("records")]
    holes = holes.assign(kept=kept)
    keys = ["problem", "recovery", "method", "kept", "done", "expected"]
    return list(holes[keys].itertuples(index=False, name=None))


def provenance(records: Sequence[Record]) -> dict[str, Counter[str]]:
    """Dotted name -> each value with the number of records that bear it."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for one in records:
        for name, value in _flat(one.provenance):
            found[name][value] += 1
    return found


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, str(value)
