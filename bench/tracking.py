"""MLflow, where people look: one experiment a suite, one flat run a trial.

The only module that imports mlflow, and only when a store is opened (the import takes seconds).
Records are the truth and lie on disk before they come here; a store that is lost or out of reach
costs nothing that `sync` cannot bring back.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import platform
import re
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped]
import yaml

from bench.errors import BenchError
from reports.records import Record, content_key, frame
from suites.schema import Suite

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput, Metric, Run

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_TRUNCATE_LONG_VALUES": "false",  # we shorten ourselves, and say so in the value
    "MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",  # MLflow's own: 120 s, seven retries
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # eight idle processes beside the UI
}

# Columns of `reports.records.frame` -> metrics; what stands before the slash is a chart section.
METRICS = {
    "top1": "eval/top1",
    "retained_top1": "eval/retained_top1",
    "dense_top1": "eval/dense_top1",
    "top5": "eval/top5",
    "loss": "eval/loss",
    "validation_top1": "eval/validation_top1",
    "best_validation_top1": "eval/best_validation_top1",
    "macs_ratio": "cost/macs_ratio",
    "params_ratio": "cost/params_ratio",
    "speedup": "cost/speedup",
    "latency_ratio": "cost/latency_ratio",
    "images_scored": "cost/images_scored",
    "images_trained": "cost/images_trained",
    "score_s": "time/score_s",
    "recovery_s": "time/recovery_s",
    "total_s": "time/total_s",
}

MLFLOW_STATUS = {"done": "FINISHED", "infeasible": "FINISHED", "failed": "FAILED"}

PARAM_LIMIT, TAG_LIMIT, KEY_LIMIT = 6000, 5000, 250
PARAMS_PER_BATCH, METRICS_PER_BATCH = 100, 800  # a batch may hold 1,000 values in all
PAGE = 1000

TAG_COLUMNS = [f"tags.`{tag}`" for tag in ("method", "problem", "budget", "recovery", "status")]
METRIC_COLUMNS = [
    f"metrics.`{metric}`"
    for metric in (
        "eval/retained_top1",
        "eval/top1",
        "cost/macs_ratio",
        "cost/params_ratio",
        "cost/latency_ratio",
        "time/score_s",
        "time/total_s",
    )
]


class TrackingError(BenchError):
    """MLflow cannot be reached or written. No record is lost: `bench sync` logs them later."""

    exit_code = 74  # EX_IOERR


class Tracker:
    """The suite run of one invocation, and the trials logged under it as their records arrive.

    `uri` is any MLflow tracking URI; None is the database in the results folder `root`. Every
    method raises `TrackingError` where the store fails; the caller may go on without tracking.
    """

    def __init__(
        self,
        uri: str | None,
        root: Path,
        suite: Suite,
        *,
        provenance: Mapping[str, Any],
        command: str,
    ) -> None:
        self._store = _Store(uri, root, suite)
        self._run_id = self._store.open_suite_run(provenance, command)
        self._statuses: dict[str, str] = {}

    def log(self, record: Record) -> None:
        """Log one trial; nothing happens where the store already holds it."""
        self._store.write(record, self._run_id)
        self._statuses[record.key] = record.status

    def finish(self, status: str = "FINISHED", report: Path | None = None) -> None:
        """End the suite run (FINISHED, FAILED or KILLED); the report folder is its artifact."""
        self._store.close_suite_run(self._run_id, status, self._statuses.values(), report)

    def links(self, host: str = "127.0.0.1", port: int = 5000) -> dict[str, str]:
        """Ready-made views of this suite in the UI, by name."""
        return self._store.links(self._run_id, host, port)


def sync(root: Path, suite: Suite, records: Iterable[Record], uri: str | None = None) -> int:
    """Log the records that the store lacks, and return how many. A second call adds none."""
    store = _Store(uri, root, suite)
    missing = [record for record in records if not store.holds(record)]
    if missing:
        run_id = store.open_suite_run({}, "bench sync")
        for record in missing:
            store.write(record, run_id)
        store.close_suite_run(run_id, "FINISHED", [one.status for one in missing], None)
    return len(missing)


def tracking_uri(root: Path) -> str:
    """MLFLOW_TRACKING_URI, or else the SQLite database in the results folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or _local_uri(root)


