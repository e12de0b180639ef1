"""Methods that read well and cannot run as the suite asks: faults, said before anything runs."""

from collections.abc import Iterator

from criteria import CriteriaError, Selector, registry
from criteria.lazy import torch
from criteria.phases import create_phase
from criteria.procedures.procedure import Ground
from reports.formats import counted
from reports.metric import TOP1, Metric
from suites import AnySuite, Recipe, Suite
from suites.method import MethodSpec
from suites.problem import DatasetSpec
from suites.protocol import Budgets, SelectionSpec
from suites.recipe import Alteration

from ..data.known import task_of
from ..errors import PlanError
from ..pruning.thresholds import unfit
from .sizes import dataset_size
from .uses import PhaseUse


def off_the_road(
    method: MethodSpec,
    selector: type[Selector] | None,
    selection: SelectionSpec,
    budgets: Budgets,
    matched: bool,
) -> Iterator[str]:
    """Selectors and criteria that score take different roads to a budget."""
    if selector is None:
        if budgets.threshold and not matched:
            some = ", ".join(one.name for one in registry.criteria() if one.selector is not None)
            yield (
                f"budgets.threshold is a setting of selectors ({some}), and {method.criterion} "
                "scores; give budgets as macs, params or speedup, or run it as `matched` control "
                "of a selector"
            )
    elif matched:
        yield (
            f"{method.criterion} picks sets and cannot rank; only criteria that score are matched "
            "controls"
        )
    else:
        asked = (budgets.cost, budgets.kept, selection.scope, selection.emptied)
        if fault := unfit(selector, *asked, iterative=method.iterative is not None):
            yield f"{method.criterion} {fault}"


def unfit_training(
    method: MethodSpec,
    selector: type[Selector] | None,
    procedure: PhaseUse | None,
    selection: SelectionSpec,
    budgets: Budgets,
) -> Iterator[str]:
    """What trains on its way needs a budget to head for, and may need scores on the way."""
    trains = procedure is not None or (method.iterative and method.iterative.trains)
    if trains and budgets.cost == "threshold":
        yield (
            "it trains until a budget is met, and budgets.threshold is none; give macs, params, "
            "channels or speedup"
        )
    if procedure is None:
        return
    if method.iterative and not procedure.follows:
        yield (
            f"{procedure.name} selects on its way, so `iterative` would mean nothing; leave it out"
        )
    if procedure.rescores and selection.round_to > 1:
        yield (
            f"{procedure.name} chooses single units on its way, and selection.round_to = "
            f"{selection.round_to} wants them in steps; leave round_to out"
        )
    recipe = procedure.recipe
    if procedure.own_rate and recipe and (recipe.schedule != "constant" or recipe.warmup_epochs):
        yield (
            f"{procedure.name} has a rhythm of its own, and its recipe a schedule or a warm-up, "
            "which would mean nothing; give it `schedule: constant`"
        )
    if procedure.rescores and selector is not None:
        yield (
            f"{procedure.name} scores on its way with these options, and {method.criterion} picks "
            "sets and gives no scores"
        )


def too_short(procedure: PhaseUse | None, dataset: DatasetSpec) -> Iterator[str]:
    """A training that is too short for the procedure's options, where the data's size is known."""
    extent = dataset_size(dataset)
    if extent is None or procedure is None or procedure.recipe is None:
        return
    nowhere = Ground(
        groups=(),
        budget=1.0,
        doomed=[],
        score=lambda model, removed: [],
        select=lambda scores, share: [],
        share=lambda removed: 1.0,
        generator=torch.Generator(),
    )
    steps, epochs = extent.steps(procedure.recipe), procedure.recipe.epochs
    try:
        create_phase("procedure", procedure.name, procedure.options, nowhere).check_length(steps)
    except CriteriaError as error:
        yield (
            f"its recipe has {counted(epochs, 'epoch')} on {dataset.title}, which are {steps} "
            f"steps. {error}"
        )


def shared_metric(suite: AnySuite) -> Metric:
    """What all networks of a suite are compared by.

    Raises:
        PlanError: its datasets are for several tasks, or its ROPE is the default of another unit.
    """
    tasks = {one.title: task_of(one) for one in suite.datasets}
    if len({one.name for one in tasks.values()}) > 1:
        said = ", ".join(f"{title} is for {one.name}" for title, one in tasks.items())
        raise PlanError(
            f"datasets: {said}. Metrics of several tasks have no mean; give each task a suite"
        )
    metric = next(iter(tasks.values())).metric
    unsaid = isinstance(suite, Suite) and "rope" not in suite.analysis.model_fields_set
    if unsaid and metric.point != TOP1.point:
        raise PlanError(
            f"analysis.rope: give the largest difference that does not matter, in {metric.points} "
            f"of {metric.title}; its default is of {TOP1.points} of {TOP1.quality}"
        )
    return metric


def refuse_misfits(recipe: Recipe | Alteration, dataset: DatasetSpec, where: str) -> None:
    """Raises PlanError for what means nothing for the task of a dataset."""
    task = task_of(dataset)
    for fault in task.misfits(recipe):
        raise PlanError(f"{where} on {dataset.title} ({task.name}): {fault}")


def refuse_no_batch(recipe: Recipe, dataset: DatasetSpec) -> None:
    """Raises PlanError for a training without a step, where the data's size is known."""
    extent = dataset_size(dataset)
    try:
        if extent is not None:
            recipe.batches(extent.train)
    except ValueError as error:
        raise PlanError(f"{dataset.title}: {error}") from error
