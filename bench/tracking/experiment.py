"""One experiment of one MLflow store: a run for each trial, below one for each summary."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from reports.records import Record, content_key, is_key
from suites import AnySuite, resolved

from ..store.sealed import part_of
from . import connection, fields
from .links import PLACE, run_page, suite_links, view

if TYPE_CHECKING:
    from mlflow.entities import Run

    from .summaries import Conclusions, Summary

NOTE = "mlflow.note.content"  # the description, Markdown
PARENT = "mlflow.parentRunId"
LAYOUT = "3"  # of a trial's run; one of another layout is logged anew

MLFLOW_STATUS = {"done": "FINISHED", "infeasible": "FINISHED", "failed": "FAILED"}


class _Held(NamedTuple):
    """What the store holds of one trial or summary; of two, the greater is the better."""

    # Of a trial: 0 half-written (by a killed process) or in another layout, 1 whole, 2 done. Of a
    # summary: trials with a record; until the first numbers come, none.
    worth: int
    run_id: str
    tags: Mapping[str, str]


class Experiment:
    """The experiment of a suite, made or brought up to date. It and all of its methods raise
    TrackingError where the store fails."""

    def __init__(self, root: Path, suite: AnySuite) -> None:
        self.uri, self.suite, self.root = connection.tracking_uri(root), suite, root
        self.suite_hash = content_key(resolved(suite))  # of the suite with its recipes written out
        if local := self.uri == connection.local_uri(root):
            connection.local_database_holds(root)
        with connection.talking_to(self.uri):
            self.client = connection.connect(self.uri)
            if local:
                connection.wait_for_no_disk(root)
            self.id = self._made(root)
            self._trials = self._best("trial")
            self._summaries = self._best("summary", "comparison")

    def holds(self, record: Record) -> bool:
        """Whether this very record, or a finished one of its key, has been logged whole."""
        if (trial := self._trials.get(record.key)) is None or not trial.worth:
            return False
        return trial.worth == 2 or trial.tags.get("trial.digest") == fields.digest(record)

    def write(self, record: Record) -> None:
        """Log one trial, in place of a lesser run of the same key."""
        from mlflow.entities import Metric, Param
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        started, ended = (fields.milliseconds(record, at) for at in ("started", "ended"))
        tags = {**fields.tags(record), "suite.hash": self.suite_hash, "layout": LAYOUT}
        params = [Param(*item) for item in fields.params(record.identity).items()]
        metrics = [
            Metric(name, value, ended, step)
            for name, value, step in fields.metrics(record)
            if math.isfinite(value)
        ]
        with connection.talking_to(self.uri):
            if record.key in self._trials:
                self.client.delete_run(self._trials.pop(record.key).run_id)
            of, name = record.labels, fields.run_name(record)
            above = self._begun(fields.summary_name(of), fields.summary_tags(of), started)
            tags[PARENT] = above.run_id
            info = self.client.create_run(self.id, started, tags, name).info
            run_id = info.run_id
            self._trials[record.key] = _Held(0, run_id, tags)
            self.client.log_batch(run_id, metrics, params)
            with part_of(self.root) as folder:
                file = folder / "trial.json"
                file.write_bytes(record.to_json())
                # MLflow's client would ask for the run first, with all that it holds.
                get_artifact_repository(info.artifact_uri, self.uri).log_artifact(str(file))
            # Last of all: until it is terminated, a run counts as half-written.
            self.client.set_terminated(run_id, MLFLOW_STATUS[record.status], ended)
        self._trials[record.key] = _Held(1 + (record.status == "done"), run_id, tags)

    def summarise(self, found: Conclusions, suite_run: str) -> None:
        """Bring the summary runs up to what was found, and the trials below them."""
        wanted = {one.name: one for one in found.summaries}
        with connection.talking_to(self.uri):
            for name in self._summaries.keys() - wanted.keys():
                self.client.delete_run(self._summaries.pop(name).run_id)
            for place, (name, one) in enumerate(wanted.items()):
                self._bring(name, one, f"{place:05d}", suite_run)
            for record in found.records:
                above = self._summaries.get(fields.summary_name(record.labels))
                trial = self._trials.get(record.key)
                if above and trial and trial.tags.get(PARENT) != above.run_id:
                    self.client.set_tag(trial.run_id, PARENT, above.run_id)
                    tags = {**trial.tags, PARENT: above.run_id}
                    self._trials[record.key] = trial._replace(tags=tags)

    def links(self, ui: str = "http://127.0.0.1:5000") -> dict[str, str]:
        """What MLflow's pages show of the suite, and where; those of a local store are at `ui`."""
        server = connection.without_password(self.uri).rstrip("/")
        with connection.talking_to(self.uri):
            at = server if connection.is_server(self.uri) else ui
            return suite_links(self.client, self.id, at)

    def _bring(self, name: str, one: Summary, place: str, suite_run: str) -> None:
        """Write one summary, unless another machine has made it of more trials of this suite."""
        from mlflow.entities import Metric, Param, RunTag

        held, trials = self._summaries.get(name), len(one.records)
        if held and held.tags.get("suite.hash") == self.suite_hash and held.worth > trials:
            return
        if held and held.worth and held.tags.get("summary.digest") != one.digest:
            # The history of a metric only grows: other numbers take a new run.
            self.client.delete_run(self._summaries.pop(name).run_id)
        if not trials:
            return
        held, ended = self._begun(name, one.tags, one.moment("started")), one.moment("ended")
        below = view(self.id, f"tags.`{PARENT}` = '{held.run_id}'")
        links = [f"[its trials]({below})"] * (one.tags["role"] == "summary")
        report = run_page(self.id, suite_run, "/artifacts/report/index.html")
        note = f"{one.note}\n\n{' · '.join([*links, f'[the report]({report})'])}"
        tags = {**one.tags, "suite.hash": self.suite_hash, "trials": str(trials), PLACE: place}
        tags |= {"summary.digest": one.digest, NOTE: fields.short(note, fields.TAG_LIMIT)}
        new = [RunTag(key, text) for key, text in tags.items() if held.tags.get(key) != text]
        if not held.worth:
            metrics = [Metric(name, x, ended, step) for (name, step), x in one.points.items()]
            params = [Param(*item) for item in one.params.items()]
            self.client.log_batch(held.run_id, metrics, params)
        if new:
            self.client.log_batch(held.run_id, tags=new)
            self.client.set_terminated(held.run_id, one.status, ended)
            self._summaries[name] = _Held(trials, held.run_id, tags)

    def _begun(self, name: str, tags: Mapping[str, str], started: int) -> _Held:
        """The summary run of a name, made if need be: its trials are logged below it."""
        if name not in self._summaries:
            run_id = self.client.create_run(self.id, started, dict(tags), name).info.run_id
            self.client.set_terminated(run_id, "SCHEDULED", started)
            self._summaries[name] = _Held(0, run_id, tags)
        return self._summaries[name]

    def _made(self, root: Path) -> str:
        location = None if connection.is_server(self.uri) else connection.artifact_location(root)
        name = self.suite.suite
        if (experiment := self.client.get_experiment_by_name(name)) is None:
            self.client.create_experiment(name, location)
            experiment = self.client.get_experiment_by_name(name)
        elif experiment.lifecycle_stage == "deleted":
            self.client.restore_experiment(experiment.experiment_id)
        if self.uri == connection.local_uri(root) and experiment.artifact_location != location:
            connection.follow_folder(root, experiment.artifact_location)
        note = fields.short(self.suite.description, fields.TAG_LIMIT)
        self.client.set_experiment_tag(experiment.experiment_id, NOTE, note)
        return experiment.experiment_id

    def _best(self, *roles: str) -> dict[str, _Held]:
        """The greatest run of every key; the others are deleted."""
        known: dict[str, _Held] = {}
        for role in roles:
            runs = connection.runs_where(self.client, self.id, f"tags.role = '{role}'")
            for key, one in sorted(filter(None, map(_held, runs))):
                if key in known:
                    self.client.delete_run(known[key].run_id)
                known[key] = one
        return known


def _held(run: Run) -> tuple[str, _Held] | None:
    """A trial by its key, a summary or comparison by its name; None of a run of somebody else's."""
    tags, run_id = run.data.tags, run.info.run_id
    if tags["role"] != "trial":
        trials = re.fullmatch("[0-9]{1,9}", tags.get("trials", ""))
        return str(run.info.run_name), _Held(int(trials[0]) if trials else 0, run_id, tags)
    if not is_key(tags.get("trial.key", "")):
        return None
    whole = run.info.status != "RUNNING" and tags.get("layout") == LAYOUT
    return tags["trial.key"], _Held(whole and 1 + (tags.get("status") == "done"), run_id, tags)
