"""What to read with care: everything that a reader should know before believing a number."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from suites.problem import problem_name
from suites.protocol import Axis

from ..analysis.against_published import summary
from ..analysis.published import published_dense
from ..formats import number
from ..records import Measurements, Record
from .caveats import caveats
from .findings import left_out, problems_of, provenance
from .method_section import WORDS

if TYPE_CHECKING:
    from ..analysis.analysis import Results

LOW_DENSE_TOP1 = 50.0  # percent; a base below it is hardly trained
BUDGET_TOLERANCE = 0.01  # share of the dense cost (DESIGN.md, decision 1)
BEHIND = 0.5  # points below a published dense top-1 from which on it is worth a word
THIN = 0.05  # share of a layer's channels from which on it is worth a word
UNEQUAL = 1.25  # ratio of the other cost at one budget from which it is worth a word
IGNORED = "Records left out because the plan does not hold them: {}."
# Parts of provenance names: differences here may move results; a host's name does not.
_TOLD_APART = ("version", "package", "python", "git", "platform", "device", "cpu", "gpu", "thread")


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
        yield f"{problems_of(results.power)}: nothing here speaks for other models or data."
    if results.suite.bases == 1:
        yield "One base a problem: intervals over bases do not exist."
    yield from record_warnings(results.records)
    flat = results.paired["mean"].notna() & (results.paired["high"] == results.paired["low"])
    if flat.any():
        yield (
            f"Intervals without width: {flat.sum()}. The bases agree to the last image, which "
            "leaves the spread unknown, not zero."
        )
    yield from _behind_published(results)
    if said := summary(results.published):
        yield f"{said} The table 'Ours and the published' names them."
    yield from _cost_warnings(results)
    yield from _training_warnings(results)
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
    """What differs between records that should not, and bases that are hardly trained."""
    yield from differences(records)
    dense: dict[tuple[str, int], float] = {}
    for record in records:
        found = record.measurements or record.fidelity
        if found is not None:
            base = (record.labels.problem, record.labels.base)
            dense.setdefault(base, 100 * found.dense.top1)
    for (problem, at), top1 in dense.items():
        if top1 < LOW_DENSE_TOP1:
            yield (
                f"Base {at} of {problem} has {top1:.1f} % dense top-1: "
                "pruning a poorly trained network says little."
            )


def differences(records: Sequence[Record]) -> Iterator[str]:
    """What differs between records that should not.

    Pairing rests on one network a base; records made apart may hold several under one name.
    """
    weights: dict[tuple[str, int], set[str]] = defaultdict(set)
    for record in records:
        sha = record.provenance.get("base_sha256")  # after its preparation, where there is one
        prepared = record.measurements is not None and "prepare" in record.measurements.phases
        if sha and not prepared:
            weights[record.labels.problem, record.labels.base].add(str(sha))
    for (problem, base), several in sorted(weights.items()):
        if len(several) > 1:
            yield (
                f"Base {base} of {problem} stands for {len(several)} different networks: its "
                "records were made apart, and differences between methods on it are not paired."
            )
    for name, values in sorted(provenance(records).items()):
        if len(values) > 1 and any(word in name.lower() for word in _TOLD_APART):
            yield f"The records differ in {name}: {', '.join(_brief(values))}."


def _brief(values: Iterable[str]) -> list[str]:
    """Hashes by their first letters."""
    return [one[:10] if set(one) <= set("0123456789abcdef") else one for one in sorted(values)]


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


def _training_warnings(results: Results) -> Iterator[str]:
    """How far the training compute of methods lies apart under one recovery."""
    for recovery, rows in results.trials.groupby("recovery", sort=False):
        means = rows.groupby("method")["images_trained"].mean()
        if means.max() <= UNEQUAL * means.min() or means.max() == 0:
            continue
        most = number(means.max(), 2).text
        if means.min() == 0:
            none = int((means == 0).sum())
            yield (
                f"Unequal training, {recovery}: {none} of {len(means)} methods train on nothing "
                f"after the base, {means.idxmax()} on {most} images. What such methods gain may "
                "be training."
            )
        else:
            yield (
                f"Unequal training, {recovery}: from {number(means.min(), 2).text} images after "
                f"the base ({means.idxmin()}) to {most} ({means.idxmax()}). At equal compute: a "
                "recovery with total_epochs."
            )


def _behind_published(results: Results) -> Iterator[str]:
    """Where dense networks stay behind what others have published of the same."""
    if results.dense.empty:
        return
    found = results.dense.groupby("problem")["dense_top1"].mean()
    for dataset, model in results.suite.problems:
        known = published_dense().get((dataset.name, model.name))
        problem = problem_name(dataset, model)
        if known is None or problem not in found or dataset.test_images:
            continue
        assert known.value is not None
        if found[problem] < known.value - BEHIND:
            yield (
                f"The dense networks of {problem} reach {found[problem]:.2f} % top-1, below "
                f"the {known.value:.2f} % of {known.source}: gains over a weak baseline "
                "may not carry over."
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
