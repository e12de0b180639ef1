"""The kinds of job, and the identity that decides each one's result.

Bases -> (prepared bases ->) scores -> paths -> trials; in a fidelity suite bases -> scores and
oracles -> trials. A key is the SHA-256 of an identity; names and labels are not in it, so suites
share whatever they have in common.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from reports.records import SCHEMA_VERSION, Labels, content_key
from suites import Recipe
from suites.fidelity import FidelitySpec
from suites.method import IterativeSpec
from suites.problem import DatasetSpec, ModelSpec
from suites.protocol import Axis, Calibration, SelectionSpec

# Raised when the engine changes what a trial finds: training, selection, cutting, measuring.
ENGINE_VERSION = 1


# Where a model is used, and what by: that is in other parts of an identity, or only a name.
_NO_PART_OF_A_MODEL = {
    *("label", "recipe", "recipes", "checkpoint", "sha256"),
    *("datasets", "budgets", "calibration", "selection", "methods"),
}


@dataclass(frozen=True, eq=False)
class BaseJob:
    """Train an unpruned network, or take over a checkpoint.

    Attributes:
        recipe: None takes the weights as they are.
        checkpoint_sha256: of the file, where the model has one.
    """

    dataset: DatasetSpec
    model: ModelSpec
    recipe: Recipe | None
    base: int
    checkpoint_sha256: str | None

    @cached_property
    def identity(self) -> dict[str, Any]:
        return {
            "engine": ENGINE_VERSION,
            "dataset": self.dataset.identity,
            "model": self._model,
            "checkpoint_sha256": self.checkpoint_sha256,
            "recipe": _dumped(self.recipe),
            "base": self.base,
        }

    @property
    def _model(self) -> dict[str, Any]:
        """Keys from before there was `ignored` hold."""
        unasked = set() if self.model.ignored else {"ignored"}
        return self.model.model_dump(exclude=_NO_PART_OF_A_MODEL | unasked)

    @cached_property
    def key(self) -> str:
        return content_key(self.identity)

    @property
    def axes(self) -> dict[str, str | int]:
        """What seeds of this base and of all that stands on it depend on."""
        return {"dataset": self.dataset.name, "model": self.model.name, "base": self.base}

    def __str__(self) -> str:
        return f"base {self.base} of {self.model.name} on {self.dataset.name}"


def _dumped(recipe: Recipe | None) -> dict[str, Any] | None:
    return recipe.identity if recipe else None


@dataclass(frozen=True, eq=False)
class CriterionSpec:
    """A criterion with all its options, and the hash of the code behind it."""

    name: str
    options: dict[str, Any]
    source: str

    @property
    def identity(self) -> dict[str, Any]:
        return {"name": self.name, "options": self.options, "source": self.source}


@dataclass(frozen=True, eq=False)
class PhaseUse:
    """A preparation, procedure or recovery with all its options and the hash of its code.

    Attributes:
        recipe: of its training; None for a recovery, which rides on the trial's own.
        follows: a procedure that takes the units chosen on the dense network.
        rescores: one that scores on its way.
        own_rate: one that stands in for its recipe's schedule.
    """

    name: str
    options: dict[str, Any]
    source: str
    recipe: Recipe | None = None
    follows: bool = True
    rescores: bool = False
    own_rate: bool = False

    @property
    def identity(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "options": self.options,
            "source": self.source,
            "recipe": _dumped(self.recipe),
        }


@dataclass(frozen=True, eq=False)
class PreparedJob:
    """Train a base further, before it is scored; what comes out stands in for the base."""

    base: BaseJob
    repeat: int
    phase: PhaseUse

    @cached_property
    def identity(self) -> dict[str, Any]:
        return {
            "engine": ENGINE_VERSION,
            "base": self.base.identity,
            "repeat": self.repeat,
            "prepare": self.phase.identity,
        }

    @cached_property
    def key(self) -> str:
        return content_key(self.identity)

    @property
    def dataset(self) -> DatasetSpec:
        return self.base.dataset

    @property
    def model(self) -> ModelSpec:
        return self.base.model

    @property
    def axes(self) -> dict[str, str | int]:
        return self.base.axes

    def __str__(self) -> str:
        return f"{self.base}, prepared by {self.phase.name}"


DenseJob = BaseJob | PreparedJob


@dataclass(frozen=True, eq=False)
class Standpoint:
    """Where scores are taken: a base, as it is or prepared, a repeat, its calibration images."""

    base: DenseJob
    repeat: int
    calibration: Calibration

    @cached_property
    def identity(self) -> dict[str, Any]:
        return {
            "base": self.base.identity,
            "repeat": self.repeat,
            "calibration": self.calibration.identity,
        }

    @property
    def axes(self) -> dict[str, str | int]:
        return {**self.base.axes, "repeat": self.repeat}

    def score_key(self, criterion: CriterionSpec, per_weight: bool = False) -> str:
        """Of the scores of channels, or of single weights, which are other numbers."""
        identity = {**self.identity, "criterion": criterion.identity}
        return content_key(identity | ({"of": "weights"} if per_weight else {}))


@dataclass(frozen=True, eq=False)
class ScoresJob:
    """Score the dense network by many criteria in one pass: its channels, or its weights."""

    at: Standpoint
    criteria: tuple[CriterionSpec, ...]
    per_weight: bool = False

    @cached_property
    def key(self) -> str:
        return content_key([self.score_key(one) for one in self.criteria])

    def score_key(self, criterion: CriterionSpec) -> str:
        return self.at.score_key(criterion, self.per_weight)

    def __str__(self) -> str:
        names = ", ".join(one.name for one in self.criteria)
        return f"scores of {names} on {self.at.base}"


@dataclass(frozen=True, eq=False)
class PathJob:
    """Find which channels, or weights, leave, for every budget of the suite.

    Attributes:
        cost: what the budgets keep a share of (`weights` prunes single weights), or `threshold`.
        iterative: None is one-shot.
        matched: keep as many channels of each group, or weights of each layer, as that path does.
        procedure: trains while they leave; then there is one budget.
        between: recipe of the training on the way of an iterative one.
    """

    at: Standpoint
    criterion: CriterionSpec
    cost: Axis
    budgets: tuple[float, ...]
    selection: SelectionSpec
    iterative: IterativeSpec | None
    matched: PathJob | None
    procedure: PhaseUse | None = None
    between: Recipe | None = None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Of the path; an iterative one depends on all budgets that it visits.

        What trains is in it only where it is asked for.
        """
        visited = list(self.budgets) if self.iterative else None
        training = {
            "procedure": self.procedure and self.procedure.identity,
            "between": _dumped(self.between),
        }
        return {
            **self.at.identity,
            "engine": ENGINE_VERSION,
            "criterion": self.criterion.identity,
            "cost": self.cost,
            "selection": self.selection.identity,
            "iterative": self.iterative.identity if self.iterative else None,
            "visited": visited,
            "matched": self.matched.identity if self.matched else None,
            **{key: one for key, one in training.items() if one},
        }

    @cached_property
    def key(self) -> str:
        return content_key({**self.identity, "budgets": list(self.budgets)})

    @property
    def unstructured(self) -> bool:
        return self.cost == "weights"

    @property
    def score_key(self) -> str:
        return self.at.score_key(self.criterion, self.unstructured)

    @property
    def trains(self) -> bool:
        """Whether it stores weights of its own."""
        return bool(self.procedure or self.between)

    @property
    def needs_scores(self) -> bool:
        """Whether it takes the shared scores of the dense network."""
        return self.iterative is None and (self.procedure is None or self.procedure.follows)

    def __str__(self) -> str:
        rides = f" with {self.procedure.name}" if self.procedure else ""
        return f"path of {self.criterion.name}{rides} on {self.at.base}"


