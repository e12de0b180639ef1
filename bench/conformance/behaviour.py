"""How a criterion behaves on a tiny network: scored alone, in company, permuted, reordered, louder.

All criteria share the evidence of one pass wherever one of them cannot hurt the others: only those
that ran alone and left everything as it was come into the shared passes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from criteria import Criterion, Group, Member, find_structure
from criteria.evidence import gather
from criteria.registry import Entry, create, find

from .networks import FAMILIES, build, labelled
from .permute import permuted, random_orders
from .watch import changes, marked, snapshot

Batches = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Case:
    """A tiny network, its groups, its twin with permuted units, and three batches.

    Three, as the sum of two does not depend on their order, however it is rounded.
    """

    model: nn.Module
    groups: tuple[Group, ...]
    batches: Batches
    orders: list[Tensor]
    twin: nn.Module


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of scoring once, exactly as the criterion gave it.

    Attributes:
        scores: of every group; None where it raised, or scores no units.
        shapes: what those of each group should have.
        weight_scores: by parameter name; None where it raised, or scores no single weights.
        error: what it raised.
        draws: whether it drew from its generator.
    """

    scores: Any = None
    shapes: tuple[tuple[int, ...], ...] = ()
    weight_scores: Any = None
    error: Exception | None = None
    draws: bool = False


@dataclass(frozen=True, eq=False)
class Behaviour:
    """All that the checks look at, of one criterion on one family.

    Attributes:
        alone: of a first run on a copy of the network that nobody else sees.
        changed: what that run changed of the model or of the process.
        again, permuted, reordered: a second run; on the twin; with the batches in reverse.
        counted: members that the criterion says it counts, given its reduction.
        louder: outcome for each member whose view was made louder, as nobody else's.
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
    louder: tuple[tuple[Member, Outcome], ...] = ()

    @property
    def sound(self) -> bool:
        return self.alone.error is None and not self.changed


@cache
def case(family: str) -> Case:
    """The tiny network of a family, traced and permuted once in a process."""
    model = build(FAMILIES[family])
    batches = [labelled(4, seed=0), labelled(4, seed=2), labelled(3, seed=4)]
    groups = find_structure(model, batches[0][0][:1]).groups
    orders = random_orders(groups)
    return Case(model, groups, batches, orders, permuted(model, groups, orders))


def behaviours(names: Sequence[str], family: str) -> list[Behaviour]:
    """Of each criterion, on the tiny network of this family."""
    at = case(family)
    found = [_alone(name, family, at) for name in names]
    sound = [one for one in found if one.sound]
    plain = [(one.entry.name, at.groups) for one in sound]
    members = [member for group in at.groups for member in group.members if member.scored]
    louder = [(name, _with_louder(at.groups, one)) for name, _ in plain for one in members]
    first = attempt(at.model, plain + louder, at.batches)
    twins = attempt(at.twin, plain, at.batches)
    backwards = attempt(at.model, plain, at.batches[::-1])
    in_company = {}
    for place, one in enumerate(sound):
        start = len(plain) + place * len(members)
        in_company[id(one)] = replace(
            one,
            again=first[place],
            permuted=twins[place],
            reordered=backwards[place],
            counted=_counted(one.entry.name, at.groups),
            louder=tuple(zip(members, first[start : start + len(members)], strict=True)),
        )
    return [in_company.get(id(one), one) for one in found]


def attempt(
    model: nn.Module, wanted: Sequence[tuple[str, Sequence[Group]]], batches: Batches
) -> list[Outcome]:
    """Score by each (criterion, groups) with seed 0 in one pass; what one raises is its outcome."""
    criteria: list[Criterion | Exception] = []
    for name, groups in wanted:
        try:
            criteria.append(create(name, groups, {}, torch.Generator().manual_seed(0)))
        except Exception as error:
            criteria.append(error)
    ready = [one for one in criteria if isinstance(one, Criterion)]
    costs = {id(one): cost for one, cost in zip(ready, gather(model, ready, batches), strict=True)}
    return [
        Outcome(error=one) if isinstance(one, Exception) else _outcome(one, costs[id(one)].failure)
        for one in criteria
    ]


def _outcome(criterion: Criterion, failure: Exception | None) -> Outcome:
    if failure is not None:
        return Outcome(error=failure)
    entry = find(criterion.name)
    try:
        scores = criterion.scores() if entry.structured else None
        weight_scores = criterion.weight_scores() if entry.unstructured else None
    except Exception as error:
        return Outcome(error=error)
    fresh = torch.Generator().manual_seed(0).get_state()
    draws = not torch.equal(criterion.generator.get_state(), fresh)
    return Outcome(scores, _shapes(criterion), weight_scores, None, draws)


def _shapes(criterion: Criterion) -> tuple[tuple[int, ...], ...]:
    """A selector's evidence of a group has a shape of its own; scores are `[units]`."""
    declared = getattr(criterion, "score_shape", lambda group: (group.units,))
    return tuple(declared(group) for group in criterion.groups)


def _alone(name: str, family: str, at: Case) -> Behaviour:
    model = marked(copy.deepcopy(at.model))
    before = snapshot(model)
    try:
        (outcome,) = attempt(model, [(name, at.groups)], at.batches)
    except Exception as error:  # the evidence was changed in place, which `gather` refuses
        outcome = Outcome(error=error)
    return Behaviour(find(name), family, at, outcome, changes(before, snapshot(model)))


def _counted(name: str, groups: Sequence[Group]) -> tuple[Member, ...]:
    """By `counts`; with the reduction `first`, of those only the first of each group."""
    one = create(name, groups, {}, torch.Generator())
    counted = [[member for member in group.members if one.counts(member)] for group in groups]
    if getattr(one.options, "reduction", None) == "first":
        counted = [members[:1] for members in counted]
    return tuple(member for members in counted for member in members)


class _Louder(Member):
    """A member whose every element is multiplied by a positive number of its own, from 1 to 100.

    Not by one number for all: what looks at angles or ranks between channels would not notice.
    """

    def rows(self, tensors: Any, *, bias: bool = False) -> Tensor:
        rows = super().rows(tensors, bias=bias)
        draw = torch.Generator().manual_seed(0)
        return rows * (1 + 99 * torch.rand(rows.shape, generator=draw, dtype=rows.dtype))


def _with_louder(groups: Sequence[Group], loud: Member) -> tuple[Group, ...]:
    """The groups, with this member made louder."""
    twin = _Louder(**{one.name: getattr(loud, one.name) for one in fields(loud)})
    return tuple(
        replace(
            group, members=tuple(twin if member is loud else member for member in group.members)
        )
        for group in groups
    )
