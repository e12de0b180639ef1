"""The suite: what is asked, as a checked value. A YAML file, `load_suite`, and nothing of torch."""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import Field

from .faults import fault, meant, no_such, none_of
from .method import MethodSpec, matched_name
from .problem import DatasetSpec, ModelSpec
from .protocol import (
    UNTUNED,
    Budgets,
    Calibration,
    Deployment,
    Evaluation,
    Measure,
    RecoverySpec,
    Rewind,
    SelectionSpec,
    pattern,
)
from .recipe import Alteration, Recipe, named_recipes
from .section import MOST, ByName, Section, Several, Slug, refuse_twice

REHEARSAL = "smoke"  # the scale that only shows that everything works
TRIALS = 200_000  # the most of a suite; their plan alone takes a minute


class Analysis(Section):
    """The comparison, declared before any run."""

    control: str
    alpha: float = Field(default=0.05, gt=0, lt=1)
    rope: float = Field(default=0.2, ge=0)  # percentage points that do not matter
    # Whether a method that failed on a problem is the worse one there (it takes the worst rank, and
    # is called better nowhere), or the problem is dropped
    failures: Literal["worst", "drop"] = "worst"
    cost: Literal[
        "macs_ratio", "params_ratio", "channels_ratio", "weights_ratio", "latency_ratio"
    ] = "macs_ratio"
    # Bases at which comparisons are decided, each at its share of alpha; the last is the suite's
    # `bases`
    looks: list[Annotated[int, Field(ge=3)]] = Field(default=[])
    # Two or three that the suite crosses: what does each do, and does that depend on the others
    factors: list[Literal["criterion", "schedule", "recovery"]] = Field(default=[])


