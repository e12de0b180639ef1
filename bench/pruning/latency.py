"""A network's time as a sum over its operations, looked up by their widths.

The table holds what each operation takes alone, on a coarse grid of widths; between them time is
interpolated.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..deployed.operations import Operation, recorded
from ..deployed.table import Table
from ..errors import BenchError
from .network import Network

SHARES = (1.0, 0.75, 0.5, 0.25, 0.125)  # of the dense width: the grid
FEW = 8  # multiples of a step in a width, up to which each is on the grid


@dataclass(frozen=True, eq=False)
class Factor:
    """Numbers of an operation that follow one width.

    Attributes:
        width: of the dense network.
        lost: `[groups]`, width lost for each unit.
        places: of these numbers, each with how much of it goes with one of the width.
    """

    width: int
    lost: Tensor
    places: list[tuple[int, float]]

    def grid(self, step: int) -> list[int]:
        """Widths to measure, ascending: multiples of the step, and the dense one."""
        even = set(range(step, self.width, step))
        if len(even) >= FEW:
            even = {step * math.ceil(self.width * one / step) for one in SHARES}
        return sorted({min(one, self.width) for one in even | {self.width}})

    def near_half(self, step: int) -> int:
        """About half the width: a multiple of this step, and of no larger one."""
        return min(self.width, step * (2 * round(self.width / (4 * step)) + 1))


@dataclass(frozen=True, eq=False)
class Term:
    """Operations of a network that are equal at all widths."""

    operation: Operation
    numbers: list[int]
    factors: list[Factor]

    @property
    def narrowest(self) -> int:
        """The least of the widths that it follows; 0 of one that follows none."""
        return min((one.width for one in self.factors), default=0)

    def at(self, widths: Sequence[int]) -> list[int]:
        """The operation's numbers at these widths, one a factor."""
        found = list(self.numbers)
        for factor, width in zip(self.factors, widths, strict=True):
            for place, per in factor.places:
                found[place] = round(self.numbers[place] - per * (factor.width - width))
        return found

    def grid(self, step: int) -> Iterator[tuple[int, ...]]:
        """All widths to measure; of more than two factors, those that are narrow alike."""
        if len(self.factors) <= 2:
            return itertools.product(*(one.grid(step) for one in self.factors))
        return zip(*(_alike(one, step) for one in self.factors), strict=True)


def _alike(factor: Factor, step: int) -> list[int]:
    return [min(factor.width, step * math.ceil(factor.width * one / step)) for one in SHARES[::-1]]


@dataclass(frozen=True, eq=False)
class LatencyModel:
    """Seconds of a network in its deployment, by units removed, at widths of a step.

    Attributes:
        slope: seconds of the network for one in the table's sum; the dense network's sum is kept.
        gone: `[groups]`, units that have left before.
    """

    terms: Sequence[Term]
    table: Table
    step: int
    gone: Tensor
    slope: float = 1.0
    _known: dict[tuple[int, ...], float] = field(default_factory=dict, repr=False)

    def __call__(self, removed: Tensor) -> float:
        """The time after each group has lost `removed` units more, [groups]."""
        whole = self.sum(torch.zeros_like(self.gone))
        return whole + self.slope * (self.sum(self.gone + removed) - whole)

    def sum(self, gone: Tensor) -> float:
        """The table's sum once each group has lost so many units."""
        left = iter((self._widths - self._lost @ gone.double()).tolist())
        return sum(
            self.time(at, list(itertools.islice(left, len(term.factors))))
            for at, term in enumerate(self.terms)
        )

    @cached_property
    def _lost(self) -> Tensor:
        return torch.stack([one.lost for term in self.terms for one in term.factors])

    @cached_property
    def _widths(self) -> Tensor:
        widths = [one.width for term in self.terms for one in term.factors]
        return torch.tensor(widths, dtype=torch.float64)

    def after(self, removed: Tensor) -> "LatencyModel":
        """The same of the network that is left once units have gone."""
        return replace(self, gone=self.gone + removed)

    def time(self, at: int, widths: Sequence[float]) -> float:
        """Seconds of one of the terms at these widths."""
        key = (at, *map(round, widths))
        if key not in self._known:
            self._known[key] = self._interpolated(self.terms[at], widths, ())
        return self._known[key]

    def _interpolated(self, term: Term, widths: Sequence[float], chosen: tuple[int, ...]) -> float:
        if len(term.factors) > 2:
            share = sum(w / f.width for w, f in zip(widths, term.factors, strict=True))
            grid = list(term.grid(self.step))
            xs = [sum(w / f.width for w, f in zip(one, term.factors, strict=True)) for one in grid]
            return _between(share, xs, [self.measured(term, one) for one in grid])
        if len(chosen) == len(term.factors):
            return self.measured(term, chosen)
        even = term.factors[len(chosen)].grid(self.step)
        ys = [self._interpolated(term, widths, (*chosen, one)) for one in even]
        return _between(widths[len(chosen)], even, ys)

    def measured(self, term: Term, widths: Sequence[int]) -> float:
        """The table's seconds."""
        return self.table.seconds[term.operation.signature(term.at(widths))]


def _between(x: float, xs: Sequence[float], ys: Sequence[float]) -> float:
    """Piecewise linear through points that ascend; time never falls with width."""
    ys = list(itertools.accumulate(ys, max))
    if len(xs) == 1:
        return ys[0]
    at = next((one for one in range(1, len(xs) - 1) if x <= xs[one]), len(xs) - 1)
    (left, right), (low, high) = xs[at - 1 : at + 1], ys[at - 1 : at + 1]
    return max(low + (high - low) * (x - left) / (right - left or 1), 0.0)


def terms_of(network: Network, batch: tuple[Any, ...], table: Table) -> list[Term]:
    """The operations of a network that take time, and how they follow its widths.

    Raises:
        BenchError: the network does other operations once a group is narrower.
    """
    groups = network.structure.groups
    whole = recorded(network.model, batch).operations
    rates = [torch.zeros(len(numbers), len(groups)).double() for _, numbers in whole]
    for at, group in enumerate(groups):
        if group.units < 2:
            continue
        removed = [torch.arange(at == other) for other in range(len(groups))]
        narrow = recorded(network.cut(removed), batch).operations
        if [one.function for one, _ in narrow] != [one.function for one, _ in whole]:
            raise BenchError(
                f"budget latency: with fewer channels of {group.root} the network does other "
                "operations, so its time cannot be told from its widths; give a budget of macs"
            )
        for rate, (_, dense), (_, left) in zip(rates, whole, narrow, strict=True):
            rate[:, at] = torch.tensor(dense) - torch.tensor(left)
    return [
        Term(operation, numbers, _factors(numbers, rate))
        for (operation, numbers), rate in zip(whole, rates, strict=True)
        if table.counts(operation)
    ]


def _factors(numbers: list[int], rate: Tensor) -> list[Factor]:
    """Numbers that lose in proportion follow one width: the least of them."""
    found: list[Factor] = []
    moving = [place for place in range(len(numbers)) if rate[place].any()]
    for place in sorted(moving, key=lambda one: float(rate[one].abs().max())):
        for factor in found:
            main = int(factor.lost.abs().argmax())
            per = float(rate[place, main] / factor.lost[main])
            if torch.equal(rate[place], per * factor.lost):
                factor.places.append((place, per))
                break
        else:
            found.append(Factor(numbers[place], rate[place], [(place, 1.0)]))
    return found
