"""Methods: a criterion, how channels leave the network by it, and how the network recovers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from .faults import explained, fault, no_such
from .files import read_yaml
from .protocol import Rewind, Scope
from .section import ByName, Chosen, Section, Several, Slug

T = TypeVar("T")
ByBudget = Annotated[  # or one for each budget, by the number that the suite writes
    Annotated[T, Tag("number")] | Annotated[dict[float, T], Tag("by budget")],
    Discriminator(lambda given: "by budget" if isinstance(given, Mapping) else "number"),
]


class IterativeSpec(Section):
    """Score, remove a little, score again."""

    steps: ByBudget[Several]
    # How the cost falls; quadratic: as it does where widths fall linearly
    schedule: Literal["linear", "quadratic", "geometric"] = "linear"
    # Share of the cost that all steps lead to, of which those up to the last budget are taken;
    # default: the last budget
    to: ByBudget[Annotated[float, Field(ge=0, lt=1)]] | None = None
    recover: str | None = None  # recipe to train by on the way
    rewind: Rewind | None = None  # train on the way as the base was trained from an epoch on
    # After every step, or where a budget of the suite is met
    recover_at: Literal["steps", "budgets"] = "steps"

    def faults(self) -> Iterator[str]:
        if self.recover and self.rewind:
            yield "recover and rewind both say how to train on the way; give one"
        if not self.trains and self.recover_at != "steps":
            yield "recover_at says when to train on the way; give recover or rewind"
        ends = self.to.values() if isinstance(self.to, Mapping) else [self.to]
        if self.schedule == "geometric" and 0 in ends:
            yield "to = 0: geometric steps lead to no end of the cost; give a share"

    @property
    def by_budget(self) -> dict[str, Mapping[float, Any]]:
        """Settings that differ by budget; then each budget is a path of its own."""
        settings = {"steps": self.steps, "to": self.to}
        return {name: one for name, one in settings.items() if isinstance(one, Mapping)}

    def at(self, budget: float) -> IterativeSpec:
        """The same with the settings of one budget, as the suite writes it."""
        own = {name: settings[budget] for name, settings in self.by_budget.items()}
        return self.model_copy(update=own)

    @property
    def trains(self) -> bool:
        """Whether what is left is trained on the way."""
        return bool(self.recover or self.rewind)

    @property
    def identity(self) -> dict[str, Any]:
        """All fields but how to train, as recipe and early base are in a path's identity."""
        return self.model_dump(exclude={"recover", "rewind"})


class PhaseSpec(Section):
    """A phase of a method that trains, by name, and the recipe that it trains by."""

    name: str
    recipe: str
    options: dict[str, Any] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _names_a_recipe(cls, given: Any) -> Any:
        if isinstance(given, str):
            raise ValueError(fault("phase_recipe", name=given))
        return given


class MethodSpec(Section):
    """A criterion, and how its channels leave the network and the network recovers."""

    criterion: str
    options: dict[str, Any] = Field(default={})
    prepare: PhaseSpec | None = None  # more training of the dense network, before it is scored
    iterative: IterativeSpec | None = None  # default: one-shot
    # Training in which the channels leave; default: they are cut
    procedure: PhaseSpec | None = None
    # Of recoveries that finetune, where that is more than training; default: plain training
    finetuning: Annotated[Chosen, ByName] | None = None
    scope: Scope | None = None
    coupled: bool | None = None  # as selection.coupled; false keeps residual streams whole
    label: Slug | None = Field(default=None, alias="as")
    # Criteria to run as controls with this method's own layer widths, or counts
    matched: list[Slug] = Field(default=[])

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, given: Any) -> Any:
        """A preset, a criterion, or a preset with some keys replaced."""
        presets = named_presets()
        if isinstance(given, str):
            return {**presets[given], "as": given} if given in presets else {"criterion": given}
        if not isinstance(given, Mapping) or "preset" not in given:
            return given
        name = given["preset"]
        if str(name) not in presets:
            raise ValueError(no_such("preset", str(name), presets))
        rest = {key: value for key, value in given.items() if key != "preset"}
        preset = dict(presets[name])
        if "criterion" in rest:
            preset.pop("options", None)  # they were another criterion's
        return {**preset, "as": name, **rest}

    def faults(self) -> Iterator[str]:
        if self.iterative and self.iterative.trains and self.procedure:
            yield fault("trains_twice")

    @property
    def name(self) -> str:
        if self.label:
            return self.label
        phases = [self.prepare, self.procedure, self.finetuning]
        before, *after = [phase.name if phase else "" for phase in phases]
        given: int | dict[float, int] = self.iterative.steps if self.iterative else {}
        steps = given.values() if isinstance(given, Mapping) else [given]
        scored = "-".join([self.criterion, *map(str, dict.fromkeys(steps))])
        return "+".join(filter(None, [before, scored, *after]))

    @property
    def recipes(self) -> set[str]:
        """Names of the recipes that its own phases follow."""
        return {one.recipe for one in (self.prepare, self.procedure) if one} | (
            {self.iterative.recover} if self.iterative and self.iterative.recover else set()
        )

    @property
    def trains(self) -> bool:
        """Whether it trains before its recovery."""
        return bool(self.recipes) or bool(self.iterative and self.iterative.trains)

    def changed(self, changes: Mapping[str, Any]) -> MethodSpec:
        """The same method by name, with some keys replaced. Raises ValueError for a key that names
        it or its controls, or a value that does not fit."""
        if naming := sorted({"as", "matched", "preset"} & set(changes)):
            raise ValueError(fault("one_name", name=self.name, key=naming[0]))
        own = self.model_dump(by_alias=True, exclude_unset=True)
        try:
            return MethodSpec.model_validate({**own, **changes, "as": self.name})
        except ValidationError as error:
            raise ValueError(f"{self.name}: {explained(error, MethodSpec)}") from error


def matched_name(method: MethodSpec, criterion: str) -> str:
    """Name of a control that selects by `criterion` under the layer widths of `method`."""
    return f"{criterion}~{method.name}"


@cache
def named_presets() -> dict[str, dict[str, Any]]:
    """The papers' methods by name, as suites write them (suites/presets.yaml)."""
    return dict(read_yaml(Path(__file__).with_name("presets.yaml")))
