"""How long the networks of a path take, timed once for equal shapes.

The run lets nothing else of its own run meanwhile; a lock of the machine keeps other runs from
timing at the same moment.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from filelock import FileLock

from reports.records import Latency, content_key

from ..plan.jobs import ENGINE_VERSION, PathJob, TimingJob
from ..pruning.network import Removed
from ..pruning.selection import InfeasibleBudget
from ..store.provenance import environment
from ..store.sealed import read_json, wanted, write_json
from ..training.timing import BATCH_SIZES, compare_latency
from .paths import load_removed
from .workspace import Base, Workspace

LOCK = Path(tempfile.gettempdir()) / f"bench-timing-{os.getuid()}.lock"


def time_path(job: TimingJob, workspace: Workspace) -> None:
    """Store the latency at every budget that can be met."""
    base = workspace.base(job.path.at.base)
    budgets = {}
    for budget in job.path.budgets:
        removed = load_removed(workspace, job.path, base, budget)
        if not isinstance(removed, InfeasibleBudget):
            budgets[str(budget)] = _timed(job.path, base, removed, workspace)
    write_json(workspace.store.path("timings", job.key, ".json"), {"budgets": budgets})


def load_latency(job: TimingJob, budget: float, workspace: Workspace) -> list[Latency]:
    """What was stored of a budget, by batch size."""
    file = workspace.store.path("timings", job.key, ".json")
    stored = wanted(read_json(file), file)["budgets"][str(budget)]
    return [Latency.model_validate(one) for one in stored]


def _timed(path: PathJob, base: Base, removed: Removed, workspace: Workspace) -> Any:
    """The latency of a shape: as it was found before, or found now."""
    shape = _shape(path, base, removed, workspace)
    file = workspace.store.path("timings", content_key(shape), ".json")
    known = read_json(file)
    if known is None:
        pruned, image = base.network.cut(removed), base.network.inputs[0][:1]
        with FileLock(LOCK):
            found = compare_latency(base.trained, pruned, image)
        known = {"shape": shape, "latency": [one.model_dump() for one in found]}
        write_json(file, known)
    return known["latency"]


def _shape(path: PathJob, base: Base, removed: Removed, workspace: Workspace) -> dict[str, Any]:
    """All that decides how long a network takes; weights do not."""
    made, model = environment(workspace.device_name), path.at.base.model
    kept = {root: len(channels) for root, channels in base.network.kept(removed).items()}
    return {
        "engine": ENGINE_VERSION,
        "model": {"name": model.name, "options": model.options},
        "kept": kept,
        "classes": base.data.classes,
        "image": list(base.network.inputs[0].shape[1:]),
        "batch_sizes": BATCH_SIZES,
        "torch": made["packages"]["torch"],
        **{name: made[name] for name in ("cpu", "device", "threads")},
    }
