"""What of a record people filter, group and plot by in MLflow. Nothing of MLflow is needed here."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from reports.records import Record, frame

PARAM_LIMIT, TAG_LIMIT, NAME_LIMIT = 6000, 5000, 250  # characters that MLflow takes

# Metrics by their chart section, as in `eval/top1`: columns of `reports.records.frame`, and
# measurements and costs that are no column.
SECTIONS = {
    "eval": (
        "top1", "retained_top1", "dense_top1", "top5", "loss", "validation_top1",
        "best_validation_top1",
    ),
    "cost": (
        "macs", "params", "macs_ratio", "params_ratio", "channels_ratio", "weights_ratio",
        "speedup", "latency_ratio", "latency_low_ratio", "latency_high_ratio", "latency_aa_ratio",
        "images_scored", "images_trained", "score_peak_bytes",
    ),
    "time": ("score_s", "phases_s", "recovery_s", "total_s"),
}  # fmt: skip


def run_name(record: Record) -> str:
    of = record.labels
    parts = [f"{of.model}-{of.dataset}", of.method]
    parts += [] if of.budget is None else [budget_tag(of.cost, of.budget), of.recovery]
    return short(" · ".join((*parts, f"b{of.base} r{of.repeat}")), NAME_LIMIT)


def tags(record: Record) -> dict[str, str]:
    """All labels on every trial, failed or not: the UI shows a run without one outside its groups.

    Numbers that are not finite are named in a tag, as SQL stores would change them.
    """
    labels = record.labels
    tags = {
        **{name: str(value) for name, value in labels},
        "role": "trial",
        "problem": labels.problem,
        "budget": budget_tag(labels.cost, labels.budget),
        "matched_to": labels.matched_to or "none",
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
    nonfinite = [f"{name}@{step}={x}" for name, x, step in metrics(record) if not math.isfinite(x)]
    if nonfinite:
        tags["nonfinite"] = short(", ".join(nonfinite), TAG_LIMIT)
    return tags


def provenance_tags(provenance: Mapping[str, Any]) -> dict[str, str]:
    """Code and device; a tag less where one is not known."""
    names = {"git_sha": "git.sha", "git_dirty": "git.dirty", "device": "device"}
    given = {tag: provenance.get(name) for name, tag in names.items()}
    return {tag: str(value) for tag, value in given.items() if value is not None}


def params(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one flat level, `criterion.options.p`; lists as JSON."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= params(value, f"{prefix}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            flat[f"{prefix}{name}"] = short(text, PARAM_LIMIT)
    return flat


def metrics(record: Record) -> list[tuple[str, float, int]]:
    """Name, value and step of all that was measured, finite or not; steps are recovery's epochs."""
    if record.status != "done":
        return []
    assert record.costs is not None
    if record.fidelity is not None:
        return _fidelity_metrics(record)
    assert record.measurements is not None
    (row,) = frame([record]).to_dict("records")  # the very numbers of the report
    row = {**dict(record.measurements), **dict(record.costs), **row}
    points = [
        (f"{section}/{name}", float(row[name]), 0)
        for section, names in SECTIONS.items()
        for name in names
        if row[name] is not None
    ]
    for phase, images in record.measurements.phases.items():
        points.append((f"cost/images_{phase}", float(images), 0))
    for name, value in record.measurements.notes.items():
        points.append((f"procedure/{name}", float(value), 0))
    for epoch in record.measurements.history:
        points.append(("train/loss", epoch.train_loss, epoch.epoch))
        if epoch.validation_top1 is not None:
            points.append(("validation/top1", 100 * epoch.validation_top1, epoch.epoch))
    return points


def headline(numbers: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """Metrics and tags of a suite's run, from its report's headline.json."""
    metrics: dict[str, float] = {}
    tags: dict[str, str] = {}
    for recovery, values in numbers.items():
        if not isinstance(values, Mapping):  # of the whole report: when declared, what differs
            text = values if isinstance(values, str) else " ".join(values or ["none"])
            tags[f"report.{recovery}"] = short(text, TAG_LIMIT)
            continue
        for name, value in values.items():
            if isinstance(value, str):
                tags[f"report.{recovery}.{name}"] = value
            else:
                metrics[f"report/{recovery}/{name}"] = float(value)
    return metrics, tags


def _fidelity_metrics(record: Record) -> list[tuple[str, float, int]]:
    from reports.analysis.fidelity import statistics_of

    assert record.fidelity is not None
    assert record.costs is not None
    found = [(f"fidelity/{name}", x, 0) for name, x in statistics_of(record.fidelity).items()]
    found.append(("time/score_s", record.costs.score_s, 0))
    return [*found, ("time/total_s", record.costs.total_s, 0)]


def digest(record: Record) -> str:
    """A hash of the whole record: tells one failure of a trial from the next."""
    return hashlib.sha256(record.to_json()).hexdigest()[:16]


def budget_tag(cost: str | None, budget: float | None) -> str:
    if budget is None:
        return "none"
    return f"threshold {budget:g}" if cost == "threshold" else f"{100 * budget:g}%"


def short(text: str, limit: int) -> str:
    """Cut to what MLflow takes, visibly; the artifact has it whole."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def milliseconds(moment: str) -> int:
    """MLflow's time of an ISO time stamp."""
    return int(datetime.fromisoformat(moment).timestamp() * 1000)
