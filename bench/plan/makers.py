"""Makers of trials from the cases of a suite: every name resolved, equal jobs one object."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Generic, TypeVar

from criteria import CriteriaError, UnknownCriterion, registry
from criteria.phases import PHASES, phase_source
from criteria.training import Kind
from reports.records import Labels, content_key
from suites import AnySuite, Case, FidelitySuite, Probe, Recipe, Suite
from suites.faults import meant
from suites.method import MethodSpec, PhaseSpec, named_presets
from suites.problem import ModelSpec
from suites.protocol import Evaluation, Rewind, pattern
from suites.section import Chosen

from ..data.known import task_of
from ..errors import ModelError, PlanError, fault
from ..models import code_of
from ..store.sealed import file_digests, file_sha256
from . import jobs
from .refusals import off_the_road, refuse_misfits, too_short, unfit_training
from .uses import CriterionSpec, PhaseUse

S = TypeVar("S", bound=AnySuite)


class Maker(Generic[S]):
    """What trials stand on; equal jobs are one object, so their keys are hashed once."""

    def __init__(self, suite: S) -> None:
        self.suite = suite
        self._jobs: dict[Any, Any] = {}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._jobs:
            self._jobs[key] = make()
        return self._jobs[key]

    def labels(self, probe: Probe, at: jobs.Standpoint, method: str, **more: Any) -> Labels:
        """The names of a trial; one that stands for all repeats is called the first."""
        dataset, model = probe.dataset.title, probe.model.title
        place: dict[str, Any] = {"dataset": dataset, "model": model, "base": probe.base}
        place |= {"repeat": at.repeat or 0, "all_repeats": at.repeat is None}
        return Labels(suite=self.suite.suite, method=method, **place, **more)

    def criterion(self, method: MethodSpec) -> CriterionSpec:
        key = ("criterion", method.criterion, content_key(method.options))
        per_weight = isinstance(self.suite, Suite) and self.suite.budgets.unstructured
        return self.once(key, lambda: _criterion(method, per_weight))

    def recipe(self, case: Probe, name: str) -> Recipe:
        """The recipe of that name on the case's dataset and model."""
        place = ("recipes", id(case.dataset), id(case.model))
        recipes = self.once(place, lambda: self.suite.recipes_on(case.dataset, case.model))
        refuse_misfits(recipes[name], case.dataset, f"recipe {name}")
        return recipes[name]

    def phase(self, case: Probe, kind: Kind, spec: PhaseSpec | Chosen) -> PhaseUse:
        """A phase with all options, recipe and the hash of its code; PlanError where it is none."""
        recipe = self.recipe(case, spec.recipe) if isinstance(spec, PhaseSpec) else None

        def make() -> PhaseUse:
            try:
                entry = PHASES[kind].find(spec.name)
                options = PHASES[kind].options(spec.name, spec.options)
            except CriteriaError as error:
                raise PlanError(f"method {case.method.name}: {error}") from error
            found = options.model_dump(), phase_source(kind, spec.name), recipe
            if kind != "procedure":
                return PhaseUse(spec.name, *found)
            its = entry.type
            return PhaseUse(spec.name, *found, its.follows, its.rescores(options), its.own_rate)

        key = ("phase", kind, spec.model_dump_json(), recipe and recipe.model_dump_json())
        return self.once(key, make)

    def standpoint(self, case: Probe, *, repeated: bool = True) -> jobs.Standpoint:
        """Where a case scores; not `repeated`, where that is the same whatever the repeat."""
        base, suite = self.prepared(case), self.suite
        own = (case.repeat, suite.calibration_of(case.model)) if repeated else ()

        def make() -> jobs.Standpoint:
            alteration = suite.alteration_of(case.dataset, case.model)
            refuse_misfits(alteration, case.dataset, "calibration")
            return jobs.Standpoint(base, alteration, *own)

        return self.once(("at", id(base), *own[:1]), make)

    def varies(self, method: MethodSpec) -> bool:
        """Whether another repeat scores otherwise: by other images, draws, or a preparation."""
        one = self.criterion(method)
        drawn = registry.needed(one.name, one.options) or registry.draws(one.name, one.options)
        return bool(method.prepare or drawn)

    def prepared(self, case: Probe) -> jobs.DenseJob:
        """The base, or what the method's preparation makes of it."""
        base, spec = self.base(case), case.method.prepare
        if spec is None:
            return base
        phase = self.phase(case, "preparation", spec)
        key = ("prepared", id(base), case.repeat, id(phase))
        return self.once(key, lambda: jobs.PreparedJob(base, case.repeat, phase))

    def base(self, case: Probe) -> jobs.BaseJob:
        dataset, model = case.dataset, case.model

        def make() -> jobs.BaseJob:
            name = self.suite.base_recipe_of(model)
            recipe, checkpoint = self.recipe(case, name) if name else None, _checkpoint_hash(model)
            code = self.once(("code", model.name), lambda: code_of(model))
            if own := task_of(dataset).code:
                code = f"{code or ''} {own}"
            own_split = self.suite.own_splits(dataset, model)
            how = self.suite.evaluation if isinstance(self.suite, Suite) else Evaluation()
            return jobs.BaseJob(dataset, model, recipe, case.base, checkpoint, own_split, code, how)

        return self.once(("base", id(dataset), id(model), case.base), make)


