"""How a criterion behaves on a tiny network: scored alone, in company, permuted, reordered, louder.

All criteria share the evidence of one pass wherever one of them cannot hurt the others: only those
that ran alone and left everything as it was come into the shared passes.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from criteria import Criterion, Group, Member, find_structure
from criteria.gather import gather
from criteria.network.weights import weight_structure
from criteria.registry import Entry, create, find, scores_weights

from .networks import FAMILIES, build, labelled
from .permute import permuted, random_orders
from .watch import changes, marked, snapshot

Batches = Sequence[tuple[Tensor, Tensor]]
Request = tuple[str, Sequence[Group]]  # a criterion by name, and what it is to score


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
class Outcome:
    """What came of scoring once, exactly as the criterion gave it.

    Attributes:
        scores: of every group; None where it raised or was not asked.
        shapes: what those of each group should have.
        error: what it raised.
        draws: whether it drew from its generator.
        criterion: as it stands after scoring; None where it was never made.
    """

    scores: Any = None
    shapes: tuple[tuple[int, ...], ...] = ()
    error: Exception | None = None
    draws: bool = False
    criterion: Criterion | None = None


@dataclass(frozen=True, eq=False)
class Behaviour:
    """All that the checks look at, of one criterion on one family.

    Attributes:
        alone: of a first run on a copy of the network that nobody else sees.
        changed: what that run changed of the model or of the process.
        again, permuted, reordered: a second run; on the twin; with the batches in reverse.
        counted: members that the criterion says it counts, given its reduction.
        louder: outcome for each member whose view was made louder, as nobody else's.
        weights, weights_permuted: with single weights as units, where it is registered for them.
            All these are missing where the first run failed or left something behind.
    """

    entry: Entry
    family: str
    case: Case
    alone: Outcome
    changed: list[str]
    again: Outcome = Outcome()
    permuted: Outcome = Outcome()
    reordered: Outcome = Outcome()
    counted: tuple[Member, ...] = ()
    louder: Mapping[Member, Outcome] = field(default_factory=dict)
    weights: Outcome = Outcome()
    weights_permuted: Outcome = Outcome()


@cache
def case(family: str) -> Case:
    """The tiny network of a family, traced and permuted once in a process."""
    model = build(FAMILIES[family])
    batches = [labelled(4, seed=0), labelled(4, seed=2), labelled(3, seed=4)]
    groups = find_structure(model, batches[0][0][:1]).groups
    weight_groups = weight_structure(model).groups
    orders = random_orders(groups)
    return Case(model, groups, weight_groups, batches, orders, permuted(model, groups, orders))


def behaviours(names: Sequence[str], family: str) -> list[Behaviour]:
    """Of each criterion, on the tiny network of this family."""
    at = case(family)
    alone = [_alone(name, family, at) for name in names]
    sound = [one.entry for one in alone if one.alone.error is None and not one.changed]
    plain: dict[Any, Request] = {one.name: (one.name, _units(one, at)) for one in sound}
    weights: dict[Any, Request] = {
        (one.name, "weights"): (one.name, at.weight_groups)
        for one in sound
        if scores_weights(one.name, {})
    }
    members = [member for group in at.groups for member in group.members if member.scored]
    louder: dict[Any, Request] = {
        (one.name, member): (one.name, _with_louder(at.groups, member))
        for one in sound
        if one.structured
        for member in members
    }
    first = attempt(at.model, plain | weights | louder, at.batches)
    twins = attempt(at.twin, plain | weights, at.batches)
    backwards = attempt(at.model, plain, at.batches[::-1])
    return [
        one
        if (name := one.entry.name) not in plain
        else replace(
            one,
            again=first[name],
            permuted=twins[name],
            reordered=backwards[name],
            counted=_counted(name, at.groups),
            louder={member: first[name, member] for member in members if (name, member) in first},
            weights=first.get((name, "weights"), Outcome()),
            weights_permuted=twins.get((name, "weights"), Outcome()),
        )
        for one in alone
    ]


def attempt(
    model: nn.Module, requests: Mapping[Any, Request], batches: Batches
) -> dict[Any, Outcome]:
    """Score by each criterion with seed 0, in one pass; what one raises is its outcome."""
    criteria: dict[Any, Criterion] = {}
    found: dict[Any, Outcome] = {}
    for key, (name, groups) in requests.items():
        try:
            criteria[key] = create(name, groups, {}, torch.Generator().manual_seed(0))
        except Exception as error:
            found[key] = Outcome(error=error)
    costs = gather(model, list(criteria.values()), batches)
    for (key, criterion), cost in zip(criteria.items(), costs, strict=True):
        found[key] = _outcome(criterion, cost.failure)
    return found


def _outcome(criterion: Criterion, failure: Exception | None) -> Outcome:
    if failure is not None:
        return Outcome(error=failure)
    try:
        scores = criterion.scores()
    except Exception as error:
        return Outcome(error=error)
    fresh = torch.Generator().manual_seed(0).get_state()
    draws = not torch.equal(criterion.generator.get_state(), fresh)
    shapes = tuple(criterion.score_shape(group) for group in criterion.groups)
    return Outcome(scores, shapes, None, draws, criterion)


def contributes(criterion: Criterion, member: Member) -> bool:
    """Whether scores change when what this member adds to them is made louder."""
    own = criterion.member_scores
    quiet = criterion.scores()

    def louder(one: Member) -> Tensor:
        return _louder(own(one), 0) if one is member else own(one)

    vars(criterion)["member_scores"] = louder  # ahead of the class's
    try:
        loud = criterion.scores()
    finally:
        del vars(criterion)["member_scores"]
    return not all(torch.equal(*pair) for pair in zip(quiet, loud, strict=True))


def _alone(name: str, family: str, at: Case) -> Behaviour:
    entry = find(name)
    model = marked(copy.deepcopy(at.model))
    before = snapshot(model)
    try:
        outcome = attempt(model, {name: (name, _units(entry, at))}, at.batches)[name]
    except Exception as error:  # the evidence was changed in place, which `gather` refuses
        outcome = Outcome(error=error)
    return Behaviour(entry, family, at, outcome, changes(before, snapshot(model)))


def _units(entry: Entry, at: Case) -> tuple[Group, ...]:
    """Channels; single weights for what scores nothing else."""
    return at.groups if entry.structured else at.weight_groups


def _counted(name: str, groups: Sequence[Group]) -> tuple[Member, ...]:
    """By `counts`; with the reduction `first`, of those only the first of each group."""
    one = create(name, groups, {}, torch.Generator())
    counted = [[member for member in group.members if one.counts(member)] for group in groups]
    if getattr(one.options, "reduction", None) == "first":
        counted = [members[:1] for members in counted]
    return tuple(member for members in counted for member in members)


class _Louder(Member):
    """A member with another loudness for each channel, and for each element within it."""

    def rows(self, tensors: Mapping[str, Tensor], *, bias: bool = False) -> Tensor:
        return _louder(super().rows(tensors, bias=bias), 0)

    def per_unit(self, entries: Tensor) -> Tensor:
        return super().per_unit(_louder(entries, -1))

    def channels(self, values: Tensor) -> Tensor:
        return _louder(super().channels(values), 1)


def _louder(values: Tensor, dim: int) -> Tensor:
    """Times a factor from 1 to a million for each channel, and from 1 to 100 for each element.

    Far apart, so that another order of channels follows, for criteria that only tell the order;
    not alike within a channel, for those that look at angles.

    Args:
        dim: that the channels lie in.
    """
    draw = torch.Generator().manual_seed(0)
    elements = 1 + 99 * torch.rand(values.shape, generator=draw, dtype=torch.float64)
    channels = 1e6 ** torch.rand(values.shape[dim], generator=draw, dtype=torch.float64)
    return ((values * elements).movedim(dim, -1) * channels).movedim(-1, dim)


def _with_louder(groups: Sequence[Group], loud: Member) -> tuple[Group, ...]:
    """The groups, with this member made louder."""
    twin = _Louder(**{one.name: getattr(loud, one.name) for one in fields(loud)})
    return tuple(
        replace(
            group, members=tuple(twin if member is loud else member for member in group.members)
        )
        for group in groups
    )
