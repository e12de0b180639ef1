"""How long the networks of a path take, timed once for equal shapes.

Masks run on dense kernels, so they are not timed, but for 2:4 in linear layers where a GPU has
kernels for that: in half precision, as these ask for, the dense network too.

The run lets nothing else of its own run meanwhile; a lock of the machine keeps other runs from
timing at the same moment.
"""

import copy
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import Tensor, nn
from torch.sparse import to_sparse_semi_structured

from reports.records import Latency, content_key

from ..plan.jobs import ENGINE_VERSION, PathJob, TimingJob
from ..pruning.masks import masked
from ..pruning.selection import InfeasibleBudget
from ..store.provenance import environment
from ..store.sealed import read_json, wanted, write_json
from ..training.timing import BATCH_SIZES, compare_latency
from .paths import load_masks, load_removed
from .workspace import Base, Workspace

Timed = tuple[nn.Module, nn.Module, Tensor]  # the dense network, the pruned one, an image
SPARSE_SIDES = 64  # the sides of a weight that all the kernels take are multiples of this
LOCK = Path(tempfile.gettempdir()) / f"bench-timing-{os.getuid()}.lock"


def time_path(job: TimingJob, workspace: Workspace) -> None:
    """Store the latency at every budget that can be met."""
    time = _time_masks if job.path.unstructured else _time_cut
    base = workspace.base(job.path.at.base)
    found = {str(budget): time(job.path, base, budget, workspace) for budget in job.path.budgets}
    budgets = {budget: one for budget, one in found.items() if one is not None}
    write_json(workspace.store.path("timings", job.key, ".json"), {"budgets": budgets})


def load_latency(job: TimingJob, budget: float, workspace: Workspace) -> list[Latency]:
    """What was stored of a budget, by batch size."""
    stored = wanted(read_json, workspace.store.path("timings", job.key, ".json"))
    return [Latency.model_validate(one) for one in stored["budgets"][str(budget)]]


def _time_cut(path: PathJob, base: Base, budget: float, workspace: Workspace) -> Any:
    """The latency without the channels that leave; None where the budget cannot be met."""
    removed = load_removed(workspace, path, base, budget)
    if isinstance(removed, InfeasibleBudget):
        return None
    image = base.network.inputs[0][:1]
    kept = {root: len(channels) for root, channels in base.network.kept(removed).items()}
    shape = {**_shape(path, base, workspace), "kept": kept}
    return _timed(shape, workspace, lambda: (base.trained, base.network.cut(removed), image))


def _time_masks(path: PathJob, base: Base, budget: float, workspace: Workspace) -> Any:
    """The latency of 2:4 masks; none where the device has no kernels for them (before Ampere)."""
    image = base.network.inputs[0][:1]
    if not image.is_cuda or torch.cuda.get_device_capability(image.device) < (8, 0):
        return []

    def networks() -> Timed:
        masks = load_masks(workspace, path, base, budget)
        dense = copy.deepcopy(base.trained).half()
        return dense, semi_structured(masked(dense, masks)), image.half()

    return _timed({**_shape(path, base, workspace), "kept": "2:4"}, workspace, networks)


def semi_structured(model: nn.Module) -> nn.Module:
    """A network with 2:4 masks, the weights of its linear layers packed in place.

    Those that are too small for the kernels, or no multiple of their tiles, stay dense.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and not any(s % SPARSE_SIDES for s in layer.weight.shape):
            layer.weight = nn.Parameter(to_sparse_semi_structured(layer.weight.detach()))
    return model


def _timed(shape: dict[str, Any], workspace: Workspace, networks: Callable[[], Timed]) -> Any:
    """The latency of a shape: as it was found before, or found now."""
    file = workspace.store.path("timings", content_key(shape), ".json")
    known = read_json(file)
    if known is None:
        timed = networks()
        with FileLock(LOCK):
            found = compare_latency(*timed)
        known = {"shape": shape, "latency": [one.model_dump() for one in found]}
        write_json(file, known)
    return known["latency"]


def _shape(path: PathJob, base: Base, workspace: Workspace) -> dict[str, Any]:
    """What decides how long a network takes, beside what is kept of it; weights do not."""
    made, model = environment(workspace.device_name), path.at.base.model
    return {
        "engine": ENGINE_VERSION,
        "model": {"name": model.name, "options": model.options},
        "classes": base.data.classes,
        "image": list(base.network.inputs[0].shape[1:]),
        "batch_sizes": BATCH_SIZES,
        "torch": made["packages"]["torch"],
        **{name: made[name] for name in ("cpu", "device", "threads")},
    }