class ComparisonMaker(Maker[Suite]):
    """Turns the cases of a comparison into trials."""

    def trial(self, case: Case) -> jobs.TrialJob:
        suite, recovery = self.suite, case.recovery
        recipe, early = self._training(case, recovery.recipe, recovery.rewind)
        path, base, dense, timing = self.path(case), self.base(case), None, None
        at = path.at if recovery.kind == "none" else self.standpoint(case)
        if case.model.untrained:  # against its first weights, trained whole by the same recipe
            trained = recipe and recipe.lasting(recovery.total_epochs or recipe.epochs)
            dense = self.once(("dense", id(base)), lambda: replace(base, recipe=trained))
        if suite.measure.deployed and (not path.unstructured or path.selection.scope == "2:4"):
            timing = self.once(("timing", id(path)), lambda: jobs.TimingJob(path, suite.measure))
        finetunes = recovery.kind == "finetune" and not case.matched
        own = case.method.finetuning if finetunes else None
        named = {"recovery": recovery.name, "cost": suite.budgets.cost, "budget": case.budget}
        matched = case.method.name if case.matched else None
        return jobs.TrialJob(
            path=path,
            at=at,
            budget=case.budget,
            recovery="finetune" if recovery.rewind else recovery.kind,
            recipe=recipe,
            total_epochs=recovery.total_epochs,
            finetuning=self.phase(case, "recovery", own) if own else None,
            early=early,
            dense=dense,
            tune=recovery.tune,
            train_accuracy=suite.train_accuracy,
            timing=timing,
            labels=self.labels(case, at, case.method_name, **named, matched_to=matched),
        )

    def _training(
        self, case: Case, name: str | None, rewind: Rewind | None
    ) -> tuple[Recipe | None, jobs.EarlyJob | None]:
        """What a pruned network is trained by, and the base whose weights it is rewound to."""

        def make() -> Recipe | None:
            recipe = self.suite.recipe_after(case.dataset, case.model, name, rewind)
            if recipe is not None:
                refuse_misfits(recipe, case.dataset, f"recipe {name or 'of the base, rewound'}")
            return recipe

        recipe = self.once(("after", id(case.dataset), id(case.model), name, rewind), make)
        if rewind is None or rewind.what != "weights":
            return recipe, None
        base = self.base(case)
        key = ("early", id(base), rewind.to)
        return recipe, self.once(key, lambda: jobs.EarlyJob(base, rewind.to))

    def path(self, case: Case) -> jobs.PathJob:
        """One for all budgets; one a budget where a procedure heads for it, or settings differ."""
        name = case.method.name
        repeated = self.once(
            ("repeated", id(case.model), name, case.matched), lambda: self._repeated(case)
        )
        standpoint = self.standpoint(case, repeated=repeated)

        def together() -> tuple[float, ...]:
            modelled = self.suite.budgets.cost in ("latency", "memory")
            differs = self.suite.differs_by_budget(case.model, case.method)
            alone = case.method.procedure or modelled or differs
            return () if alone else tuple(self.suite.budgets_of(case.model).kept)

        budgets = self.once(("budgets", id(case.model), name), together) or (case.budget,)
        key = ("path", id(standpoint), name, case.matched, budgets)
        if case.matched is None:
            return self.once(key, lambda: self._path(case, standpoint, budgets, None))
        own = self.path(replace(case, matched=None))
        scope = own.selection.scope if pattern(own.selection.scope) else None  # as many a block
        control = replace(case, method=MethodSpec(criterion=case.matched, scope=scope))
        return self.once(key, lambda: self._path(control, standpoint, budgets, own))

    def _repeated(self, case: Case) -> bool:
        """Whether a path is another in every repeat: its scores, or what is trained or timed."""
        if case.matched is not None:
            own = self._repeated(replace(case, matched=None))
            return own or self.varies(MethodSpec(criterion=case.matched))
        method, timed = case.method, self.suite.budgets.cost == "latency"
        trains = method.procedure or (method.iterative and method.iterative.trains)
        return bool(trains) or timed or self.varies(method)

    def _path(
        self,
        case: Case,
        standpoint: jobs.Standpoint,
        budgets: tuple[float, ...],
        matched: jobs.PathJob | None,
    ) -> jobs.PathJob:
        method, spec = case.method, case.method.procedure
        allowed = self.suite.budgets_of(case.model)
        procedure = self.phase(case, "procedure", spec) if spec else None
        budget = allowed.written[case.budget]
        iterative = method.iterative and method.iterative.at(budget)
        recover, rewind = (iterative.recover, iterative.rewind) if iterative else (None, None)
        between, early = self._training(case, recover, rewind)
        selection = self.suite.selection_of(case.model, method, budget)
        criterion = self.criterion(method)
        selector = registry.find(criterion.name).selector
        for wrong in chain(
            off_the_road(method, selector, selection, allowed, matched=matched is not None),
            unfit_training(method, selector, procedure, selection, allowed),
            too_short(procedure, case.dataset),
        ):
            raise PlanError(f"method {method.name}: {wrong}")
        return jobs.PathJob(
            at=standpoint,
            criterion=criterion,
            cost=allowed.cost,
            budgets=budgets,
            selection=selection,
            iterative=iterative,
            matched=matched,
            procedure=procedure,
            between=between,
            rewound=early,
            deployment=self.suite.deployment if allowed.cost == "latency" else None,
        )


