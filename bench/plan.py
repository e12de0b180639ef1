"""The plan: a suite's trials, every name resolved and every key known; done or not."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from traceback import extract_tb
from typing import Any

from criteria import CriteriaError, UnknownCriterion, load_plugin, registry
from criteria.phases import Kind, find_phase, phase_options, phase_source
from reports.records import Labels, Record, content_key
from suites import AnySuite, Case, FidelitySuite, Probe, Recipe, Suite, expand
from suites.method import FinetuningSpec, MethodSpec, PhaseSpec, named_presets
from suites.protocol import Budgets, SelectionSpec
from suites.schema import ModelSpec, slug

from .download import file_sha256
from .errors import BenchError, ModelError
from .jobs import (
    BaseJob,
    CriterionSpec,
    DenseJob,
    FidelityJob,
    OracleJob,
    PathJob,
    PhaseUse,
    PreparedJob,
    Standpoint,
    Trial,
    TrialJob,
)
from .knob import unfit
from .store import Store


class PlanError(BenchError):
    """A suite that reads well but cannot be run: unknown criterion, option, dataset or model."""


@dataclass(frozen=True)
class Plan:
    """A suite's trials, in the order of the suite."""

    suite: Suite | FidelitySuite
    trials: tuple[Trial, ...]

    def only(self, methods: Collection[str] = (), repeats: int | None = None) -> Plan:
        """The part with these methods (and the controls matched to them) and so many repeats.

        Raises:
            PlanError: a name that is none of the suite's methods.
        """
        known = self.suite.method_names
        unknown = [name for name in methods if name not in known]
        if unknown:
            raise PlanError(
                f"--methods: {', '.join(unknown)} is none of this suite's: {', '.join(known)}"
            )
        chosen = [
            trial
            for trial in self.trials
            if (not methods or {trial.labels.method, trial.labels.matched_to} & set(methods))
            and (repeats is None or trial.labels.repeat < repeats)
        ]
        return replace(self, trials=tuple(chosen))

    def shard(self, index: int, count: int) -> Plan:
        """Every trial is in exactly one of `count` shards, by its key."""
        mine = [trial for trial in self.trials if int(trial.key[:12], 16) % count == index - 1]
        return replace(self, trials=tuple(mine))

    def pending(self, store: Store, *, retry_failed: bool = False) -> list[Trial]:
        """Trials without a record; with `retry_failed`, those that failed as well."""
        return [trial for trial in self.trials if not _settled(store, trial, retry_failed)]

    def records(self, store: Store) -> list[Record]:
        """All records of this plan's trials, under this suite's names for them."""
        found = ((trial, store.record(trial.key)) for trial in self.trials)
        return [
            record.model_copy(update={"labels": trial.labels})
            for trial, record in found
            if record is not None
        ]


def _settled(store: Store, trial: Trial, retry_failed: bool) -> bool:
    record = store.record(trial.key)
    return record is not None and not (retry_failed and record.status == "failed")


def load_plugins(paths: Iterable[Path]) -> None:
    """Make the criteria in users' files known.

    Raises:
        PlanError: a file that does not run; with the line at fault.
        CriteriaError: there is no such file, or it registers nothing.
    """
    for path in paths:
        try:
            load_plugin(path)
        except CriteriaError:
            raise
        except Exception as error:  # a user's code
            lines = [one for one in extract_tb(error.__traceback__) if one.filename == str(path)]
            line = lines[-1].lineno if lines else getattr(error, "lineno", None)
            at = f", line {line}" if line else ""
            raise PlanError(f"plugin {path}{at}: {type(error).__name__}: {error}") from error


def registered_by(plugins: Iterable[Path]) -> list[str]:
    """Names of the criteria that these files have registered."""
    files = {path.resolve() for path in plugins}
    return [
        one.name
        for one in registry.criteria()
        if Path(inspect.getfile(one.type)).resolve() in files
    ]


def unknown_criteria(names: Iterable[str]) -> list[str]:
    """What is wrong with the names that no criterion bears, in words."""
    faults = []
    for name in dict.fromkeys(names):
        try:
            registry.find(name)
        except CriteriaError as error:
            faults.append(str(error))
    return faults


