"""Scores of a base, and the paths from dense through all budgets."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from criteria import Group
from criteria.evidence import Cost, gather, score_alone, timed_scores
from criteria.registry import create, find
from reports.records import Failure

from .jobs import CriterionSpec, PathJob, ScoresJob, Standpoint
from .knob import Choice, Choices, choose
from .lab import Base, Lab
from .masks import weight_groups
from .network import Network, Removed, Rules, Schedule, given_widths, iterative, one_shot
from .seeds import generator
from .selection import InfeasibleBudget, Limits

T = TypeVar("T")


def make_scores(job: ScoresJob, lab: Lab) -> dict[str, Failure]:
    """Score by all criteria of the job in one pass over the calibration images.

    A criterion that fails takes none of the others with it; returns those failures by score key.
    """
    base = lab.base(job.at.base)
    network = base.network
    groups: Sequence[Group] = network.structure.groups
    if job.per_weight:
        groups = weight_groups(network.model, network.inputs)
    batches = lab.calibration(job.at, base.data)
    found = _score(network.model, groups, job.at, job.criteria, batches)
    failures = {}
    for spec, outcome in zip(job.criteria, found, strict=True):
        key = job.score_key(spec)
        if isinstance(outcome, Exception):
            failures[key] = failure(outcome)
            continue
        values, cost = outcome
        arrays = {f"group{at}": one.numpy() for at, one in enumerate(values)}
        lab.store.write_arrays(
            lab.store.path("scores", key, ".npz"),
            {
                **arrays,
                "base_sha256": np.array(base.sha256),
                "seconds": np.float64(cost.seconds),
                "peak_bytes": np.int64(-1 if cost.peak_bytes is None else cost.peak_bytes),
                "images": np.int64(cost.images),
            },
        )
    return failures


Scored = tuple[list[Tensor], Cost]


def _score(
    model: nn.Module,
    groups: Sequence[Group],
    at: Standpoint,
    specs: Sequence[CriterionSpec],
    batches: list[tuple[Tensor, Tensor]],
) -> list[Scored | Exception]:
    """Scores and cost by each criterion, or what went wrong with it."""
    found: list[Scored | Exception] = []
    criteria = [
        create(spec.name, groups, spec.options, generator(f"criterion/{spec.name}", **at.axes))
        for spec in specs
    ]
    for one, cost in zip(criteria, gather(model, criteria, batches), strict=True):
        if cost.failure is not None:
            found.append(cost.failure)
            continue
        try:
            found.append((timed_scores(one, cost), cost))
        except Exception as error:  # a user's code; recorded with its trials
            found.append(error)
    return found


def load_scores(lab: Lab, key: str) -> Scored:
    """What `make_scores` stored, by its score key."""
    with np.load(lab.store.path("scores", key, ".npz"), allow_pickle=False) as stored:
        groups = [name for name in stored.files if name.startswith("group")]
        values = [torch.from_numpy(stored[f"group{at}"]) for at in range(len(groups))]
        peak = int(stored["peak_bytes"])
        cost = Cost(float(stored["seconds"]), None if peak < 0 else peak, int(stored["images"]))
    return values, cost


def make_path(job: PathJob, lab: Lab) -> None:
    """Select at every budget and store which units leave, or why a budget is out of reach."""
    base = lab.base(job.at.base)
    chosen: dict[float, Choice] = {}
    if job.needs_scores:
        values, cost = load_scores(lab, job.score_key)
        if job.matched is not None:
            found = _matched(job, lab, base, values)
        elif find(job.criterion.name).selector is not None:
            found, chosen = _choose(job, base, values)
        else:
            found = one_shot(base.network, values, job.budgets, rules_of(job))
    else:
        found, cost = _iterate(job, lab, base)
    write_path(
        job,
        lab,
        base,
        {str(budget): _plain(one, base) for budget, one in found.items()},
        cost,
        knobs={str(budget): _by_root(one.knobs, base) for budget, one in chosen.items()},
        trimmed={str(budget): one.trimmed for budget, one in chosen.items()},
    )


def write_path(
    job: PathJob, lab: Lab, base: Base, budgets: dict[str, Any], cost: Cost, **about: Any
) -> None:
    """What a path found at each budget, and what its scoring cost."""
    lab.store.write_json(
        lab.store.path("paths", job.key, ".json"),
        {
            "budgets": budgets,
            **about,
            "base_sha256": base.sha256,
            "score_s": cost.seconds,
            "score_peak_bytes": cost.peak_bytes,
            "images_scored": cost.images,
        },
    )


Found = dict[float, Removed | InfeasibleBudget]


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


def _iterate(
    job: PathJob, lab: Lab, base: Base
) -> tuple[dict[float, Removed | InfeasibleBudget], Cost]:
    assert job.iterative is not None
    score, total = rescorer(job, lab, base)
    schedule = Schedule(job.iterative.steps, job.iterative.schedule)

    def scorer(now: Network) -> list[Tensor]:
        return score(now.model, now.structure.groups)

    return iterative(base.network, scorer, job.budgets, rules_of(job), schedule), total


Rescore = Callable[[nn.Module, Sequence[Group]], list[Tensor]]


def rescorer(job: PathJob, lab: Lab, base: Base) -> tuple[Rescore, Cost]:
    """What scores a network at every stop of an iterative path, and what all of it has cost."""
    batches = lab.calibration(job.at, base.data)
    draw = generator(f"criterion/{job.criterion.name}", **job.at.axes)
    total = Cost(peak_bytes=0)

    def score(model: nn.Module, groups: Sequence[Group]) -> list[Tensor]:
        one = create(job.criterion.name, groups, job.criterion.options, draw)
        values, cost = score_alone(model, one, batches)
        total.seconds += cost.seconds
        total.images += cost.images
        if cost.peak_bytes is None or total.peak_bytes is None:
            total.peak_bytes = None
        else:
            total.peak_bytes = max(total.peak_bytes, cost.peak_bytes)
        return values

    return score, total


def _matched(
    job: PathJob, lab: Lab, base: Base, values: list[Tensor]
) -> dict[float, Removed | InfeasibleBudget]:
    """A control: another path's layer widths, this criterion's choice of channels."""
    assert job.matched is not None
    found: dict[float, Removed | InfeasibleBudget] = {}
    for budget in job.budgets:
        removed = load_removed(lab, job.matched, base, budget)
        if isinstance(removed, InfeasibleBudget):
            found[budget] = removed
            continue
        groups = base.network.structure.groups
        widths = [group.units - len(gone) for group, gone in zip(groups, removed, strict=True)]
        found[budget] = given_widths(values, widths)
    return found


def load_removed(lab: Lab, job: PathJob, base: Base, budget: float) -> Removed | InfeasibleBudget:
    """Units that leave at one budget, by group, or why the budget cannot be met."""
    stored = path_file(lab, job)["budgets"][str(budget)]
    if isinstance(stored, str):
        return InfeasibleBudget(stored)
    return [torch.tensor(stored[group.root]).long() for group in base.network.structure.groups]


def path_file(lab: Lab, job: PathJob) -> dict[str, Any]:
    """A stored path: `budgets`, `score_s`, `score_peak_bytes`, `images_scored`; of a selector also
    `knobs` and `trimmed`, by budget."""
    return lab.store.read_json(lab.store.path("paths", job.key, ".json"))


def failure(error: BaseException) -> Failure:
    """An exception as a record keeps it."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return Failure(kind=type(error).__name__, message=str(error), traceback="".join(lines))


def rules_of(job: PathJob) -> Rules:
    """How this path turns scores into removed channels."""
    chosen = job.selection
    limits = Limits(chosen.min_channels, chosen.protect, chosen.round_to)
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
