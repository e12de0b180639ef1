"""The report of a suite, as artifact of its run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from reports.records import content_key

from ..store.sealed import file_digests
from . import fields

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

DIGEST = "report.digest"  # tag of the run: which report it carries


def latest_run(client: MlflowClient, experiment: str) -> Run | None:
    """The newest run of a suite. To be used within `talking_to`, as `attach`."""
    found = client.search_runs([experiment], "tags.role = 'suite'", max_results=1)
    return found[0] if found else None


def attach(client: MlflowClient, run_id: str, report: Path) -> None:
    """Bring a run up to a report folder, and say in tags what the report leans on."""
    digest = content_key(file_digests(report))
    if client.get_run(run_id).data.tags.get(DIGEST) == digest:
        return
    client.log_artifacts(run_id, str(report), "report")
    if (headline := report / "headline.json").exists():
        said = json.loads(headline.read_text())
        said = {"declared": [said["declared"] or "none"], "notices": said["notices"]}
        for name, texts in said.items():
            text = fields.short(" ".join(texts) or "none", fields.TAG_LIMIT)
            client.set_tag(run_id, f"report.{name}", text)
    client.set_tag(run_id, DIGEST, digest)  # last: whatever is cut short before is done again
