"""What a criterion is: something that observes evidence and gives every unit a score."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from typing import Any, ClassVar

from .errors import NotApplicable, ScoreError, fault
from .evidence.batch import Batch
from .evidence.needs import Need
from .lazy import Tensor, torch
from .network.member import SCORED_KINDS, Group, Member
from .options import Options
from .reduce import Normalizer, Reduction, normalize, reduce_members


class MemberOptions(Options):
    """What all criteria share that sum over members; each sets its paper's defaults."""

    reduction: Reduction = "sum"
    """of the scores that members of a group give the same channel; first is the group's root
    alone."""
    normalizer: Normalizer = "none"
    """how scores of one group are rescaled before groups are compared."""


class Criterion:
    """Base of all criteria: low scores leave first.

    A subclass overrides `observe` and calls `self.add` there, or overrides `scores`.

    Example:
        >>> class Total(Criterion):
        ...     def observe(self, batch):
        ...         for member in self.members:
        ...             self.add(member, member.view(batch.weights).sum(1))
        >>> from criteria import find_structure
        >>> from criteria.gather import score_alone
        >>> network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1))
        >>> with torch.no_grad():
        ...     _ = network[0].weight.copy_(torch.tensor([[1.0, 1.0, 1.0], [2.0, 0.0, 0.0]]))
        >>> groups = find_structure(network, torch.ones(1, 3), ignored=[network[1]]).groups
        >>> total = Total(groups, MemberOptions(reduction="first"), torch.Generator())
        >>> score_alone(network, total, batches=[])[0]
        [tensor([3., 2.], dtype=torch.float64)]
    """

    options_type: ClassVar[type[Options]] = MemberOptions
    needs: Need = Need.WEIGHTS
    name: ClassVar[str]
    # kinds, sides: of the members that it scores
    kinds: ClassVar[Collection[str]] = SCORED_KINDS
    sides: ClassVar[Collection[str]] = ("out", "in", "both")
    # Name of the count that sums are divided by, as `images` or `batches`.
    mean_over: ClassVar[str | None] = None

    def __init__(self, groups: Sequence[Group], options: Any, generator: torch.Generator) -> None:
        self.groups = groups
        self.options = options
        self.generator = generator
        self.needs = self.needed(options)
        self.batches = 0
        self.images = 0
        self._sums: dict[Any, Tensor] = {}
        self.begin()

    def begin(self) -> None:
        """Called once, with groups, options and generator in place and nothing seen yet."""

    @classmethod
    def needed(cls, options: Any) -> Need:
        """The evidence that it asks for with these options."""
        return cls.needs

    @property
    def members(self) -> list[Member]:
        """The members of all groups that this criterion scores."""
        return [member for group in self.groups for member in group.members if self.counts(member)]

    def counts(self, member: Member) -> bool:
        """Whether this member enters the score; by `kinds` and `sides` unless overridden."""
        return member.kind in self.kinds and member.side in self.sides

    def counted(self, group: Group) -> list[Member]:
        """Members of a group whose scores are reduced to the group's."""
        return [member for member in group.members if self.counts(member)]

    def score_shape(self, group: Group) -> tuple[int, ...]:
        """Shape of a group's scores."""
        return (group.units,)

    def see(self, batch: Batch) -> None:
        """Observe one batch and count it."""
        self.observe(batch)
        self.batches += 1
        self.images += batch.size

    def observe(self, batch: Batch) -> None:
        """What to take from one batch of evidence; called once, with
        weights only, where nothing else is needed."""
        raise NotImplementedError(f"{type(self).__name__} must override observe or scores")

    def add(self, member: Hashable, values: Tensor) -> None:
        """Add `[units]` to a member's score, in float64; or to a sum under any other key."""
        sums = self._sums.get(member)
        self._sums[member] = values.double() if sums is None else sums + values.double()

    def member_scores(self, member: Member) -> Tensor:
        """`[units]`: what a member's sum over batches means; its mean if there is a `mean_over`."""
        sums = self._sums[member]
        return sums if self.mean_over is None else sums / getattr(self, self.mean_over)

    def reduced(self, stacked: Tensor) -> Tensor:
        """`[members, units]` of a group to `[units]`; by the option unless overridden."""
        return reduce_members(stacked, self.options.reduction)

    def scores(self) -> list[Tensor]:
        """`[units]` of every group, after reduction over its members and normalisation. Raises
        NotApplicable: a group has no member that this criterion can score."""
        return [self._group_scores(group) for group in self.groups]

    def _group_scores(self, group: Group) -> Tensor:
        counted = self.counted(group)
        if not counted:
            raise NotApplicable(f"{self.name} finds nothing to score in the group of {group.root}")
        scores = [self.member_scores(member) for member in counted]
        for member, one in zip(counted, scores, strict=True):
            if one.shape != (group.units,):
                known = {"found": tuple(one.shape), "shape": (group.units,)}
                raise ScoreError(fault("member_shape", name=self.name, of=member, **known))
        return normalize(self.reduced(torch.stack(scores)), self.options.normalizer)


def checked_scores(criterion: Criterion) -> list[Tensor]:
    """The criterion's scores, on the CPU, in float64. Raises ScoreError: a wrong number of groups,
    a wrong shape, NaN or infinity."""
    scores = criterion.scores()
    if len(scores) != len(criterion.groups):
        raise ScoreError(
            f"{criterion.name} scored {len(scores)} groups, the network has {len(criterion.groups)}"
        )
    for group, values in zip(criterion.groups, scores, strict=True):
        expected = criterion.score_shape(group)
        found = tuple(values.shape) if isinstance(values, torch.Tensor) else type(values).__name__
        if found != expected:
            known = {"found": found, "shape": expected}
            raise ScoreError(fault("group_shape", name=criterion.name, of=group, **known))
        if not torch.isfinite(values).all():
            bad = int((~torch.isfinite(values)).sum())
            raise ScoreError(fault("not_finite", name=criterion.name, bad=bad, of=group))
    return [values.detach().double().cpu() for values in scores]
