"""Paths that train: while units leave (a procedure), or between the steps of an iterative one.

Such a path stores the weights that it has at a budget, in the dense network's shape, at zero where
units have left. A procedure heads for one budget; an iterative path visits all.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from criteria import NotApplicable
from criteria.evidence.meter import Cost
from criteria.network.cut import EQUAL, cut, difference, uncut
from criteria.network.member import complement
from criteria.phases import create_phase
from criteria.procedures.procedure import Ground, Procedure
from criteria.registry import find
from criteria.training import Rider

from ..errors import fault
from ..plan.jobs import PathJob
from ..pruning.choose import selected
from ..pruning.masks import Holder, Masks, check_held, masked
from ..pruning.network import Network, Removed, Rules
from ..pruning.selection import InfeasibleBudget
from ..seeds import generator, seed
from ..store.weights import load_weights, save_weights, trained_file
from .scores import Rescore
from .workspace import Base, Workspace


@dataclass(eq=False)
class Training:
    """What a path's training has come to."""

    model: nn.Module | None = None  # in the dense network's shape; None until the budget is reached
    images: int = 0  # that were trained on
    seconds: float = 0.0  # of training, without scoring
    # What the procedure has to say for the record.
    notes: dict[str, float] = field(default_factory=dict)


def _check_left(job: PathJob, ground: Ground, rules: Rules, removed: Removed) -> None:
    """The budget must be met, and the limits kept, by whatever way units were chosen."""
    left = ground.share(removed)
    most = ground.budget if rules.limits.emptied == "floor" else 1.0  # what is skipped may miss it
    if not ground.budget - rules.tolerance <= left <= most + 1e-9:
        raise ArithmeticError(f"{job}: {left:.2%} of the cost is left, not {ground.budget:.2%}")
    for group, gone in zip(ground.groups, removed, strict=True):
        kept, limits = group.units - len(gone), rules.limits
        floor, steps = limits.floor(group), limits.steps(group)
        if kept < floor or len(gone) % steps:
            at = {"job": job, "kept": kept, "group": group, "floor": floor, "steps": steps}
            raise ArithmeticError(fault("check_left", **at))


def _ground(
    job: PathJob, network: Network, rules: Rules, doomed: Removed | None, score: Rescore
) -> Ground:
    groups = network.structure.groups
    cost = network.cost.of(rules.cost)
    whole = cost(torch.zeros(len(groups)))
    # Of channels, the target is a whole number of them.
    most = network.cost.target(rules.cost, job.budgets[0]) / whole

    def select(values: Sequence[Tensor], share: float) -> Removed:
        try:
            return selected(network, values, share, rules)
        except InfeasibleBudget:
            if share >= most:
                raise
            return selected(network, values, job.budgets[0], rules)  # nobody asked for less

    def scores(model: nn.Module, gone: Removed) -> list[Tensor]:
        if find(job.criterion.name).selector is not None:
            raise NotApplicable(f"{job.criterion.name} picks sets and cannot score what is left")
        now = replace(network, model=model)
        if any(len(one) for one in gone):
            now = now.without(gone)
        spread = []  # scores of what is left, at their places in the dense network's groups
        found = score(now.model, now.structure.groups)
        for group, left, values in zip(groups, gone, found, strict=True):
            whole = torch.full((group.units,), -torch.inf, dtype=torch.float64)
            whole[complement(group.units, left)] = values.double()
            spread.append(whole)
        return spread

    return Ground(
        groups=groups,
        budget=most,
        doomed=doomed,
        score=scores,
        select=select,
        share=lambda gone: cost(torch.tensor([len(one) for one in gone])) / whole,
        generator=generator("procedure", **job.at.axes),
    )


def _check_gone(job: PathJob, network: Network, model: nn.Module, removed: Removed) -> None:
    """Cutting what has left must change nothing; where a layer norm spans it, it does by nature."""
    groups = network.structure.groups
    plain = [
        one[:0] if group.normalizes_over_channels else one
        for group, one in zip(groups, removed, strict=True)
    ]
    apart = difference(model, replace(network, model=model).cut(plain), network.inputs)
    if apart > EQUAL:
        raise ArithmeticError(fault("check_gone", job=job, apart=apart))


