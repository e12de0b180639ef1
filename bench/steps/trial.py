"""One trial, top to bottom: cut at one budget, recover, measure, write the record.

A trial of a fidelity suite (`bench.steps.fidelity`) measures something else, under the same record.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import torch
from torch import nn

from criteria import NotApplicable
from criteria.phases import create_phase
from criteria.recoveries.recovery import Recovery
from criteria.training import Rider
from reports.records import (
    Costs,
    Epoch,
    Failure,
    Fidelity,
    Measurements,
    Record,
    Status,
    TrainAccuracy,
)
from suites import Recipe

from ..errors import StoreError, failure
from ..plan.jobs import FidelityJob, Trial, TrialJob
from ..pruning.cost import ChannelCost, count_macs, count_params, weight_uses
from ..pruning.cut import EQUAL, difference, refilled
from ..pruning.masks import Holder, check_held, check_masked, macs_saved, masked, weights_kept
from ..pruning.network import Network, Removed
from ..pruning.selection import InfeasibleBudget
from ..seeds import generator, seed
from ..store.provenance import environment
from ..training.batch_norm import recalibrate_bn
from ..training.measure import (
    accuracy,
    evaluate,
    latency,
    layer_sparsity,
    masked_sparsity,
    torch_pruning_macs,
)
from ..training.train import Trained, train
from .fidelity import compare
from .mask_paths import load_masks
from .paths import load_removed, path_file
from .procedures import load_training
from .workspace import Base, Workspace


def run_trial(job: Trial, workspace: Workspace) -> Status:
    """Run one trial and write its record, whatever comes of it; returns the record's status."""
    started = _now()
    found: Measurements | Fidelity
    try:
        found, costs = (
            compare(job, workspace) if isinstance(job, FidelityJob) else _measure(job, workspace)
        )
    except StoreError:
        raise  # no room for results: the trial is not to blame
    except Exception as error:  # the record keeps the traceback; the other trials go on
        record = failed_record(job, failure(error), started, workspace.device_name)
    else:
        record = Record(
            key=job.key,
            identity=job.identity,
            labels=job.labels,
            status="done",
            measurements=found if isinstance(found, Measurements) else None,
            fidelity=found if isinstance(found, Fidelity) else None,
            costs=costs,
            provenance=_provenance(started, workspace.device_name)
            | {"base_sha256": workspace.base(job.at.base).trained_sha256},
        )
    workspace.store.write_record(record)
    workspace.forget_checkpoints(job.key)
    return record.status


def _measure(job: TrialJob, workspace: Workspace) -> tuple[Measurements, Costs]:
    start = time.perf_counter()
    base = workspace.base(job.path.at.base)
    path = path_file(workspace, job.path)
    training = path.get("training", {}).get(str(job.budget))
    network = base.network
    if training is None:
        training = {"images": 0, "seconds": 0.0, "notes": {}}
    else:
        network = load_training(job.path, workspace, base, job.budget, training["sha256"])
    phases = {"prepare": base.images_prepared, "procedure": training["images"]}
    if job.path.unstructured:
        thin = _mask(job, workspace, base)
    else:
        thin = _cut(job, workspace, base, network)

    recovery_start = time.perf_counter()
    recovered = _recover(job, workspace, base, network, thin, sum(phases.values()))
    recovery_s = time.perf_counter() - recovery_start
    thin.check()
    pruned = recovered.model

    measurements = Measurements(
        dense=base.accuracy,
        pruned=accuracy(pruned, base.data),
        train=_on_train(pruned, base) if job.train_accuracy else None,
        best_validation_top1=recovered.best_top1,
        dense_macs=base.macs,
        dense_params=base.params,
        **thin.sizes,
        latency=latency(base.trained, pruned, network.inputs[0][:1]) if job.latency else [],
        knobs=path.get("knobs", {}).get(str(job.budget), {}),
        trimmed=path.get("trimmed", {}).get(str(job.budget), 0),
        images_scored=path["images_scored"],
        phases={name: images for name, images in phases.items() if images},
        notes=training["notes"],
        images_trained=recovered.images,
        history=recovered.history,
    )
    return measurements, Costs(
        score_s=path["score_s"],
        score_peak_bytes=path["score_peak_bytes"],
        phases_s=base.prepare_s + training["seconds"],
        recovery_s=recovery_s,
        total_s=time.perf_counter() - start,
    )


