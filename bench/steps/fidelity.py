"""A fidelity trial: a criterion's scores beside what the removal of each unit truly does."""

from __future__ import annotations

import time

import torch

from reports.records import Costs, Fidelity

from ..plan.jobs import FidelityJob, OracleJob
from ..seeds import generator
from ..store.sealed import read_json, wanted, write_json
from .oracle import loss_changes, sample_units
from .scores import load_scores
from .workspace import Workspace


def make_oracle(job: OracleJob, workspace: Workspace) -> None:
    """Sample units, measure the loss without each on validation images, store what was found."""
    base = workspace.base(job.base)
    groups = base.network.structure.groups
    draw = generator("oracle-units", **job.base.axes)
    units = sample_units([group.units for group in groups], job.spec.units, draw)
    held_out = base.data.validation
    order = torch.randperm(len(held_out), generator=generator("oracle-images", **job.base.axes))
    chosen = order[: job.spec.images]  # in an order of its own; all where there are no more
    batches = held_out.batches(job.spec.batch_size, indices=chosen)
    found = loss_changes(base.network.model, groups, units, batches)
    if not torch.isfinite(found.changes).all():
        raise FloatingPointError(f"the loss of {job.base} is not finite; its training has failed")
    write_json(
        workspace.store.path("oracle", job.key, ".json"),
        {
            "base_sha256": base.sha256,
            "dense_loss": float(found.losses.mean()),
            "images": len(chosen),
            "group": [at for at, some in enumerate(units) for _ in some],
            "unit": torch.cat(units).tolist(),
            "change": found.changes.mean(1).tolist(),
            "halves": [found.changes[:, half::2].mean(1).tolist() for half in (0, 1)],
            "whole": found.whole,
        },
    )


def measure_fidelity(job: FidelityJob, workspace: Workspace) -> tuple[Fidelity, Costs]:
    """The criterion's scores of the sampled units, and the truth about them."""
    start = time.perf_counter()
    base = workspace.base(job.at.base)
    groups = base.network.structure.groups
    values, cost = load_scores(workspace, job.score_key)
    file = workspace.store.path("oracle", job.oracle.key, ".json")
    truth = wanted(read_json(file), file)
    places = zip(truth["group"], truth["unit"], strict=True)
    fidelity = Fidelity(
        dense=base.accuracy,
        dense_loss=truth["dense_loss"],
        images=truth["images"],
        roots=[group.root for group in groups],
        group=truth["group"],
        unit=truth["unit"],
        change=truth["change"],
        halves=truth["halves"],
        score=[float(values[group][unit]) for group, unit in places],
        images_scored=cost.images,
        spanned=[group.root for group in groups if group.normalizes_over_channels],
        whole=truth["whole"],
    )
    return fidelity, Costs(
        score_s=cost.seconds,
        score_peak_bytes=cost.peak_bytes,
        recovery_s=0.0,
        total_s=time.perf_counter() - start,
    )