class AnySuite(Section):
    """What suites of every kind have: datasets x models x bases x repeats x methods."""

    suite: Slug
    description: str = ""
    datasets: list[Annotated[DatasetSpec, ByName]] = Field(min_length=1, max_length=MOST)
    models: list[Annotated[ModelSpec, ByName]] = Field(min_length=1, max_length=MOST)
    methods: list[MethodSpec] = Field(min_length=1, max_length=MOST)
    bases: Several = 3
    # Number of the first; bases of other numbers have other seeds
    first_base: int = Field(default=0, ge=0, le=10**9)
    repeats: Several = 1
    # Whether each base draws a train/validation split of its own; default: bases of fresh weights
    # do, those of given weights share one
    splits: Literal["per_base", "fixed"] | None = None
    base_recipe: str = "base"
    calibration: Calibration = Calibration()
    recipes: dict[str, Recipe] = Field(default={})  # added to the named recipes
    # By name, overrides that --scale NAME applies
    scales: dict[Slug, dict[str, Any]] = Field(default={})
    at_scale: str = ""  # which of its scales was applied; `--scale` says so, not the file

    def faults(self) -> Iterator[str]:
        if self.size > TRIALS:
            yield fault("too_large", size=self.size, most=TRIALS)
        for check in (self._consistent, self._changed, self._somewhere, self._trainable):
            yield from check()

    @property
    def size(self) -> int:
        """About as many trials as it has."""
        return len(self.problems) * self.bases * self.repeats * len(self.method_names)

    def _consistent(self) -> Iterator[str]:
        if self.at_scale and self.at_scale not in self.scales:
            yield f"at_scale = {self.at_scale}: `--scale NAME` sets it; leave it out of the file"
        refuse_twice("datasets", [one.title for one in self.datasets], "label")
        refuse_twice("models", [one.title for one in self.models], "label")
        refuse_twice("methods", self.method_names)
        fixed = [one.title for one in self.models if one.recipe is False and one.given]
        if fixed and self.bases > 1:
            yield fault("one_base", bases=self.bases, fixed=", ".join(fixed))
        if fixed and self.splits == "per_base":
            yield fault("no_split", fixed=", ".join(fixed))

    def _changed(self) -> Iterator[str]:
        """What a model says of a method makes a method, and there is one of that name."""
        names = [one.name for one in self.methods]
        for index, model in enumerate(self.models):
            yield from none_of(f"models.{index}.methods", "suite's methods", model.methods, names)
            try:
                self.methods_on(model)
            except ValueError as error:
                yield f"models.{index}.methods.{error}"

    def _somewhere(self) -> Iterator[str]:
        """Every model is on a dataset, and every dataset has a model on it."""
        known = [one.title for one in self.datasets]
        for index, model in enumerate(self.models):
            given = model.datasets or ()
            yield from none_of(f"models.{index}.datasets", "suite's datasets", given, known)
        visited = [dataset.title for dataset, _ in self.problems]
        empty = [name for name in known if name not in visited]
        if empty:
            yield fault("empty", names=", ".join(empty))

    def _trainable(self) -> Iterator[str]:
        """Every recipe that is followed exists, and none of a base distills from the base."""
        for dataset, model in self.problems:
            known, base = self.recipes_on(dataset, model), self.base_recipe_of(model)
            like = self.calibration_of(model).like
            if like and like not in known:
                yield f"calibration.like: {no_such('recipe', like, known)}"
            for name in sorted(self.recipes_followed(model) - set(known)):
                there = ", ".join(sorted(known))
                yield fault("no_recipe", name=name, meant=meant(name, known), known=there)
            if base and known[base].distill is not None:
                yield f"recipe {base!r} distills from the base, so no base can be trained by it"
            if like and self.alteration_of(dataset, model) == Alteration(augment=False):
                yield f"calibration.like: recipe {like!r} takes images as they are; leave it out"
        lost = [key for key, name in self.unfollowed if name not in self.all_recipes]
        if lost:
            yield fault("unfollowed", keys=", ".join(lost))

    @property
    def problems(self) -> list[tuple[DatasetSpec, ModelSpec]]:
        """Every dataset with each model that is on it."""
        return [
            (dataset, model)
            for dataset in self.datasets
            for model in self.models
            if model.datasets is None or dataset.title in model.datasets
        ]

    @property
    def rehearsal(self) -> bool:
        """Whether it only shows that everything works: its numbers mean nothing."""
        return self.at_scale == REHEARSAL

    @property
    def method_names(self) -> list[str]:
        """Names of the methods and of their matched controls, in order."""
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
        return set().union(*(self.recipes_followed(model) for model in self.models))

    def recipes_on(self, dataset: DatasetSpec, model: ModelSpec) -> dict[str, Recipe]:
        """All by name, as they are there: the model's win over the dataset's over the suite's."""
        return {**self.all_recipes, **dataset.recipes, **model.recipes}

    def methods_on(self, model: ModelSpec) -> list[MethodSpec]:
        """The methods, as they are there."""
        return [
            one.changed(model.methods[one.name]) if one.name in model.methods else one
            for one in self.methods
        ]

    def recipes_followed(self, model: ModelSpec) -> set[str]:
        """Names of those that its bases are trained by, and methods on the way, or images made."""
        own = filter(None, (self.base_recipe_of(model), self.calibration_of(model).like))
        return set().union(*(one.recipes for one in self.methods_on(model)), own)

    def base_recipe_of(self, model: ModelSpec) -> str | None:
        """Name of the one that its bases are trained by; None where it is taken as it is."""
        return None if model.recipe is False else model.recipe or self.base_recipe

    def own_splits(self, dataset: DatasetSpec, model: ModelSpec) -> bool:
        """Whether each base of a problem draws a train/validation split of its own.

        Given weights may have been trained on any of the images, so they share one; where nothing
        is held out there is nothing to draw.
        """
        own = not model.given if self.splits is None else self.splits == "per_base"
        return own and dataset.validation > 0

    @property
    def unfollowed(self) -> list[tuple[str, str]]:
        """Key and name of each recipe of a model or a dataset that no training there follows."""
        return [
            (f"{key}.{at}.recipes.{name}", name)
            for key in ("datasets", "models")
            for at, owner in enumerate(getattr(self, key))
            for name in owner.recipes
            if not any(
                owner in problem and name in self.recipes_followed(problem[1])
                for problem in self.problems
            )
        ]

    def calibration_of(self, model: ModelSpec) -> Calibration:
        """The images that criteria may look at there."""
        return model.calibration or self.calibration

    def alteration_of(self, dataset: DatasetSpec, model: ModelSpec) -> Alteration:
        """What is done to those images."""
        wanted = self.calibration_of(model)
        if wanted.like is None:
            return Alteration(augment=wanted.augment)
        return self.recipes_on(dataset, model)[wanted.like].alteration


