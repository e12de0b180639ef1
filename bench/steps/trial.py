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
from .equal import equal_record, remember
from .paths import load_masks, load_removed, path_file
from .procedures import load_training
from .recovery import Thin, recover
from .timing import load_latency
from .workspace import Base, Workspace

# Measurements that recovery and test make, in the order of `_came`.
_CAME = ("pruned", "train", "best_validation_top1", "images_trained", "history", "tuned")


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

    kept, shared, total_s = thin.sizes["kept_sha256"], None, 0.0
    if take is None and not job.path.trains:
        shared = equal_record(job, kept, workspace)
    if shared is None:
        came, recovery_s, pruned = _came(job, workspace, base, dense, network, thin, phases)
    else:
        assert shared.measurements is not None
        assert shared.costs is not None
        came = {name: getattr(shared.measurements, name) for name in _CAME}
        recovery_s, total_s = shared.costs.recovery_s, shared.costs.total_s
    timed = load_latency(job.timing, job.budget, workspace) if job.timing else ([], {})
    measurements = Measurements(
        dense=dense.accuracy,
        test_images=len(base.data.test),
        classes=base.data.classes,
        dense_macs=base.macs,
        dense_params=base.params,
        **thin.sizes,
        constant=path.get("constant", []),
        latency=timed[0],
        undeployed=timed[1],
        budget_check=path.get("checks", {}).get(str(job.budget)),
        knobs=path.get("knobs", {}).get(str(job.budget), {}),
        trimmed=path.get("trimmed", {}).get(str(job.budget), 0),
        images_scored=path["images_scored"],
        phases={name: images for name, images in phases.items() if images},
        notes=training["notes"],
        **came,
    )
    if take is not None:
        take(network, thin, pruned)
    elif not job.path.trains:
        remember(job, kept, workspace)
    return measurements, Costs(
        score_s=path["score_s"],
        score_peak_bytes=path["score_peak_bytes"],
        phases_s=base.prepare_s + training["seconds"],
        recovery_s=recovery_s,
        total_s=total_s or time.perf_counter() - start,
        equal_to=shared.key if shared else None,
    )


def _came(
    job: TrialJob,
    workspace: Workspace,
    base: Base,
    dense: Base,
    network: Network,
    thin: Thin,
    phases: dict[str, int],
) -> tuple[dict[str, Any], float, nn.Module]:
    """What comes of a cut network: the fields `_CAME`, seconds of its recovery, and the network."""
    start = time.perf_counter()
    recovered = recover(job, workspace, base, network, thin, sum(phases.values()))
    seconds = time.perf_counter() - start
    thin.check()
    pruned = recovered.model
    found = (
        accuracy(pruned, base.data),
        _on_train(pruned, dense) if job.train_accuracy else None,
        recovered.best_top1,
        recovered.trained.images,
        recovered.trained.history,
        recovered.tuned,
    )
    seconds = max(seconds, recovered.trained.seconds)  # of a killed predecessor, too
    return dict(zip(_CAME, found, strict=True)), seconds, pruned


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
    counts = recount(base.network, removed, pruned)
    widths = {
        group.root: (channels - len(gone) * group.channels_per_unit, channels)
        for group, gone in zip(network.structure.groups, removed, strict=True)
        for channels in [group.units * group.channels_per_unit]
    }
    sizes = {
        "macs": counts["macs"],
        "params": counts["params"],
        "torch_pruning_macs": torch_pruning_macs(pruned, network.inputs),
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
