"""A base: an unpruned network, trained once by a recipe or taken over from a checkpoint.

A prepared base is one that a preparation has trained further, before it is scored; an early one is
the base as it was after some epoch.
"""

import copy
import time
from typing import Any

from torch import nn

from criteria.phases import create_phase

from ..data.datasets import Dataset
from ..errors import fault
from ..plan.jobs import BaseJob, EarlyJob, PreparedJob
from ..seeds import seed
from ..training.measure import accuracy
from ..training.train import Trained, train
from .workspace import Workspace


def make_base(job: BaseJob, workspace: Workspace) -> None:
    """Train and store a base; its last epoch is what is kept."""
    start = time.perf_counter()
    data = workspace.dataset(job)
    model = workspace.fresh_model(job, data).eval()
    trained = Trained()
    if job.recipe is not None:
        order = seed("base-order", **job.axes)
        on = workspace.checkpoint(job.key, data.digest)
        trained = train(model, data, job.recipe, order, checkpoint=on)
    workspace.save_base(job, model, _found(model, data, trained, start))


def prepare_base(job: PreparedJob, workspace: Workspace) -> None:
    """Train a base further, as its preparation says, and store it as one more base."""
    start = time.perf_counter()
    base = workspace.base(job.base)
    phase = job.prepare
    assert phase.recipe is not None
    groups = base.network.structure.groups
    rider = create_phase("preparation", phase.name, phase.options, groups)
    model, order = copy.deepcopy(base.network.model), seed("prepare", **job.axes, repeat=job.repeat)
    trained = workspace.train(model, base, phase.recipe, order, rider, job.key)
    found = _found(model, base.data, trained, start)
    workspace.save_base(job, model, {"base_sha256": base.sha256, **found})


def _found(model: nn.Module, data: Dataset, trained: Trained, start: float) -> dict[str, Any]:
    """What is known of a network beside its weights, after a training that began at `start`."""
    return {
        "dataset_digest": data.digest,
        "accuracy": accuracy(model, data).model_dump(),
        "history": [epoch.model_dump() for epoch in trained.history],
        "images_trained": trained.images,
        "seconds": time.perf_counter() - start,
    }


def rewind_base(job: EarlyJob, workspace: Workspace) -> None:
    """Train a base again up to an epoch, as that depends on its seed alone, and store it. Raises
    ArithmeticError where this training takes another course than the base's did."""
    base = workspace.base(job.base)
    model = workspace.fresh_model(job, base.data).eval()
    assert job.base.recipe is not None
    order, on = seed("base-order", **job.axes), workspace.checkpoint(job.key, base.sha256)
    trained = train(model, base.data, job.base.recipe, order, checkpoint=on, until=job.epoch)
    if trained.history != base.history[: job.epoch]:
        raise ArithmeticError(fault("rewind_base", job=job))
    workspace.save_base(job, model, {"base_sha256": base.sha256})
