"""The suite run of one invocation, and the trials that it logs."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from reports.records import Record, content_key
from suites import AnySuite, resolved

from .artifact import attach
from .connection import is_server, talking_to, without_password
from .experiment import MLFLOW_STATUS, Experiment
from .fields import NAME_LIMIT, provenance_tags, short

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput


class Tracker:
    """The suite run of one invocation, and the trials logged under it as their records arrive.

    `uri` is any MLflow tracking URI; None is the database in the results folder `root`.
    `experiment` is one that is open already. Every method raises `TrackingError` where the store
    fails; the caller may go on without tracking.
    """

    def __init__(
        self,
        uri: str | None,
        root: Path,
        suite: AnySuite,
        *,
        provenance: Mapping[str, Any],
        command: str,
        experiment: Experiment | None = None,
    ) -> None:
        self._experiment = experiment or Experiment(uri, root, suite)
        self._statuses: dict[str, str] = {}
        self._trial_tags = {"suite.hash": suite_hash(suite)}
        tags = {
            **self._trial_tags,
            "role": "suite",
            "host": platform.node(),
            "process": str(os.getpid()),
            "mlflow.source.name": command,
            **provenance_tags(provenance),
        }
        client = self._experiment.client
        with talking_to(self._experiment.uri):
            _end_stale_runs(self._experiment)
            run = client.create_run(self._experiment.id, None, tags, short(command, NAME_LIMIT))
            self._run_id = run.info.run_id
            self._trial_tags["mlflow.parentRunId"] = self._run_id
            client.log_inputs(self._run_id, _datasets(suite))
            client.log_text(self._run_id, resolved(suite), "suite.yaml")
            client.log_dict(self._run_id, dict(provenance), "provenance.json")

    def log(self, record: Record) -> None:
        """Log one trial; nothing happens where the store already holds it."""
        if not self._experiment.holds(record):
            self._experiment.write(record, self._trial_tags)
        self._statuses[record.key] = record.status

    def finish(self, status: str = "FINISHED", report: Path | None = None) -> None:
        """End the suite run (FINISHED, FAILED or KILLED).

        The report folder is its artifact, and the numbers of its headline are metrics and tags.
        """
        from mlflow.entities import Metric

        counts, now = Counter(self._statuses.values()), int(time.time() * 1000)
        metrics = [Metric(f"trials/{one}", float(counts[one]), now, 0) for one in MLFLOW_STATUS]
        client = self._experiment.client
        with talking_to(self._experiment.uri):
            client.log_batch(self._run_id, metrics)
            if report is not None:
                attach(client, self._run_id, report)
            client.set_terminated(self._run_id, status)

    def links(self, port: int = 5000) -> dict[str, str]:
        """Where the UI shows the table of the suite's trials, and this run."""
        uri = self._experiment.uri
        server = without_password(uri).rstrip("/") if is_server(uri) else f"http://127.0.0.1:{port}"
        runs = f"{server}/#/experiments/{self._experiment.id}/runs"
        return {"trials": runs, "this run": f"{runs}/{self._run_id}"}


def sync(
    root: Path,
    suite: AnySuite,
    records: Iterable[Record],
    uri: str | None = None,
    report: Path | None = None,
) -> int:
    """Log the records that the store lacks, and with them the report folder, and return how many.

    A second call adds none.
    """
    experiment = Experiment(uri, root, suite)
    missing = [record for record in records if not experiment.holds(record)]
    if missing:
        tracker = Tracker(
            uri, root, suite, provenance={}, command="bench sync", experiment=experiment
        )
        for record in missing:
            tracker.log(record)
        tracker.finish(report=report)
    return len(missing)


def suite_hash(suite: AnySuite) -> str:
    """SHA-256 of the suite with its recipes written out."""
    return content_key(resolved(suite))


def _datasets(suite: AnySuite) -> list[DatasetInput]:
    """What the UI lists as the run's datasets."""
    from mlflow.entities import Dataset, DatasetInput

    described = [(one.title, one.model_dump(mode="json")) for one in suite.datasets]
    return [
        DatasetInput(Dataset(name, content_key(spec)[:12], "local", json.dumps(spec)), [])
        for name, spec in described
    ]


def _end_stale_runs(experiment: Experiment) -> None:
    """Suite runs that a killed process of this machine left open are over."""
    running = "tags.role = 'suite' and attributes.status = 'RUNNING'"
    for run in experiment.client.search_runs([experiment.id], running):
        host, process = run.data.tags["host"], int(run.data.tags["process"])
        if host == platform.node() and not psutil.pid_exists(process):
            experiment.client.set_terminated(run.info.run_id, "KILLED")
