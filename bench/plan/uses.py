"""What a job uses of criteria and phases: the name, all options, the hash of the code behind."""

from dataclasses import dataclass
from typing import Any

from suites import Recipe


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
class PhaseUse(CriterionSpec):
    """A preparation, procedure or recovery likewise."""

    # Of its training; None for a recovery, which rides on the trial's own.
    recipe: Recipe | None = None
    follows: bool = True  # a procedure that takes the units chosen on the dense network
    rescores: bool = False  # one that scores on its way
    own_rate: bool = False  # one that stands in for its recipe's schedule

    @property
    def identity(self) -> dict[str, Any]:
        return super().identity | {"recipe": self.recipe and self.recipe.identity}
