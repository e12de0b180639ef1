"""What can be known before anything is pruned: of data, networks and budgets before anything runs,
and of trained bases, of which guessing ones show nothing."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import torch
from rich.console import Console

from criteria import StructureError
from criteria.network.given import copied
from reports.formats import few
from suites import AnySuite, Recipe

from ..data.known import task_of
from ..errors import BenchError, ModelError, fault
from ..plan.jobs import BaseJob, Job, Trial, TrialJob
from ..plan.uses import PhaseUse
from ..pruning.masks import weight_groups, weights_kept
from ..pruning.network import Network, Rules
from ..pruning.selection import InfeasibleBudget, made_in
from ..pruning.sound import examine
from ..steps.paths import rules_of
from ..steps.perform import start
from ..steps.workspace import Settings
from ..store.sealed import read_json
from ..store.store import Store
from ..terminal import say


class Examined(NamedTuple):
    """What accuracies are of: so many images, of so many classes."""

    images: int
    classes: int


def preflight(trials: Iterable[Trial], settings: Settings) -> dict[str, Examined]:
    """Load every dataset and build and trace every model once, before any work is spent on them.

    Returns:
        The test split of each dataset, by the JSON of what the suite says of it.

    Raises:
        DataError, ModelError: missing data, an unreadable or mismatching checkpoint, a limit on a
            layer that is not there, a batch of one image that a network cannot be trained on.
        StructureError: a network that cannot be pruned rightly.
        InfeasibleBudget: a budget that the limits of the suite put out of reach.
    """
    workspace = start(settings)
    trials = sorted(trials, key=lambda one: not one.at.images)  # first those with images to look at
    for _, stored in _bases(trials):
        workspace.same_images(stored)
    seen: dict[tuple[str, str], Network] = {}
    alone: dict[tuple[str, str], int] = {}  # images that a problem is trained on, until checked
    checked: set[tuple[str, str, float, str]] = set()
    splits = {}
    for trial in trials:
        base = trial.at.base
        problem = (base.dataset.model_dump_json(), base.model.model_dump_json())
        if problem not in seen:
            data = workspace.dataset(base)
            splits[problem[0]] = Examined(len(data.test), data.classes)
            alone[problem] = len(data.train)
            seen[problem] = workspace.trace(base, workspace.fresh_model(base, data).eval(), data)
            try:
                examine(seen[problem])
            except StructureError as error:
                raise StructureError(f"{trial.labels.problem}: {error}") from error
            workspace.calibration(trial.at, data)
        for recipe in _recipes(trial) if problem in alone else ():
            if not recipe.drop_last and alone[problem] % recipe.batch_size == 1:
                _check_one_image(trial, recipe, seen[problem])
                del alone[problem]
                break
        if not isinstance(trial, TrialJob) or trial.path.cost in ("threshold", "latency", "memory"):
            continue  # there is no budget to be out of reach, or it is not known before paths are
        rules = None if trial.path.unstructured else rules_of(trial.path)
        case = (*problem, trial.budget, str(rules))
        if case in checked:
            continue
        checked.add(case)
        network = seen[problem]
        if rules is None:  # single weights leave, limited by their number
            groups = weight_groups(network.model, network.inputs)
            weights_kept(sum(group.units for group in groups), trial.budget)
        else:
            _check_layers(trial, network, rules)
            _reachable(trial, network, rules)
    return splits


def _recipes(job: Job) -> Iterator[Recipe]:
    """Of all training that a job and what it stands on does."""
    for one in (each for made in (job, *job.below) for each in vars(made).values()):
        recipe = one.recipe if isinstance(one, PhaseUse) else one
        if isinstance(recipe, Recipe):
            yield recipe


def _check_one_image(trial: Trial, recipe: Recipe, network: Network) -> None:
    """Raises ModelError for a network that cannot be trained on the one image of a last batch."""
    one = network.inputs[0][:1]
    try:
        with torch.no_grad():
            copied(network.model).train()(one)
    except ValueError as error:
        said = fault("check_one_image", trial=trial, recipe=recipe, error=error)
        raise ModelError(said) from error


def _check_layers(trial: TrialJob, network: Network, rules: Rules) -> None:
    """Raises ModelError for limits that would hold for nothing."""
    groups = network.structure.groups
    for place in rules.limits.layers:
        if not any(made_in(group, place) for group in groups):
            roots = ", ".join(one.root for one in groups)
            raise ModelError(fault("no_layers", place=place, trial=trial, roots=roots))


def _reachable(trial: TrialJob, network: Network, rules: Rules) -> None:
    """The limits alone decide what is the least that can be left; scores do not matter."""
    groups = network.structure.groups
    spare = torch.tensor([group.units - rules.limits.floor(group) for group in groups])
    cost = network.cost.of(rules.cost)
    least, target = cost(spare), network.cost.target(rules.cost, trial.budget)
    if least > target:
        free = cost(torch.tensor([group.units - 1 for group in groups]))
        whole = [f"{root} ({why})" for root, why in network.structure.refused.items()]
        loosen = ", or loosen selection.protect, min_channels, round_to, layers or coupled"
        hint = f"; these layers are kept whole: {few(whole)}" if free > target else loosen
        share = least / cost(torch.zeros_like(spare))
        said = fault("out_of_reach", cost=rules.cost, trial=trial, least=share, hint=hint)
        raise InfeasibleBudget(said)


def inspect_bases(
    suite: AnySuite,
    trials: Iterable[Trial],
    splits: Mapping[str, Examined],
    store: Store,
    console: Console,
    *,
    allow_untrained: bool,
) -> None:
    """Say how well the trained bases of these trials do, those to go, a line a problem.

    `splits` are those of `preflight`. Bases that are missing have failed, which is told elsewhere.
    Networks that the suite prunes untrained are not looked at, but the dense ones that they are
    held against.

    Raises BenchError where some are near chance, which is allowed where `allow_untrained`, and in a
    rehearsal, whose numbers mean nothing.
    """
    found: dict[str, list[float]] = {}
    guessing: dict[str, int] = {}  # problem -> its classes
    task = task_of(suite.datasets[0])  # a suite has one metric
    for problem, base in _bases(trials):
        if (made := read_json(store.path("bases", base.key, ".json"))) is None:
            continue
        split, top1 = splits[base.dataset.model_dump_json()], made["accuracy"]["top1"]
        found.setdefault(problem, []).append(top1)
        if task.near_chance(top1, split.classes, split.images):
            guessing[problem] = split.classes
    said = partial(task.metric.said, fewer=1)
    for problem, values in found.items():
        some = ", of the bases with trials to go" if len(values) < suite.bases else ""
        say(console, f"{problem}: {said(*values)} on the test split{some}")
    if not guessing:
        return
    worst = "; ".join(
        f"{problem}: {said(*found[problem])}, and guessing among its {classes} classes "
        f"gives {said(task.chance(classes))}"
        for problem, classes in guessing.items()
    )
    if allow_untrained or suite.rehearsal:
        why = "--allow-untrained" if allow_untrained else "a rehearsal"
        say(console, (f"bases near chance, which {why} lets pass: {worst}", "yellow"))
        return
    raise BenchError(fault("inspect_bases", worst=worst, root=store.root / "bases"))


def _bases(trials: Iterable[Trial]) -> Iterable[tuple[str, BaseJob]]:
    """Each once, with its problem; of those pruned untrained the dense ones, by recovery."""
    seen = {}
    for trial in trials:
        base, problem = trial.at.base, trial.labels.problem
        if not isinstance(base, BaseJob):
            base = base.base
        if isinstance(trial, TrialJob) and trial.dense is not None:
            base, problem = trial.dense, f"{problem}, {trial.labels.recovery}"
        if base.recipe is not None or base.model.given:
            seen[base.key] = (problem, base)
    return seen.values()