def ui_command(root: Path, host: str = "127.0.0.1", port: int = 5000) -> list[str]:
    """The command that serves the UI of the store of `root`.

    Raises:
        TrackingError: the store is a server, which has its own UI.
    """
    uri = tracking_uri(root)
    if _is_server(uri):
        raise TrackingError(f"the runs are on a server already; open {_public(uri)}")
    options = {
        "--backend-store-uri": uri,
        "--artifacts-destination": _artifact_location(root),
        "--host": host,
        "--port": str(port),
        "--workers": "1",
    }
    command = [sys.executable, "-m", "mlflow", "server"]
    return command + [word for option in options.items() for word in option]


def ui_environment() -> dict[str, str]:
    """The environment to start `ui_command` in; what the user has set wins."""
    return {**SETTINGS, **os.environ}


def suite_hash(suite: Suite) -> str:
    """SHA-256 of the suite with its recipes written out."""
    return content_key(_resolved(suite))


@dataclass(frozen=True)
class _Logged:
    """What the store holds of one trial."""

    run_id: str
    status: str  # of the record
    digest: str
    whole: bool  # a killed process leaves a run half-written


class _Store:
    """One experiment of one MLflow store, and which trials it holds."""

    def __init__(self, uri: str | None, root: Path, suite: Suite) -> None:
        self.uri = uri or _local_uri(root)
        self.root = root
        self.suite = suite
        self.hash = suite_hash(suite)
        with self._talking():
            _check_database(self.uri)
            from mlflow import MlflowClient

            self.client = MlflowClient(tracking_uri=self.uri)
            self.experiment_id = self._experiment()
            self._end_stale_suite_runs()
            self._trials = self._known_trials()

    def holds(self, record: Record) -> bool:
        """Whether this very record, or a finished one of its key, has been logged whole."""
        trial = self._trials.get(record.key)
        if trial is None or not trial.whole:
            return False
        return trial.status == "done" or trial.digest == _digest(record)

    def write(self, record: Record, parent: str) -> None:
        """Log one trial under a suite run, in place of an older failure of the same key."""
        if self.holds(record):
            return
        metrics, nonfinite = _metrics(record)
        tags = {**_tags(record), "suite.hash": self.hash, "mlflow.parentRunId": parent}
        if nonfinite:
            tags["nonfinite"] = _short(", ".join(nonfinite), TAG_LIMIT)
        with self._talking():
            if record.key in self._trials:
                self.client.delete_run(self._trials.pop(record.key).run_id)
            run_id = self.client.create_run(
                self.experiment_id,
                start_time=_milliseconds(record.provenance.get("started")),
                tags=tags,
                run_name=tags["mlflow.runName"],
            ).info.run_id
            logged = _Logged(run_id, record.status, tags["trial.digest"], whole=False)
            self._trials[record.key] = logged
            self._log_batches(run_id, metrics, _params(record.identity))
            self.client.log_text(run_id, record.to_json(), "trial.json")
            # Last of all: until it is terminated, a run counts as half-written.
            ended = _milliseconds(record.provenance.get("ended"))
            self.client.set_terminated(run_id, MLFLOW_STATUS[record.status], ended)
        self._trials[record.key] = replace(logged, whole=True)

    def open_suite_run(self, provenance: Mapping[str, Any], command: str) -> str:
        """Start the run of one invocation, with the resolved suite and its datasets."""
        with self._talking():
            tags = {
                "role": "suite",
                "suite.hash": self.hash,
                "host": platform.node(),
                "process": str(os.getpid()),
                "mlflow.source.name": _short(command, TAG_LIMIT),
                "mlflow.source.type": "LOCAL",
                **_machine_tags(provenance),
            }
            name = f"{self.suite.suite} · {command}"
            run = self.client.create_run(
                self.experiment_id, tags=tags, run_name=_short(name, KEY_LIMIT)
            )
            run_id: str = run.info.run_id
            self._log_batches(run_id, [], _params(_resolved(self.suite)))
            self.client.log_inputs(run_id, _datasets(self.suite))
            text = yaml.safe_dump(_resolved(self.suite), sort_keys=False, allow_unicode=True)
            self.client.log_text(run_id, text, "suite.yaml")
            if provenance:
                text = json.dumps(provenance, indent=1, default=str)
                self.client.log_text(run_id, text, "provenance.json")
        return run_id

    def close_suite_run(
        self, run_id: str, status: str, statuses: Iterable[str], report: Path | None
    ) -> None:
        """End a suite run: its counts of trials by status, and the report folder."""
        from mlflow.entities import Metric

        counts, now = Counter(statuses), _now()
        metrics = [Metric(f"trials/{one}", counts[one], now, 0) for one in MLFLOW_STATUS]
        with self._talking():
            self._log_batches(run_id, metrics, {})
            if report is not None:
                self.client.log_artifacts(run_id, str(report), "report")
            self.client.set_terminated(run_id, status)

    def links(self, suite_run: str, host: str, port: int) -> dict[str, str]:
        """Where the UI shows this experiment."""
        server = self.uri.rstrip("/") if _is_server(self.uri) else f"http://{host}:{port}"
        runs = f"{_public(server)}/#/experiments/{self.experiment_id}/runs"
        return {
            "trials": f"{runs}?viewStateShareKey=bench-trials",
            "methods": f"{runs}?viewStateShareKey=bench-methods",
            "charts": f"{runs}?viewStateShareKey=bench-methods&compareRunsMode=CHART",
            "this run": f"{runs}/{suite_run}",
        }

    def _experiment(self) -> str:
        """The id of the suite's experiment, made or brought up to date."""
        location = None if _is_server(self.uri) else _artifact_location(self.root)
        found = self.client.get_experiment_by_name(self.suite.suite)
        if found is None:
            identity: str = self.client.create_experiment(self.suite.suite, location)
            tags: dict[str, str] = {}
        else:
            identity, tags = found.experiment_id, found.tags
            if found.lifecycle_stage == "deleted":
                self.client.restore_experiment(identity)
            if self.uri == _local_uri(self.root) and found.artifact_location != location:
                raise TrackingError(
                    f"{self.uri} was made when its folder stood elsewhere "
                    f"(artifacts in {found.artifact_location}); "
                    "delete mlflow.db and run `bench sync`"
                )
        wanted = {
            "suite.hash": self.hash,
            "mlflow.note.content": _short(self.suite.description or self.suite.suite, TAG_LIMIT),
            **_views(self.suite),
        }
        for key, value in wanted.items():
            if tags.get(key) != value:
                self.client.set_experiment_tag(identity, key, value)
        return identity

    def _end_stale_suite_runs(self) -> None:
        """Runs that a killed process of this machine left open are over."""
        running = "tags.role = 'suite' and attributes.status = 'RUNNING'"
        for run in self.client.search_runs([self.experiment_id], running):
            tags = run.data.tags
            here = tags.get("host") == platform.node() and tags.get("process", "").isdigit()
            if here and not psutil.pid_exists(int(tags["process"])):
                self.client.set_terminated(run.info.run_id, "KILLED")

    def _known_trials(self) -> dict[str, _Logged]:
        """Every trial of the experiment by its key; of two runs of one key the lesser goes."""
        known: dict[str, _Logged] = {}
        for run in self._search("tags.role = 'trial'"):
            tags = run.data.tags
            trial = _Logged(
                run.info.run_id,
                tags.get("status", ""),
                tags.get("trial.digest", ""),
                whole=run.info.status != "RUNNING",
            )
            key = tags.get("trial.key", "")
            rival = known.setdefault(key, trial)
            if rival is not trial:
                worse, better = sorted((trial, rival), key=lambda t: (t.whole, t.status == "done"))
                self.client.delete_run(worse.run_id)
                known[key] = better
        return known

    def _search(self, condition: str) -> Iterator[Run]:
        token: str | None = None
        while True:
            page = self.client.search_runs(
                [self.experiment_id], condition, max_results=PAGE, page_token=token
            )
            yield from page
            token = page.token
            if not token:
                return

    def _log_batches(
        self, run_id: str, metrics: Sequence[Metric], params: Mapping[str, str]
    ) -> None:
        from mlflow.entities import Param

        left = [Param(key, value) for key, value in params.items()]
        metrics = list(metrics)
        while metrics or left:
            self.client.log_batch(
                run_id, metrics=metrics[:METRICS_PER_BATCH], params=left[:PARAMS_PER_BATCH]
            )
            metrics, left = metrics[METRICS_PER_BATCH:], left[PARAMS_PER_BATCH:]

    @contextmanager
    def _talking(self) -> Iterator[None]:
        """Whatever goes wrong between here and the store becomes one clear error."""
        _settle()
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError, ImportError) as error:
            first = next(iter(str(error).splitlines()), "").rpartition("Caused by ")[2]
            reason = _short(first.replace(self.uri, _public(self.uri)), 300)
            raise TrackingError(
                f"MLflow at {_public(self.uri)} cannot be used: {reason}. "
                "The records are safe on disk; `bench sync` logs them later"
            ) from error


