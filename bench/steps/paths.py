"""The paths from dense through all budgets: which units leave, or which single weights."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar, cast

import torch

from criteria.registry import find
from suites.protocol import Deployment

from ..plan.jobs import PathJob
from ..pruning.choose import choose_removed
from ..pruning.latency import meet
from ..pruning.masks import Masks, choose_masks, pack, unpack, weight_groups
from ..pruning.network import Network, Removed, Rules
from ..pruning.selection import InfeasibleBudget, Limits, Scope
from ..pruning.thresholds import Choice
from ..store.sealed import read_arrays, read_json, wanted, write_arrays, write_json
from .procedures import OnTheWay, Training, ride, save_training
from .scores import Rescore, Scoring, load_scores, rescorer
from .workspace import Base, Workspace

T = TypeVar("T")
Chosen = dict[float, Choice | InfeasibleBudget]  # by budget


def make_path(job: PathJob, workspace: Workspace) -> None:
    """Choose at every budget and store what leaves, or why a budget is out of reach.

    A path that trains stores the weights that it ends with as well; one that prunes single weights
    stores masks.
    """
    base = workspace.base(job.at.base)
    if job.unstructured:
        _make_masks(job, workspace, base)
        return
    score, cost = rescorer(job, workspace, base)
    way = OnTheWay(job, workspace, base)
    trainings = way.trainings
    follows = job.procedure is None or job.procedure.follows
    checks: dict[str, Any] = {}
    chosen = _choose(job, workspace, base, score, cost, way, checks) if follows else {}
    if job.procedure is not None:
        chosen, trainings = _ride(job, workspace, base, chosen, score, cost)
    picked = {str(budget): one for budget, one in chosen.items() if isinstance(one, Choice)}
    _write(
        job,
        workspace,
        base,
        {
            str(budget): str(choice)  # the reason
            if isinstance(choice, InfeasibleBudget)
            else _by_root([gone.tolist() for gone in choice.removed], base)
            for budget, choice in chosen.items()
        },
        cost,
        trainings,
        knobs={
            budget: _by_root(choice.thresholds, base)
            for budget, choice in picked.items()
            if choice.thresholds is not None
        },
        trimmed={budget: choice.trimmed for budget, choice in picked.items()},
        checks=checks,
    )


def _choose(
    job: PathJob,
    workspace: Workspace,
    base: Base,
    score: Rescore,
    cost: Scoring,
    way: OnTheWay,
    checks: dict[str, Any],
) -> Chosen:
    """Choose on the dense network; `cost` takes what the shared scores have cost, `checks` what
    networks were measured to cost, by budget."""
    score = _stored_or_anew(job, workspace, score, cost)
    like = None
    if job.matched is not None:
        like = {
            budget: load_removed(workspace, job.matched, base, budget) for budget in job.budgets
        }

    def choose(network: Network, rules: Rules, budgets: Sequence[float]) -> Chosen:
        return choose_removed(
            network,
            lambda now: score(now.model, now.structure.groups),
            budgets,
            rules,
            schedule=job.schedule,
            recover=way.cut if job.between else None,
            like=like and dict.fromkeys(budgets, like[job.budgets[0]]),
            selector=find(job.criterion.name).selector,
            thresholds=job.cost == "threshold",
        )

    if job.cost not in ("latency", "memory"):
        return choose(base.network, rules_of(job), job.budgets)
    (budget,) = job.budgets
    chosen, check = meet(
        base.network,
        lambda network, rules, share: choose(network, rules, [share])[share],
        rules_of(job),
        budget,
        job.deployment or Deployment(),
        workspace.store.root / "tables",
    )
    if check is not None:
        checks[str(budget)] = check.model_dump()
    return {budget: chosen}


def _stored_or_anew(job: PathJob, workspace: Workspace, score: Rescore, cost: Scoring) -> Rescore:
    """The scores of the dense network that methods share, or, step by step, of what is left."""
    if job.iterative is not None:
        return score
    values, shared = load_scores(workspace, job.score_key)
    cost.add(shared)
    return lambda model, groups: cost.seen(groups, values)


def _ride(
    job: PathJob, workspace: Workspace, base: Base, chosen: Chosen, score: Rescore, cost: Scoring
) -> tuple[Chosen, dict[float, Training]]:
    """Train while what was chosen leaves, or, of a procedure that chooses itself, whatever does."""
    (budget,) = job.budgets
    choice = chosen.get(budget)
    if isinstance(choice, InfeasibleBudget):
        return chosen, {}
    doomed = None if choice is None else choice.removed
    try:
        removed, training = ride(job, workspace, base, rules_of(job), doomed, score, cost)
    except InfeasibleBudget as reason:
        return {budget: reason}, {}
    return {budget: replace(choice or Choice([]), removed=removed)}, {budget: training}


def _make_masks(job: PathJob, workspace: Workspace, base: Base) -> None:
    """Mask at every budget and store the masks, a bit a weight."""
    groups = weight_groups(base.network.model, base.network.inputs)
    score, cost = rescorer(job, workspace, base)
    score = _stored_or_anew(job, workspace, score, cost)
    like = None
    if job.matched is not None:
        like = {budget: load_masks(workspace, job.matched, base, budget) for budget in job.budgets}
    way = OnTheWay(job, workspace, base)
    masks = choose_masks(
        base.network.model,
        groups,
        lambda now: score(now, groups),
        job.budgets,
        job.selection.scope,
        schedule=job.schedule,
        like=like,
        recover=way.masked if job.between else None,
    )
    bits = {str(budget): pack(layers) for budget, layers in masks.items()}
    write_arrays(workspace.store.path("paths", job.key, ".npz"), bits)
    kept = {
        str(budget): {layer: int(mask.sum()) for layer, mask in layers.items()}
        for budget, layers in masks.items()
    }
    _write(job, workspace, base, kept, cost, way.trainings)  # last: it says that the path is whole


def _write(
    job: PathJob,
    workspace: Workspace,
    base: Base,
    budgets: dict[str, Any],
    cost: Scoring,
    trainings: dict[float, Training],
    **about: Any,
) -> None:
    """Store what a path found at each budget, what it has trained, and what its scoring cost."""
    write_json(
        workspace.store.path("paths", job.key, ".json"),
        {
            "budgets": budgets,
            **about,
            "training": {
                str(budget): save_training(job, workspace, budget, training)
                for budget, training in trainings.items()
            },
            "base_sha256": base.sha256,
            "score_s": cost.seconds,
            "score_peak_bytes": cost.peak_bytes,
            "images_scored": cost.images,
            "constant": cost.constant,
        },
    )


def path_file(workspace: Workspace, job: PathJob) -> dict[str, Any]:
    """A stored path: `budgets`, `score_s`, `score_peak_bytes`, `images_scored`, `constant`; of a
    selector also `knobs` and `trimmed`, by budget; of one that trains, `training`, by budget."""
    return wanted(read_json, workspace.store.path("paths", job.key, ".json"))


def load_removed(
    workspace: Workspace, job: PathJob, base: Base, budget: float
) -> Removed | InfeasibleBudget:
    """The units that leave at one budget, by group, or why the budget cannot be met."""
    stored = path_file(workspace, job)["budgets"][str(budget)]
    if isinstance(stored, str):
        return InfeasibleBudget(stored)
    return [torch.tensor(stored[group.root]).long() for group in base.network.structure.groups]


def load_masks(workspace: Workspace, job: PathJob, base: Base, budget: float) -> Masks:
    """The masks of one budget, by layer."""
    bits = wanted(read_arrays, workspace.store.path("paths", job.key, ".npz"))
    return unpack(bits[str(budget)], weight_groups(base.network.model, base.network.inputs))


def rules_of(job: PathJob) -> Rules:
    """How this path turns scores into removed channels."""
    chosen = job.selection
    limits = Limits(**{one.name: getattr(chosen, one.name) for one in fields(Limits)})
    assert job.cost != "weights", "weights are masked, not removed"
    cost = "macs" if job.cost == "threshold" else job.cost
    return Rules(cost, cast(Scope, chosen.scope), limits, chosen.tolerance)


def _by_root(values: Sequence[T], base: Base) -> dict[str, T]:
    groups = base.network.structure.groups
    return {group.root: value for group, value in zip(groups, values, strict=True)}
