"""What happens to a pruned network before it is measured: nothing, new statistics, or training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from criteria.phases import create_phase
from criteria.recoveries.recovery import Recovery
from criteria.training import Rider
from reports.records import Epoch
from suites import Recipe

from ..plan.jobs import TrialJob
from ..pruning.cost import count_macs, count_params
from ..pruning.cut import EQUAL, difference, refilled
from ..pruning.network import Network, Removed
from ..pruning.selection import InfeasibleBudget
from ..seeds import generator, seed
from ..training.batch_norm import recalibrate_bn
from ..training.measure import evaluate
from ..training.train import Trained, train
from .workspace import Base, Workspace


@dataclass(frozen=True, eq=False)
class Thin:
    """A pruned network, before recovery.

    Attributes:
        sizes: the fields of `Measurements` that recovery does not change.
        removed: of each group, the units that are gone; none of a mask.
        rider: what keeps it pruned while it trains.
        check: raises ArithmeticError where it is no longer as pruned as it was.
    """

    model: nn.Module
    sizes: dict[str, Any]
    removed: Removed = field(default_factory=list)
    rider: Rider = field(default_factory=Rider)
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True, eq=False)
class Recovered:
    """A pruned network, after recovery.

    Attributes:
        history: an entry an epoch.
        images: that it was trained on.
        best_top1: on the test split, of the epoch that was best on validation; shown beside the
            last epoch's. None: no training, or no images held out to choose it by.
    """

    model: nn.Module
    history: list[Epoch] = field(default_factory=list)
    images: int = 0
    best_top1: float | None = None


def recover(
    job: TrialJob, workspace: Workspace, base: Base, network: Network, thin: Thin, used: int
) -> Recovered:
    """Change the pruned network, as the trial's recovery says.

    Args:
        network: in the dense shape, with the weights that `thin` was cut from.
        used: images that the method's own phases were trained on.
    """
    match job.recovery:
        case "none":
            return Recovered(thin.model)
        case "bn":
            images = recalibrate_bn(thin.model, workspace.calibration(job.at, base.data))
            return Recovered(thin.model, images=images)
        case "finetune":
            return _finetune(job, workspace, base, network, thin, used)
    raise ValueError(f"unknown recovery {job.recovery!r}")


def _finetune(
    job: TrialJob, workspace: Workspace, base: Base, network: Network, thin: Thin, used: int
) -> Recovered:
    """Train by the trial's recipe, and in the method's own way where it has one."""
    rider, model = thin.rider, thin.model
    recovery: Recovery | None = None
    if job.finetuning is not None:
        draw = generator("recovery", **job.at.axes)
        rider = recovery = create_phase(
            "recovery", job.finetuning.name, job.finetuning.options, draw
        )
        groups = network.structure.groups
        dense = network.model
        if job.path.trains:  # what has left is zero there, and could not learn
            dense = refilled(dense, base.network.model, groups, thin.removed)
        model = rider.network(model, dense, groups, thin.removed)
    trained = train(
        model,
        base.data,
        _lengthened(job, base, used),
        seed("recovery", **job.at.axes),
        rider,
        teacher=base.trained,
        checkpoint=workspace.checkpoint(job.key, base.sha256),
    )
    best = _at_best_epoch(model, base, trained)
    if recovery is not None:
        model = _merged(job, recovery, model, thin, network)
    return Recovered(model, trained.history, trained.images, best)


def _lengthened(job: TrialJob, base: Base, used: int) -> Recipe:
    """The recipe, with as many epochs as are left of the total, where there is one.

    Raises:
        InfeasibleBudget: the method's own phases have left none.
    """
    assert job.recipe is not None
    if job.total_epochs is None:
        return job.recipe
    own = used / len(base.data.train)
    left = int(job.total_epochs - own + 1e-9)  # no method gets more than the total
    if left < 1:
        raise InfeasibleBudget(
            f"recoveries: total_epochs = {job.total_epochs}, but the phases of this method have "
            f"taken {own:.1f} epochs, which leaves none to finetune; raise it, or shorten the "
            "recipes of `prepare` and `procedure`"
        )
    return job.recipe.model_copy(update={"epochs": left})


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


def _at_best_epoch(model: nn.Module, base: Base, trained: Trained) -> float | None:
    if not trained.best:
        return None
    last = {name: one.clone() for name, one in model.state_dict().items()}
    model.load_state_dict(trained.best)
    top1 = evaluate(model, base.data.test).top1
    model.load_state_dict(last)
    return top1
