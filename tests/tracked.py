"""A tiny suite's records and its MLflow store, for tests of tracking."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import toy

from bench.tracking import Experiment, Tracker, tracking_uri
from bench.tracking import sync as sync_records
from bench.tracking.connection import SETTINGS
from reports.records import (
    Accuracy,
    Costs,
    Epoch,
    Failure,
    Labels,
    Latency,
    Measurements,
    Record,
    content_key,
)
from suites.schema import Suite

SUITE = Suite.model_validate(
    {
        "suite": "tiny",
        "description": "Two criteria on **digits**.",
        "datasets": ["digits"],
        "models": ["resnet20"],
        "methods": ["random", "l1"],
        "budgets": {"macs": [0.7, 0.5, 0.3]},
        "recoveries": ["none", {"finetune": "short"}],
        "analysis": {"control": "l1"},
    }
)
PROVENANCE = {
    "started": "2026-01-02T03:04:05+00:00",
    "ended": "2026-01-02T03:04:15.500+00:00",
    "git_sha": "c0ffee",
    "git_dirty": False,
    "device": "cpu",
    "python": "3.11",
    "packages": {"torch": "2.13.0"},
    "host": "here",
    "cpu": "some",
    "command": "bench run tiny",
}


def accuracy(top1: float, loss: float = 0.5) -> Accuracy:
    return Accuracy(top1=top1, top5=0.99, loss=loss, validation_top1=top1, validation_loss=0.5)


def record(repeat: int = 0, *, method: str = "l1", loss: float = 0.5, **identity: Any) -> Record:
    """A finished trial; `identity` is added to what decides its key."""
    labels = Labels(
        suite="tiny",
        dataset="digits",
        model="resnet20",
        method=method,
        recovery="finetune-short",
        cost="macs",
        budget=0.5,
        base=0,
        repeat=repeat,
    )
    decided = {"method": {"criterion": method}, "repeat": repeat, **identity}
    found = Measurements(
        dense=accuracy(0.98),
        pruned=accuracy(0.95, loss),
        best_validation_top1=None,
        macs=50,
        dense_macs=100,
        params=60,
        dense_params=100,
        torch_pruning_macs=51,
        widths={"conv1": (8, 16)},
        layer_sparsity={"conv1": 0.5},
        latency=[
            Latency(batch_size=1, dense_ms=4, pruned_ms=3, ratios=[0.7, 0.75, 0.8], aa_ratio=1.25)
        ],
        images_scored=512,
        images_trained=1000,
        history=[Epoch(epoch=e, train_loss=1 / e, validation_top1=0.9) for e in (1, 2, 3)],
    )
    return Record(
        key=content_key(decided),
        identity=decided,
        labels=labels,
        status="done",
        measurements=found,
        costs=Costs(score_s=0.1, score_peak_bytes=None, recovery_s=2, total_s=3),
        provenance=PROVENANCE,
    )


def failed(done: Record, message: str = "no such layer") -> Record:
    failure = Failure(kind="ValueError", message=message, traceback="...")
    gone = {"measurements": None, "costs": None}
    return done.model_copy(update={**gone, "status": "failed", "failure": failure})


def opened(root: Path) -> Tracker:
    return Tracker(Experiment(root, SUITE), PROVENANCE, "bench run tiny")


def sync(root: Path, records: Sequence[Record]) -> int:
    labels = [one.labels for one in records]
    return sync_records(root, SUITE, records, labels)


def runs(root: Path, role: str = "trial") -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracking_uri(root))
    experiment = client.get_experiment_by_name("tiny")
    return list(client.search_runs([experiment.experiment_id], f"tags.role = '{role}'"))


@pytest.fixture
def root(session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A results folder, and nothing of MLflow in the environment."""
    for name in ("MLFLOW_TRACKING_URI", *SETTINGS):
        monkeypatch.delenv(name, raising=False)
    return toy.prepared(session, tmp_path / "results")
