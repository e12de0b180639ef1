"""What of a record people filter, group and plot by in MLflow. Nothing of MLflow is needed here."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from reports.metric import spoken
from reports.records import Labels, Record, budget_words, row_of
from suites.files import read_yaml

PARAM_LIMIT, TAG_LIMIT, NAME_LIMIT = 6000, 5000, 250  # characters that MLflow takes

# Columns of the report's tables and what they are called in MLflow, by section of its charts.
SECTIONS: dict[str, dict[str, str]] = read_yaml(Path(__file__).with_name("metrics.yaml"))


def named(row: Mapping[Any, Any]) -> dict[str, float]:
    """The metrics of a row of columns: what it has of those above, under the names of MLflow."""
    return {
        f"{section}/{spoken().named(name)}": float(row[column])
        for section, names in SECTIONS.items()
        for column, name in names.items()
        if row.get(column) is not None
    }


def summary_name(of: Labels) -> str:
    """The name of the summary run that a trial belongs to."""
    return named_by(of.method, of.problem, *([] if of.budget is None else [of.recovery]))


def named_by(*parts: str) -> str:
    """A run's name, by which it is known; of one too long, the end becomes a hash of the whole."""
    whole = " · ".join(parts)
    if len(whole) <= NAME_LIMIT:
        return whole
    return f"{short(whole, NAME_LIMIT - 9)} {hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def summary_tags(of: Labels) -> dict[str, str]:
    """By which a summary run is found."""
    tags = {name: getattr(of, name) for name in ("suite", "method", "dataset", "model", "problem")}
    tags |= {"recovery": of.recovery, "cost": str(of.cost), "matched_to": of.matched_to or "none"}
    return {**tags, "role": "summary"}


def run_name(record: Record) -> str:
    of = record.labels
    parts = [f"{of.model}-{of.dataset}", of.method]
    parts += [] if of.budget is None else [budget_tag(of.cost, of.budget), of.recovery]
    return named_by(*parts, f"b{of.base}" if of.all_repeats else f"b{of.base} r{of.repeat}")


def tags(record: Record) -> dict[str, str]:
    """All labels on every trial, failed or not: the UI shows a run without one outside its
    groups."""
    labels = record.labels
    tags = {
        **{name: str(value) for name, value in labels},
        **summary_tags(labels),
        "role": "trial",
        "budget": budget_tag(labels.cost, labels.budget),
        "status": record.status,
        "trial.key": record.key,
        "trial.digest": digest(record),
        **provenance_tags(record.provenance),
    }
    if record.measurements:
        tags |= params(record.measurements.chosen, "tuned.")
    if record.failure:
        tags["failure.kind"] = record.failure.kind
        tags["failure.message"] = short(record.failure.message, TAG_LIMIT)
    return tags


def provenance_tags(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Code and device; a tag less where one is not known."""
    names = {"git_sha": "git.sha", "git_dirty": "git.dirty", "device": "device"}
    given = {tag: provenance.get(name) for name, tag in names.items()}
    return {tag: str(value) for tag, value in given.items() if value is not None}


def params(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one flat level, `criterion.options.p`; lists as JSON; without what is
    not set."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= params(value, f"{prefix}{name}.")
        elif value is not None:
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            flat[f"{prefix}{name}"] = short(text, PARAM_LIMIT)
    return flat


def metrics(record: Record) -> list[tuple[str, float, int]]:
    """Name, value and step of all that was measured; steps are recovery's epochs."""
    if record.status != "done":
        return []
    assert record.costs is not None
    if record.fidelity is not None:
        from reports.analysis.fidelity import statistics_of

        found = {f"fidelity/{name}": x for name, x in statistics_of(record.fidelity).items()}
        found |= {"time/scoring_s": record.costs.score_s, "time/total_s": record.costs.total_s}
        return [(name, value, 0) for name, value in found.items()]
    assert record.measurements is not None
    row = row_of(record) | {"score_peak_bytes": record.costs.score_peak_bytes}
    for name in [str(one) for one in row if row[one] is not None]:
        if name.endswith("_ratio"):
            row[f"{name.removesuffix('_ratio')}_percent"] = 100 * row[name]
    found, measured = named(row), record.measurements
    found |= {spoken().named(f"work/images_{at}"): float(x) for at, x in measured.phases.items()}
    for one in measured.latency:
        numbers = {name: x for name, x in one.numbers.items() if x is not None}
        place = one.deployment.replace(", ", "-").replace(" ", "")
        found |= {f"deployed/{place}-{name}": x for name, x in numbers.items()}
    found |= {f"procedure/{name}": float(x) for name, x in measured.notes.items()}
    found |= {f"eval/test_{name}": x for name, x in measured.pruned.others.items()}
    points, of = [(name, value, 0) for name, value in found.items()], spoken()
    for epoch in measured.history:
        points.append(("train/loss", epoch.train_loss, epoch.epoch))
        if (top1 := epoch.validation_top1) is not None:
            points.append((of.named("validation/top1"), of.scale * top1, epoch.epoch))
    return points


def digest(record: Record) -> str:
    """A hash of the whole record: tells one failure of a trial from the next."""
    return hashlib.sha256(record.to_json()).hexdigest()[:16]


def budget_tag(cost: str | None, budget: float | None) -> str:
    """One word, to be typed into a filter."""
    return budget_words(cost, budget).replace(" %", "%")


def short(text: str, limit: int) -> str:
    """Cut to what MLflow takes, visibly; the artifact has it whole."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def milliseconds(record: Record, at: str) -> int:
    """MLflow's time of when a trial `started` or `ended`; 0 where its record does not tell."""
    try:
        moment = datetime.fromisoformat(str(record.provenance.get(at)))
        return max(0, int(moment.timestamp() * 1000))
    except (ValueError, OverflowError):
        return 0
