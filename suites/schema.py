"""The suite: what is asked, as a checked value. A YAML file, `load_suite`, and nothing of torch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    field_validator,
    model_validator,
)

from .method import MethodSpec, matched_name, named_presets
from .recipe import Recipe, named_recipes
from .section import Section, Slug

Share = Annotated[float, Field(gt=0, le=1)]
# What a budget keeps a share of; a threshold is a setting of a selector's knob.
Axis = Literal["macs", "params", "channels", "weights", "threshold"]


class DatasetSpec(Section):
    """A dataset by name; `imagefolder` also needs its root, relative to the data root."""

    name: str
    label: Slug | None = Field(default=None, description="its name in tables; default: the name")
    root: str | None = None
    image_size: int | None = Field(default=None, ge=4)
    normalize: Literal["cifar", "imagenet", "none"] | None = None
    validation: float = Field(default=0.1, gt=0, lt=0.5, description="share held out of train")
    train_images: int | None = Field(default=None, ge=1, description="use only so many, seeded")
    test_images: int | None = Field(default=None, ge=1, description="use only so many, seeded")


class ModelSpec(Section):
    """An architecture by name, and where its first weights come from."""

    name: str
    label: Slug | None = Field(default=None, description="its name in tables; default: the name")
    options: dict[str, Any] = Field(default={})
    weights: str | None = Field(default=None, description="torchvision weights by name")
    checkpoint: str | None = Field(default=None, description="path of a state dict")
    recipe: str | Literal[False] | None = Field(
        default=None,
        description="base recipe of this model; false: take the given weights as they are",
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.weights and self.checkpoint:
            raise ValueError("give weights or checkpoint, not both")
        if self.recipe is False and not (self.weights or self.checkpoint):
            raise ValueError("recipe: false needs weights or a checkpoint")
        return self


def problem_name(dataset: DatasetSpec, model: ModelSpec) -> str:
    """How tables name a model on a dataset."""
    return f"{model.label or slug(model.name)} on {dataset.label or slug(dataset.name)}"


class SelectionSpec(Section):
    """How scores become removed channels; equal for all methods unless a method says otherwise."""

    scope: Literal["global", "local", "isomorphic"] = "global"
    min_channels: int = Field(default=1, ge=1)
    protect: float = Field(default=0.1, ge=0, lt=1, description="share of a group always kept")
    round_to: int = Field(default=1, ge=1)
    coupled: bool = Field(
        default=True, description="false keeps groups that several layers make (residual streams)"
    )


class RecoverySpec(Section):
    """What happens after removal: nothing, new BN statistics, or finetuning by a recipe."""

    kind: Literal["none", "bn", "finetune"]
    recipe: str | None = None
    total_epochs: int | None = Field(
        default=None,
        ge=1,
        description="of all training since the base, a method's own phases included: equal compute",
    )

    @model_validator(mode="after")
    def _recipe_to_finetune(self) -> Self:
        finetunes = self.kind == "finetune"
        if finetunes != bool(self.recipe) or (self.total_epochs and not finetunes):
            raise ValueError(_RECOVERIES)
        return self

    @property
    def name(self) -> str:
        if self.recipe is None:
            return self.kind
        return f"finetune-{self.recipe}" + (f"-{self.total_epochs}" if self.total_epochs else "")


class Calibration(Section):
    """The images that criteria may look at; drawn from train, without augmentation."""

    images: int = Field(default=512, ge=1)
    batch_size: int = Field(default=64, ge=1)


class Analysis(Section):
    """The comparison, declared before any run."""

    control: str
    alpha: float = Field(default=0.05, gt=0, lt=1)
    rope: float = Field(default=0.2, ge=0, description="percentage points that do not matter")
    failures: Literal["worst", "drop"] = Field(
        default="worst",
        description="a method that failed on a problem takes the worst rank there, or the problem "
        "leaves the comparison",
    )
    cost: Literal[
        "macs_ratio", "params_ratio", "channels_ratio", "weights_ratio", "latency_ratio"
    ] = "macs_ratio"


class Budgets(Section):
    """Shares kept of one cost, or speed-ups in MACs; one axis a suite.

    `weights` prunes single weights, and every method of the suite with it; the others channels.
    `threshold` is the selectors' own knob; what that costs is found, not asked for.
    """

    macs: list[Share] | None = Field(default=None, min_length=1)
    params: list[Share] | None = Field(default=None, min_length=1)
    channels: list[Share] | None = Field(
        default=None, min_length=1, description="of all prunable channels, whatever each costs"
    )
    weights: list[Share] | None = Field(
        default=None, min_length=1, description="of all weights of convolutions and linear layers"
    )
    speedup: list[Annotated[float, Field(ge=1)]] | None = Field(default=None, min_length=1)
    threshold: list[Share] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_axis(self) -> Self:
        if len(self.model_dump(exclude_none=True)) != 1:
            raise ValueError("give one of " + ", ".join(Budgets.model_fields))
        return self

    @property
    def cost(self) -> Axis:
        """What shares are kept of; `threshold` for settings of a knob."""
        axis, _ = self._given
        return "macs" if axis == "speedup" else axis

    @property
    def unstructured(self) -> bool:
        """Whether single weights leave instead of channels."""
        return self.cost == "weights"

    @property
    def kept(self) -> list[float]:
        """Shares of the cost kept, or thresholds; largest first."""
        axis, given = self._given
        shares = [round(1 / one, 6) for one in given] if axis == "speedup" else given
        return sorted(set(shares), reverse=True)

    @property
    def _given(self) -> tuple[Any, list[float]]:
        (one,) = self.model_dump(exclude_none=True).items()
        return one


class AnySuite(Section):
    """What suites of every kind have: datasets x models x bases x repeats x methods."""

    suite: Slug
    description: str = ""
    datasets: list[DatasetSpec] = Field(min_length=1)
    models: list[ModelSpec] = Field(min_length=1)
    methods: list[MethodSpec] = Field(min_length=1)
    bases: int = Field(default=3, ge=1)
    repeats: int = Field(default=1, ge=1)
    base_recipe: str = "base"
    calibration: Calibration = Calibration()
    recipes: dict[str, Recipe] = Field(default={}, description="added to the named recipes")
    smoke: dict[str, Any] = Field(default={}, description="overrides that --smoke applies")

    @field_validator("datasets", "models", mode="before")
    @classmethod
    def _names(cls, given: Any) -> Any:
        return _each(given, lambda one: {"name": one} if isinstance(one, str) else one)

    @field_validator("methods", mode="before")
    @classmethod
    def _criteria(cls, given: Any) -> Any:
        return _each(given, _method)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for what, names in {
            "datasets": [one.label or one.name for one in self.datasets],
            "models": [one.label or one.name for one in self.models],
            "methods": self.method_names,
        }.items():
            refuse_twice(what, names)
        fixed = [one.label or one.name for one in self.models if one.recipe is False]
        if fixed and self.bases > 1:
            raise ValueError(
                f"bases = {self.bases}, but {', '.join(fixed)} has `recipe: false`: all its bases "
                "would be one network; use bases: 1 and repeats"
            )
        known = self.all_recipes
        for name in sorted(self.used_recipes - set(known)):
            raise ValueError(f"recipe {name!r} is unknown; there are {', '.join(sorted(known))}")
        for name in sorted(self.base_recipes):
            if known[name].distill is not None:
                raise ValueError(
                    f"recipe {name!r} distills from the base, so no base can be trained by it"
                )
        return self

    @property
    def method_names(self) -> list[str]:
        """Of the methods and of their matched controls, in order."""
        return [
            name
            for method in self.methods
            for name in (method.name, *(matched_name(method, one) for one in method.matched))
        ]

    @property
    def all_recipes(self) -> dict[str, Recipe]:
        """The named recipes and the suite's own, which win."""
        return {**named_recipes(), **self.recipes}

    @property
    def used_recipes(self) -> set[str]:
        """Names of the recipes that some training of the suite follows."""
        return self.base_recipes.union(*(one.recipes for one in self.methods))

    @property
    def base_recipes(self) -> set[str]:
        """Names of those that bases are trained by."""
        own = {one.recipe for one in self.models if isinstance(one.recipe, str)}
        return {self.base_recipe, *own}