class FidelityMaker(Maker[FidelitySuite]):
    """Turns the probes of a fidelity suite into trials."""

    def trial(self, probe: Probe) -> jobs.FidelityJob:
        """Raises PlanError for a selector, which has no scores to be held against anything."""
        criterion = self.criterion(probe.method)
        if registry.find(criterion.name).selector is not None:
            named = {"method": probe.method.name, "criterion": criterion.name}
            raise PlanError(fault("sets_in_fidelity", **named))
        at = self.standpoint(probe, repeated=self.varies(probe.method))
        key = ("oracle", id(at.base))
        oracle = self.once(key, lambda: jobs.OracleJob(at.base, self.suite.fidelity))
        labels = self.labels(probe, at, probe.method.name, recovery="none", cost=None, budget=None)
        return jobs.FidelityJob(at, criterion, oracle, labels)


def _criterion(method: MethodSpec, per_weight: bool) -> CriterionSpec:
    """Name, options and source of a method's criterion, which scores what the suite prunes."""
    try:
        entry = registry.find(method.criterion)
        options = registry.CATALOG.options(method.criterion, method.options).model_dump()
        registry.require(entry.name, options, "single weights" if per_weight else "channels")
        source = registry.source_hash(entry.name, options)
    except CriteriaError as error:
        unknown = isinstance(error, UnknownCriterion)
        preset = unknown and meant(method.criterion, named_presets())
        hint = f". There are presets as well{preset}" if preset else ""
        raise PlanError(f"method {method.name}: {error}{hint}") from error
    return CriterionSpec(entry.name, options, source)


def _checkpoint_hash(model: ModelSpec) -> str | None:
    if model.checkpoint is None or "://" in model.checkpoint:
        return model.sha256
    found = _file_hash(Path(model.checkpoint).absolute(), model.name)
    if model.sha256 not in (None, found):
        said = f"has SHA-256 {found}, not {model.sha256} as asked"
        raise ModelError(f"checkpoint {model.checkpoint} {said}")
    return found


@cache
def _file_hash(path: Path, model: str) -> str:
    try:
        return content_key(file_digests(path)) if path.is_dir() else file_sha256(path)
    except OSError as error:
        raise ModelError(f"checkpoint of {model}: {path}: {error.strerror}") from error
