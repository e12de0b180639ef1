"""The kinds of job, and the identity that decides each one's result.

Bases -> (prepared bases ->) scores -> paths -> (timings ->) trials; in a fidelity suite bases ->
scores and oracles -> trials. A key is the SHA-256 of an identity; names and labels are not in it,
so suites share whatever they have in common.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from operator import attrgetter
from typing import Any, ClassVar, cast

from reports.records import SCHEMA_VERSION, Labels, content_key
from suites import Recipe
from suites.fidelity import FidelitySpec
from suites.method import IterativeSpec
from suites.problem import DatasetSpec, ModelSpec
from suites.protocol import Axis, Calibration, Deployment, Evaluation, Measure, SelectionSpec, Tune
from suites.recipe import Alteration

from ..pruning.network import Schedule
from .uses import CriterionSpec, PhaseUse

# Raised when the engine changes what a trial finds: training, selection, cutting, measuring.
ENGINE_VERSION = 3


class _Job:
    """What every job has, so that whoever runs or counts jobs need not tell them apart."""

    kind: ClassVar[str]  # what jobs like it are called where work is shown

    @classmethod
    @cache
    def _fields(cls) -> list[str]:
        return [one.name for one in fields(cast(Any, cls))]

    @property
    def alone(self) -> bool:
        """Whether nothing else of a run may run beside it."""
        return False

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that decides its result: its fields, unless it says otherwise."""
        return self._made()

    def _made(self, *aside: str) -> dict[str, Any]:
        """What this engine makes of the other fields, each by its identity where it has one."""
        given = {name: getattr(self, name) for name in self._fields() if name not in aside}
        return {"engine": ENGINE_VERSION} | {
            name: getattr(one, "identity", one) for name, one in given.items()
        }

    @cached_property
    def key(self) -> str:
        """SHA-256 of the identity, which names the result in the store."""
        return content_key(self.identity)

    @cached_property
    def stands_on(self) -> tuple[Job, ...]:
        """The jobs whose results it takes, shared scores aside; what it is made of comes first."""
        given = (getattr(self, name) for name in self._fields())
        needed = (one.base if isinstance(one, Standpoint) else one for one in given)
        return cast("tuple[Job, ...]", tuple(one for one in needed if isinstance(one, _Job)))

    @property
    def below(self) -> Iterator[Job]:
        """All that it stands on, what is made first coming first; some of it perhaps twice."""
        for one in self.stands_on:
            yield from one.below
            yield one

    @property
    def takes_scores(self) -> tuple[str, ...]:
        """Keys of the shared scores of the dense network that it takes."""
        return ()

    @property
    def gives_scores(self) -> tuple[str, ...]:
        """Keys of the scores that it makes."""
        return ()

    @property
    def parts(self) -> tuple[Job, ...]:
        """Jobs that do the same one by one; none where it cannot be split."""
        return ()


@dataclass(frozen=True, eq=False)
class BaseJob(_Job):
    """Train an unpruned network, or take over a checkpoint."""

    kind: ClassVar[str] = "bases"
    dataset: DatasetSpec
    model: ModelSpec
    recipe: Recipe | None  # None takes the weights as they are
    base: int
    checkpoint_sha256: str | None  # of the file, where the model has one
    # Its division into train and validation is another than that of other bases.
    own_split: bool = False
    code: str | None = None  # what stands for the code of a network that is none of ours
    # Of it, and of all that is made of it.
    evaluation: Evaluation = field(default_factory=Evaluation)

    @cached_property
    def identity(self) -> dict[str, Any]:
        unsaid = {"code": not self.code, "evaluation": self.evaluation == Evaluation()}
        return self._made(*(name for name, usual in unsaid.items() if usual))

    @property
    def axes(self) -> dict[str, str | int]:
        """What seeds of this base and of all that stands on it depend on."""
        return {"dataset": self.dataset.name, "model": self.model.name, "base": self.base}

    @property
    def split(self) -> dict[str, str | int]:
        """What the seed of its train/validation split depends on."""
        return self.axes if self.own_split else {"dataset": self.dataset.name}

    def __str__(self) -> str:
        return f"base {self.base} of {self.model.name} on {self.dataset.name}"


@dataclass(frozen=True, eq=False)
class _OfBase(_Job):
    """What is made of a base: a network of its model, for its data."""

    base: BaseJob
    dataset = property(attrgetter("base.dataset"))
    model = property(attrgetter("base.model"))
    code = property(attrgetter("base.code"))
    axes = property(attrgetter("base.axes"))
    split = property(attrgetter("base.split"))
    evaluation = property(attrgetter("base.evaluation"))


