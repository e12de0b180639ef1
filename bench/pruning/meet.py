"""Budgets of latency and memory: chosen by a model of the cost, and then held against the network.

What was chosen by the model of latency is measured, and where it misses the budget, chosen again
with the miss taken off. Networks that are narrower everywhere say beforehand how far a network's
time follows that of its operations.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from reports.records import BudgetCheck, Latency
from suites.protocol import Deployment

from ..deployed.runtimes import Loaded, load
from ..deployed.table import Table
from ..deployed.timing import compare_latency
from ..export.runtimes import resized
from .latency import LatencyModel, Term, terms_of
from .memory import memory_model, peak_bytes
from .network import Network, Removed, Rules
from .selection import InfeasibleBudget, Limits
from .thresholds import Choice

FITTED = (0.75, 0.5)  # of all widths, in the networks that say how time follows the table
ROUND_TO = (16, 8, 4, 2, 1)  # what widths may be multiples of
LIKED = 1.03  # time of odd widths against even ones, up to which hardware likes them as well
CLOSE, TRIES = 0.05, 3  # how near the measured share comes to the asked one, and in how many tries
LATENCY_TOLERANCE = 0.02  # of the modelled time: steps of many channels are coarse

Chosen = Choice | InfeasibleBudget
Choose = Callable[[Network, Rules, float], Chosen]  # at a share kept
Met = tuple[Chosen, BudgetCheck | None]


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
        dense, copy = load(network.model, batch, table.deployment, copies=2)
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
        (pruned,) = load(self.network.cut(removed), self.batch, self.table.deployment)
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
    if rules.cost == "memory":
        return _in_memory(network, choose, rules, share), None
    if rules.cost != "latency":
        return choose(network, rules, share), None
    device = next(network.model.parameters()).device
    table = Table(deployment, device, folder)
    return Deployed.load(network, table).meet(choose, rules, share, tries)


def _in_memory(network: Network, choose: Choose, rules: Rules, share: float) -> Chosen:
    """What leaves at a share of the memory, held against a forward pass of what is left.

    Raises:
        ArithmeticError: the network holds other memory than the model of it says.
    """
    model = memory_model(network)
    modelled = replace(network, cost=replace(network.cost, memory=model))
    choice = choose(modelled, rules, share)
    if isinstance(choice, Choice):
        expected = model(torch.tensor([len(gone) for gone in choice.removed]))
        found = peak_bytes(network.cut(choice.removed), network.inputs)
        if round(expected) != found:
            raise ArithmeticError(
                f"{found} bytes at the peak after the cut, {expected:.0f} by arithmetic"
            )
    return choice
