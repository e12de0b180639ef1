"""One trial, top to bottom: cut at one budget, recover, measure, write the record.

A trial of a fidelity suite (`bench.fidelity`) measures something else, under the same record.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import torch
from torch import nn

from criteria import NotApplicable
from reports.records import (
    Costs,
    Failure,
    Fidelity,
    Measurements,
    Record,
    Status,
    TrainAccuracy,
)

from .cost import ChannelCost, count_macs, count_params, weight_uses
from .errors import StoreError
from .fidelity import compare
from .jobs import FidelityJob, Trial, TrialJob
from .lab import Base, Lab
from .mask_paths import load_masks
from .masks import check_held, check_masked, holder, macs_saved, masked, weights_kept
from .measure import (
    accuracy,
    evaluate,
    latency,
    layer_sparsity,
    masked_sparsity,
    torch_pruning_macs,
)
from .network import Removed
from .paths import failure, load_removed, path_file
from .provenance import environment
from .seeds import seed
from .selection import InfeasibleBudget
from .train import Trained, recalibrate_bn, train


def run_trial(job: Trial, lab: Lab) -> Status:
    """Run one trial and write its record, whatever comes of it; returns the record's status."""
    started = _now()
    found: Measurements | Fidelity
    try:
        found, costs = compare(job, lab) if isinstance(job, FidelityJob) else _measure(job, lab)
    except StoreError:
        raise  # no room for results: the trial is not to blame
    except Exception as error:  # the record keeps the traceback; the other trials go on
        record = failed_record(job, failure(error), started)
    else:
        record = Record(
            key=job.key,
            identity=job.identity,
            labels=job.labels,
            status="done",
            measurements=found if isinstance(found, Measurements) else None,
            fidelity=found if isinstance(found, Fidelity) else None,
            costs=costs,
            provenance=_provenance(started) | {"base_sha256": lab.base(job.at.base).sha256},
        )
    lab.store.write_record(record)
    return record.status


def _measure(job: TrialJob, lab: Lab) -> tuple[Measurements, Costs]:
    start = time.perf_counter()
    base = lab.base(job.path.at.base)
    network = base.network
    path = path_file(lab, job.path)
    thin = _mask(job, lab, base) if job.path.unstructured else _cut(job, lab, base)
    pruned = thin.model

    recovery_start = time.perf_counter()
    recovered = _recover(job, lab, base, thin)
    recovery_s = time.perf_counter() - recovery_start
    thin.check()

    measurements = Measurements(
        dense=base.accuracy,
        pruned=accuracy(pruned, base.data),
        train=_on_train(pruned, base) if job.train_accuracy else None,
        best_validation_top1=_at_best_epoch(pruned, base, recovered),
        dense_macs=base.macs,
        dense_params=base.params,
        **thin.sizes,
        latency=latency(network.model, pruned, network.inputs[0][:1]) if job.latency else [],
        knobs=path.get("knobs", {}).get(str(job.budget), {}),
        trimmed=path.get("trimmed", {}).get(str(job.budget), 0),
        images_scored=path["images_scored"],
        images_trained=recovered.images,
        history=recovered.history,
    )
    return measurements, Costs(
        score_s=path["score_s"],
        score_peak_bytes=path["score_peak_bytes"],
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
        after_step: what keeps it pruned while it trains.
        check: raises ArithmeticError where it is no longer as pruned as it was.
    """

    model: nn.Module
    sizes: dict[str, Any]
    after_step: Callable[[], None] | None = None
    check: Callable[[], None] = lambda: None


def _cut(job: TrialJob, lab: Lab, base: Base) -> _Thin:
    """Without the channels that the path removes."""
    network = base.network
    removed = load_removed(lab, job.path, base, job.budget)
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
    return _Thin(pruned, sizes)


def _mask(job: TrialJob, lab: Lab, base: Base) -> _Thin:
    """With the path's mask on its weights; whatever the mask keeps counts, whatever its value."""
    dense = base.network.model
    masks = load_masks(lab, job.path, base, job.budget)
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
    return _Thin(model, sizes, holder(model, masks), lambda: check_held(model, masks))


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


def _recover(job: TrialJob, lab: Lab, base: Base, thin: _Thin) -> Trained:
    """Change the pruned network in place, as the trial's recovery says."""
    at = job.path.at
    match job.recovery:
        case "none":
            return Trained([], {}, 0)
        case "bn":
            return Trained([], {}, recalibrate_bn(thin.model, lab.calibration(at, base.data)))
        case "finetune":
            assert job.recipe is not None
            order = seed("recovery", **at.axes)
            return train(thin.model, base.data, job.recipe, order, thin.after_step)
    raise ValueError(f"unknown recovery {job.recovery!r}")


def _at_best_epoch(pruned: nn.Module, base: Base, recovered: Trained) -> float | None:
    """Test top-1 of the epoch that was best on validation, shown beside the last epoch's."""
    if not recovered.best:
        return None
    last = {name: one.clone() for name, one in pruned.state_dict().items()}
    pruned.load_state_dict(recovered.best)
    top1 = evaluate(pruned, base.data.test).top1
    pruned.load_state_dict(last)
    return top1


def failed_record(job: Trial, why: Failure, started: str | None = None) -> Record:
    """The record of a trial that has no measurements."""
    infeasible = why.kind in (InfeasibleBudget.__name__, NotApplicable.__name__)
    return Record(
        key=job.key,
        identity=job.identity,
        labels=job.labels,
        status="infeasible" if infeasible else "failed",
        failure=why,
        provenance=_provenance(started or _now()),
    )


def _provenance(started: str) -> dict[str, Any]:
    return {**environment(), "started": started, "ended": _now()}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
