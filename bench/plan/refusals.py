"""Methods that read well and cannot run as the suite asks: said before anything runs."""

from criteria import CriteriaError, registry
from criteria.lazy import torch
from criteria.phases import create_phase
from criteria.procedures.procedure import Ground
from suites import Recipe
from suites.method import MethodSpec
from suites.problem import DatasetSpec
from suites.protocol import Budgets, SelectionSpec

from ..errors import PlanError
from ..pruning.thresholds import unfit
from .sizes import dataset_size
from .uses import PhaseUse


def refuse_misfit(
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
            some = ", ".join(one.name for one in registry.criteria() if one.selector is not None)
            raise PlanError(
                f"method {method.name}: budgets.threshold is a setting of selectors "
                f"({some}), and {method.criterion} scores; give budgets as macs, params or "
                "speedup, or run it as `matched` control of a selector"
            )
        return
    fault: str | None = "picks sets and cannot rank; only criteria that score are matched controls"
    if not matched:
        iterative = method.iterative is not None
        fault = unfit(
            selector,
            budgets.cost,
            budgets.kept,
            selection.scope,
            selection.emptied,
            iterative=iterative,
        )
    if fault is not None:
        raise PlanError(f"method {method.name}: {method.criterion} {fault}")


def refuse_unfit_training(
    method: MethodSpec, procedure: PhaseUse | None, budgets: Budgets, selection: SelectionSpec
) -> None:
    """What trains on its way needs a budget to head for, and may need scores on the way.

    Raises:
        PlanError: says which it lacks.
    """
    trains = procedure is not None or (method.iterative and method.iterative.trains)
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


def refuse_too_short(method: MethodSpec, procedure: PhaseUse, dataset: DatasetSpec) -> None:
    """A training that is too short for the procedure's options, where the data's size is known.

    Raises:
        PlanError: says how long it would have to be.
    """
    extent = dataset_size(dataset)
    if extent is None or procedure.recipe is None:
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
        raise PlanError(
            f"method {method.name}: its recipe has {epochs} epoch{'s' if epochs > 1 else ''} on "
            f"{dataset.title}, which are {steps} steps. {error}"
        ) from error


def refuse_no_batch(recipe: Recipe, dataset: DatasetSpec) -> None:
    """Raises PlanError for a training without a step, where the data's size is known."""
    extent = dataset_size(dataset)
    try:
        if extent is not None:
            recipe.batches(extent.train)
    except ValueError as error:
        raise PlanError(f"{dataset.title}: {error}") from error