@dataclass(frozen=True, eq=False)
class TrialJob:
    """Cut at one budget, recover, measure, write the record.

    Attributes:
        recipe: of a recovery that finetunes.
        total_epochs: what all training since the base adds up to; None: the recipe's own epochs.
        finetuning: how that is done; None is plain training.
    """

    path: PathJob
    budget: float
    recovery: str
    recipe: Recipe | None
    latency: bool
    labels: Labels
    train_accuracy: bool = False
    total_epochs: int | None = None
    finetuning: PhaseUse | None = None

    @property
    def at(self) -> Standpoint:
        return self.path.at

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What few suites ask for is in it only where it is asked for."""
        asked = {
            "train_accuracy": self.train_accuracy,
            "total_epochs": self.total_epochs,
            "finetuning": self.finetuning and self.finetuning.identity,
        }
        return {
            "schema": SCHEMA_VERSION,
            **self.path.identity,
            "budget": self.budget,
            "recovery": self.recovery,
            "recipe": _dumped(self.recipe),
            "latency": self.latency,
            **{key: one for key, one in asked.items() if one},
        }

    @cached_property
    def key(self) -> str:
        return content_key(self.identity)

    def __str__(self) -> str:
        return self.labels.brief


@dataclass(frozen=True, eq=False)
class OracleJob:
    """Remove units of a base one at a time and measure the loss."""

    base: DenseJob
    spec: FidelitySpec

    @cached_property
    def identity(self) -> dict[str, Any]:
        return {
            "engine": ENGINE_VERSION,
            "base": self.base.identity,
            "oracle": self.spec.model_dump(),
        }

    @cached_property
    def key(self) -> str:
        return content_key(self.identity)

    def __str__(self) -> str:
        return f"loss changes of single units of {self.base}"


@dataclass(frozen=True, eq=False)
class FidelityJob:
    """Put a criterion's scores beside the true loss changes, and write the record."""

    at: Standpoint
    criterion: CriterionSpec
    oracle: OracleJob
    labels: Labels
    needs_scores: ClassVar[bool] = True  # of channels, as a path that is one-shot
    unstructured: ClassVar[bool] = False

    @cached_property
    def identity(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA_VERSION,
            **self.at.identity,
            "criterion": self.criterion.identity,
            **self.oracle.identity,
        }

    @cached_property
    def key(self) -> str:
        return content_key(self.identity)

    @property
    def score_key(self) -> str:
        """Of the scores that it takes."""
        return self.at.score_key(self.criterion)

    def __str__(self) -> str:
        return self.labels.brief


Trial = TrialJob | FidelityJob
Job = DenseJob | ScoresJob | PathJob | OracleJob | Trial