def _settle() -> None:
    """Defaults that MLflow reads from the environment, and quiet about its migrations."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _check_database(uri: str) -> None:
    """Open and lock a SQLite file once: MLflow would try for minutes before it complains."""
    if not uri.startswith("sqlite:///"):
        return
    path = Path(uri.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, timeout=10)) as database:
        database.execute("BEGIN IMMEDIATE")
        database.rollback()


def _local_uri(root: Path) -> str:
    return f"sqlite:///{root.resolve() / 'mlflow.db'}"


def _artifact_location(root: Path) -> str:
    return (root.resolve() / "mlflow-artifacts").as_uri()


def _is_server(uri: str) -> bool:
    return uri.startswith(("http://", "https://", "databricks"))


def _public(uri: str) -> str:
    """The URI without the user and password that it may carry."""
    parts = urlsplit(uri)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if parts.netloc else uri


def _compared(suite: Suite) -> str:
    """The trials that the UI compares first: the middle budget under the last recovery.

    Only like with like may be averaged, and the UI loads no more than 100 runs unasked.
    """
    kept = suite.budgets.kept
    budget, recovery = _percent(kept[len(kept) // 2]), suite.recoveries[-1].name
    return f"tags.role = 'trial' and tags.budget = '{budget}' and tags.recovery = '{recovery}'"


def _views(suite: Suite) -> dict[str, str]:
    """Views of the runs page, kept where the UI's own 'share' button keeps them."""
    trials = {
        "searchFilter": "tags.role = 'trial'",
        "orderByKey": "metrics.`eval/retained_top1`",
        "orderByAsc": False,
        **_columns(TAG_COLUMNS + METRIC_COLUMNS),
    }
    card = {"metricSectionId": "bench", "isGenerated": False, "deleted": False}
    kept = {"key": "cost/params_ratio", "type": "METRIC"}
    retained = {"key": "eval/retained_top1", "type": "METRIC"}
    methods = {
        **trials,
        **_columns(METRIC_COLUMNS),
        "searchFilter": _compared(suite),
        "runsHiddenMode": "SHOW_ALL",  # by default charts show ten runs
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "tag", "groupByData": "method"}],
        },
        "groupsExpanded": {f"tag.method.{name}": False for name in suite.method_names[:50]},
        "compareRunSections": [
            {
                "uuid": "bench",
                "name": "at a glance",  # sections go by name
                "display": True,
                "isReordered": False,
                "isGenerated": False,
            }
        ],
        "compareRunCharts": [
            {**card, "uuid": "bench-bar", "type": "BAR", "metricKey": retained["key"]},
            {**card, "uuid": "bench-points", "type": "SCATTER", "xaxis": kept, "yaxis": retained},
        ],
    }
    return {
        f"mlflow.sharedViewState.{name}": json.dumps(view)
        for name, view in {"bench-trials": trials, "bench-methods": methods}.items()
    }