class Suite(AnySuite):
    """A comparison: what each method leaves of the accuracy, at every budget."""

    kind: Literal["comparison"] = "comparison"
    budgets: Budgets
    recoveries: list[RecoverySpec] = Field(
        default=[RecoverySpec(kind="none")], min_length=1, validate_default=True
    )
    selection: SelectionSpec = SelectionSpec()
    latency: bool = Field(
        default=True, description="measure milliseconds as well; of masks there is nothing to time"
    )
    train_accuracy: bool = Field(
        default=False, description="evaluate on the training split as well, without augmentation"
    )
    analysis: Analysis

    @field_validator("recoveries", mode="before")
    @classmethod
    def _recoveries(cls, given: Any) -> Any:
        return _each(given, _recovery)

    @model_validator(mode="after")
    def _comparable(self) -> Self:
        refuse_twice("recoveries", [one.name for one in self.recoveries])
        if self.analysis.control not in self.method_names:
            raise ValueError(
                f"analysis.control: {self.analysis.control!r} is none of the methods: "
                + ", ".join(self.method_names)
            )
        return self

    @model_validator(mode="after")
    def _finetunes(self) -> Self:
        """A method's way of finetuning needs a recovery that finetunes."""
        for at, one in enumerate(self.methods):
            if one.finetuning and all(each.kind != "finetune" for each in self.recoveries):
                raise ValueError(
                    f"methods.{at}.finetuning = {one.finetuning.name}, but none of the recoveries "
                    "is {finetune: RECIPE}"
                )
        return self

    @model_validator(mode="after")
    def _fits_its_axis(self) -> Self:
        """What speaks of channels is refused where weights leave, and the other way round."""
        if not self.budgets.unstructured:
            if self.analysis.cost == "weights_ratio":
                raise ValueError("analysis.cost = weights_ratio: only budgets.weights has it")
            return self
        for at, method in enumerate(self.methods):
            for key in ("procedure", "finetuning"):
                if getattr(method, key) is not None:
                    raise ValueError(
                        f"methods.{at}.{key} works on channels, but budgets.weights prunes single "
                        "weights; leave it out, or give another budget"
                    )
            if method.iterative and method.iterative.recover:
                raise ValueError(
                    f"methods.{at}.iterative.recover works on channels, but budgets.weights prunes "
                    "single weights; leave it out, or give another budget"
                )
        if self.analysis.cost in ("channels_ratio", "latency_ratio"):
            raise ValueError(
                f"analysis.cost = {self.analysis.cost}: budgets.weights masks single weights; "
                "channels and dense kernels stay as they are; allowed are macs_ratio, "
                "params_ratio, weights_ratio"
            )
        scopes = {f"methods.{at}.scope": one.scope for at, one in enumerate(self.methods)}
        for key, scope in {"selection.scope": self.selection.scope, **scopes}.items():
            if scope == "isomorphic":
                raise ValueError(
                    f"{key} = isomorphic ranks groups of channels, but budgets.weights prunes "
                    "single weights; allowed are global, local"
                )
        plain = SelectionSpec()
        for name in ("min_channels", "protect", "round_to", "coupled"):
            if getattr(self.selection, name) != getattr(plain, name):
                raise ValueError(
                    f"selection.{name} = {getattr(self.selection, name)} limits channels, but "
                    "budgets.weights prunes single weights, which have no such limit; leave it out"
                )
        return self

    @property
    def used_recipes(self) -> set[str]:
        return super().used_recipes | {one.recipe for one in self.recoveries if one.recipe}