@dataclass(eq=False)
class PathTraining:
    """All training of a path: by a procedure, or at the stops of an iterative one.

    Where a resumed path has trained before, it takes what came of that and goes on.
    """

    job: PathJob
    workspace: Workspace
    base: Base
    # By budget, what all of it has come to there.
    trainings: dict[float, Training] = field(default_factory=dict)
    _so_far: Training = field(default_factory=Training)

    def ride(self, rules: Rules, doomed: Removed | None, score: Rescore, cost: Cost) -> Removed:
        """Train while units leave.

        Args:
            doomed: what the criterion removes from the dense network, where the procedure follows.
            score: of a network and its groups.
            cost: of scoring so far; what a resumed training has scored before is added.
        """
        job, phase, network = self.job, self.job.procedure, self.base.network
        assert phase is not None
        assert phase.recipe is not None
        ground = _ground(job, network, rules, doomed, score)
        procedure: Procedure = create_phase("procedure", phase.name, phase.options, ground)
        model, order = copy.deepcopy(network.model), seed("procedure", **job.at.axes)
        trained = self.workspace.train(
            model, self.base, phase.recipe, order, procedure, job.key, cost
        )
        removed = procedure.removed()
        _check_left(job, ground, rules, removed)
        _check_gone(job, network, model, removed)
        found = Training(model, trained.images, trained.seconds, procedure.notes())
        self.trainings[job.budgets[0]] = found
        return removed

    def cut(self, model: nn.Module, stop: float, step: int, removed: Removed) -> None:
        """Train a network whose units have left."""
        groups = self.base.network.structure.groups
        self._train(model, stop, step, Rider(), lambda dense: cut(dense, groups, removed))
        if stop in self.job.budgets:
            whole = uncut(self.base.network.model, groups, removed, model)
            self.trainings[stop] = replace(self._so_far, model=whole)

    def masked(self, model: nn.Module, stop: float, step: int, masks: Masks) -> None:
        """Train a network whose single weights have left, and keep them at zero."""
        self._train(model, stop, step, Holder(model, masks), lambda dense: masked(dense, masks))
        check_held(model, masks)
        if stop in self.job.budgets:
            self.trainings[stop] = replace(self._so_far, model=copy.deepcopy(model))

    def _train(
        self,
        model: nn.Module,
        stop: float,
        step: int,
        rider: Rider,
        pruned: Callable[[nn.Module], nn.Module],
    ) -> None:
        """Train in place; `pruned` takes from a dense network what has left."""
        job, base = self.job, self.base
        assert job.iterative is not None
        assert job.between is not None
        if job.iterative.recover_at == "budgets" and stop not in job.budgets:
            return
        done = self.workspace.checkpoint(f"{job.key}-step{step}", base.sha256)
        if (state := done.load()) is None:
            if job.rewound is not None:
                early = self.workspace.early(job.rewound, base.data)
                model.load_state_dict(pruned(early).state_dict())
            order, key = seed("between", **job.at.axes, step=step), f"{job.key}-step{step}-part"
            found = self.workspace.train(model, base, job.between, order, rider, key)
            state = {"model": model.state_dict(), "images": found.images, "seconds": found.seconds}
            done.save(state)
        model.load_state_dict(state["model"])
        self._so_far.images += state["images"]
        self._so_far.seconds += state["seconds"]

    def save(self) -> dict[str, Any]:
        """Store the weights of every budget; returns what is to be known of their training."""
        found = {}
        for budget, one in self.trainings.items():
            assert one.model is not None
            file = trained_file(self.workspace.store, self.job.key, str(budget))
            found[str(budget)] = {
                "images": one.images,
                "seconds": one.seconds,
                "notes": one.notes,
                "sha256": save_weights(one.model, file),
            }
        return found


def load_training(
    job: PathJob, workspace: Workspace, base: Base, budget: float, sha256: str
) -> Network:
    """The base's network, with the weights that the path has ended with at one budget."""
    model = copy.deepcopy(base.network.model)
    load_weights(model, trained_file(workspace.store, job.key, str(budget)), sha256)
    return replace(base.network, model=model.eval())
