"""The report of a suite, as artifact of its run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

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
    digest = _digest(report)
    if client.get_run(run_id).data.tags.get(DIGEST) == digest:
        return
    client.log_artifacts(run_id, str(report), "report")
    if (headline := report / "headline.json").exists():
        said = json.loads(headline.read_text())
        said = {"declared": [said["declared"] or "none"], "exploratory": said["exploratory"]}
        for name, texts in said.items():
            text = fields.short(" ".join(texts) or "none", fields.TAG_LIMIT)
            client.set_tag(run_id, f"report.{name}", text)
    client.set_tag(run_id, DIGEST, digest)  # last: whatever is cut short before is done again


def _digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of all files."""
    found = hashlib.sha256()
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        found.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return found.hexdigest()
