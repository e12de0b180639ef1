"""What a procedure is: a rider after whose training the units that it removes are exactly zero."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..lazy import Tensor, nn, torch
from ..network.member import Group
from ..network.units import Units
from ..training import Phase, Training

Removed = list[Tensor]  # of each group, the units that leave, ascending


@dataclass(frozen=True, eq=False)
class Ground:
    """What a procedure is handed; it reaches for nothing else.

    Units are numbered as in the dense network, whose shape the trained network keeps: what has left
    is zero.
    """

    groups: Sequence[Group]  # of the network
    budget: float  # share of its cost that may stay
    # The units that the method's criterion removes from the network as it is before training, under
    # the budget; None for a procedure that chooses on its way.
    doomed: Removed | None
    # Of a network in which the given units are zero, `[units]` of each group by the method's
    # criterion, low leaves first; the given ones stand at minus infinity.
    score: Callable[[nn.Module, Removed], list[Tensor]]
    # The units of lowest score, under a budget: from (scores, share of the cost kept). Where the
    # limits do not allow a share below the budget, it is the budget's. Raises InfeasibleBudget
    # where they do not allow that.
    select: Callable[[Sequence[Tensor], float], Removed]
    share: Callable[[Removed], float]  # of the dense cost, left without these units
    generator: torch.Generator  # for whatever a procedure draws

    def nothing(self) -> Removed:
        """An empty set of units for each group."""
        return [torch.empty(0, dtype=torch.long) for _ in self.groups]


class Procedure(Phase):
    """Base of all procedures.

    A subclass overrides hooks of `Rider`, calling those that it finds here, and `removed`. When
    `at_end` has run, all makers of the removed units (`criteria.network.units`) are zero, so that
    cutting them out changes nothing.

    Example:
        >>> class AtTheEnd(Procedure):
        ...     follows = True
        ...     def removed(self):
        ...         return self.ground.doomed
        >>> AtTheEnd.rescores(None)
        False
    """

    kind = "procedure"
    # Whether it takes `Ground.doomed`; else it scores and selects on its way.
    follows: ClassVar[bool]
    own_rate: ClassVar[bool] = False  # whether its `rate` stands in for the recipe's schedule

    def __init__(self, options: Any, ground: Ground) -> None:
        super().__init__(options)
        self.ground = ground

    @classmethod
    def rescores(cls, options: Any) -> bool:
        """Whether it calls `Ground.score` with these options, which a selector has no answer to."""
        return not cls.follows

    def check_length(self, steps: int) -> None:
        """Whether a training of so many steps is long enough, as far as the options alone can tell.
        Raises CriteriaError: it is too short; says how long it would have to be."""

    def attach(self, training: Training) -> None:
        self.training = training
        self.check_length(training.steps)

    def at_end(self) -> None:
        for group, gone in zip(self.ground.groups, self.removed(), strict=True):
            Units(self.training.model, group).zero_(gone)

    def removed(self) -> Removed:
        """What leaves, once training has ended."""
        raise NotImplementedError(f"{type(self).__name__} must override removed")

    def notes(self) -> dict[str, float]:
        """Numbers about what happened, for the record: releases, rounds."""
        return {}
