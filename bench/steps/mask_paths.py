"""Paths that prune single weights: the masks of a base, from dense through all budgets."""

from __future__ import annotations

from zipfile import BadZipFile

import numpy as np

from ..errors import StoreError
from ..plan.jobs import PathJob
from ..pruning.masks import (
    Masks,
    MaskScope,
    given_counts,
    mask_at_once,
    mask_stepwise,
    pack,
    unpack,
    weight_groups,
)
from ..pruning.network import Schedule
from .paths import write_path
from .scores import load_scores, rescorer
from .workspace import Base, Workspace


def make_mask_path(job: PathJob, workspace: Workspace) -> None:
    """Mask at every budget and store the masks, a bit a weight."""
    base = workspace.base(job.at.base)
    groups = weight_groups(base.network.model, base.network.inputs)
    if job.iterative is not None:
        score, cost = rescorer(job, workspace, base)
        found = mask_stepwise(
            base.network.model,
            groups,
            lambda now: score(now, groups),
            job.budgets,
            _scope(job),
            Schedule(job.iterative.steps, job.iterative.schedule, job.iterative.to),
        )
    else:
        scores, cost = load_scores(workspace, job.score_key)
        if job.matched is None:
            found = mask_at_once(groups, scores, job.budgets, _scope(job))
        else:
            others = {
                budget: load_masks(workspace, job.matched, base, budget) for budget in job.budgets
            }
            found = {at: given_counts(groups, scores, other) for at, other in others.items()}
    bits = {str(budget): pack(masks) for budget, masks in found.items()}
    workspace.store.write_arrays(workspace.store.path("paths", job.key, ".npz"), bits)
    kept = {
        str(budget): {layer: int(mask.sum()) for layer, mask in masks.items()}
        for budget, masks in found.items()
    }
    write_path(job, workspace, base, kept, cost)  # last: it says that the path is whole


def load_masks(workspace: Workspace, job: PathJob, base: Base, budget: float) -> Masks:
    """The masks of one budget, by layer."""
    file = workspace.store.path("paths", job.key, ".npz")
    try:
        with file.open("rb") as content, np.load(content, allow_pickle=False) as stored:
            bits = stored[str(budget)]
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise StoreError(
            f"{file} cannot be read ({error}); delete it with its .json and run again"
        ) from error
    return unpack(bits, weight_groups(base.network.model, base.network.inputs))


def _scope(job: PathJob) -> MaskScope:
    assert job.selection.scope != "isomorphic", "refused by the suite's schema"
    return job.selection.scope
