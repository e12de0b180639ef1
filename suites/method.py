"""Methods: a criterion, how channels leave the network by it, and how the network recovers."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from .section import Section, Slug


class IterativeSpec(Section):
    """Score, remove a little, score again."""

    steps: int = Field(ge=1)
    schedule: Literal["linear", "geometric"] = "linear"
    recover: str | None = Field(default=None, description="recipe to train by on the way")
    recover_at: Literal["steps", "budgets"] = Field(
        default="steps", description="after every step, or where a budget of the suite is met"
    )

    @model_validator(mode="after")
    def _recovers(self) -> Self:
        if self.recover is None and self.recover_at != "steps":
            raise ValueError("recover_at says when to train by the recipe `recover`, which is none")
        return self


class PhaseSpec(Section):
    """A phase of a method that trains, by name, and the recipe that it trains by."""

    name: str
    recipe: str
    options: dict[str, Any] = Field(default={})


class FinetuningSpec(Section):
    """How a method's finetuning is done, where that is more than training the pruned network."""

    name: str
    options: dict[str, Any] = Field(default={})


class MethodSpec(Section):
    """A criterion, and how its channels leave the network and the network recovers."""

    criterion: str
    options: dict[str, Any] = Field(default={})
    prepare: PhaseSpec | None = Field(
        default=None, description="more training of the dense network, before it is scored"
    )
    iterative: IterativeSpec | None = Field(default=None, description="default: one-shot")
    procedure: PhaseSpec | None = Field(
        default=None, description="training in which the channels leave; default: they are cut"
    )
    finetuning: FinetuningSpec | None = Field(
        default=None, description="of recoveries that finetune; default: plain training"
    )
    scope: Literal["global", "local", "isomorphic"] | None = None
    label: Slug | None = Field(default=None, alias="as")
    matched: list[Slug] = Field(
        default=[],
        description="criteria to run as controls with this method's own layer widths, or counts",
    )

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    @field_validator("finetuning", mode="before")
    @classmethod
    def _by_name(cls, given: Any) -> Any:
        return {"name": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_training(self) -> Self:
        if self.iterative and self.iterative.recover and self.procedure:
            raise ValueError(
                "iterative.recover trains between steps and procedure trains after them; give one"
            )
        return self

    @property
    def name(self) -> str:
        if self.label:
            return self.label
        phases = [self.prepare, self.procedure, self.finetuning]
        before, *after = [phase.name if phase else "" for phase in phases]
        scored = self.criterion + (f"-{self.iterative.steps}" if self.iterative else "")
        return "+".join(filter(None, [before, scored, *after]))

    @property
    def recipes(self) -> set[str]:
        """Names of the recipes that its own phases follow."""
        return {one.recipe for one in (self.prepare, self.procedure) if one} | (
            {self.iterative.recover} if self.iterative and self.iterative.recover else set()
        )


def matched_name(method: MethodSpec, criterion: str) -> str:
    """Name of a control that selects by `criterion` under the layer widths of `method`."""
    return f"{criterion}~{method.name}"


@cache
def named_presets() -> dict[str, dict[str, Any]]:
    """The papers' methods by name, as suites write them (suites/presets.yaml)."""
    from .files import read_yaml

    return dict(read_yaml(Path(__file__).with_name("presets.yaml")))
