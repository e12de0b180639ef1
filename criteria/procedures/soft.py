"""Soft filter pruning: after each epoch the lowest filters are set to zero, and train on."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from ..lazy import Tensor, torch
from ..network.member import Group, Member
from ..network.units import makers
from ..options import Options
from ..phases import register_phase
from .gradual import lowest
from .procedure import Ground, Procedure, Removed

EPS = 1e-5  # of torch's batch norms


class SoftOptions(Options):
    """When filters are set to zero, and how many."""

    every: int = Field(default=1, ge=1)
    """epochs from one selection to the next (paper: 1); the last epoch always selects."""
    schedule: Literal["constant", "asymptotic"] = "constant"
    """constant is SFP, the whole budget every time. asymptotic is ASFP: of what has to leave, 0 at
    the start, 3/4 after an eighth of the training, all at its end, along an exponential."""
    restart: Literal["scaled", "raw"] = "scaled"
    """whether gradients of zeroed filters ahead of a batch norm are scaled, or raw, as the papers
    leave them."""


@register_phase(
    "soft",
    cite="He et al. (SFP), IJCAI 2018, arXiv 1808.06866; schedule asymptotic: He et al. (ASFP), "
    "arXiv 1808.07471",
)
class Soft(Procedure):
    """Sets the lowest units' filters to zero after each epoch and lets them train on."""

    options_type = SoftOptions
    follows = False
    resumed = ("_removed", "_revived", "_lost")

    def __init__(self, options: Any, ground: Ground) -> None:
        super().__init__(options, ground)
        self._removed = ground.nothing()
        self._revived = 0
        self._lost = [torch.empty(0) for _ in self._normalized]

    def after_epoch(self, epoch: int) -> None:
        done = (epoch + 1) * self.training.steps_per_epoch / self.training.steps
        if (epoch + 1) % self.options.every and done < 1:
            return
        model, ground = self.training.model, self.ground
        scores = ground.score(model, ground.nothing())
        ahead = 1 - self._growth(done)
        chosen = lowest(ground, scores, ground.budget + (1 - ground.budget) * ahead)
        for before, now in zip(self._removed, chosen, strict=True):
            self._revived += int((~torch.isin(before, now)).sum())
        self._removed = chosen
        tensors = {name: one.data for name, one in model.named_parameters()}
        self._lost = self._lengths(tensors)
        for group, gone in zip(ground.groups, chosen, strict=True):
            for member in _filters(group):  # biases are left as they are
                member.write_(tensors, member.view(tensors).index_fill(0, gone, 0))

    @property
    def _normalized(self) -> list[tuple[int, Member]]:
        """Filters ahead of a batch norm, with their group's place."""
        return [
            (at, member)
            for at, group in enumerate(self.ground.groups)
            if any(one.kind == "batchnorm" for one in group.members)
            for member in _filters(group)
        ]

    def _lengths(self, tensors: Mapping[str, Tensor]) -> list[Tensor]:
        """Full lengths of the filters of each normalised layer that are zeroed, else 0."""
        lengths = []
        for (at, member), before in zip(self._normalized, self._lost, strict=True):
            length = member.view(tensors).norm(dim=1)
            if len(before):
                length = length.maximum(before)  # zeroed again, before it had grown back
            kept = torch.ones(len(length), dtype=torch.bool).index_fill(0, self._removed[at], False)
            lengths.append(length.masked_fill(kept.to(length.device), 0))
        return lengths

    def after_backward(self, step: int) -> None:
        """Gradients of zeroed filters, as if their norm still divided by their old deviation.

        A norm divides by what is left of it: at first by the root of its eps, which stands here
        beside an old variance of about one.
        """
        if self.options.restart == "raw" or not any(map(len, self._lost)):
            return
        parameters = dict(self.training.model.named_parameters())
        tensors = {name: one.data for name, one in parameters.items()}
        gradients = {name: one.grad for name, one in parameters.items() if one.grad is not None}
        for (_, member), lost in zip(self._normalized, self._lost, strict=True):
            if f"{member.name}.weight" not in gradients:
                continue
            left = (member.view(tensors).norm(dim=1) / lost).square() + EPS
            factors = torch.where(lost > 0, left.clamp(max=1).sqrt(), 1.0)[:, None]
            member.write_(gradients, factors * member.view(gradients, bias=True), bias=True)

    def _growth(self, done: float) -> float:
        """Share of what has to leave, after a share of the training."""
        if self.options.schedule == "constant":
            return 1.0
        # a exp(-k t) + b through (0, 0), (1/8, 3/4), (1, 1); exp(-k / 8) = 1/4 up to 2e-5.
        return (1 - 4 ** (-8 * min(done, 1.0))) / (1 - 4**-8)

    def removed(self) -> Removed:
        return self._removed

    def notes(self) -> dict[str, float]:
        """`revived`: units that a later selection spared, over all selections."""
        return {"revived": self._revived}


def _filters(group: Group) -> list[Member]:
    """Convolutions and linear layers that make the group's channels."""
    return [one for one in makers(group) if one.kind in ("conv", "linear")]