def _on_train(pruned: nn.Module, base: Base) -> TrainAccuracy:
    found = evaluate(pruned, base.data.train)
    dense = base.on_train
    return TrainAccuracy(
        dense_top1=dense.top1, dense_loss=dense.loss, top1=found.top1, loss=found.loss
    )


@dataclass(frozen=True, eq=False)
class _Thin:
    """A pruned network, before recovery.

    Attributes:
        sizes: the fields of `Measurements` that recovery does not change.
        removed: of each group, the units that are gone; none of a mask.
        rider: what keeps it pruned while it trains.
        check: raises ArithmeticError where it is no longer as pruned as it was.
    """

    model: nn.Module
    sizes: dict[str, Any]
    removed: Removed = field(default_factory=list)
    rider: Rider = field(default_factory=Rider)
    check: Callable[[], None] = lambda: None


def _cut(job: TrialJob, workspace: Workspace, base: Base, network: Network) -> _Thin:
    """Without the channels that the path removes."""
    removed = load_removed(workspace, job.path, base, job.budget)
    if isinstance(removed, InfeasibleBudget):
        raise removed
    pruned = network.cut(removed)
    macs, params = count_macs(pruned, network.inputs), count_params(pruned)
    _check_budget(job, base, removed, macs, params)
    widths = {
        group.root: (channels - len(gone) * group.channels_per_unit, channels)
        for group, gone in zip(network.structure.groups, removed, strict=True)
        for channels in [group.units * group.channels_per_unit]
    }
    sizes = {
        "macs": macs,
        "params": params,
        "torch_pruning_macs": torch_pruning_macs(pruned, network.inputs),
        "widths": widths,
        "layer_sparsity": layer_sparsity(network.model, pruned),
    }
    return _Thin(pruned, sizes, removed)


def _mask(job: TrialJob, workspace: Workspace, base: Base) -> _Thin:
    """With the path's mask on its weights; whatever the mask keeps counts, whatever its value."""
    dense = base.network.model
    masks = load_masks(workspace, job.path, base, job.budget)
    model = masked(dense, masks)
    check_masked(dense, model, masks)
    counts = {layer: (int(mask.sum()), len(mask)) for layer, mask in masks.items()}
    kept, total = (sum(column) for column in zip(*counts.values(), strict=True))
    if kept != weights_kept(total, job.budget):
        raise ArithmeticError(f"{job}: the mask keeps {kept} of {total} weights")
    sizes = {
        "macs": base.macs - macs_saved(masks, weight_uses(dense, base.network.inputs)),
        "params": base.params - (total - kept),
        "torch_pruning_macs": None,
        "widths": {},
        "weights": counts,
        "layer_sparsity": masked_sparsity(model, masks),
    }
    return _Thin(model, sizes, rider=Holder(model, masks), check=lambda: check_held(model, masks))


def _check_budget(job: TrialJob, base: Base, removed: Removed, macs: int, params: int) -> None:
    """The arithmetic that chose the channels must equal a recount of the network that came out."""
    counts = torch.tensor([len(one) for one in removed])
    recounts: dict[ChannelCost, int] = {"macs": macs, "params": params}
    for name, recount in recounts.items():
        expected = base.network.cost.of(name)(counts)
        if round(expected) != recount:
            raise ArithmeticError(
                f"{job}: {recount} {name} after the cut, {expected:.0f} by arithmetic; "
                "this network has operations that the cost model does not know"
            )


@dataclass(frozen=True, eq=False)
class _Recovered:
    """A pruned network, after recovery.

    Attributes:
        history: an entry an epoch.
        images: that it was trained on.
        best_top1: on the test split, of the epoch that was best on validation; shown beside the
            last epoch's.
    """

    model: nn.Module
    history: list[Epoch] = field(default_factory=list)
    images: int = 0
    best_top1: float | None = None


