"""A base: an unpruned network, trained once by a recipe or taken over from a checkpoint.

A prepared base is one that a preparation has trained further, before it is scored.
"""

from __future__ import annotations

import copy
import time

from criteria.phases import create_phase
from reports.records import Epoch

from ..plan.jobs import BaseJob, PreparedJob
from ..seeds import seed
from ..training.measure import accuracy
from ..training.train import train
from .workspace import Workspace


def make_base(job: BaseJob, workspace: Workspace) -> None:
    """Train and store a base; its last epoch is what is kept."""
    start = time.perf_counter()
    data = workspace.dataset(job)
    model = workspace.fresh_model(job, data).eval()
    history: list[Epoch] = []
    images = 0
    if job.recipe is not None:
        order = seed("base-order", **job.axes)
        on = workspace.checkpoint(job.key, data.digest)
        trained = train(model, data, job.recipe, order, checkpoint=on)
        history, images = trained.history, trained.images
    workspace.save_base(
        job,
        model,
        {
            "dataset_digest": data.digest,
            "accuracy": accuracy(model, data).model_dump(),
            "history": [epoch.model_dump() for epoch in history],
            "images_trained": images,
            "seconds": time.perf_counter() - start,
        },
    )


def prepare_base(job: PreparedJob, workspace: Workspace) -> None:
    """Train a base further, as its preparation says, and store it as one more base."""
    start = time.perf_counter()
    base = workspace.base(job.base)
    phase = job.phase
    assert phase.recipe is not None
    groups = base.network.structure.groups
    rider = create_phase("preparation", phase.name, phase.options, groups)
    model = copy.deepcopy(base.network.model)
    trained = train(
        model,
        base.data,
        phase.recipe,
        seed("prepare", **job.axes, repeat=job.repeat),
        rider,
        teacher=base.trained,
        checkpoint=workspace.checkpoint(job.key, base.sha256),
    )
    workspace.save_base(
        job,
        model,
        {
            "base_sha256": base.sha256,
            "dataset_digest": base.data.digest,
            "accuracy": accuracy(model, base.data).model_dump(),
            "history": [epoch.model_dump() for epoch in trained.history],
            "images_trained": trained.images,
            "seconds": time.perf_counter() - start,
        },
    )