def make_plan(suite: Suite | FidelitySuite) -> Plan:
    """Resolve every name of a suite and key every trial.

    Raises:
        PlanError: a name or an option that does not exist, a checkpoint that cannot be read.
    """
    from .datasets import list_datasets
    from .models import list_models

    _known("dataset", [one.name for one in suite.datasets], list_datasets())
    _known(
        "model",
        [one.name for one in suite.models if not one.name.startswith("torchvision:")],
        list_models(),
    )
    if isinstance(suite, FidelitySuite):
        fidelity = _FidelityMaker(suite)
        return Plan(suite, tuple(fidelity.trial(probe) for probe in expand(suite)))
    comparison = _ComparisonMaker(suite)
    return Plan(suite, tuple(comparison.trial(case) for case in expand(suite)))


def _known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    import difflib

    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise PlanError(f"there is no {what} {name!r}.{hint} There are: {', '.join(known)}")


class _Maker:
    """What trials stand on; equal jobs are one object, so their keys are hashed once."""

    def __init__(self, suite: AnySuite, *, per_weight: bool = False) -> None:
        self._suite = suite
        self._per_weight = per_weight
        self._jobs: dict[Any, Any] = {}

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._jobs:
            self._jobs[key] = make()
        return self._jobs[key]

    def criterion(self, method: MethodSpec) -> CriterionSpec:
        key = ("criterion", method.criterion, content_key(method.options))
        return self._once(key, lambda: _criterion(method, self._per_weight))

    def recipe(self, case: Probe, name: str) -> Recipe:
        """The recipe of that name on the case's dataset and model."""
        place = ("recipes", id(case.dataset), id(case.model))
        recipes = self._once(place, lambda: self._suite.recipes_on(case.dataset, case.model))
        return recipes[name]

    def phase(self, case: Probe, kind: Kind, spec: PhaseSpec | FinetuningSpec) -> PhaseUse:
        """A phase with all its options, its recipe and the hash of its code.

        Raises:
            PlanError: no such phase or option.
        """
        recipe = self.recipe(case, spec.recipe) if isinstance(spec, PhaseSpec) else None
        key = ("phase", kind, spec.model_dump_json(), recipe and recipe.model_dump_json())
        return self._once(key, lambda: self._phase(case.method, kind, spec, recipe))

    def _phase(
        self,
        method: MethodSpec,
        kind: Kind,
        spec: PhaseSpec | FinetuningSpec,
        recipe: Recipe | None,
    ) -> PhaseUse:
        try:
            entry = find_phase(kind, spec.name)
            options = phase_options(kind, spec.name, spec.options)
        except CriteriaError as error:
            raise PlanError(f"method {method.name}: {error}") from error
        procedure = entry.type if kind == "procedure" else None
        return PhaseUse(
            spec.name,
            options.model_dump(),
            phase_source(kind, spec.name),
            recipe,
            follows=procedure is None or procedure.follows,
            rescores=procedure is not None and procedure.rescores(options),
            own_rate=procedure is not None and procedure.own_rate,
        )

    def standpoint(self, case: Probe) -> Standpoint:
        base = self.prepared(case)
        return self._once(
            ("at", id(base), case.repeat),
            lambda: Standpoint(base, case.repeat, self._suite.calibration_of(case.model)),
        )

    def prepared(self, case: Probe) -> DenseJob:
        """The base, or what the method's preparation makes of it."""
        base, spec = self.base(case), case.method.prepare
        if spec is None:
            return base
        phase = self.phase(case, "preparation", spec)
        key = ("prepared", id(base), case.repeat, id(phase))
        return self._once(key, lambda: PreparedJob(base, case.repeat, phase))

    def base(self, case: Probe) -> BaseJob:
        key = ("base", case.dataset.model_dump_json(), case.model.model_dump_json(), case.base)
        return self._once(key, lambda: self._base(case))

    def _base(self, case: Probe) -> BaseJob:
        name = self._suite.base_recipe_of(case.model)
        recipe = self.recipe(case, name) if name else None
        return BaseJob(case.dataset, case.model, recipe, case.base, _checkpoint_hash(case.model))


