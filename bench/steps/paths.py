"""The paths from dense through all budgets: which units leave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from criteria.gather import Cost
from criteria.registry import find

from ..plan.jobs import PathJob
from ..pruning.network import Network, Removed, Rules, given_widths, iterative, one_shot
from ..pruning.selection import InfeasibleBudget, Limits
from ..pruning.thresholds import Choice, Choices, choose
from .procedures import Training, iterate_and_train, ride, save_training
from .scores import Rescore, load_scores, rescorer
from .workspace import Base, Workspace

T = TypeVar("T")
Found = dict[float, Removed | InfeasibleBudget]  # by budget


def make_path(job: PathJob, workspace: Workspace) -> None:
    """Select at every budget and store which units leave, or why a budget is out of reach.

    A path that trains stores the weights that it ends with as well.
    """
    base = workspace.base(job.at.base)
    score, cost = rescorer(job, workspace, base)
    chosen: dict[float, Choice] = {}
    trainings: dict[float, Training] = {}
    if job.between is not None:
        found, trainings = iterate_and_train(job, workspace, base, rules_of(job), score)
    elif job.procedure is not None and not job.procedure.follows:
        found, trainings = _ride(job, workspace, base, None, score, cost)
    else:
        found, chosen = _select(job, workspace, base, score, cost)
        if job.procedure is not None and isinstance(doomed := found[job.budgets[0]], list):
            found, trainings = _ride(job, workspace, base, doomed, score, cost)
    write_path(
        job,
        workspace,
        base,
        {str(budget): _plain(one, base) for budget, one in found.items()},
        cost,
        knobs={str(budget): _by_root(one.knobs, base) for budget, one in chosen.items()},
        trimmed={str(budget): one.trimmed for budget, one in chosen.items()},
        training={
            str(budget): save_training(job, workspace, budget, one)
            for budget, one in trainings.items()
        },
    )
    workspace.forget_checkpoints(job.key)


def _select(
    job: PathJob, workspace: Workspace, base: Base, score: Rescore, cost: Cost
) -> tuple[Found, dict[float, Choice]]:
    """On the dense network; `cost` takes what the shared scores have cost."""
    if (schedule := job.schedule) is not None:

        def scorer(now: Network) -> list[Tensor]:
            return score(now.model, now.structure.groups)

        return iterative(base.network, scorer, job.budgets, rules_of(job), schedule), {}
    values, shared = load_scores(workspace, job.score_key)
    cost.add(shared)
    if job.matched is not None:
        return _matched(job, workspace, base, values), {}
    if find(job.criterion.name).selector is not None:
        return _choose(job, base, values)
    return dict(one_shot(base.network, values, job.budgets, rules_of(job))), {}


def _ride(
    job: PathJob,
    workspace: Workspace,
    base: Base,
    doomed: Removed | None,
    score: Rescore,
    cost: Cost,
) -> tuple[Found, dict[float, Training]]:
    """By a procedure; a budget that its selection cannot meet holds the reason."""
    (budget,) = job.budgets
    try:
        removed, training = ride(job, workspace, base, rules_of(job), doomed, score, cost)
    except InfeasibleBudget as reason:
        return {budget: reason}, {}
    return {budget: removed}, {budget: training}


def write_path(
    job: PathJob,
    workspace: Workspace,
    base: Base,
    budgets: dict[str, Any],
    cost: Cost,
    **about: Any,
) -> None:
    """What a path found at each budget, and what its scoring cost."""
    workspace.store.write_json(
        workspace.store.path("paths", job.key, ".json"),
        {
            "budgets": budgets,
            **about,
            "base_sha256": base.sha256,
            "score_s": cost.seconds,
            "score_peak_bytes": cost.peak_bytes,
            "images_scored": cost.images,
        },
    )


def _choose(job: PathJob, base: Base, evidence: list[Tensor]) -> tuple[Found, dict[float, Choice]]:
    """By a selector: at the thresholds given, or bisected to the budgets."""
    selector = find(job.criterion.name).selector
    assert selector is not None
    choices = Choices(base.network, selector, evidence, rules_of(job))
    found: Found = {}
    chosen: dict[float, Choice] = {}
    for budget, one in choose(choices, job.cost, job.budgets).items():
        if isinstance(one, Choice):
            found[budget], chosen[budget] = one.removed, one
        else:
            found[budget] = one
    return found, chosen


def _matched(
    job: PathJob, workspace: Workspace, base: Base, values: list[Tensor]
) -> dict[float, Removed | InfeasibleBudget]:
    """A control: another path's layer widths, this criterion's choice of channels."""
    assert job.matched is not None
    found: dict[float, Removed | InfeasibleBudget] = {}
    for budget in job.budgets:
        removed = load_removed(workspace, job.matched, base, budget)
        if isinstance(removed, InfeasibleBudget):
            found[budget] = removed
            continue
        groups = base.network.structure.groups
        widths = [group.units - len(gone) for group, gone in zip(groups, removed, strict=True)]
        found[budget] = given_widths(values, widths)
    return found


def load_removed(
    workspace: Workspace, job: PathJob, base: Base, budget: float
) -> Removed | InfeasibleBudget:
    """Units that leave at one budget, by group, or why the budget cannot be met."""
    stored = path_file(workspace, job)["budgets"][str(budget)]
    if isinstance(stored, str):
        return InfeasibleBudget(stored)
    return [torch.tensor(stored[group.root]).long() for group in base.network.structure.groups]


def path_file(workspace: Workspace, job: PathJob) -> dict[str, Any]:
    """A stored path: `budgets`, `score_s`, `score_peak_bytes`, `images_scored`; of a selector also
    `knobs` and `trimmed`, by budget; of one that trains, `training`, by budget."""
    return workspace.store.read_json(workspace.store.path("paths", job.key, ".json"))


def rules_of(job: PathJob) -> Rules:
    """How this path turns scores into removed channels."""
    chosen = job.selection
    limits = Limits(
        chosen.min_channels, chosen.protect, chosen.round_to, chosen.coupled, chosen.layers
    )
    assert job.cost != "weights", "weights are masked, not removed"
    cost = "macs" if job.cost == "threshold" else job.cost
    return Rules(cost, chosen.scope, limits)


def _plain(found: Removed | InfeasibleBudget, base: Base) -> dict[str, list[int]] | str:
    """As JSON: units that leave by root, or the reason why the budget cannot be met."""
    if isinstance(found, InfeasibleBudget):
        return str(found)
    return _by_root([gone.tolist() for gone in found], base)


def _by_root(values: Sequence[T], base: Base) -> dict[str, T]:
    groups = base.network.structure.groups
    return {group.root: one for group, one in zip(groups, values, strict=True)}