@dataclass(frozen=True, eq=False)
class PreparedJob(_OfBase):
    """Train a base further, before it is scored; what comes out stands in for the base."""

    kind: ClassVar[str] = "prepared"
    repeat: int
    prepare: PhaseUse

    def __str__(self) -> str:
        return f"{self.base}, prepared by {self.prepare.name}"


@dataclass(frozen=True, eq=False)
class EarlyJob(_OfBase):
    """A base as it was after an epoch of its training, which is done again up to there."""

    kind: ClassVar[str] = "early"
    epoch: int

    def __str__(self) -> str:
        return f"{self.base}, as it was after {self.epoch} epochs"


DenseJob = BaseJob | PreparedJob | EarlyJob


@dataclass(frozen=True, eq=False)
class Standpoint:
    """Where scores are taken: a base, as it is or prepared, a repeat, its calibration images.

    What looks at no image and draws nothing is the same in every repeat; it stands on a base alone.
    """

    base: DenseJob
    alteration: Alteration  # what is done to the images
    # repeat, calibration: None where nothing depends on them
    repeat: int | None = None
    calibration: Calibration | None = None

    @cached_property
    def identity(self) -> dict[str, Any]:
        return {
            "base": self.base.identity,
            "repeat": self.repeat,
            "calibration": self.calibration and self.calibration.keyed(self.alteration),
        }

    @property
    def images(self) -> int:
        """How many there are to look at."""
        return self.calibration.images if self.calibration else 0

    @property
    def half(self) -> bool:
        """Whether they are looked at in bfloat16."""
        return self.calibration is not None and self.calibration.half

    @property
    def axes(self) -> dict[str, str | int]:
        return self.base.axes | ({} if self.repeat is None else {"repeat": self.repeat})

    def score_key(self, criterion: CriterionSpec, per_weight: bool = False) -> str:
        """Key of a criterion's scores; those of channels and of single weights are others."""
        of = "weights" if per_weight else "channels"
        return content_key({**self.identity, "criterion": criterion.identity, "of": of})


@dataclass(frozen=True, eq=False)
class ScoresJob(_Job):
    """Score the dense network by many criteria in one pass: its channels, or its weights."""

    kind: ClassVar[str] = "scores"
    at: Standpoint
    criteria: tuple[CriterionSpec, ...]
    per_weight: bool = False

    @cached_property
    def identity(self) -> dict[str, Any]:
        return {"scores": list(self.gives_scores)}

    @property
    def gives_scores(self) -> tuple[str, ...]:
        return tuple(self.score_key(one) for one in self.criteria)

    def score_key(self, criterion: CriterionSpec) -> str:
        return self.at.score_key(criterion, self.per_weight)

    @property
    def parts(self) -> tuple[Job, ...]:
        """One job a criterion: whichever kills or stalls its worker takes no other with it."""
        if len(self.criteria) == 1:
            return ()
        return tuple(ScoresJob(self.at, (one,), self.per_weight) for one in self.criteria)

    def __str__(self) -> str:
        names = ", ".join(one.name for one in self.criteria)
        return f"scores of {names} on {self.at.base}"


@dataclass(frozen=True, eq=False)
class _ByCriterion(_Job):
    """What is made of a criterion's scores."""

    at: Standpoint
    criterion: CriterionSpec

    @property
    def unstructured(self) -> bool:
        """Whether single weights are scored."""
        return False

    @property
    def score_key(self) -> str:
        """Key of the scores of its criterion."""
        return self.at.score_key(self.criterion, self.unstructured)

    @property
    def takes_scores(self) -> tuple[str, ...]:
        return (self.score_key,)