class Suite(AnySuite):
    """A comparison: what each method leaves of the accuracy, at every budget."""

    kind: Literal["comparison"] = "comparison"
    budgets: Budgets
    recoveries: list[RecoverySpec] = Field(
        default=[RecoverySpec(kind="none")], min_length=1, max_length=MOST, validate_default=True
    )
    selection: SelectionSpec = SelectionSpec()
    measure: Measure = Measure()  # latency, memory, files; of masks there is nothing to time
    evaluation: Evaluation = Evaluation()
    train_accuracy: bool = False  # evaluate on the training split as well, without augmentation
    keep: Literal["networks"] | None = None  # the pruned network of every trial, beside its record
    analysis: Analysis

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        checks = [self._comparable, self._looks, self._tunes, self._finetunes, self._by_its_budgets]
        checks += [self._reaches_its_budgets, self._train_afterwards, self._rewinds]
        checks += [self._fits_its_axis, self._patterns_fit, self._one_axis, self._modelled]
        checks += [self._crossed] if self.analysis.factors else []
        for check in checks:
            yield from check()

    @property
    def size(self) -> int:
        """About as many trials as it has."""
        budgets = max(len(self.budgets_of(one).kept) for one in self.models)
        return super().size * budgets * len(self.recoveries)

    def _comparable(self) -> Iterator[str]:
        refuse_twice("recoveries", [one.name for one in self.recoveries])
        control = [self.analysis.control]
        yield from none_of("analysis.control", "methods", control, self.method_names)

    def _looks(self) -> Iterator[str]:
        looks = self.analysis.looks
        if looks and self.first_base:
            yield f"first_base = {self.first_base}: analysis.looks begin with base 0; leave one out"
        if looks and (looks != sorted(set(looks)) or looks[-1] != self.bases):
            yield fault("looks", looks=looks, bases=self.bases)

    def _crossed(self) -> Iterator[str]:
        """Each combination of the levels of factors is one method under one recovery."""
        found, factors = self.crossing(self.methods), self.analysis.factors
        if not 2 <= len(set(factors)) == len(factors):
            yield fault("factors", factors=factors)
        levels = [list(dict.fromkeys(one)) for one in zip(*found, strict=True)]
        yield from (fault("one_level", level=one) for one, *more in levels if not more)
        for wanted in product(*levels):
            cells = [f"{method} under {recovery}" for recovery, method in found.get(wanted, ())]
            if len(cells) != 1:
                by = " and ".join(cells) or "no method"
                yield fault("crossing", of=" × ".join(wanted), by=by)
        if any(self.crossing(self.methods_on(one)) != found for one in self.models):
            yield fault("other_levels")

    def crossing(self, methods: list[MethodSpec]) -> dict[tuple[str, ...], list[tuple[str, str]]]:
        """The (recovery, method) of each combination of levels of the analysis's factors."""
        found = dict[tuple[str, ...], list[tuple[str, str]]]()
        for method in methods:
            steps = "iterative" if method.iterative else "one-shot"
            schedule = method.procedure.name if method.procedure else steps
            of = {"criterion": method.criterion, "schedule": schedule}
            for recovery in self.recoveries_of(method):
                of["recovery"] = method.finetuning.name if method.finetuning else recovery.kind
                levels = tuple(of[one] for one in self.analysis.factors)
                found.setdefault(levels, []).append((recovery.name, method.name))
        return found

    def recoveries_of(self, method: MethodSpec) -> list[RecoverySpec]:
        """Those that a method is tried under: with a way of finetuning, those that finetune."""
        return [one for one in self.recoveries if one.kind == "finetune" or not method.finetuning]

    def _tunes(self) -> Iterator[str]:
        """What is tuned has images to choose by, and every setting is one."""
        tunable = [key for key in Recipe.model_fields if key not in UNTUNED]
        for at, recovery in enumerate(self.recoveries):
            if recovery.tune is None:
                continue
            for key in recovery.tune.over:
                if key not in tunable:
                    what = no_such("key of a recipe that may be tuned", key, tunable)
                    yield f"recoveries.{at}.tune.over: {what}"
            grid = recovery.tune.grid
            for dataset, model in self.problems:
                if not dataset.validation:
                    yield fault("no_validation", key=f"recoveries.{at}", title=dataset.title)
                recipe = self.recipes_on(dataset, model)[recovery.recipe or ""]
                for settings in grid:
                    try:
                        recipe.changed(settings)
                    except ValueError as error:
                        yield f"recoveries.{at}.tune.over: {error}"

    def _finetunes(self) -> Iterator[str]:
        """A method's way of finetuning needs a recovery that finetunes."""
        for key, method, _ in self.methods_by_key:
            if method.finetuning and not self.recoveries_of(method):
                yield fault("no_finetuning", key=key, name=method.finetuning.name)

    def _by_its_budgets(self) -> Iterator[str]:
        """What is said by budget is said of budgets that there are, and of none too few."""
        for key, given, models, of_all in self._said_by_budget:
            known = {one for on in models for one in self.budgets_of(on).written.values()}
            wrong = set(given) ^ known if of_all and known else set(given) - known
            for budget in sorted(wrong, key=lambda one: (one not in given, one)):
                how = "is none of the budgets" if budget in given else "is left out"
                there = ", ".join(f"{one:g}" for one in sorted(known))
                yield f"{key}: {budget:g} {how}; there are {there}"

    def _reaches_its_budgets(self) -> Iterator[str]:
        """Steps that lead to a share of the cost pass all budgets on the way."""
        for model, method, kept, budget in self._at_budgets:
            to = method.iterative.at(budget).to if method.iterative else None
            if isinstance(to, float) and to > kept:
                yield fault("above_budget", method=method, model=model, to=to, kept=kept)

    @property
    def _at_budgets(self) -> Iterator[tuple[ModelSpec, MethodSpec, float, float]]:
        """Every model, method and budget: what is kept, and as the suite writes it."""
        for model in self.models:
            written = self.budgets_of(model).written.items()
            for method, budget in product(self.methods_on(model), written):
                yield model, method, *budget

    def _train_afterwards(self) -> Iterator[str]:
        """Untrained networks are held against dense ones, trained as what is left of them."""
        for dataset, model in self.problems:
            one, *more = self.recoveries
            known = self.recipes_on(dataset, model)
            recipe = known[one.recipe] if one.recipe else None
            if model.untrained and (more or one.tune or recipe is None or recipe.distill):
                yield fault("untrained", title=model.title)
            for name in self.recipes_followed(model) if model.untrained else ():
                if known[name].distill:
                    yield f"recipe {name!r} distills from the base, and {model.title} is untrained"

    def _rewinds(self) -> Iterator[str]:
        """Rewinding goes back in a training of the base that was made here, and leaves some."""
        for dataset, model in self.problems:
            name = self.base_recipe_of(model)
            epochs = self.recipes_on(dataset, model)[name].epochs if name else 0
            trained = fault("trained" if name else "given", epochs=epochs, name=name)
            rewound = {f"recoveries.{at}": one.rewind for at, one in enumerate(self.recoveries)}
            for method in self.methods_on(model):
                way = method.iterative
                rewound[f"method {method.name}: iterative.rewind"] = way.rewind if way else None
            for key, rewind in rewound.items():
                if rewind and rewind.to >= epochs:
                    yield f"{key}.to = {rewind.to}: the bases of {model.title} {trained}"
            for at, one in enumerate(self.recoveries):
                if one.rewind and one.total_epochs not in (None, epochs - one.rewind.to):
                    left, total = epochs - one.rewind.to, one.total_epochs
                    yield fault("rewound_total", at=at, total=total, epochs=epochs, left=left)

    @property
    def methods_by_key(self) -> Iterator[tuple[str, MethodSpec, list[ModelSpec]]]:
        """Methods, and those that a model has changed, by where they stand in the file, with the
        models that have them so."""
        for at, one in enumerate(self.methods):
            yield f"methods.{at}", one, [on for on in self.models if one.name not in on.methods]
        for at, model in enumerate(self.models):
            for one in self.methods_on(model):
                if one.name in model.methods:
                    yield f"models.{at}.methods.{one.name}", one, [model]

    @property
    def _said_by_budget(self) -> Iterator[tuple[str, Mapping[float, Any], list[ModelSpec], bool]]:
        """Key, what is said by budget, of which models, and whether of all their budgets."""
        own = [one.selection.by_budget if one.selection else {} for one in self.models]
        others = [one for one, given in zip(self.models, own, strict=True) if not given]
        yield "selection.by_budget", self.selection.by_budget, others, False
        for at, (model, said) in enumerate(zip(self.models, own, strict=True)):
            yield f"models.{at}.selection.by_budget", said, [model], False
        for key, method, models in self.methods_by_key:
            for name, given in (method.iterative.by_budget if method.iterative else {}).items():
                yield f"{key}.iterative.{name}", given, models, True

    def _fits_its_axis(self) -> Iterator[str]:
        """What speaks of channels is refused where weights leave, and the other way round."""
        cost = self.analysis.cost
        if not self.budgets.unstructured:
            if cost == "weights_ratio":
                yield "analysis.cost = weights_ratio: only budgets.weights has it"
            return
        for key, given in _said_of_channels(self):
            scope = key.endswith(".scope")
            hint = "allowed are global, local" if scope else "leave it out, or give another budget"
            yield fault("of_channels", key=key, given=given, hint=hint)
        if cost in ("channels_ratio", "latency_ratio"):
            yield fault("masked", cost=cost)

    def _patterns_fit(self) -> Iterator[str]:
        """A pattern has one share of weights."""
        for model, method, kept, budget in self._at_budgets:
            scope, budgets = self.selection_of(model, method, budget).scope, self.budgets_of(model)
            stay, of = pattern(scope) or (kept, 1)
            if of > 1 and not (budgets.unstructured and abs(kept - stay / of) < 1e-6):
                place = {"method": method, "model": model, "scope": scope, "cost": budgets.cost}
                yield fault("pattern", **place, share=stay / of, budget=budget)

    def _one_axis(self) -> Iterator[str]:
        for at, model in enumerate(self.models):
            cost, axis = self.budgets_of(model).cost, self.budgets.cost
            if cost != axis:
                yield fault("one_axis", at=at, cost=cost, axis=axis)

    def _modelled(self) -> Iterator[str]:
        """Latency and memory are met by a model of the whole network, on which nothing trains."""
        cost = self.budgets.cost
        if cost == "latency" and self.deployment.runtime == "compile":
            yield fault("compiled")
        for key, method, _ in self.methods_by_key if cost in ("latency", "memory") else ():
            if method.procedure or (method.iterative and method.iterative.trains):
                yield fault("trains", key=key, cost=cost)

    @property
    def deployment(self) -> Deployment:
        """Where a budget of latency is meant: the first of what is measured."""
        return next(iter(self.measure.deployments), Deployment())

    def selection_of(self, model: ModelSpec, method: MethodSpec, budget: float) -> SelectionSpec:
        """What a method selects by there, at a budget as the suite writes it.

        Key by key the method's own, then what is said of the budget, the model's, or the suite's.
        """
        chosen = self.selection.changed(model.selection)
        asked: dict[str, Any] = {"scope": method.scope, "coupled": method.coupled, "by_budget": {}}
        own = {key: one for key, one in asked.items() if one is not None}
        return chosen.changed(chosen.by_budget.get(budget)).model_copy(update=own)

    def differs_by_budget(self, model: ModelSpec, method: MethodSpec) -> bool:
        """Whether a method has other settings there at each budget, which is then its own path."""
        settings = method.iterative.by_budget if method.iterative else {}
        return bool(settings or self.selection.changed(model.selection).by_budget)

    def budgets_of(self, model: ModelSpec) -> Budgets:
        """What its methods are held to."""
        return model.budgets or self.budgets

    def recipe_after(
        self, dataset: DatasetSpec, model: ModelSpec, name: str | None, rewind: Rewind | None
    ) -> Recipe | None:
        """What pruned networks are trained by there: one by name, or the end of the base's own."""
        recipes, base = self.recipes_on(dataset, model), self.base_recipe_of(model)
        if rewind is not None and base is not None:
            return recipes[base].rewound(rewind.to)
        return recipes[name] if name else None

    def recipes_followed(self, model: ModelSpec) -> set[str]:
        """Names of those that its bases are trained by, methods on the way, and recoveries."""
        own = {one.recipe for one in self.recoveries if one.recipe}
        return super().recipes_followed(model) | own


def _said_of_channels(suite: Suite) -> Iterator[tuple[str, object]]:
    """Key and value of all that a suite says of channels."""
    for key, method, _ in suite.methods_by_key:
        for name in ("procedure", "finetuning"):
            if (phase := getattr(method, name)) is not None:
                yield f"{key}.{name}", phase.name
        if method.coupled is not None:
            yield f"{key}.coupled", method.coupled
        if method.scope == "isomorphic":
            yield f"{key}.scope", method.scope
    yield from _limits("selection", suite.selection)
    for index, model in enumerate(suite.models):
        if model.selection:
            yield from _limits(f"models.{index}.selection", model.selection)
        if model.ignored:
            yield f"models.{index}.ignored", model.ignored


def _limits(key: str, selection: SelectionSpec) -> Iterator[tuple[str, object]]:
    """Key and value of what a selection says of channels."""
    said = selection.model_dump(exclude_defaults=True, exclude={"by_budget"})
    for name, given in said.items():
        if name != "scope" or given == "isomorphic":
            yield f"{key}.{name}", given
    for budget, one in selection.by_budget.items():
        yield from _limits(f"{key}.by_budget.{budget:g}", one)
