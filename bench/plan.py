"""The plan: a suite's trials and the work they stand on, as one graph of jobs; done or not."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from traceback import extract_tb
from typing import Any

import numpy as np

from criteria import CriteriaError, load_plugin, registry
from reports.records import Labels, Record, content_key
from suites import Case, Suite, expand
from suites.schema import Budgets, MethodSpec, ModelSpec, SelectionSpec, slug

from .errors import BenchError, ModelError
from .jobs import BaseJob, CriterionSpec, Job, PathJob, ScoresJob, Standpoint, TrialJob
from .knob import unfit
from .store import Store


class PlanError(BenchError):
    """A suite that reads well but cannot be run: unknown criterion, option, dataset or model."""


@dataclass(frozen=True)
class Plan:
    """A suite's trials, in the order of the suite."""

    suite: Suite
    trials: tuple[TrialJob, ...]

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

    def pending(self, store: Store, *, retry_failed: bool = False) -> list[TrialJob]:
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


def _settled(store: Store, trial: TrialJob, retry_failed: bool) -> bool:
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


def make_plan(suite: Suite) -> Plan:
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
    make = _Maker(suite)
    return Plan(suite, tuple(make.trial(case) for case in expand(suite)))


def _known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    import difflib

    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise PlanError(f"there is no {what} {name!r}.{hint} There are: {', '.join(known)}")


