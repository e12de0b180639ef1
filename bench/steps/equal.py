"""Networks that are cut alike: what came of one in recovery and test comes of every other.

`results/equal/BASE.txt` has a line a finished trial: a hash of all that decides what comes of its
network once it is cut, and the key of its record. A line only says where to look; what counts is
the record, of the same units, by the same code, on a machine like this one.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reports.records import Costs, Measurements, content_key

from ..plan.jobs import TrialJob
from ..store.provenance import environment
from ..store.sealed import cannot_write, read_checked
from .workspace import Workspace

_LINE = re.compile(r"^([0-9a-f]{64}) ([0-9a-f]{64})$", re.MULTILINE)


def equal_record(
    job: TrialJob, kept_sha256: str, workspace: Workspace
) -> tuple[Measurements, Costs, str] | None:
    """What another trial found, whose network is cut, recovered and measured alike, and its key."""
    file = _file(job, workspace)
    lines = read_checked(file, lambda: file.read_text(errors="replace")) or ""
    wanted = _hash(job, job.after_the_cut, kept_sha256)
    key = dict(_LINE.findall(lines)).get(wanted, job.key)
    found = None if key == job.key else workspace.store.record(key)
    if found is None or found.measurements is None or found.costs is None:
        return None
    made = environment(workspace.device_name)
    made |= {"base_sha256": workspace.base(job.at.base).trained_sha256}
    same = _hash(job, found.identity, found.measurements.kept_sha256) == wanted
    same &= made.items() <= found.provenance.items()
    return (found.measurements, found.costs, key) if same else None


def remember(job: TrialJob, kept_sha256: str, workspace: Workspace) -> None:
    """Let trials of equal networks find the record that this one is about to write."""
    file = _file(job, workspace)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as lines:
            lines.write(f"{_hash(job, job.after_the_cut, kept_sha256)} {job.key}\n")
    except OSError as error:
        raise cannot_write(file, error) from error


def _hash(job: TrialJob, identity: Mapping[str, Any], kept_sha256: str) -> str:
    parts = {name: identity.get(name) for name in job.after_the_cut}
    return content_key({**parts, "kept": kept_sha256})


def _file(job: TrialJob, workspace: Workspace) -> Path:
    return workspace.store.path("equal", job.at.base.key, ".txt")
