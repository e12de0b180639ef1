"""One trial, top to bottom: cut at one budget, recover, measure, write the record."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import torch
from torch import nn

from criteria import NotApplicable
from reports.records import Costs, Failure, Measurements, Record, Status

from .cost import count_macs, count_params
from .errors import StoreError
from .jobs import TrialJob
from .lab import Base, Lab
from .measure import accuracy, evaluate, latency, layer_sparsity, torch_pruning_macs
from .network import Removed
from .paths import failure, load_removed, path_file
from .provenance import environment
from .seeds import seed
from .selection import InfeasibleBudget
from .train import Trained, recalibrate_bn, train


def run_trial(job: TrialJob, lab: Lab) -> Status:
    """Run one trial and write its record, whatever comes of it; returns the record's status."""
    started = _now()
    try:
        measurements, costs = _measure(job, lab)
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
            measurements=measurements,
            costs=costs,
            provenance=_provenance(started) | {"base_sha256": lab.base(job.path.at.base).sha256},
        )
    lab.store.write_record(record)
    return record.status


def _measure(job: TrialJob, lab: Lab) -> tuple[Measurements, Costs]:
    start = time.perf_counter()
    base = lab.base(job.path.at.base)
    network = base.network
    removed = load_removed(lab, job.path, base, job.budget)
    if isinstance(removed, InfeasibleBudget):
        raise removed
    path = path_file(lab, job.path)

    pruned = network.cut(removed)
    macs, params = count_macs(pruned, network.inputs), count_params(pruned)
    _check_budget(job, base, removed, macs, params)

    recovery_start = time.perf_counter()
    recovered = _recover(job, lab, base, pruned)
    recovery_s = time.perf_counter() - recovery_start

    measurements = Measurements(
        dense=base.accuracy,
        pruned=accuracy(pruned, base.data),
        best_validation_top1=_at_best_epoch(pruned, base, recovered),
        macs=macs,
        dense_macs=base.macs,
        params=params,
        dense_params=base.params,
        torch_pruning_macs=torch_pruning_macs(pruned, network.inputs),
        widths={
            group.root: (channels - len(gone) * group.channels_per_unit, channels)
            for group, gone in zip(network.structure.groups, removed, strict=True)
            for channels in [group.units * group.channels_per_unit]
        },
        layer_sparsity=layer_sparsity(network.model, pruned),
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


def _check_budget(job: TrialJob, base: Base, removed: Removed, macs: int, params: int) -> None:
    """The arithmetic that chose the channels must equal a recount of the network that came out."""
    counts = torch.tensor([len(one) for one in removed])
    for name, recount in (("macs", macs), ("params", params)):
        expected = base.network.cost.of(name)(counts)
        if round(expected) != recount:
            raise ArithmeticError(
                f"{job}: {recount} {name} after the cut, {expected:.0f} by arithmetic; "
                "this network has operations that the cost model does not know"
            )


def _recover(job: TrialJob, lab: Lab, base: Base, pruned: nn.Module) -> Trained:
    """Change the pruned network in place, as the trial's recovery says."""
    at = job.path.at
    match job.recovery:
        case "none":
            return Trained([], {}, 0)
        case "bn":
            return Trained([], {}, recalibrate_bn(pruned, lab.calibration(at, base.data)))
        case "finetune":
            assert job.recipe is not None
            return train(pruned, base.data, job.recipe, seed("recovery", **at.axes))
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


def failed_record(job: TrialJob, why: Failure, started: str | None = None) -> Record:
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
