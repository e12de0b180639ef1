"""How much work a job is: the images that pass through networks, and the arithmetic of that.

A training step is three forward passes: its own, and a backward pass of twice its MACs. What a
budget leaves of the cost is taken for what it leaves of the MACs; of masks, which run on dense
kernels, and of a knob's settings, nothing is. Tracing, cutting, timing and loading are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import add
from pathlib import Path
from typing import NamedTuple, assert_never

from criteria import registry
from criteria.evidence.needs import BACKWARD, Need
from suites import Recipe

from ..store.store import Store
from . import jobs
from .sizes import DatasetSize, ModelSize, dataset_size, model_size
from .uses import CriterionSpec

TRAINING = 3.0  # forward passes that a training step is worth
HESSIAN = 6.0  # that a Hessian-vector product is worth, beside the gradient


class Load(NamedTuple):
    """What one job processes."""

    # scored, trained, evaluated: images
    scored: int = 0
    trained: int = 0
    evaluated: int = 0
    passes: float = 0.0  # forward passes of one image, or as much work
    macs: float = 0.0  # of all of them

    def __add__(self, other: Load) -> Load:  # type: ignore[override]  # no longer tuple
        return Load(*map(add, self, other))


@dataclass(frozen=True)
class Throughput:
    """What a GPU is taken to do."""

    # Floating-point operations a second, 10^12, as reached and not as advertised.
    tflops: float = 20.0
    # Forward passes a second, however small the network: small ones wait for kernels to start, not
    # for arithmetic.
    ceiling: float = 20_000.0

    def seconds(self, load: Load) -> float:
        return max(2 * load.macs / (1e12 * self.tflops), load.passes / self.ceiling)


@dataclass(frozen=True)
class Work:
    """The work of many jobs together."""

    load: Load
    hours: float  # of one GPU
    unknown: frozenset[str]  # datasets of which the size is not known; their jobs are not in it


def work_of(
    todo: Iterable[jobs.Job],
    throughput: Throughput,
    data_root: Path | None = None,
    store: Store | None = None,
) -> Work:
    """The work of jobs, each once; sizes of networks are kept in `store`."""
    load, seconds, unknown = Load(), 0.0, set()
    for job in todo:
        if (job_load := load_of(job, data_root, store)) is None:
            dataset = dense_of(job).dataset
            unknown.add(dataset.label or dataset.root or dataset.name)
            continue
        load += job_load
        seconds += throughput.seconds(job_load)
    return Work(load, seconds / 3600, frozenset(unknown))


def load_of(
    job: jobs.Job, data_root: Path | None = None, store: Store | None = None
) -> Load | None:
    """The work of a job, that of the jobs it waits for excluded; None where its data's size is
    not known."""
    dense = dense_of(job)
    if (extent := dataset_size(dense.dataset, data_root)) is None:
        return None
    problem = _Problem(extent, model_size(dense.model, extent, store))
    match job:
        case jobs.BaseJob():
            return problem.trained(job.recipe) + problem.measured()
        case jobs.PreparedJob():
            return problem.trained(job.prepare.recipe) + problem.measured()
        case jobs.EarlyJob():
            return problem.trained(job.base.recipe, epochs=job.epoch)
        case jobs.ScoresJob():
            return problem.scored(job.at.images, job.criteria)
        case jobs.PathJob():
            return _path(job, problem)
        case jobs.OracleJob():
            units = job.oracle.units or problem.size.channels
            images = min(job.oracle.images or extent.validation, extent.validation)
            return problem.evaluated((units + 1) * images)
        case jobs.TrialJob():
            return _trial(job, problem)
        case jobs.TimingJob() | jobs.FidelityJob():
            return Load()  # of shapes not known yet, each once; the other compares numbers
        case _:
            assert_never(job)


def dense_of(job: jobs.Job) -> jobs.DenseJob:
    """The dense network that a job trains or works on."""
    return job if isinstance(job, jobs.DenseJob) else dense_of(job.stands_on[0])


@dataclass(frozen=True)
class _Problem:
    extent: DatasetSize
    size: ModelSize

    def evaluated(self, images: int, share: float = 1.0) -> Load:
        return Load(evaluated=images, passes=images, macs=images * share * self.size.macs)

    def measured(self, share: float = 1.0) -> Load:
        """Accuracy on validation and test."""
        return self.evaluated(self.extent.validation + self.extent.test, share)

    def trained(self, recipe: Recipe | None, share: float = 1.0, epochs: int | None = None) -> Load:
        """A training of so many epochs, of the recipe's where these are None.

        It looks at validation each epoch; a teacher runs forward beside it.
        """
        if recipe is None:
            return Load()
        epochs = recipe.epochs if epochs is None else epochs
        images = epochs * recipe.images_an_epoch(self.extent.train)
        taught = float(recipe.distill is not None)
        passes, work = images * (TRAINING + taught), images * (TRAINING * share + taught)
        looks = self.evaluated(epochs * self.extent.validation, share)
        return Load(trained=images, passes=passes, macs=work * self.size.macs) + looks

    def scored(self, images: int, criteria: Iterable[CriterionSpec], share: float = 1.0) -> Load:
        each = passes_of(criteria)
        seen = images if each else 0
        return Load(scored=seen, passes=each * seen, macs=each * seen * share * self.size.macs)


def passes_of(criteria: Iterable[CriterionSpec]) -> float:
    """Forward passes that one image is worth when all of these score in one pass."""
    needs = Need.WEIGHTS
    for one in criteria:
        needs |= registry.needed(one.name, one.options)
    if not needs:
        return 0.0
    gradients = TRAINING if needs & (BACKWARD | Need.CURVATURE) else 1.0
    return gradients + (HESSIAN if needs & Need.CURVATURE else 0.0)


def _stops(job: jobs.PathJob) -> list[float]:
    """Where an iterative path stops; none of another."""
    return job.schedule.stops(job.budgets) if job.schedule else []


def _share(job: jobs.PathJob, kept: float) -> float:
    return 1.0 if job.cost in ("weights", "threshold") else kept


def _path(job: jobs.PathJob, problem: _Problem) -> Load:
    """Scoring on its way, and training between steps or by a procedure."""
    load, scored = Load(), [1.0, *_stops(job)][:-1]
    if job.procedure and job.procedure.rescores:
        scored.append(1.0)
    for left in scored:
        load += problem.scored(job.at.images, [job.criterion], _share(job, left))
    for left, recipe in _trainings(job):
        load += problem.trained(recipe, _share(job, left))
    return load


def _trainings(job: jobs.PathJob) -> Iterator[tuple[float, Recipe]]:
    """What a path trains by, and what is left then: all by a procedure, less between steps."""
    if job.procedure is not None and job.procedure.recipe:
        yield 1.0, job.procedure.recipe
    if job.iterative is not None and job.between is not None:
        everywhere = job.iterative.recover_at == "steps"
        for stop in _stops(job):
            if everywhere or stop in job.budgets:
                yield stop, job.between


def prepared_epochs(job: jobs.PathJob) -> int:
    """Epochs of the training between the base and scoring."""
    base = job.at.base
    recipe = base.prepare.recipe if isinstance(base, jobs.PreparedJob) else None
    return recipe.epochs if recipe else 0


def own_epochs(job: jobs.PathJob, budget: float) -> int:
    """Epochs of a method's own phases since the base, up to a budget."""
    trained = sum(recipe.epochs for left, recipe in _trainings(job) if left >= budget)
    return prepared_epochs(job) + trained


def recovery_epochs(job: jobs.TrialJob) -> int:
    """Epochs of finetuning, by all settings that are tried; what is left of the total, where the
    suite gives one."""
    if job.recipe is None:
        return 0
    if job.total_epochs is None:
        return job.recipe.epochs * (job.tune.trials if job.tune else 1)
    return max(job.total_epochs - own_epochs(job.path, job.budget), 0)


def _trial(job: jobs.TrialJob, problem: _Problem) -> Load:
    share, load = _share(job.path, job.budget), Load()
    load += problem.measured(share)
    if job.recovery == "bn":
        load += problem.evaluated(job.at.images, share)
    if job.recipe is not None:
        load += problem.trained(job.recipe, share, recovery_epochs(job))
        load += problem.evaluated(problem.extent.test, share)  # the epoch that was best
    if job.train_accuracy:
        load += problem.evaluated(problem.extent.train, share)
    return load