class _ComparisonMaker(_Maker):
    """Turns the cases of a comparison into trials."""

    def __init__(self, suite: Suite) -> None:
        super().__init__(suite, per_weight=suite.budgets.unstructured)
        self.suite = suite

    def trial(self, case: Case) -> TrialJob:
        suite = self.suite
        recipe = self.recipe(case, case.recovery.recipe) if case.recovery.recipe else None
        return TrialJob(
            path=self.path(case),
            budget=case.budget,
            recovery=case.recovery.kind,
            recipe=recipe,
            total_epochs=case.recovery.total_epochs,
            finetuning=self._finetuning(case),
            train_accuracy=suite.train_accuracy,
            latency=suite.latency and not suite.budgets.unstructured,  # masks run on dense kernels
            labels=Labels(
                **_names(suite, case),
                method=case.method_name,
                recovery=case.recovery.name,
                cost=suite.budgets.cost,
                budget=case.budget,
                matched_to=case.method.name if case.matched else None,
            ),
        )

    def _finetuning(self, case: Case) -> PhaseUse | None:
        spec = case.method.finetuning
        if spec is None or case.matched or case.recovery.kind != "finetune":
            return None
        return self.phase(case, "recovery", spec)

    def path(self, case: Case) -> PathJob:
        """One for all budgets; one a budget where a procedure heads for it."""
        at = self.standpoint(case)
        kept = self.suite.budgets_of(case.model).kept
        budgets = (case.budget,) if case.method.procedure else tuple(kept)
        key = ("path", id(at), case.method.name, case.matched, budgets)
        if case.matched is None:
            return self._once(key, lambda: self._path(case, at, budgets, None))
        own = self.path(replace(case, matched=None))
        control = replace(case, method=MethodSpec(criterion=case.matched))
        return self._once(key, lambda: self._path(control, at, budgets, own))

    def _path(
        self,
        case: Case,
        at: Standpoint,
        budgets: tuple[float, ...],
        matched: PathJob | None,
    ) -> PathJob:
        method, spec = case.method, case.method.procedure
        allowed = self.suite.budgets_of(case.model)
        procedure = self.phase(case, "procedure", spec) if spec else None
        between = method.iterative and method.iterative.recover
        selection = self.suite.selection_of(case.model, method)
        _refuse_misfit(method, selection, allowed, matched is not None)
        _refuse_unfit_training(method, procedure, allowed, selection)
        return PathJob(
            at=at,
            criterion=self.criterion(method),
            cost=allowed.cost,
            budgets=budgets,
            selection=selection,
            iterative=method.iterative,
            matched=matched,
            procedure=procedure,
            between=self.recipe(case, between) if between else None,
        )


class _FidelityMaker(_Maker):
    """Turns the probes of a fidelity suite into trials."""

    def __init__(self, suite: FidelitySuite) -> None:
        super().__init__(suite)
        self.suite = suite

    def trial(self, probe: Probe) -> FidelityJob:
        """Raises PlanError for a selector, which has no scores to be held against anything."""
        criterion = self.criterion(probe.method)
        if registry.find(criterion.name).selector is not None:
            raise PlanError(
                f"method {probe.method.name}: {criterion.name} picks sets and gives no scores, "
                "which `kind: fidelity` asks for; take it out"
            )
        at = self.standpoint(probe)
        return FidelityJob(
            at=at,
            criterion=criterion,
            oracle=self._once(
                ("oracle", id(at.base)), lambda: OracleJob(at.base, self.suite.fidelity)
            ),
            labels=Labels(
                **_names(self.suite, probe),
                method=probe.method.name,
                recovery="none",
                cost=None,
                budget=None,
            ),
        )


def _names(suite: AnySuite, probe: Probe) -> dict[str, Any]:
    """The labels that trials of every kind have."""
    return {
        "suite": suite.suite,
        "dataset": probe.dataset.label or slug(probe.dataset.name),
        "model": probe.model.label or slug(probe.model.name),
        "base": probe.base,
        "repeat": probe.repeat,
    }


