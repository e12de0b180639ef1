"""The paths from dense through all budgets: which units leave, or which single weights."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

import torch

from criteria.registry import find
from suites.protocol import Deployment

from ..plan.jobs import PathJob
from ..pruning.choose import choose_removed
from ..pruning.latency import meet
from ..pruning.masks import Masks, choose_masks, pack, unpack, weight_groups
from ..pruning.network import Network, Removed, Rules
from ..pruning.selection import InfeasibleBudget, Limits, Scope
from ..pruning.thresholds import Choice
from ..store.sealed import read_arrays, read_json, wanted, write_arrays, write_json
from .procedures import PathTraining
from .scores import Rescore, load_scores, rescorer
from .workspace import Base, Workspace

T = TypeVar("T")
Chosen = dict[float, Choice | InfeasibleBudget]  # by budget


def make_path(job: PathJob, workspace: Workspace) -> None:
    """Choose at every budget and store what leaves, or why a budget is out of reach.

    A path that trains stores the weights that it ends with as well; one that prunes single weights
    stores masks.
    """
    path = _Path(job, workspace, workspace.base(job.at.base))
    (path.mask if job.unstructured else path.cut)()


@dataclass(eq=False)
class _Path:
    """A path that is made; `cost` takes what all its scores have cost, the shared ones as well."""

    job: PathJob
    workspace: Workspace
    base: Base

    def __post_init__(self) -> None:
        self.anew, self.cost = rescorer(self.job, self.workspace, self.base)
        self.way = PathTraining(self.job, self.workspace, self.base)

    def cut(self) -> None:
        """Choose units at every budget and store them."""
        job, checks = self.job, dict[str, Any]()  # what networks were measured to cost, by budget
        follows = job.procedure is None or job.procedure.follows
        chosen = self._choose(checks) if follows else {}
        if job.procedure is not None:
            chosen = self._ride(chosen)
        picked = {str(budget): one for budget, one in chosen.items() if isinstance(one, Choice)}
        budgets = {
            str(budget): str(choice)  # the reason
            if isinstance(choice, InfeasibleBudget)
            else self._by_root([gone.tolist() for gone in choice.removed])
            for budget, choice in chosen.items()
        }
        knobs = {
            budget: self._by_root(choice.thresholds)
            for budget, choice in picked.items()
            if choice.thresholds is not None
        }
        trimmed = {budget: choice.trimmed for budget, choice in picked.items()}
        self._write(budgets, knobs=knobs, trimmed=trimmed, checks=checks)

    def _choose(self, checks: dict[str, Any]) -> Chosen:
        """Choose on the dense network."""
        job, base, score, like = self.job, self.base, self._stored_or_anew(), None
        if (other := job.matched) is not None:
            like = {one: load_removed(self.workspace, other, base, one) for one in job.budgets}

        def choose(network: Network, rules: Rules, budgets: Sequence[float]) -> Chosen:
            return choose_removed(
                network,
                lambda now: score(now.model, now.structure.groups),
                budgets,
                rules,
                schedule=job.schedule,
                recover=self.way.cut if job.between else None,
                like=like and {one: like.get(one, like[job.budgets[0]]) for one in budgets},
                selector=find(job.criterion.name).selector,
                thresholds=job.cost == "threshold",
            )

        if job.cost not in ("latency", "memory"):
            return choose(base.network, rules_of(job), job.budgets)
        (budget,) = job.budgets
        chosen, check = meet(
            base.network,
            lambda network, rules, share: choose(network, rules, [share])[share],
            rules_of(job),
            budget,
            job.deployment or Deployment(),
            self.workspace.store.root / "tables",
        )
        if check is not None:
            checks[str(budget)] = check.model_dump()
        return {budget: chosen}

    def _stored_or_anew(self) -> Rescore:
        """The scores of the dense network that methods share; step by step, of what is left anew.

        A path of many steps draws for each by itself.
        """
        values, shared, drew = load_scores(self.workspace, self.job.score_key)
        stepwise, dense = self.job.iterative is not None, self.base.network.model
        if stepwise and drew:
            return self.anew
        self.cost.add(shared)
        return lambda model, groups: (
            self.anew(model, groups)
            if stepwise and model is not dense
            else self.cost.seen(groups, values)
        )

    def _ride(self, chosen: Chosen) -> Chosen:
        """Train while what was chosen leaves, or, of a procedure that chooses itself, whatever
        does."""
        (budget,) = self.job.budgets
        choice = chosen.get(budget)
        if isinstance(choice, InfeasibleBudget):
            return chosen
        doomed = choice.removed if choice else None
        try:
            removed = self.way.ride(rules_of(self.job), doomed, self.anew, self.cost)
        except InfeasibleBudget as reason:
            return {budget: reason}
        return {budget: replace(choice or Choice([]), removed=removed)}

    def mask(self) -> None:
        """Mask at every budget and store the masks, a bit a weight."""
        job, base, store, like = self.job, self.base, self.workspace.store, None
        groups = weight_groups(base.network.model, base.network.inputs)
        score = self._stored_or_anew()
        if job.matched is not None:
            like = {one: load_masks(self.workspace, job.matched, base, one) for one in job.budgets}
        masks = choose_masks(
            base.network.model,
            groups,
            lambda now: score(now, groups),
            job.budgets,
            job.selection.scope,
            schedule=job.schedule,
            like=like,
            recover=self.way.masked if job.between else None,
        )
        bits = {str(budget): pack(layers) for budget, layers in masks.items()}
        write_arrays(store.path("paths", job.key, ".npz"), bits)
        kept = {
            str(budget): {layer: int(mask.sum()) for layer, mask in layers.items()}
            for budget, layers in masks.items()
        }
        self._write(kept)  # last: it says that the path is whole

    def _by_root(self, values: Sequence[T]) -> dict[str, T]:
        groups = self.base.network.structure.groups
        return {group.root: value for group, value in zip(groups, values, strict=True)}

    def _write(self, budgets: dict[str, Any], **about: Any) -> None:
        """Store what was found at each budget, what it has trained, and what its scoring cost."""
        content = {
            "budgets": budgets,
            **about,
            "training": self.way.save(),
            "base_sha256": self.base.sha256,
            "score_s": self.cost.seconds,
            "score_peak_bytes": self.cost.peak_bytes,
            "images_scored": self.cost.images,
            "constant": self.cost.constant,
        }
        write_json(self.workspace.store.path("paths", self.job.key, ".json"), content)


def path_file(workspace: Workspace, job: PathJob) -> dict[str, Any]:
    """A stored path: `budgets`, `score_s`, `score_peak_bytes`, `images_scored`, `constant`; of a
    selector also `knobs` and `trimmed`, by budget; of one that trains, `training`, by budget."""
    return wanted(read_json, workspace.store.path("paths", job.key, ".json"))


def load_removed(
    workspace: Workspace, job: PathJob, base: Base, budget: float
) -> Removed | InfeasibleBudget:
    """The units that leave at one budget, by group, or why the budget cannot be met."""
    stored = path_file(workspace, job)["budgets"][str(budget)]
    if isinstance(stored, str):
        return InfeasibleBudget(stored)
    return [torch.tensor(stored[group.root]).long() for group in base.network.structure.groups]


def load_masks(workspace: Workspace, job: PathJob, base: Base, budget: float) -> Masks:
    """The masks of one budget, by layer."""
    bits = wanted(read_arrays, workspace.store.path("paths", job.key, ".npz"))
    return unpack(bits[str(budget)], weight_groups(base.network.model, base.network.inputs))


def rules_of(job: PathJob) -> Rules:
    """How this path turns scores into removed channels."""
    chosen = job.selection
    limits = Limits(**chosen.model_dump(include={*Limits.model_fields}))
    assert job.cost != "weights", "weights are masked, not removed"
    cost = "macs" if job.cost == "threshold" else job.cost
    return Rules(cost, cast(Scope, chosen.scope), limits, chosen.tolerance)
