"""Methods that read well and cannot run as the suite asks: faults, said before anything runs."""

from collections.abc import Iterator

from criteria import CriteriaError, Selector, registry
from criteria.lazy import torch
from criteria.phases import create_phase
from criteria.procedures.procedure import Ground
from reports.formats import counted
from reports.metric import TOP1, Metric
from suites import AnySuite, Recipe, Suite
from suites.faults import fault
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
            yield fault("threshold", some=some, criterion=method.criterion)
    elif matched:
        yield fault("matched_selector", criterion=method.criterion)
    else:
        asked = (budgets.cost, budgets.kept, selection.scope, selection.emptied)
        if misfit := unfit(selector, *asked, iterative=method.iterative is not None):
            yield f"{method.criterion} {misfit}"


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
        yield fault("until_threshold")
    if procedure is None:
        return
    if method.iterative and not procedure.follows:
        yield fault("own_way", name=procedure.name)
    if procedure.rescores and selection.round_to > 1:
        yield fault("single_units", name=procedure.name, round_to=selection.round_to)
    recipe = procedure.recipe
    if procedure.own_rate and recipe and (recipe.schedule != "constant" or recipe.warmup_epochs):
        yield fault("own_rhythm", name=procedure.name)
    if procedure.rescores and selector is not None:
        yield fault("no_scores", name=procedure.name, criterion=method.criterion)


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
    recipe = procedure.recipe
    steps, epochs = recipe.epochs * recipe.batches(extent.train), counted(recipe.epochs, "epoch")
    try:
        create_phase("procedure", procedure.name, procedure.options, nowhere).check_length(steps)
    except CriteriaError as error:
        yield fault("too_short", epochs=epochs, title=dataset.title, steps=steps, why=error)


def shared_metric(suite: AnySuite) -> Metric:
    """What all networks of a suite are compared by. Raises PlanError where its tasks are several,
    or its ROPE is the default of another unit."""
    tasks = {one.title: task_of(one) for one in suite.datasets}
    if len({one.name for one in tasks.values()}) > 1:
        said = ", ".join(f"{title} is for {one.name}" for title, one in tasks.items())
        raise PlanError(fault("several_tasks", said=said))
    metric = next(iter(tasks.values())).metric
    unsaid = isinstance(suite, Suite) and "rope" not in suite.analysis.model_fields_set
    if unsaid and metric.point != TOP1.point:
        raise PlanError(fault("unsaid_rope", metric=metric, usual=TOP1))
    return metric


def refuse_misfits(recipe: Recipe | Alteration, dataset: DatasetSpec, where: str) -> None:
    """Raises PlanError for what means nothing for the task of a dataset, and for a training without
    a step, where the data's size is known."""
    task, extent = task_of(dataset), dataset_size(dataset)
    try:
        if extent is not None and isinstance(recipe, Recipe):
            recipe.batches(extent.train)
    except ValueError as error:
        raise PlanError(f"{dataset.title}: {error}") from error
    for key, why in task.unfit.items():
        given = getattr(recipe, key, None)
        if given and not (key == "augment" and given is True):
            where = f"{where} on {dataset.title} ({task.name})"
            raise PlanError(f"{where}: {key} = {given}: {why}; leave it out")