def _criterion(method: MethodSpec, per_weight: bool) -> CriterionSpec:
    """Name, all options and source of a method's criterion.

    Raises:
        PlanError: no such criterion or option, or one that does not score what the suite prunes.
    """
    try:
        entry = registry.find(method.criterion)
        options = registry.resolve_options(method.criterion, method.options).model_dump()
        registry.require(entry.name, options, "single weights" if per_weight else "channels")
        source = registry.source_hash(entry.name, options)
    except UnknownCriterion as error:
        near = get_close_matches(method.criterion, named_presets(), n=3)
        meant = f" Of the presets, did you mean {' or '.join(near)}?" if near else ""
        raise PlanError(f"method {method.name}: {error}.{meant}") from error
    except CriteriaError as error:
        raise PlanError(f"method {method.name}: {error}") from error
    return CriterionSpec(entry.name, options, source)


def _refuse_misfit(
    method: MethodSpec, selection: SelectionSpec, budgets: Budgets, matched: bool
) -> None:
    """Selectors and criteria that score take different roads to a budget.

    Raises:
        PlanError: the method has no way to the suite's budgets, or could only ignore a setting.
    """
    try:
        selector = registry.find(method.criterion).selector
    except CriteriaError as error:
        raise PlanError(f"method {method.name}: {error}") from error
    if selector is None:
        if budgets.threshold and not matched:
            raise PlanError(
                f"method {method.name}: budgets.threshold is the knob of selectors "
                f"({_selectors()}), and {method.criterion} scores; give budgets as macs, params or "
                "speedup, or run it as `matched` control of a selector"
            )
        return
    fault: str | None = "picks sets and cannot rank; only criteria that score are matched controls"
    if not matched:
        iterative = method.iterative is not None
        fault = unfit(selector, budgets.cost, budgets.kept, selection.scope, iterative=iterative)
    if fault is not None:
        raise PlanError(f"method {method.name}: {method.criterion} {fault}")


def _refuse_unfit_training(
    method: MethodSpec, procedure: PhaseUse | None, budgets: Budgets, selection: SelectionSpec
) -> None:
    """What trains on its way needs a budget to head for, and may need scores on the way.

    Raises:
        PlanError: says which it lacks.
    """
    trains = procedure is not None or (method.iterative and method.iterative.recover)
    if trains and budgets.cost == "threshold":
        raise PlanError(
            f"method {method.name}: it trains until a budget is met, and budgets.threshold is none;"
            " give macs, params, channels or speedup"
        )
    if procedure is None:
        return
    if method.iterative and not procedure.follows:
        raise PlanError(
            f"method {method.name}: {procedure.name} selects on its way, so `iterative` would mean "
            "nothing; leave it out"
        )
    if procedure.rescores and selection.round_to > 1:
        raise PlanError(
            f"method {method.name}: {procedure.name} chooses single units on its way, and "
            f"selection.round_to = {selection.round_to} wants them in steps; leave round_to out"
        )
    recipe = procedure.recipe
    if procedure.own_rate and recipe and (recipe.schedule != "constant" or recipe.warmup_epochs):
        raise PlanError(
            f"method {method.name}: {procedure.name} has a rhythm of its own, and its recipe a "
            "schedule or a warm-up, which would mean nothing; give it `schedule: constant`"
        )
    if procedure.rescores and registry.find(method.criterion).selector is not None:
        raise PlanError(
            f"method {method.name}: {procedure.name} scores on its way with these options, and "
            f"{method.criterion} picks sets and gives no scores"
        )


def _selectors() -> str:
    return ", ".join(entry.name for entry in registry.criteria() if entry.selector is not None)


def _checkpoint_hash(model: ModelSpec) -> str | None:
    if model.checkpoint is None or "://" in model.checkpoint:
        return model.sha256
    found = _file_hash(Path(model.checkpoint).absolute(), model.name)
    if model.sha256 not in (None, found):
        raise ModelError(
            f"checkpoint {model.checkpoint} has SHA-256 {found}, not {model.sha256} as asked"
        )
    return found


@cache
def _file_hash(path: Path, model: str) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise ModelError(f"checkpoint of {model}: {path}: {error.strerror}") from error
