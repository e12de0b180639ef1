"""A base: an unpruned network, trained once by a recipe or taken over from a checkpoint."""

from __future__ import annotations

import time

from .jobs import BaseJob
from .lab import Lab
from .measure import accuracy
from .seeds import seed
from .train import train


def make_base(job: BaseJob, lab: Lab) -> None:
    """Train and store a base; its last epoch is what is kept."""
    start = time.perf_counter()
    data = lab.dataset(job.dataset)
    model = lab.fresh_model(job, data).eval()
    history, images = [], 0
    if job.recipe is not None:
        trained = train(model, data, job.recipe, seed("base-order", **job.axes))
        history, images = [epoch.model_dump() for epoch in trained.history], trained.images
    lab.save_base(
        job,
        model,
        {
            "dataset_digest": data.digest,
            "accuracy": accuracy(model, data).model_dump(),
            "history": history,
            "images_trained": images,
            "seconds": time.perf_counter() - start,
        },
    )
