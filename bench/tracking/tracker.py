"""The suite run of one invocation, and the trials that it logs."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from reports.records import Labels, Record, content_key
from suites import AnySuite, resolved

from ..store.sealed import file_digests, part_of
from ..store.store import Store
from . import fields
from .connection import runs_where, talking_to
from .experiment import MLFLOW_STATUS, NOTE, Experiment
from .links import latest_run

if TYPE_CHECKING:
    from .summaries import Conclusions


NO_SETTINGS = {"recipes", "description", "scales"}
DIGEST = "report.digest"  # tag of a suite run: which report it carries


class Tracker:
    """The suite run of one invocation, and the trials logged under it as their records arrive.

    Every method raises `TrackingError` where the store fails; the caller may go on without it.
    """

    def __init__(self, experiment: Experiment, provenance: Mapping[str, Any], command: str) -> None:
        from mlflow.entities import Param

        self._experiment, suite = experiment, experiment.suite
        self._statuses: dict[str, str] = {}
        tags = {
            "suite.hash": experiment.suite_hash,
            "role": "suite",
            "suite": suite.suite,
            NOTE: fields.short(suite.description, fields.TAG_LIMIT),
            "host": platform.node(),
            "process": str(os.getpid()),
            "mlflow.source.name": command,
            **fields.provenance_tags(provenance),
        }
        settings = {
            **suite.model_dump(mode="json", by_alias=True, exclude=NO_SETTINGS),
            "datasets": [one.title for one in suite.datasets],
            "models": [one.title for one in suite.models],
            "methods": suite.method_names,
        }
        params = [Param(*one) for one in fields.params(settings).items()]
        client = experiment.client
        with talking_to(experiment.uri):
            _end_stale_runs(experiment)
            name = fields.short(command, fields.NAME_LIMIT)
            self._run_id = client.create_run(experiment.id, None, tags, name).info.run_id
            client.log_batch(self._run_id, params=params)  # what was compared and how
            with part_of(experiment.root) as folder:
                (folder / "suite.yaml").write_text(resolved(suite))
                (folder / "provenance.json").write_text(json.dumps(dict(provenance), indent=2))
                client.log_artifacts(self._run_id, str(folder))

    def log(self, record: Record) -> None:
        """Log one trial; nothing happens where the store already holds it."""
        if not self._experiment.holds(record):
            self._experiment.write(record)
        self._statuses[record.key] = record.status

    def finish(
        self, status: str = "FINISHED", report: Path | None = None, found: Conclusions | None = None
    ) -> None:
        """End the suite run (FINISHED, FAILED or KILLED).

        The report folder is its artifact; what was found goes into description and summary runs.
        """
        from mlflow.entities import Metric

        counts, now = Counter(self._statuses.values()), int(time.time() * 1000)
        metrics = [Metric(f"trials/{one}", float(counts[one]), now, 0) for one in MLFLOW_STATUS]
        client = self._experiment.client
        with talking_to(self._experiment.uri):
            client.log_batch(self._run_id, metrics)
            _bring(self._experiment, self._run_id, report, found)
            client.set_terminated(self._run_id, status)


def sync(root: Path, suite: AnySuite, records: Sequence[Record], expected: Sequence[Labels]) -> int:
    """Log the records that the store lacks, and return how many; bring the summary runs, and the
    report of the latest run, up to the results. A second call changes nothing.

    `expected` are the labels of the plan.
    """
    from .summaries import conclude

    experiment, found = Experiment(root, suite), conclude(suite, records, expected)
    made = Store(root).path("reports", suite.suite)
    report = made if made.exists() else None
    missing = [record for record in records if not experiment.holds(record)]
    with talking_to(experiment.uri):
        if (latest := latest_run(experiment.client, experiment.id)) and not missing:
            _bring(experiment, latest.info.run_id, report, found)
            return 0
    tracker = Tracker(experiment, {}, "bench sync")
    for record in missing:
        tracker.log(record)
    tracker.finish("FINISHED", report, found)
    return len(missing)


def _bring(
    experiment: Experiment, run_id: str, report: Path | None, found: Conclusions | None
) -> None:
    """Bring the summary runs, and description and report of a suite run, up to date. Tags say what
    the report leans on."""
    client = experiment.client
    if found is not None:
        experiment.summarise(found, run_id)
        links = [f"[{what}]({where})" for what, where in experiment.links("").items()]
        note = "\n\n".join([experiment.suite.description, found.headline, " · ".join(links)])
        client.set_tag(run_id, NOTE, fields.short(note, fields.TAG_LIMIT))
    digest = report and content_key(file_digests(report))
    if report is None or client.get_run(run_id).data.tags.get(DIGEST) == digest:
        return
    client.log_artifacts(run_id, str(report), "report")
    if (headline := report / "headline.json").exists():
        said = json.loads(headline.read_text())
        said = {"declared": said["declared"], "notices": " ".join(said["notices"])}
        for name, text in said.items():
            client.set_tag(run_id, f"report.{name}", fields.short(text or "none", fields.TAG_LIMIT))
    client.set_tag(run_id, DIGEST, digest)  # last: whatever is cut short before is done again


def _end_stale_runs(experiment: Experiment) -> None:
    """Suite runs that a killed process of this machine left open are over."""
    running = "tags.role = 'suite' and attributes.status = 'RUNNING'"
    for run in runs_where(experiment.client, experiment.id, running):
        host, process = (run.data.tags.get(one, "") for one in ("host", "process"))
        gone = process and process not in map(str, psutil.pids())
        if host == platform.node() and gone:
            experiment.client.set_terminated(run.info.run_id, "KILLED")