def _columns(names: list[str]) -> dict[str, Any]:
    return {
        "selectedColumns": names,
        "columnOrder": names,
        "columnWidths": dict.fromkeys(names, 150),
    }


def _resolved(suite: Suite) -> dict[str, Any]:
    """The suite as it can be loaded again anywhere: every default and used recipe written out."""
    used = {suite.base_recipe, *(one.recipe for one in suite.recoveries)}
    used |= {one.recipe for one in suite.models if isinstance(one.recipe, str)}
    recipes = {
        name: recipe.model_dump(mode="json")
        for name, recipe in suite.all_recipes.items()
        if name in used
    }
    return {**suite.model_dump(mode="json", by_alias=True), "recipes": recipes}


def _datasets(suite: Suite) -> list[DatasetInput]:
    from mlflow.entities import Dataset, DatasetInput

    found = []
    for one in suite.datasets:
        spec = one.model_dump(mode="json")
        source = json.dumps({"uri": one.root or one.name})
        dataset = Dataset(
            one.label or one.name, content_key(spec)[:12], "local", source, profile=json.dumps(spec)
        )
        found.append(DatasetInput(dataset, []))
    return found


def _digest(record: Record) -> str:
    return hashlib.sha256(record.to_json().encode()).hexdigest()[:16]


