"""The report of a suite, as artifact of its run; what its headline says, as metrics and tags."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from . import fields
from .connection import connect, local_uri, talking_to

if TYPE_CHECKING:
    from mlflow import MlflowClient

DIGEST = "report.digest"  # tag of the run: which report it carries


def attach(client: MlflowClient, run_id: str, report: Path) -> bool:
    """Bring a run up to a report folder; False where it carries this very report already.

    To be used within `talking_to`.
    """
    from mlflow.entities import Metric, RunTag

    held, digest = client.get_run(run_id).data, _digest(report)
    if held.tags.get(DIGEST) == digest:
        return False
    client.log_artifacts(run_id, str(report), "report")
    values, tags = dict[str, float](), dict[str, str]()
    if (headline := report / "headline.json").exists():
        values, tags = fields.headline(json.loads(headline.read_text()))
    now = int(time.time() * 1000)
    # A number that stays as it was needs no second point in its history.
    new = [Metric(name, x, now, 0) for name, x in values.items() if held.metrics.get(name) != x]
    # The digest goes last: whatever is cut short before is done again.
    client.log_batch(run_id, new, tags=[RunTag(*item) for item in tags.items()])
    client.set_tag(run_id, DIGEST, digest)
    return True


def update_report(root: Path, suite: str, report: Path, uri: str | None = None) -> bool:
    """Bring the latest run of a suite up to its report; False where there is no run, or no need.

    Raises:
        TrackingError: the store fails.
    """
    if uri is None and not (root / "mlflow.db").exists():
        return False  # and MLflow, which takes seconds to import, is not
    uri = uri or local_uri(root)
    with talking_to(uri, "The report is on disk; `bench report` logs it later"):
        client = connect(uri)
        experiment = client.get_experiment_by_name(suite)
        if experiment is None:
            return False
        latest = client.search_runs(
            [experiment.experiment_id], "tags.role = 'suite'", max_results=1
        )  # the newest comes first
        return bool(latest) and attach(client, latest[0].info.run_id, report)


def _digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of all files."""
    found = hashlib.sha256()
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return found.hexdigest()