def _recover(
    job: TrialJob, workspace: Workspace, base: Base, network: Network, thin: _Thin, used: int
) -> _Recovered:
    """Change the pruned network, as the trial's recovery says.

    Args:
        network: in the dense shape, with the weights that `thin` was cut from.
        used: images that the method's own phases were trained on.
    """
    match job.recovery:
        case "none":
            return _Recovered(thin.model)
        case "bn":
            images = recalibrate_bn(thin.model, workspace.calibration(job.at, base.data))
            return _Recovered(thin.model, images=images)
        case "finetune":
            return _finetune(job, workspace, base, network, thin, used)
    raise ValueError(f"unknown recovery {job.recovery!r}")


def _finetune(
    job: TrialJob, workspace: Workspace, base: Base, network: Network, thin: _Thin, used: int
) -> _Recovered:
    """By the trial's recipe, and in the method's own way where it has one."""
    rider, model = thin.rider, thin.model
    recovery: Recovery | None = None
    if job.finetuning is not None:
        draw = generator("recovery", **job.at.axes)
        rider = recovery = create_phase(
            "recovery", job.finetuning.name, job.finetuning.options, draw
        )
        groups = network.structure.groups
        dense = network.model
        if job.path.trains:  # what has left is zero there, and could not learn
            dense = refilled(dense, base.network.model, groups, thin.removed)
        model = rider.network(model, dense, groups, thin.removed)
    trained = train(
        model,
        base.data,
        _lengthened(job, base, used),
        seed("recovery", **job.at.axes),
        rider,
        teacher=base.trained,
        checkpoint=workspace.checkpoint(job.key, base.sha256),
    )
    best = _at_best_epoch(model, base, trained)
    if recovery is not None:
        model = _merged(job, recovery, model, thin, network)
    return _Recovered(model, trained.history, trained.images, best)


def _lengthened(job: TrialJob, base: Base, used: int) -> Recipe:
    """The recipe, with as many epochs as are left of the total, where there is one.

    Raises:
        InfeasibleBudget: the method's own phases have left none.
    """
    assert job.recipe is not None
    if job.total_epochs is None:
        return job.recipe
    own = used / len(base.data.train)
    left = int(job.total_epochs - own + 1e-9)  # no method gets more than the total
    if left < 1:
        raise InfeasibleBudget(
            f"recoveries: total_epochs = {job.total_epochs}, but the phases of this method have "
            f"taken {own:.1f} epochs, which leaves none to finetune; raise it, or shorten the "
            "recipes of `prepare` and `procedure`"
        )
    return job.recipe.model_copy(update={"epochs": left})


def _merged(
    job: TrialJob, recovery: Recovery, trained: nn.Module, thin: _Thin, network: Network
) -> nn.Module:
    """The plain network that a recovery ends with; it must be what it was, and of the same size."""
    plain = recovery.merged(trained)
    sizes = {"macs": count_macs(plain, network.inputs), "params": count_params(plain)}
    for what, found in sizes.items():
        if found != thin.sizes[what]:
            raise ArithmeticError(f"{job}: {found} {what} after merging, {thin.sizes[what]} before")
    apart = difference(trained, plain, network.inputs)
    if apart > EQUAL:
        raise ArithmeticError(f"{job}: merging changes the outputs by {apart:.1e} of their size")
    return plain


def _at_best_epoch(model: nn.Module, base: Base, trained: Trained) -> float:
    last = {name: one.clone() for name, one in model.state_dict().items()}
    model.load_state_dict(trained.best)
    top1 = evaluate(model, base.data.test).top1
    model.load_state_dict(last)
    return top1


def failed_record(
    job: Trial, why: Failure, started: str | None = None, device: str = "cpu"
) -> Record:
    """The record of a trial that has no measurements."""
    infeasible = why.kind in (InfeasibleBudget.__name__, NotApplicable.__name__)
    return Record(
        key=job.key,
        identity=job.identity,
        labels=job.labels,
        status="infeasible" if infeasible else "failed",
        failure=why,
        provenance=_provenance(started or _now(), device),
    )


def _provenance(started: str, device: str) -> dict[str, Any]:
    return {**environment(device), "started": started, "ended": _now()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
