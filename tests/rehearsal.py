"""A ground to stand on and a training to ride on, for tests of procedures: plain, short, exact."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from conftest import labelled, trace
from torch import Tensor, nn

from bench.pruning.choose import one_shot
from bench.pruning.network import Removed, Rules
from bench.pruning.selection import Limits
from criteria.gather import score_alone
from criteria.phases import PHASES
from criteria.procedures.procedure import Ground, Procedure
from criteria.registry import create
from criteria.training import Rider, Training


def ground_of(
    model: nn.Module,
    budget: float,
    criterion: str = "l2",
    *,
    tolerance: float = 0.2,  # single channels of tiny networks are coarse
    limits: Limits = Limits(),  # noqa: B008  # frozen
    **options: Any,
) -> Ground:
    """What a procedure is handed for this model, with this criterion's scores on fixed images."""
    network = trace(copy.deepcopy(model).eval())
    groups = network.structure.groups
    rules = Rules(tolerance=tolerance, limits=limits)
    units = network.cost.macs

    def score(now: nn.Module, removed: Removed) -> list[Tensor]:
        draw = torch.Generator().manual_seed(0)
        left = replace(network, model=now).without(removed)
        one = create(criterion, left.structure.groups, options, draw)
        batches = [labelled(4, seed) for seed in range(2)]
        found, _ = score_alone(left.model, one, batches)
        spread = []
        for group, values, gone in zip(groups, found, removed, strict=True):
            kept = torch.ones(group.units, dtype=torch.bool).index_fill(0, gone, False)
            spread.append(torch.full((group.units,), -torch.inf).double())
            spread[-1][kept] = values
        return spread

    def select(scores: Any, share: float) -> Removed:
        found = one_shot(network, scores, [share], rules)[share]
        if isinstance(found, Exception):
            raise found
        return found

    def share(removed: Removed) -> float:
        whole = units(torch.zeros(len(groups)))
        return units(torch.tensor([len(one) for one in removed])) / whole

    return Ground(groups, budget, None, score, select, share, torch.Generator().manual_seed(0))


def procedure_of(name: str, ground: Ground, **options: Any) -> Procedure:
    found = PHASES["procedure"].find(name).type(PHASES["procedure"].options(name, options), ground)
    assert isinstance(found, Procedure)
    return found


class Rehearsal:
    """SGD with momentum and weight decay on a few images; stops and goes on at any step."""

    def __init__(
        self,
        model: nn.Module,
        procedure: Rider,
        *,
        epochs: int,
        steps: int = 4,
        rate: float = 0.05,
    ) -> None:
        self.model, self.procedure, self.rate = model.train(), procedure, rate
        self.losses: list[float] = []
        procedure.begin(model)
        settings = {"lr": rate, "momentum": 0.9, "weight_decay": 1e-2}
        self.optimizer = torch.optim.SGD(model.parameters(), **settings)
        self.training = Training(model, self.optimizer, steps, epochs * steps)
        procedure.attach(self.training)
        self.step = 0

    def run(self, until: int | None = None) -> Rehearsal:
        """Up to a step, or to the end, with what follows the last epoch and the last step."""
        last = self.training.steps if until is None else until
        while self.step < last and not self.procedure.done:
            self._step()
        if until is None:
            self.procedure.at_end()
        return self

    def state(self) -> dict[str, Any]:
        return copy.deepcopy(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "procedure": self.procedure.state_dict(),
                "step": self.step,
            }
        )

    def load(self, state: dict[str, Any]) -> Rehearsal:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.procedure.load_state_dict(state["procedure"])
        self.step = state["step"]
        return self

    def _step(self) -> None:
        factor = self.procedure.rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * (1.0 if factor is None else factor)
        images, labels = labelled(8, 100 + self.step)
        self.optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(self.model(images), labels)
        term = self.procedure.loss_term(self.step)
        (loss if term is None else loss + term).backward()
        self.procedure.after_backward(self.step)
        self.optimizer.step()
        self.procedure.after_step(self.step)
        self.losses.append(loss.item())
        self.step += 1
        if self.step % self.training.steps_per_epoch == 0:
            self.procedure.after_epoch(self.step // self.training.steps_per_epoch - 1)
