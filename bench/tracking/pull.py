"""Records from an MLflow store into a results folder: a trial's run has its own as an artifact."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from reports.records import Record, RecordError, parse_record

from ..store.store import Store
from .connection import TrackingError, connect, talking_to, without_password
from .experiment import RUNS_PER_SEARCH

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


@dataclass
class Pulled:
    """What a pull did.

    Attributes:
        found: trials that the store holds whole.
        here: of them, those whose records the folder had already.
        written: records that are new here.
        faults: what was left out, and why.
    """

    found: int = 0
    here: int = 0
    written: int = 0
    faults: list[str] = field(default_factory=list)


def pull(store: Store, suite: str, uri: str) -> Pulled:
    """Fetch the records of a suite's trials. A finished record is never replaced, a failed one by a
    finished one only; what does not hash to its key is left out.

    Args:
        store: the results folder, locked by the caller.
        suite: the name of the experiment.
        uri: any MLflow tracking URI.

    Raises:
        TrackingError: the store cannot be read, or knows no such experiment.
    """
    pulled = Pulled()
    with (
        talking_to(uri, "Nothing here has changed that is not whole"),
        tempfile.TemporaryDirectory() as folder,
    ):
        client = connect(uri)
        for run in _trials(client, suite, uri):
            pulled.found += 1
            key, status = run.data.tags["trial.key"], run.data.tags.get("status")
            held = store.record(key) if _is_key(key) else None
            if held is not None and (held.status == "done" or status != "done"):
                pulled.here += 1
                continue
            try:
                store.write_record(_fetch(client, run, Path(folder)))
                pulled.written += 1
            except RecordError as error:
                pulled.faults.append(str(error))
    return pulled


def _trials(client: MlflowClient, suite: str, uri: str) -> Iterator[Run]:
    """Runs of trials that were logged whole."""
    experiment = client.get_experiment_by_name(suite)
    if experiment is None:
        known = ", ".join(sorted(one.name for one in client.search_experiments())) or "none"
        raise TrackingError(
            f"MLflow at {without_password(uri)} has no experiment {suite!r}; there are: {known}"
        )
    token = None
    while True:
        runs = client.search_runs(
            [experiment.experiment_id],
            "tags.role = 'trial' and attributes.status != 'RUNNING'",
            max_results=min(1000, RUNS_PER_SEARCH),
            page_token=token,
        )
        yield from runs
        token = runs.token
        if not token:
            return


def _fetch(client: MlflowClient, run: Run, folder: Path) -> Record:
    """The record of a run, checked against the key under which it was logged."""
    path = Path(client.download_artifacts(run.info.run_id, "trial.json", str(folder)))
    source = f"run {run.info.run_name or run.info.run_id}"
    return parse_record(path.read_bytes(), source, run.data.tags["trial.key"])


def _is_key(text: str) -> bool:
    """Keys become paths, and this one comes from elsewhere."""
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