class _Maker:
    """Turns cases into jobs; equal jobs are one object, so their keys are hashed once."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite
        self._jobs: dict[Any, Any] = {}

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self._jobs:
            self._jobs[key] = make()
        return self._jobs[key]

    def trial(self, case: Case) -> TrialJob:
        suite = self.suite
        recipe = suite.all_recipes[case.recovery.recipe] if case.recovery.recipe else None
        return TrialJob(
            path=self.path(case),
            budget=case.budget,
            recovery=case.recovery.kind,
            recipe=recipe,
            train_accuracy=suite.train_accuracy,
            latency=suite.latency and not suite.budgets.unstructured,  # masks run on dense kernels
            labels=Labels(
                suite=suite.suite,
                dataset=case.dataset.label or slug(case.dataset.name),
                model=case.model.label or slug(case.model.name),
                method=case.method_name,
                recovery=case.recovery.name,
                cost=suite.budgets.cost,
                budget=case.budget,
                base=case.base,
                repeat=case.repeat,
                matched_to=case.method.name if case.matched else None,
            ),
        )

    def path(self, case: Case) -> PathJob:
        at = self.standpoint(case)
        key = ("path", id(at), case.method.name, case.matched)
        if case.matched is None:
            return self._once(key, lambda: self._path(at, case.method, None))
        own = self.path(replace(case, matched=None))
        control = MethodSpec(criterion=case.matched)
        return self._once(key, lambda: self._path(at, control, own))

    def _path(self, at: Standpoint, method: MethodSpec, matched: PathJob | None) -> PathJob:
        selection = self.suite.selection
        if method.scope:
            selection = selection.model_copy(update={"scope": method.scope})
        _refuse_misfit(method, selection, self.suite.budgets, matched is not None)
        return PathJob(
            at=at,
            criterion=self.criterion(method),
            cost=self.suite.budgets.cost,
            budgets=tuple(self.suite.budgets.kept),
            selection=selection,
            iterative=method.iterative,
            matched=matched,
        )

    def criterion(self, method: MethodSpec) -> CriterionSpec:
        key = ("criterion", method.criterion, content_key(method.options))
        return self._once(key, lambda: _criterion(method, self.suite.budgets.unstructured))

    def standpoint(self, case: Case) -> Standpoint:
        base = self.base(case)
        return self._once(
            ("at", id(base), case.repeat),
            lambda: Standpoint(base, case.repeat, self.suite.calibration),
        )

    def base(self, case: Case) -> BaseJob:
        key = ("base", case.dataset.model_dump_json(), case.model.model_dump_json(), case.base)
        return self._once(key, lambda: self._base(case))

    def _base(self, case: Case) -> BaseJob:
        model = case.model
        recipe = None
        if model.recipe is not False:
            recipe = self.suite.all_recipes[model.recipe or self.suite.base_recipe]
        return BaseJob(case.dataset, model, recipe, case.base, _checkpoint_hash(model))


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


def _selectors() -> str:
    return ", ".join(entry.name for entry in registry.criteria() if entry.selector is not None)


def _checkpoint_hash(model: ModelSpec) -> str | None:
    if model.checkpoint is None:
        return None
    return _file_hash(Path(model.checkpoint).absolute(), model.name)


@cache
def _file_hash(path: Path, model: str) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"checkpoint of {model}: {path}: {error.strerror}") from error


@dataclass(frozen=True)
class JobGraph:
    """What has to run, and after what. Equal jobs are one node.

    Attributes:
        jobs: by key.
        after: key -> keys of the jobs that it waits for.
    """

    jobs: dict[str, Job]
    after: dict[str, list[str]]

    def sorter(self) -> TopologicalSorter[str]:
        return TopologicalSorter(self.after)


def job_graph(trials: Iterable[TrialJob], store: Store) -> JobGraph:
    """The graph of these trials; work that lies in the store is left out."""
    trials = list(trials)
    graph = JobGraph({}, {})
    stored = _Stored(store)
    scores = _scores_jobs(trials, stored)

    def add(job: Job, after: Iterable[Job | None]) -> Job:
        graph.jobs[job.key] = job
        graph.after[job.key] = [one.key for one in after if one is not None]
        return job

    def base(job: BaseJob) -> Job | None:
        if stored.base(job) is not None:
            return None
        return graph.jobs.get(job.key) or add(job, [])

    def path(job: PathJob) -> Job | None:
        if stored.path(job):
            return base(job.at.base)
        if job.key in graph.jobs:
            return graph.jobs[job.key]
        before = [base(job.at.base)]
        scoring = scores.get(job.score_key) if job.needs_scores else None
        if scoring is not None:
            before.append(add(scoring, [base(scoring.at.base)]))
        if job.matched is not None:
            before.append(path(job.matched))
        return add(job, before)

    for trial in trials:
        add(trial, [base(trial.path.at.base), path(trial.path)])
    return graph


class _Stored:
    """What the store holds already; scores and paths count only with the base they stand on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bases: dict[str, str | None] = {}

    def base(self, job: BaseJob) -> str | None:
        """SHA-256 of a stored base's weights; None where there is none."""
        if job.key not in self._bases:
            file = self._store.path("bases", job.key, ".json")
            known = self._store.read_json(file) if file.exists() else {}
            self._bases[job.key] = known.get("sha256")
        return self._bases[job.key]

    def path(self, job: PathJob) -> bool:
        file = self._store.path("paths", job.key, ".json")
        if not file.exists():
            return False
        return self._store.read_json(file).get("base_sha256") == self.base(job.at.base)

    def scores(self, job: PathJob) -> bool:
        file = self._store.path("scores", job.score_key, ".npz")
        if not file.exists():
            return False
        with np.load(file, allow_pickle=False) as stored:
            return str(stored.get("base_sha256")) == self.base(job.at.base)


def _scores_jobs(trials: Iterable[TrialJob], stored: _Stored) -> dict[str, ScoresJob]:
    """One job a standpoint, for all criteria that have no scores there yet; by score key."""
    wanted: dict[tuple[Standpoint, bool], dict[str, CriterionSpec]] = {}
    paths = {trial.path.key: trial.path for trial in trials}
    for path in [*paths.values(), *(one.matched for one in paths.values() if one.matched)]:
        if not path.needs_scores or stored.path(path):
            continue
        if not stored.scores(path):
            wanted.setdefault((path.at, path.unstructured), {})[path.score_key] = path.criterion
    jobs: dict[str, ScoresJob] = {}
    for (at, per_weight), criteria in wanted.items():
        jobs |= dict.fromkeys(criteria, ScoresJob(at, tuple(criteria.values()), per_weight))
    return jobs