def refuse_twice(what: str, names: Sequence[str]) -> None:
    """Names in tables and paths stand for one thing each."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what}: {', '.join(twice)} occurs twice; name one with `as`")


def _each(given: Any, change: Any) -> Any:
    return [change(one) for one in given] if isinstance(given, list) else given


def _method(given: Any) -> Any:
    """A preset, a criterion, or a preset with some keys replaced."""
    presets = named_presets()
    if isinstance(given, str):
        return {**presets[given], "as": given} if given in presets else {"criterion": given}
    if not isinstance(given, Mapping) or "preset" not in given:
        return given
    name = given["preset"]
    if name not in presets:
        raise ValueError(f"there is no preset {name!r}; there are {', '.join(presets)}")
    rest = {key: value for key, value in given.items() if key != "preset"}
    preset = dict(presets[name])
    if "criterion" in rest:
        preset.pop("options", None)  # they were another criterion's
    return {**preset, "as": name, **rest}


_RECOVERIES = "a recovery is none, bn or {finetune: RECIPE}, which may also give total_epochs"


def _recovery(given: Any) -> Any:
    """`none`, `bn`, or `{finetune: recipe}`."""
    if isinstance(given, str):
        return {"kind": given}
    if isinstance(given, Mapping) and "finetune" in given and "kind" not in given:
        rest = {key: value for key, value in given.items() if key != "finetune"}
        return {"kind": "finetune", "recipe": given["finetune"], **rest}
    if isinstance(given, RecoverySpec) or (isinstance(given, Mapping) and "kind" in given):
        return given
    raise ValueError(f"{_RECOVERIES}, not {given!r}")


_SLUG = re.compile(r"[^a-z0-9._~+=-]+")


def slug(text: str) -> str:
    """A name that is safe as a part of a path; a long one ends in its hash."""
    safe = _SLUG.sub("-", text.lower()).strip("-.") or "unnamed"
    if len(safe) <= 80:
        return safe
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    return f"{safe[:71]}-{digest[:8]}"