@dataclass(frozen=True, eq=False)
class PathJob(_ByCriterion):
    """Find which channels, or weights, leave, for every budget of the suite."""

    kind: ClassVar[str] = "paths"
    cost: Axis  # what the budgets keep a share of (`weights` prunes single weights), or `threshold`
    budgets: tuple[float, ...]
    selection: SelectionSpec
    iterative: IterativeSpec | None  # None is one-shot
    # Keep as many channels of each group, or weights of each layer, as that path does.
    matched: PathJob | None
    procedure: PhaseUse | None = None  # trains while they leave; then there is one budget
    between: Recipe | None = None  # recipe of the training on the way of an iterative one
    rewound: EarlyJob | None = None  # the base whose weights what is left gets before each
    # Where a budget of latency is meant, which is one budget a path.
    deployment: Deployment | None = None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What decides the path; an iterative one depends on all budgets that it visits."""
        visited = list(self.budgets) if self.iterative else None
        aside = () if self.deployment else ("deployment",)
        return self.at.identity | self._made("at", "budgets", *aside) | {"visited": visited}

    @cached_property
    def key(self) -> str:
        return content_key({**self.identity, "budgets": list(self.budgets)})

    @property
    def alone(self) -> bool:
        return self.deployment is not None

    @property
    def unstructured(self) -> bool:
        return self.cost == "weights"

    @property
    def trains(self) -> bool:
        """Whether it stores weights of its own."""
        return bool(self.procedure or self.between)

    @property
    def takes_scores(self) -> tuple[str, ...]:
        scored_before = self.procedure is None or self.procedure.follows
        return super().takes_scores if scored_before else ()

    @property
    def schedule(self) -> Schedule | None:
        """Where an iterative path stops; None of one-shot."""
        if (spec := self.iterative) is None:
            return None
        assert isinstance(spec.steps, int), "each budget has its own path"
        assert not isinstance(spec.to, dict), "each budget has its own path"
        return Schedule(spec.steps, spec.schedule, spec.to)

    def __str__(self) -> str:
        rides = f" with {self.procedure.name}" if self.procedure else ""
        return f"path of {self.criterion.name}{rides} on {self.at.base}"


@dataclass(frozen=True, eq=False)
class TimingJob(_Job):
    """Time the networks of a path, which has their shapes; weights do not matter."""

    kind: ClassVar[str] = "timings"
    path: PathJob
    measure: Measure

    @property
    def alone(self) -> bool:
        return True

    @cached_property
    def identity(self) -> dict[str, Any]:
        return {"timing": self.path.key, "measure": self.measure.identity}

    def __str__(self) -> str:
        return f"latency on the {self.path}"


@dataclass(frozen=True, eq=False)
class TrialJob(_Job):
    """Cut at one budget, recover, measure, write the record."""

    kind: ClassVar[str] = "trials"
    # Said otherwise, or deciding nothing
    _aside: ClassVar = ("path", "at", "timing", "labels", "keep")
    path: PathJob
    at: Standpoint  # its path's, or where all repeats share that, the one that its recovery has
    budget: float
    recovery: str
    recipe: Recipe | None  # of a recovery that finetunes
    timing: TimingJob | None  # gives its latency; None measures none
    labels: Labels
    train_accuracy: bool = False
    # What all training since the base adds up to; None: the recipe's own epochs.
    total_epochs: int | None = None
    finetuning: PhaseUse | None = None  # how that is done; None is plain training
    early: EarlyJob | None = None  # the base whose weights take the place of those that are left
    # The base whose accuracy it is held against, where its own is untrained.
    dense: BaseJob | None = None
    tune: Tune | None = None  # what of the recipe is chosen on validation; None: nothing
    keep: bool = False  # whether its network is kept, which decides nothing of its record

    @property
    def identity(self) -> dict[str, Any]:  # not kept, as a suite may have many trials
        measured: bool | dict[str, Any] = self.timing is not None
        if self.timing is not None and self.timing.measure != Measure():
            measured = self.timing.measure.identity
        timed = {"schema": SCHEMA_VERSION, "latency": measured}
        return self.path.identity | self.at.identity | self._made(*self._aside) | timed

    @property
    def after_the_cut(self) -> dict[str, Any]:
        """What of its identity decides, beside the units left, what comes of its cut network."""
        drawn = {} if self.recovery == "none" else self.at.identity
        return {"base": self.at.base.identity} | drawn | self._made(*self._aside, "budget")

    def __str__(self) -> str:
        return self.labels.whole


@dataclass(frozen=True, eq=False)
class OracleJob(_Job):
    """Remove units of a base one at a time and measure the loss."""

    kind: ClassVar[str] = "oracles"
    base: DenseJob
    oracle: FidelitySpec

    def __str__(self) -> str:
        return f"loss changes of single units of {self.base}"


@dataclass(frozen=True, eq=False)
class FidelityJob(_ByCriterion):
    """Put a criterion's scores beside the true loss changes, and write the record."""

    kind: ClassVar[str] = "trials"
    oracle: OracleJob
    labels: Labels

    @cached_property
    def identity(self) -> dict[str, Any]:
        made = self._made("at", "oracle", "labels")
        return {"schema": SCHEMA_VERSION} | self.at.identity | made | self.oracle.identity

    def __str__(self) -> str:
        return self.labels.whole


Trial = TrialJob | FidelityJob
Job = DenseJob | ScoresJob | PathJob | TimingJob | OracleJob | Trial
