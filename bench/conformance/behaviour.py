"""How a criterion behaves on a tiny network: scored alone, in company, permuted, reordered.

All criteria share the evidence of one pass wherever one of them cannot hurt the others: only those
that ran alone and left everything as it was come into the shared passes.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from criteria import Criterion, Group, Member, find_structure
from criteria.evidence.batch import Loss, cross_entropy
from criteria.gather import gather
from criteria.network.weights import weight_structure
from criteria.registry import Entry, create, find, scores_weights

from .networks import FAMILIES, build, labelled, permuted
from .watch import changes, marked, snapshot

Batches = Sequence[tuple[Tensor, Tensor]]
Tasks = dict[Any, tuple[str, Sequence[Group]]]  # criteria by name, and what each is to score


@dataclass(frozen=True, eq=False)
class Case:
    """A tiny network, its groups (of channels, of weights), batches, and its permuted twin.

    Three batches, as the sum of two does not depend on their order, however it is rounded.
    """

    model: nn.Module
    groups: tuple[Group, ...]
    weight_groups: tuple[Group, ...]
    batches: Batches
    orders: list[Tensor]
    twin: nn.Module


@dataclass(frozen=True, eq=False)
class Scoring:
    """What came of scoring once, exactly as the criterion gave it."""

    scores: Any = None  # of every group; None where it raised or was not asked
    shapes: tuple[tuple[int, ...], ...] = ()  # what those of each group should have
    error: Exception | None = None  # what it raised
    draws: bool = False  # whether it drew from its generator
    criterion: Criterion | None = None  # as it stands after scoring; None where it was never made


@dataclass(frozen=True, eq=False)
class Behaviour:
    """All that the checks look at, of one criterion on one family."""

    entry: Entry
    family: str
    case: Case
    alone: Scoring  # of a first run on a copy of the network that nobody else sees
    changed: list[str]  # what that run changed of the model or of the process
    # again, permuted, reordered: a second run; on the twin; with the batches in reverse
    again: Scoring = Scoring()
    permuted: Scoring = Scoring()
    reordered: Scoring = Scoring()
    # weights, weights_permuted: with single weights as units, where it is registered for them. All
    # these are missing where the first run failed or left something behind.
    weights: Scoring = Scoring()
    weights_permuted: Scoring = Scoring()


@cache
def case(family: str) -> Case:
    """The tiny network of a family, traced and permuted once in a process."""
    model = build(FAMILIES[family])
    batches = [labelled(4, seed=0), labelled(4, seed=2), labelled(3, seed=4)]
    groups = find_structure(model, batches[0][0][:1]).groups
    weight_groups = weight_structure(model).groups
    draw = torch.Generator().manual_seed(0)
    orders = [torch.randperm(group.units, generator=draw) for group in groups]
    return Case(model, groups, weight_groups, batches, orders, permuted(model, groups, orders))


def behaviours(names: Sequence[str], family: str) -> list[Behaviour]:
    """How each criterion behaves on the tiny network of this family."""
    tiny = case(family)
    alone = [_alone(name, family, tiny) for name in names]
    sound = [seen.entry for seen in alone if seen.alone.error is None and not seen.changed]
    plain: Tasks = {entry.name: (entry.name, units_of(entry, tiny)) for entry in sound}
    weights: Tasks = {
        (entry.name, "weights"): (entry.name, tiny.weight_groups)
        for entry in sound
        if scores_weights(entry.name, {})
    }
    first = attempt(tiny.model, plain | weights, tiny.batches)
    twins = attempt(tiny.twin, plain | weights, tiny.batches)
    backwards = attempt(tiny.model, plain, tiny.batches[::-1])
    return [
        seen
        if (name := seen.entry.name) not in plain
        else replace(
            seen,
            again=first[name],
            permuted=twins[name],
            reordered=backwards[name],
            weights=first.get((name, "weights"), Scoring()),
            weights_permuted=twins.get((name, "weights"), Scoring()),
        )
        for seen in alone
    ]


def attempt(
    model: nn.Module, tasks: Tasks, batches: Batches, seed: int = 0, loss: Loss = cross_entropy
) -> dict[Any, Scoring]:
    """Score by each criterion with one seed, in one pass; what one raises is its outcome."""
    criteria: dict[Any, Criterion] = {}
    scorings: dict[Any, Scoring] = {}
    for key, (name, groups) in tasks.items():
        try:
            criteria[key] = create(name, groups, {}, torch.Generator().manual_seed(seed))
        except Exception as error:
            scorings[key] = Scoring(error=error)
    costs = gather(model, list(criteria.values()), batches, loss, seed=seed)
    fresh = torch.Generator().manual_seed(seed).get_state()
    for (key, criterion), cost in zip(criteria.items(), costs, strict=True):
        try:
            if cost.failure is not None:
                raise cost.failure
            scores = criterion.scores()
        except Exception as error:
            scorings[key] = Scoring(error=error)
            continue
        draws = not torch.equal(criterion.generator.get_state(), fresh)
        shapes = tuple(criterion.score_shape(group) for group in criterion.groups)
        scorings[key] = Scoring(scores, shapes, None, draws, criterion)
    return scorings


def contributes(criterion: Criterion, member: Member) -> bool:
    """Whether scores change when what this member adds to them is made louder.

    By a factor from 1 to a million for each unit: so far apart that another order of units follows,
    for criteria that only tell the order.
    """
    own = criterion.member_scores
    quiet = criterion.scores()

    def louder(one: Member) -> Tensor:
        values = own(one)
        draw = torch.Generator().manual_seed(0)
        loud = 1e6 ** torch.rand(len(values), generator=draw, dtype=torch.float64)
        return values * loud if one is member else values

    vars(criterion)["member_scores"] = louder  # ahead of the class's
    try:
        loud = criterion.scores()
    finally:
        del vars(criterion)["member_scores"]
    return not all(torch.equal(*pair) for pair in zip(quiet, loud, strict=True))


def _alone(name: str, family: str, tiny: Case) -> Behaviour:
    entry = find(name)
    model = marked(copy.deepcopy(tiny.model))
    before = snapshot(model)
    try:
        scoring = attempt(model, {name: (name, units_of(entry, tiny))}, tiny.batches)[name]
    except Exception as error:  # the evidence was changed in place, which `gather` refuses
        scoring = Scoring(error=error)
    return Behaviour(entry, family, tiny, scoring, changes(before, snapshot(model)))


def units_of(entry: Entry, tiny: Case) -> tuple[Group, ...]:
    """The channels; single weights for what scores nothing else."""
    return tiny.groups if entry.structured else tiny.weight_groups
