"""Targets that are probabilities: every criterion takes them, and evidence is exact for them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from conftest import CLASSES, build, groups_of, labelled
from torch import Tensor

from criteria.criterion import Criterion, checked_scores
from criteria.evidence.batch import Batch, Need
from criteria.gather import gather
from criteria.registry import create, criteria
from criteria.source import PACKAGE


def scored(targets: Tensor) -> dict[str, list[Tensor]]:
    model, (x, _) = build("chain"), labelled(6)
    made = [
        create(one.name, groups_of(model), {}, torch.Generator().manual_seed(0))
        for one in criteria()
        if PACKAGE in one.file.parents  # not other tests'
    ]
    costs = gather(model, made, [(x[:4], targets[:4]), (x[4:], targets[4:])])
    for one, cost in zip(made, costs, strict=True):
        assert cost.failure is None, one.name
    return {one.name: checked_scores(one) for one in made}


def test_certain_probabilities_are_labels_to_every_criterion() -> None:
    _, y = labelled(6)
    hard, soft = scored(y), scored(F.one_hot(y, CLASSES).double())
    for name, values in hard.items():
        for one, other in zip(values, soft[name], strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-12, msg=name)


def test_mixed_labels_change_what_looks_at_the_loss() -> None:
    _, y = labelled(6)
    certain = F.one_hot(y, CLASSES).double()
    hard, soft = scored(y), scored(0.7 * certain + 0.3 * certain.roll(1, 0))
    changed = {name for name in hard if not torch.equal(hard[name][0], soft[name][0])}
    assert {"taylor", "hessian_diag", "snip", "hvp", "oba"} <= changed
    assert not changed & {"l1", "wanda", "kron_obd", "hrank"}  # weights, maps, drawn labels


class Recorder(Criterion):
    """Keeps the evidence of single samples."""

    needs = Need.SQUARES | Need.GRADIENTS

    def observe(self, batch: Batch) -> None:
        self.gradients = dict(batch.gradients)
        self.squares = dict(batch.squared_gradients)


def test_evidence_of_mixed_labels_is_that_of_a_loop_over_single_samples() -> None:
    model, (x, y) = build("residual"), labelled(6)
    certain = F.one_hot(y, CLASSES).double()
    targets = 0.7 * certain + 0.3 * certain.roll(1, 0)
    recorder = Recorder(groups_of(model), None, torch.Generator())
    (cost,) = gather(model, [recorder], [(x, targets)])
    assert cost.failure is None
    alone = []
    for one, target in zip(x, targets, strict=True):
        loss = -(target * model(one[None]).log_softmax(1)).sum()
        alone.append(torch.autograd.grad(loss, list(model.parameters())))
    for (name, _), each in zip(model.named_parameters(), zip(*alone, strict=True), strict=True):
        each = torch.stack(each)
        torch.testing.assert_close(recorder.gradients[name], each.mean(0))
        torch.testing.assert_close(recorder.squares[name], each.square().mean(0))
