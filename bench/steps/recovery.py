"""What happens to a pruned network before it is measured: nothing, new statistics, or training.

Where a recovery is tuned, every method gets as many settings, and validation chooses one of them.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from criteria.network.cut import EQUAL, difference, refilled
from criteria.phases import create_phase
from criteria.recoveries.recovery import Recovery
from criteria.training import Rider
from reports.records import Candidate, Epoch
from suites import Recipe
from suites.protocol import Tune

from ..errors import fault
from ..plan.jobs import TrialJob
from ..pruning.cost import count_macs, count_params
from ..pruning.network import Network, Removed
from ..pruning.selection import InfeasibleBudget
from ..seeds import generator, seed
from ..training.measure import evaluate
from ..training.train import Trained
from .workspace import Base, Workspace


@dataclass(frozen=True, eq=False)
class Thin:
    """A pruned network, before recovery."""

    model: nn.Module
    sizes: dict[str, Any]  # the fields of `Measurements` that recovery does not change
    # Of each group, the units that are gone; none of a mask.
    removed: Removed = field(default_factory=list)
    rider: Rider = field(default_factory=Rider)  # what keeps it pruned while it trains
    # Raises ArithmeticError where it is no longer as pruned as it was.
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True, eq=False)
class Recovered:
    """A pruned network, after recovery."""

    model: nn.Module
    # What its training left behind; of several settings, the one that was chosen, with the images
    # and seconds of all.
    trained: Trained = field(default_factory=Trained)
    # On the test split, of the epoch that was best on validation; shown beside the last epoch's.
    # None: no training, or no images held out to choose it by.
    best_top1: float | None = None
    tuned: list[Candidate] = field(default_factory=list)


def recover(
    job: TrialJob, workspace: Workspace, base: Base, network: Network, thin: Thin, used: int
) -> Recovered:
    """Change the pruned network, as the trial's recovery says.

    `network`: in the dense shape, with the weights that `thin` was cut from. `used`: images that
    the method's own phases were trained on.
    """
    match job.recovery:
        case "none":
            return Recovered(thin.model)
        case "bn":
            images = recalibrate_bn(thin.model, workspace.calibration(job.at, base.data))
            return Recovered(thin.model, Trained(images=images))
    return _finetune(job, workspace, base, network, thin, used)


def _finetune(
    job: TrialJob, workspace: Workspace, base: Base, network: Network, thin: Thin, used: int
) -> Recovered:
    """Train by the trial's recipe, and in the method's own way where it has one."""
    before = copy.deepcopy(thin.model.state_dict())

    def begin() -> tuple[Rider, nn.Module]:
        thin.model.load_state_dict(before)  # nothing is left of a training by another setting
        return _ridden(job, base, network, thin)

    def fit(recipe: Recipe, part: str = "") -> tuple[nn.Module, Rider, Trained]:
        rider, model = begin()
        order = seed("recovery", **job.at.axes)
        return model, rider, workspace.train(model, base, recipe, order, rider, job.key + part)

    recipe, candidates = _lengthened(job, base, used), list[Candidate]()
    if job.tune is None:
        model, rider, trained = fit(recipe)
    else:
        trained, weights, candidates = tuned(job, job.tune, workspace, base, recipe, fit)
        rider, model = begin()
        model.load_state_dict(weights)
    model.eval()
    best = None
    if trained.best:
        kept = copy.deepcopy(model)
        kept.load_state_dict(trained.best)
        best = evaluate(kept, base.data.test, base.data.task).primary
    if isinstance(rider, Recovery):
        model = _merged(job, rider, model, thin, network)
    return Recovered(model, trained, best, candidates)


def _ridden(job: TrialJob, base: Base, network: Network, thin: Thin) -> tuple[Rider, nn.Module]:
    """What rides on the finetuning, and the network to train."""
    if job.finetuning is None:
        return thin.rider, thin.model
    draw = generator("recovery", **job.at.axes)
    recovery = create_phase("recovery", job.finetuning.name, job.finetuning.options, draw)
    groups, dense = network.structure.groups, network.model
    if job.path.trains:  # what has left is zero there, and could not learn
        dense = refilled(dense, base.network.model, groups, thin.removed)
    return recovery, recovery.network(thin.model, dense, groups, thin.removed)


def _lengthened(job: TrialJob, base: Base, used: int) -> Recipe:
    """The recipe, with as many epochs as are left of a total; InfeasibleBudget where none is."""
    assert job.recipe is not None
    if job.total_epochs is None:
        return job.recipe
    own = used / job.recipe.images_an_epoch(len(base.data.train))
    left = int(job.total_epochs - own + 1e-9)  # no method gets more than the total
    if left < 1:
        raise InfeasibleBudget(fault("lengthened", total_epochs=job.total_epochs, own=own))
    return job.recipe.lasting(left)


def _merged(
    job: TrialJob, recovery: Recovery, trained: nn.Module, thin: Thin, network: Network
) -> nn.Module:
    """The plain network that a recovery ends with; it must be what it was, and of the same size."""
    plain = recovery.merged(trained)
    sizes = {"macs": count_macs(plain, network.inputs), "params": count_params(plain)}
    for what, found in sizes.items():
        if found != thin.sizes[what]:
            raise ArithmeticError(f"{job}: {found} {what} after merging, {thin.sizes[what]} before")
    apart = difference(trained, plain, network.inputs)
    if apart > EQUAL:
        raise ArithmeticError(f"{job}: merging changes the outputs by {apart:.1e} of their size")
    return plain


def recalibrate_bn(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> int:
    """Take the statistics of all batch norms anew from the given images; returns their number.

    Every batch counts alike, as in a plain mean over batches.
    """
    norms = [each for each in model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's cumulative mean
        norm.train()
    with torch.no_grad():
        for images, _ in batches:
            model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
    return sum(len(labels) for _, labels in batches)


def tuned(
    job: TrialJob,
    tune: Tune,
    workspace: Workspace,
    base: Base,
    recipe: Recipe,
    fit: Callable[[Recipe, str], tuple[nn.Module, Any, Trained]],
) -> tuple[Trained, dict[str, Tensor], list[Candidate]]:
    """Finetune by each setting drawn; whose last epoch is best on validation, or first of equals.

    The draw depends on base and repeat alone, so all methods are tried by the same. A setting whose
    loss is no finite number has lost, and counts as if it had trained to its end.

    `fit`: trains the pruned network anew; the text tells checkpoints of one trial apart.

    Returns:
        the winner's training with the images and seconds of all, its weights, and all settings.

    Raises FloatingPointError where the loss of every setting is not finite.
    """
    grid = tune.grid
    draw = torch.randperm(len(grid), generator=generator("tune", **job.at.axes))
    settings = [grid[place] for place in draw[: tune.trials].tolist()]
    done = workspace.checkpoint(f"{job.key}-tuned", base.sha256)
    state: dict[str, Any] = done.load() or {"tops": [], "images": 0, "seconds": 0.0, "best": None}
    tops = state["tops"]
    for at in range(len(tops), tune.trials):
        chosen, top1 = recipe.changed(settings[at]), None
        start = time.perf_counter()
        try:
            model, _, found = fit(chosen, f"-part{at}")
        except FloatingPointError:
            state["images"] += chosen.epochs * chosen.images_an_epoch(len(base.data.train))
            state["seconds"] += time.perf_counter() - start
        else:
            top1 = found.history[-1].validation_top1
            if all(one is None or one < top1 for one in tops):
                history = [one.model_dump() for one in found.history]
                weights = copy.deepcopy(model.state_dict())
                state["best"] = (at, history, found.best, weights)
            state["images"] += found.images
            state["seconds"] += found.seconds
        tops.append(top1)
        done.save(state)
    if state["best"] is None:
        raise FloatingPointError(fault("none_tuned", over=", ".join(tune.over)))
    won, history, at_best, weights = state["best"]
    candidates = [
        Candidate(settings=one, validation_top1=top1, won=at == won)
        for at, (one, top1) in enumerate(zip(settings, tops, strict=True))
    ]
    epochs = [Epoch(**one) for one in history]
    return Trained(epochs, at_best, state["images"], state["seconds"]), weights, candidates
