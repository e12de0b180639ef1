"""One experiment of one MLflow store, and its trials: one run for each key."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from reports.records import Record
from suites.schema import AnySuite

from . import connection, fields

MLFLOW_STATUS = {"done": "FINISHED", "infeasible": "FINISHED", "failed": "FAILED"}

# What MLflow takes in one batch (1,000 values in all), and gives in one answer.
METRICS_PER_BATCH, PARAMS_PER_BATCH, RUNS_PER_SEARCH = 900, 100, 50_000


class _Logged(NamedTuple):
    """What the store holds of one trial; of two, the greater is the better."""

    whole: bool  # a killed process leaves a run half-written
    done: bool
    digest: str
    run_id: str


class Experiment:
    """The experiment of a suite, made or brought up to date.

    Raises:
        TrackingError: the store fails. So do all methods.
    """

    def __init__(self, uri: str | None, root: Path, suite: AnySuite) -> None:
        self.uri = uri or connection.local_uri(root)
        if uri is None:
            connection.local_database_holds(root)
        with connection.talking_to(self.uri):
            self.client = connection.connect(self.uri)
            self.id = self._made(suite, root)
            self._trials = self._known_trials()

    def holds(self, record: Record) -> bool:
        """Whether this very record, or a finished one of its key, has been logged whole."""
        trial = self._trials.get(record.key)
        if trial is None or not trial.whole:
            return False
        return trial.done or trial.digest == fields.digest(record)

    def write(self, record: Record, tags: Mapping[str, str]) -> None:
        """Log one trial, with some tags more, in place of a lesser run of the same key."""
        from mlflow.entities import Metric, Param

        started, ended = (fields.milliseconds(record.provenance[at]) for at in ("started", "ended"))
        tags = {**fields.tags(record), **tags}
        params = [Param(*item) for item in fields.params(record.identity).items()]
        metrics = [
            Metric(name, value, ended, step)
            for name, value, step in fields.metrics(record)
            if math.isfinite(value)
        ]
        with connection.talking_to(self.uri):
            if record.key in self._trials:
                self.client.delete_run(self._trials.pop(record.key).run_id)
            name = fields.run_name(record)
            run_id = self.client.create_run(self.id, started, tags, name).info.run_id
            logged = _Logged(False, record.status == "done", tags["trial.digest"], run_id)
            self._trials[record.key] = logged
            while metrics or params:
                self.client.log_batch(
                    run_id, metrics[:METRICS_PER_BATCH], params[:PARAMS_PER_BATCH]
                )
                metrics, params = metrics[METRICS_PER_BATCH:], params[PARAMS_PER_BATCH:]
            self.client.log_text(run_id, record.to_json().decode(), "trial.json")
            # Last of all: until it is terminated, a run counts as half-written.
            self.client.set_terminated(run_id, MLFLOW_STATUS[record.status], ended)
        self._trials[record.key] = logged._replace(whole=True)

    def _made(self, suite: AnySuite, root: Path) -> str:
        location = None if connection.is_server(self.uri) else connection.artifact_location(root)
        experiment = self.client.get_experiment_by_name(suite.suite)
        if experiment is None:
            self.client.create_experiment(suite.suite, location)
            experiment = self.client.get_experiment_by_name(suite.suite)
        elif experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment.experiment_id)
        if self.uri == connection.local_uri(root) and experiment.artifact_location != location:
            raise connection.TrackingError(
                f"{self.uri} was made when its folder stood elsewhere (artifacts in "
                f"{experiment.artifact_location}); delete that mlflow.db and run the same command "
                "again"
            )
        note = fields.short(suite.description, fields.TAG_LIMIT)
        self.client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", note)
        return experiment.experiment_id

    def _known_trials(self) -> dict[str, _Logged]:
        """Every trial by its key; of two runs of one key, the lesser is deleted."""
        known: dict[str, _Logged] = {}
        for run in self.client.search_runs(
            [self.id], "tags.role = 'trial'", max_results=RUNS_PER_SEARCH
        ):
            tags, whole = run.data.tags, run.info.status != "RUNNING"
            done, digest = tags.get("status") == "done", tags.get("trial.digest", "")
            trial = _Logged(whole, done, digest, run.info.run_id)
            rival = known.get(tags["trial.key"], trial)
            known[tags["trial.key"]] = max(trial, rival)
            if rival != trial:
                self.client.delete_run(min(trial, rival).run_id)
        return known
