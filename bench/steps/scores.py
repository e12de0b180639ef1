"""Scores: of the dense network by many criteria at once, or of whatever a path has made of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from criteria import CriteriaError, Group
from criteria.evidence.meter import Cost
from criteria.gather import gather, score_alone, timed_scores
from criteria.registry import create
from reports.records import Failure

from ..errors import fault
from ..plan.jobs import PathJob, ScoresJob
from ..pruning.masks import weight_groups
from ..pruning.selection import unranked
from ..seeds import generator
from ..store.sealed import read_arrays, wanted, write_arrays
from .record import failure, store_failed
from .workspace import Base, Workspace


def make_scores(job: ScoresJob, workspace: Workspace) -> dict[str, Failure]:
    """Score by all criteria of the job in one pass over the calibration images.

    A criterion that fails takes none of the others with it; returns those failures by score key.
    """
    base = workspace.base(job.at.base)
    network = base.network
    groups: Sequence[Group] = network.structure.groups
    if job.per_weight:
        groups = weight_groups(network.model, network.inputs)
    draws = [partial(generator, f"criterion/{one.name}", **job.at.axes) for one in job.criteria]
    criteria = [
        create(spec.name, groups, spec.options, draw())
        for spec, draw in zip(job.criteria, draws, strict=True)
    ]
    batches, loss = workspace.calibration(job.at, base.data), base.data.task.loss
    costs = gather(network.model, criteria, batches, loss, half=job.at.half)
    failures = {}
    for spec, one, cost, draw in zip(job.criteria, criteria, costs, draws, strict=True):
        key, error = job.score_key(spec), cost.failure
        if error is None:
            try:
                values = timed_scores(one, cost)
                drew = not torch.equal(one.generator.get_state(), draw().get_state())
                if drew and job.at.repeat is None:
                    raise CriteriaError(fault("draws", name=spec.name))
                _write(workspace, key, base, values, cost, drew)
            except Exception as raised:  # a user's code; recorded with its trials
                if store_failed(raised):
                    raise
                error = raised
        if error is not None:
            failures[key] = failure(error)
    return failures


def _write(
    workspace: Workspace, key: str, base: Base, values: list[Tensor], cost: Cost, drew: bool
) -> None:
    arrays: dict[str, Any] = {f"group{at}": one.numpy() for at, one in enumerate(values)}
    arrays |= {"base_sha256": np.array(base.sha256), "seconds": np.float64(cost.seconds)}
    arrays["peak_bytes"] = np.int64(-1 if cost.peak_bytes is None else cost.peak_bytes)
    arrays |= {"images": np.int64(cost.images), "drew": np.bool_(drew)}
    write_arrays(workspace.store.path("scores", key, ".npz"), arrays)


def load_scores(workspace: Workspace, key: str) -> tuple[list[Tensor], Cost, bool]:
    """What `make_scores` stored, by its score key, and whether any of it was drawn."""
    stored = wanted(read_arrays, workspace.store.path("scores", key, ".npz"))
    groups = [name for name in stored if name.startswith("group")]
    values = [torch.from_numpy(stored[f"group{at}"]) for at in range(len(groups))]
    peak = int(stored["peak_bytes"])
    cost = Cost(float(stored["seconds"]), None if peak < 0 else peak, int(stored["images"]))
    return values, cost, bool(stored.get("drew", True))


Rescore = Callable[[nn.Module, Sequence[Group]], list[Tensor]]


@dataclass
class Scoring(Cost):
    """What all scoring on a path has cost so far, and which groups it did not rank."""

    # Roots of the groups of which all units once had the same score.
    constant: list[str] = field(default_factory=list)

    def seen(self, groups: Sequence[Group], scores: list[Tensor]) -> list[Tensor]:
        """The scores as they are, after a look at them."""
        self.constant += [one for one in unranked(groups, scores) if one not in self.constant]
        return scores


def rescorer(job: PathJob, workspace: Workspace, base: Base) -> tuple[Rescore, Scoring]:
    """What scores a network on the way of a path, and what has come of it so far."""

    @cache  # a path that takes the shared scores alone never asks
    def batches() -> list[tuple[Tensor, Tensor]]:
        return workspace.calibration(job.at, base.data)

    total = Scoring(peak_bytes=0)

    def score(model: nn.Module, groups: Sequence[Group]) -> list[Tensor]:
        left = sum(group.units for group in groups)  # so that a resumed path draws as this one
        draw = generator(f"criterion/{job.criterion.name}", **job.at.axes, left=left)
        one = create(job.criterion.name, groups, job.criterion.options, draw)
        loss, half = base.data.task.loss, job.at.half
        values, cost = score_alone(model, one, batches(), loss, half=half)
        total.add(cost)
        return total.seen(groups, values)

    return score, total
