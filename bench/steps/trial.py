"""One trial, top to bottom: cut at one budget, recover, measure.

A trial of a fidelity suite (`oracle.py`) measures something else, under the same record.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from reports.records import Costs, Measurements, TrainAccuracy, content_key

from ..plan.jobs import TrialJob
from ..pruning.cost import weight_uses
from ..pruning.masks import Holder, check_counts, check_held, macs_saved, masked, pack
from ..pruning.memory import peak_bytes
from ..pruning.network import Network
from ..pruning.selection import InfeasibleBudget
from ..pruning.sound import recount
from ..training.measure import accuracy, evaluate, layer_sparsity, torch_pruning_macs
from .paths import load_masks, load_removed, path_file
from .procedures import load_training
from .recovery import Thin, recover
from .timing import load_latency
from .workspace import Base, Workspace


def measure(
    job: TrialJob,
    workspace: Workspace,
    take: Callable[[Network, Thin, nn.Module], None] | None = None,
) -> tuple[Measurements, Costs]:
    """Cut or mask at the trial's budget, recover, and measure what came out.

    What came of an equal network is not made again, unless there is `take`: that is given the
    network before, as it was pruned, and as it was recovered.
    """
    start = time.perf_counter()
    base = workspace.base(job.path.at.base)
    dense = workspace.base(job.dense) if job.dense else base
    path = path_file(workspace, job.path)
    training = path.get("training", {}).get(str(job.budget))
    network = base.network
    if training is None:
        training = {"images": 0, "seconds": 0.0, "notes": {}}
    elif job.early is None:
        network = load_training(job.path, workspace, base, job.budget, training["sha256"])
    if job.early is not None:
        network = replace(network, model=workspace.early(job.early, base.data))
    phases = {"prepare": base.images_prepared, "procedure": training["images"]}
    if job.path.unstructured:
        thin = _mask(job, workspace, base, network)
    else:
        thin = _cut(job, workspace, base, network)
    timed = load_latency(job.timing, job.budget, workspace) if job.timing else ([], {})
    own: dict[str, Any] = {
        "dense": dense.accuracy,
        "test_images": len(base.data.test),
        "classes": base.data.classes,
        "dense_macs": base.macs,
        "dense_params": base.params,
        **thin.sizes,
        "constant": path.get("constant", []),
        "latency": timed[0],
        "undeployed": timed[1],
        "budget_check": path.get("checks", {}).get(str(job.budget)),
        "knobs": path.get("knobs", {}).get(str(job.budget), {}),
        "trimmed": path.get("trimmed", {}).get(str(job.budget), 0),
        "images_scored": path["images_scored"],
        "phases": {name: images for name, images in phases.items() if images},
        "notes": training["notes"],
    }
    spent = {name: path[name] for name in ("score_s", "score_peak_bytes")}
    spent["phases_s"] = base.prepare_s + training["seconds"]
    alike = content_key({**job.after_the_cut, "kept": own["kept_sha256"]})
    if alike in base.came and take is None and not job.path.trains:
        found, costs, key = base.came[alike]
        return found.model_copy(update=own), costs.model_copy(update={**spent, "equal_to": key})
    recovery_start = time.perf_counter()
    recovered = recover(job, workspace, base, network, thin, sum(phases.values()))
    recovery_s = time.perf_counter() - recovery_start
    thin.check()
    pruned = recovered.model
    measurements = Measurements(
        **own,
        pruned=accuracy(pruned, base.data),
        train=_on_train(pruned, dense) if job.train_accuracy else None,
        best_validation_top1=recovered.best_top1,
        images_trained=recovered.trained.images,
        history=recovered.trained.history,
        tuned=recovered.tuned,
    )
    costs = Costs(
        **spent,
        recovery_s=max(recovery_s, recovered.trained.seconds),  # of a killed predecessor, too
        total_s=time.perf_counter() - start,
    )
    if take is not None:
        take(network, thin, pruned)
    if not job.path.trains:
        base.came[alike] = measurements, costs, job.key
    return measurements, costs


def _on_train(pruned: nn.Module, base: Base) -> TrainAccuracy:
    found = evaluate(pruned, base.data.train, base.data.task)
    dense = base.on_train
    return TrainAccuracy(
        dense_top1=dense.primary, dense_loss=dense.loss, top1=found.primary, loss=found.loss
    )


def _cut(job: TrialJob, workspace: Workspace, base: Base, network: Network) -> Thin:
    removed = load_removed(workspace, job.path, base, job.budget)
    if isinstance(removed, InfeasibleBudget):
        raise removed
    pruned = network.cut(removed)
    shape = tuple(map(len, removed))
    if shape not in base.counted:
        base.counted[shape] = {
            **recount(base.network, removed, pruned),
            "torch_pruning_macs": torch_pruning_macs(pruned, network.inputs),
        }
    widths = {
        group.root: (channels - len(gone) * group.channels_per_unit, channels)
        for group, gone in zip(network.structure.groups, removed, strict=True)
        for channels in [group.units * group.channels_per_unit]
    }
    sizes = {
        **base.counted[shape],
        "widths": widths,
        "kept_sha256": content_key([sorted(gone.tolist()) for gone in removed]),
        "layer_sparsity": layer_sparsity(network.model, pruned),
    }
    if job.path.cost == "memory":
        sizes["memory"] = tuple(peak_bytes(one, network.inputs) for one in (pruned, network.model))
    return Thin(pruned, sizes, removed)


def _mask(job: TrialJob, workspace: Workspace, base: Base, network: Network) -> Thin:
    """Put the path's mask on the weights; whatever it keeps counts, whatever its value."""
    dense = network.model
    masks = load_masks(workspace, job.path, base, job.budget)
    model = masked(dense, masks)
    check_counts(dense, masks, job.budget, job.path.selection.scope)
    counts = {layer: (int(mask.sum()), len(mask)) for layer, mask in masks.items()}
    kept, total = (sum(column) for column in zip(*counts.values(), strict=True))
    sizes = {
        "macs": base.macs - macs_saved(masks, weight_uses(dense, network.inputs)),
        "params": base.params - (total - kept),
        "torch_pruning_macs": None,
        "widths": {},
        "weights": counts,
        "kept_sha256": hashlib.sha256(pack(masks).tobytes()).hexdigest(),
        "layer_sparsity": layer_sparsity(model, model, masks),
    }
    return Thin(model, sizes, rider=Holder(model, masks), check=lambda: check_held(model, masks))
