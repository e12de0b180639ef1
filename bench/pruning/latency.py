"""Budgets of latency: a network's time as a sum over its operations, looked up by their widths.

The table holds what each operation takes alone, on a coarse grid of widths; between them time is
interpolated. Networks that are narrower everywhere say how far a network's time follows that sum.
What was chosen by it is measured, and where it misses the budget, chosen again with the miss taken
off.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reports.records import BudgetCheck, Latency
from suites.protocol import Deployment

from ..deployed.operations import Operation, recorded
from ..deployed.runtimes import Loaded, load
from ..deployed.table import Table
from ..deployed.timing import compare_latency
from ..errors import BenchError
from ..export.runtimes import resized
from .network import Network, Removed, Rules
from .selection import InfeasibleBudget, Limits
from .thresholds import Choice

SHARES = (1.0, 0.75, 0.5, 0.25, 0.125)  # of the dense width: the grid
FEW = 8  # multiples of a step in a width, up to which each is on the grid
FITTED = (0.75, 0.5)  # of all widths, in the networks that say how time follows the table
ROUND_TO = (16, 8, 4, 2, 1)  # what widths may be multiples of
LIKED = 1.03  # time of odd widths against even ones, up to which hardware likes them as well
CLOSE, TRIES = 0.05, 3  # how near the measured share comes to the asked one, and in how many tries

Choose = Callable[[Network, Rules, float], Choice | InfeasibleBudget]  # at a share kept


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
        xs = term.factors[len(chosen)].grid(self.step)
        ys = [self._interpolated(term, widths, (*chosen, one)) for one in xs]
        return _between(widths[len(chosen)], xs, ys)

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


LATENCY_TOLERANCE = 0.02  # of the modelled time: steps of many channels are coarse

Met = tuple[Choice | InfeasibleBudget, BudgetCheck | None]


@dataclass(frozen=True, eq=False)
class Deployed:
    """A network in the runtime of a table, on its way to a share of its latency there.

    Attributes:
        batch: what it is timed on.
        dense, copy: the network, twice, in the runtime.
    """

    network: Network
    table: Table
    batch: tuple[Any, ...]
    terms: Sequence[Term]
    dense: Loaded
    copy: Loaded

    @classmethod
    def load(cls, network: Network, table: Table) -> "Deployed":
        """Raises ExportError where the runtime is missing, or cannot run the network."""
        batch = resized(network.inputs, table.deployment.batch)
        dense, copy = (load(network.model, batch, table.deployment) for _ in range(2))
        return cls(network, table, batch, terms_of(network, batch, table), dense, copy)

    def meet(self, choose: Choose, rules: Rules, share: float, tries: int = TRIES) -> Met:
        """What leaves at a share of the latency, and what that was found to take.

        Kept channels are multiples of `round_to`; where that is 1, of what the runtime likes, or,
        where such widths do not meet the budget, of less.

        Args:
            choose: what leaves a network by some rules at a share of the modelled latency.
            tries: how often it may choose; each but the first takes off what the last missed.
        """
        found: Met = InfeasibleBudget("no width"), None
        for step in self._steps(rules.limits.round_to):
            limits = replace(rules.limits, round_to=step)
            found = self._met(choose, replace(rules, limits=limits), share, tries)
            if isinstance(found[0], Choice):
                break
        return found

    def _met(self, choose: Choose, rules: Rules, share: float, tries: int) -> Met:
        model = self._model(rules.limits)
        network = replace(self.network, cost=replace(self.network.cost, latency=model))
        best: Met | None = None
        asked = share
        for number in range(1, tries + 1):
            choice = choose(network, rules, asked)
            if isinstance(choice, InfeasibleBudget):
                return best or (choice, None)
            counts = torch.tensor([len(one) for one in choice.removed])
            check = BudgetCheck(
                asked=share,
                predicted=model(counts) / model(torch.zeros_like(counts)),
                round_to=rules.limits.round_to,
                tries=number,
                table=self.table.digest,
                latency=self._timed(choice.removed),
            )
            if best is None or best[1] is None or abs(check.off) < abs(best[1].off):
                best = choice, check
            if abs(check.off) <= CLOSE:
                break
            asked = min(asked / (1 + check.off), 1.0)
        assert best is not None
        return best

    def _timed(self, removed: Removed) -> Latency:
        pruned = load(self.network.cut(removed), self.batch, self.table.deployment)
        return compare_latency(self.dense, pruned, self.copy, self.table.deployment)

    def _model(self, limits: Limits) -> LatencyModel:
        """The table's sum, and how the network's time follows it, on widths that limits allow."""
        none = torch.zeros(len(self.network.structure.groups))
        model = LatencyModel(self.terms, self.table, limits.round_to, none)
        step = limits.round_to
        self._measure((term, widths) for term in self.terms for widths in term.grid(step))
        less, saved = [], []
        for share in FITTED:
            removed = self._narrow(share, limits)
            counts = torch.tensor([len(one) for one in removed])
            less.append(1 - model(counts) / model(none))
            saved.append(1 - self._timed(removed).ratio)
        squares = sum(one**2 for one in less)
        if not squares:
            return model  # the limits let nothing leave
        slope = sum(x * y for x, y in zip(less, saved, strict=True)) / squares
        return replace(model, slope=slope)

    def _narrow(self, share: float, limits: Limits) -> Removed:
        """Of every group what leaves about this share of it."""
        removed = []
        for group in self.network.structure.groups:
            step = limits.steps(group)
            kept = max(limits.floor(group), step * round(group.units * share / step))
            removed.append(torch.arange(max(group.units - kept, 0)))
        return removed

    def _steps(self, asked: int) -> Sequence[int]:
        """What kept channels are to be multiples of: the least that the runtime likes, then less.

        It likes a step if operations about half as wide take as long at odd multiples of it as the
        largest step says.
        """
        if asked > 1:
            return [asked]
        largest = ROUND_TO[0]
        wide = [one for one in self.terms if one.narrowest >= 2 * largest]
        even = LatencyModel(wide, self.table, largest, torch.zeros(0))
        self._measure([(term, widths) for term in wide for widths in term.grid(largest)])
        liked = largest
        for step in ROUND_TO[1:]:
            halves = [(term, [one.near_half(step) for one in term.factors]) for term in wide]
            self._measure(halves)
            took = sum(even.measured(*one) for one in halves)
            if took > LIKED * sum(even.time(at, widths) for at, (_, widths) in enumerate(halves)):
                break
            liked = step
        return [one for one in ROUND_TO if one <= liked]

    def _measure(self, cells: Iterable[tuple[Term, Sequence[int]]]) -> None:
        found = [(term.operation, term.at(widths)) for term, widths in cells]
        self.table.measure({one.signature(numbers): (one, numbers) for one, numbers in found})


def meet(
    network: Network,
    choose: Choose,
    rules: Rules,
    share: float,
    deployment: Deployment,
    folder: Path | None = None,
    tries: int = TRIES,
) -> Met:
    """What leaves at a share of the cost of the rules; of a latency also what that was found to be.

    Args:
        folder: where tables of operations are kept; None: in memory.
        tries: as of `Deployed.meet`.
    """
    if rules.cost != "latency":
        return choose(network, rules, share), None
    device = next(network.model.parameters()).device
    table = Table(deployment, device, folder)
    return Deployed.load(network, table).meet(choose, rules, share, tries)