def _tags(record: Record) -> dict[str, str]:
    """Every key that people filter or group by: on failed trials too, or groups fall apart."""
    labels = record.labels
    budget = _percent(labels.budget)
    tags = {
        "role": "trial",
        "method": labels.method,
        "model": labels.model,
        "dataset": labels.dataset,
        "problem": labels.problem,
        "recovery": labels.recovery,
        "cost": labels.cost,
        "budget": budget,
        "base": str(labels.base),
        "repeat": str(labels.repeat),
        "matched_to": labels.matched_to or "none",
        "status": record.status,
        "trial.key": record.key,
        "trial.digest": _digest(record),
        **_machine_tags(record.provenance),
        "mlflow.runName": _short(
            f"{labels.model}-{labels.dataset} · {labels.method} · {budget} · {labels.recovery}"
            f" · b{labels.base} r{labels.repeat}",
            KEY_LIMIT,
        ),
    }
    if record.failure:
        tags["failure.kind"] = record.failure.kind
        tags["failure.message"] = _short(record.failure.message, TAG_LIMIT)
    return tags


def _machine_tags(provenance: Mapping[str, Any]) -> dict[str, str]:
    names = {"git_sha": "git.sha", "git_dirty": "git.dirty", "device": "device"}
    return {
        tag: _short(str(provenance[name]), TAG_LIMIT)
        for name, tag in names.items()
        if provenance.get(name) is not None
    }


def _params(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested settings as one flat level: `method.options.p`; lists as JSON."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        # MLflow takes no other characters, and no name that a path would fold.
        key = prefix + (re.sub(r"[^\w\-. :]", "_", str(name)).strip(". ") or "_")
        if isinstance(value, Mapping) and value:
            flat |= _params(value, f"{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
            flat[_short(key, KEY_LIMIT)] = _short(text, PARAM_LIMIT)
    return flat


def _metrics(record: Record) -> tuple[list[Metric], list[str]]:
    """Measurements and recovery history; and what of them is no number, as `name=value`."""
    from mlflow.entities import Metric

    found = record.measurements
    if record.status != "done" or found is None:
        return [], []
    row = frame([record]).to_dict("records")[0]  # the very numbers of the report
    values = [(name, row[column], 0) for column, name in METRICS.items()]
    values += [(f"cost/{name}", getattr(found, name), 0) for name in ("macs", "params")]
    if record.costs is not None:
        values.append(("cost/score_peak_bytes", record.costs.score_peak_bytes, 0))
    for epoch in found.history:
        values.append(("train/loss", epoch.train_loss, epoch.epoch))
        values.append(("validation/top1", 100 * epoch.validation_top1, epoch.epoch))
    ended = _milliseconds(record.provenance.get("ended")) or _now()
    given = [(name, float(value), step) for name, value, step in values if value is not None]
    return (
        [Metric(name, value, ended, step) for name, value, step in given if math.isfinite(value)],
        [f"{name}@{step}={value}" for name, value, step in given if not math.isfinite(value)],
    )


def _percent(share: float) -> str:
    return f"{100 * share:g}%"


def _short(text: str, limit: int) -> str:
    """Cut to what the store takes, visibly; the artifact has it whole."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _milliseconds(moment: Any) -> int | None:
    """Of an ISO time stamp; one without a zone is UTC."""
    if not moment:
        return None
    parsed = datetime.fromisoformat(str(moment))
    return int((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1000)


def _now() -> int:
    return int(time.time() * 1000)
