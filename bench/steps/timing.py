"""What the networks of a path take in every deployment of its suite, once for equal shapes.

Masks run on dense kernels, so they are not timed, but for 2:4 in linear layers where a GPU has
kernels for that: in half precision, as these ask for, the dense network too.

The run lets nothing else of its own run meanwhile; a lock of the machine keeps other runs from
timing at the same moment. What a runtime cannot run is a word in the record.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.sparse import to_sparse_semi_structured

from reports.records import Latency, content_key
from suites.protocol import Deployment

from ..deployed.runtimes import load
from ..deployed.timing import compare_latency
from ..errors import ExportError
from ..plan.jobs import ENGINE_VERSION, PathJob, TimingJob
from ..pruning.masks import masked
from ..pruning.memory import peak_bytes
from ..pruning.selection import InfeasibleBudget
from ..store.provenance import machine
from ..store.sealed import read_json, wanted, write_json
from .paths import load_masks, load_removed
from .workspace import Base, Workspace

Timed = tuple[nn.Module, nn.Module, Tensor]  # the dense network, the pruned one, an image
SPARSE_SIDES = 64  # the sides of a weight that all the kernels take are multiples of this


def time_path(job: TimingJob, workspace: Workspace) -> None:
    """Store the latency at every budget that can be met."""
    time = _time_masks if job.path.unstructured else _time_cut
    base = workspace.base(job.path.at.base)
    found = {str(budget): time(job, base, budget, workspace) for budget in job.path.budgets}
    budgets = {budget: one for budget, one in found.items() if one is not None}
    write_json(workspace.store.path("timings", job.key, ".json"), {"budgets": budgets})


def load_latency(
    job: TimingJob, budget: float, workspace: Workspace
) -> tuple[list[Latency], dict[str, str]]:
    """What was stored of a budget, and of the deployments that could not be measured, why."""
    stored = wanted(read_json, workspace.store.path("timings", job.key, ".json"))
    found = stored["budgets"][str(budget)]
    timed = [Latency.model_validate(one) for one in found.values() if not isinstance(one, str)]
    return timed, {name: why for name, why in found.items() if isinstance(why, str)}


def _time_cut(job: TimingJob, base: Base, budget: float, workspace: Workspace) -> Any:
    """By deployment, without the channels that leave; None where the budget cannot be met."""
    removed = load_removed(workspace, job.path, base, budget)
    if isinstance(removed, InfeasibleBudget):
        return None
    image = base.network.inputs[0][:1]
    kept = {root: len(channels) for root, channels in base.network.kept(removed).items()}
    networks = base.trained, base.network.cut(removed), image
    return _timed(job, base, workspace, kept, lambda: networks)


def _time_masks(job: TimingJob, base: Base, budget: float, workspace: Workspace) -> Any:
    """The latency of 2:4 masks; none where the device has no kernels for them (before Ampere)."""
    image = base.network.inputs[0][:1]
    if not image.is_cuda or torch.cuda.get_device_capability(image.device) < (8, 0):
        return {}

    def networks() -> Timed:
        masks = load_masks(workspace, job.path, base, budget)
        dense = copy.deepcopy(base.trained).half()
        return dense, semi_structured(masked(dense, masks)), image.half()

    return _timed(job, base, workspace, "2:4", networks)


def semi_structured(model: nn.Module) -> nn.Module:
    """A network with 2:4 masks, the weights of its linear layers packed in place.

    Those that are too small for the kernels, or no multiple of their tiles, stay dense.
    """
    for layer in model.modules():
        if isinstance(layer, nn.Linear) and not any(s % SPARSE_SIDES for s in layer.weight.shape):
            layer.weight = nn.Parameter(to_sparse_semi_structured(layer.weight.detach()))
    return model


def _timed(
    job: TimingJob, base: Base, workspace: Workspace, kept: Any, networks: Callable[[], Timed]
) -> dict[str, Any]:
    """What a shape takes by deployment, or why that is not known: found before, or now."""
    found = {}
    for deployment in job.measure.deployments:
        shape = {**_shape(job.path, base, workspace, deployment), "kept": kept}
        file = workspace.store.path("timings", content_key(shape), ".json")
        if (known := read_json(file)) is None:
            known = {"shape": shape, "found": compared(*networks(), deployment)}
            write_json(file, known)
        found[deployment.title] = known["found"]
    return found


def compared(dense: nn.Module, pruned: nn.Module, image: Tensor, deployment: Deployment) -> Any:
    try:
        first, second = load(dense, (image,), deployment, copies=2)
        (cut,) = load(pruned, (image,), deployment)
    except ExportError as why:
        return str(why)
    found = compare_latency(first, cut, second, deployment)
    if deployment.runtime == "eager":  # other runtimes keep what they hold to themselves
        peaks = [peak_bytes(one, (image,), deployment.batch) for one in (pruned, dense)]
        found = found.model_copy(update={"peak_bytes": tuple(peaks)})
    return found.model_dump()


def _shape(
    path: PathJob, base: Base, workspace: Workspace, deployment: Deployment
) -> dict[str, Any]:
    """What decides how long a network takes, beside what is kept of it; weights do not."""
    model, code = path.at.base.model, path.at.base.code
    return {
        "engine": ENGINE_VERSION,
        "model": {"name": model.name, "options": model.options},
        **({"code": code} if code else {}),  # of a network that is none of ours
        "classes": base.data.classes,
        "image": list(base.network.inputs[0].shape[1:]),
        "deployment": deployment.identity,
        **machine(workspace.device_name),
    }
