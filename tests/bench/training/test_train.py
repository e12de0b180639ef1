"""Training: exact rates, equal seeds give equal bits, and only the right splits are looked at."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conftest import CLASSES, CLASSIFICATION, SIDE, Chain, build, left_as_found, lively
from short_training import data as data  # the fixture
from short_training import recipe, small, split
from torch import Tensor, nn

from bench.data.datasets import Dataset
from bench.data.images import ArrayImages
from bench.data.reader import image_shape
from bench.steps.recovery import recalibrate_bn
from bench.tasks.task import Tally
from bench.training.measure import evaluate, layer_sparsity
from bench.training.optimizer import learning_rate
from bench.training.train import train

# --- rates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"schedule": "constant"}, {0: 1, 3.3: 1, 8: 1}),
        (
            {"schedule": "cosine"},
            {0: 1, 2: 0.5 + 0.5**1.5, 4: 0.5, 6: 0.5 - 0.5**1.5, 8: 0},
        ),
        ({"schedule": "step"}, {0: 1, 3.99: 1, 4: 0.1, 5.99: 0.1, 6: 0.01, 8: 0.01}),
        (
            {"schedule": "step", "milestones": [0.25], "gamma": 0.5},
            {0: 1, 1.99: 1, 2: 0.5, 8: 0.5},
        ),
        (
            {"schedule": "cosine", "warmup_epochs": 2},
            {0: 0.01 / 2.01, 1: 1.01 / 2.01, 2: 1, 5: 0.5, 8: 0},
        ),
        ({"schedule": "constant", "warmup_epochs": 0.5}, {0: 0.01 / 0.51, 0.25: 0.26 / 0.51, 1: 1}),
        (
            {"schedule": "cosine", "warmup_epochs": 2, "warmup_factor": 0.1},
            {0: 0.1, 1: 0.55, 2: 1, 5: 0.5, 8: 0},
        ),
        ({"schedule": "triangle"}, {0: 0.1, 2: 0.55, 4: 1, 6: 0.55, 8: 0.1}),
    ],
)
def test_rates_are_exact(changes: dict[str, Any], expected: dict[float, float]) -> None:
    chosen = recipe(epochs=8, **changes)
    for epoch, factor in expected.items():
        assert learning_rate(chosen, epoch) == pytest.approx(factor, abs=1e-12)


def test_the_rate_changes_with_every_batch_as_scheduled(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    step = torch.optim.SGD.step

    def spied(self: torch.optim.SGD, *rest: Any) -> Any:
        seen.append(self.param_groups[0]["lr"])
        return step(self, *rest)

    chosen = recipe(batch_size=20, warmup_epochs=1)  # three batches an epoch, the last of 8
    monkeypatch.setattr(torch.optim.SGD, "step", spied)
    train(small(), data, chosen, seed=0)
    expected = [0.05 * learning_rate(chosen, at / 3) for at in range(6)]
    assert seen == pytest.approx(expected, abs=1e-15)


# --- determinism ----------------------------------------------------------------------------------


class Dropping(nn.Module):
    """Draws random numbers while it trains."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.drop = small(), nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.drop(x))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_equal_seeds_give_equal_weights_bit_for_bit(data: Dataset, optimizer: str) -> None:
    chosen = recipe(optimizer=optimizer, learning_rate=0.01)

    def weights(seed: int, elsewhere: int) -> list[Tensor]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(elsewhere)  # the global state must not matter
            model = Dropping()
            train(model, data, chosen, seed)
        return list(model.state_dict().values())

    first, same, other = weights(1, 5), weights(1, 6), weights(2, 5)
    assert all(torch.equal(a, b) for a, b in zip(first, same, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_training_leaves_the_global_random_state(data: Dataset) -> None:
    model, before = Dropping(), torch.get_rng_state()
    train(model, data, recipe(), seed=3)
    assert torch.equal(torch.get_rng_state(), before)


# --- splits ---------------------------------------------------------------------------------------


class Spied:
    """A split that notes how it is read."""

    def __init__(self, images: ArrayImages) -> None:
        self.images = images
        self.calls: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.images, name)

    def __len__(self) -> int:
        return len(self.images)

    def batches(self, batch_size: int, **options: Any) -> Iterator[tuple[Tensor, Tensor]]:
        self.calls.append({"batch_size": batch_size, **options})
        return self.images.batches(batch_size, **options)


def test_only_train_is_learned_from_only_validation_looked_at() -> None:
    parts = {"train": Spied(split(48, 0)), "validation": Spied(split(30, 1))}
    test = Spied(split(30, 2))
    data = Dataset("bright", image_shape(CLASSES, 3, SIDE), **parts, test=test, digest="digest")
    train(small(), data, recipe(epochs=3), seed=0)
    assert not test.calls
    assert len(parts["train"].calls) == len(parts["validation"].calls) == 3
    assert all(one["augment"] and one["generator"] for one in parts["train"].calls)
    assert all(
        not one.get("augment") and not one.get("generator") for one in parts["validation"].calls
    )


def test_validation_does_not_change_the_last_weights(data: Dataset) -> None:
    """It chooses the best epoch, and nothing else."""
    shape = image_shape(CLASSES, 3, SIDE)
    other = Dataset("bright", shape, data.train, split(10, 9), data.test, "digest")
    one, two = small(), small()
    train(one, data, recipe(), seed=0)
    train(two, other, recipe(), seed=0)
    for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_best_is_the_earliest_of_the_best_epochs(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    tops = iter([0.3, 0.8, 0.8, 0.5])
    states: list[dict[str, Tensor]] = []

    def fake(model: nn.Module, images: Any, task: Any) -> Tally:
        states.append({key: one.clone() for key, one in model.state_dict().items()})
        return Tally(next(tops), loss=0.0)

    monkeypatch.setattr("bench.training.train.evaluate", fake)
    model = small()
    trained = train(model, data, recipe(epochs=4), seed=0)
    assert [one.validation_top1 for one in trained.history] == [0.3, 0.8, 0.8, 0.5]
    assert [one.epoch for one in trained.history] == [1, 2, 3, 4]
    for key, one in trained.best.items():
        assert torch.equal(one, states[1][key])
    assert not torch.equal(trained.best["0.weight"], model[0].weight)
    assert torch.equal(states[3]["0.weight"], model[0].weight)  # the last epoch's stay


def test_what_training_reports(data: Dataset) -> None:
    model = small()
    trained = train(model, data, recipe(epochs=6, augment=False), seed=0)
    assert not model.training
    assert trained.images == 6 * 48
    assert trained.history[-1].train_loss < trained.history[0].train_loss
    found = evaluate(model, data.validation, CLASSIFICATION)
    assert trained.history[-1].validation_top1 == found.primary


def test_the_training_loss_is_a_mean_over_images(data: Dataset) -> None:
    """With no learning to speak of, it is the loss of train mode over batches of 20, 20 and 8."""
    model = small()
    chosen = recipe(epochs=1, batch_size=20, learning_rate=1e-30, augment=False, weight_decay=0)
    draw = torch.Generator().manual_seed(4)
    total = 0.0
    model.train()
    with torch.no_grad():
        for x, y in data.train.batches(20, generator=draw):
            total += float(nn.functional.cross_entropy(model(x), y)) * len(y)
    found = train(small(), data, chosen, seed=4).history[0].train_loss
    assert found == pytest.approx(total / 48, rel=1e-6)


def test_a_loss_that_is_not_finite_is_an_error(data: Dataset) -> None:
    with pytest.raises(FloatingPointError, match=r"learning rate 1e\+30"):
        train(small(), data, recipe(learning_rate=1e30, epochs=5), seed=0)


# --- batch norm -----------------------------------------------------------------------------------


def test_recalibrated_statistics_are_means_over_batches() -> None:
    model = lively(nn.Sequential(nn.BatchNorm2d(3)))
    momentum = model[0].momentum
    draw = torch.Generator().manual_seed(0)
    batches = [
        (torch.randn(n, 3, 4, 4, generator=draw).double() * n, torch.zeros(n)) for n in (2, 5, 3)
    ]
    assert recalibrate_bn(model, batches) == 10
    means = torch.stack([x.mean((0, 2, 3)) for x, _ in batches]).mean(0)
    variances = torch.stack([x.var((0, 2, 3), unbiased=True) for x, _ in batches]).mean(0)
    torch.testing.assert_close(model[0].running_mean, means, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model[0].running_var, variances, rtol=1e-12, atol=1e-12)
    assert model[0].momentum == momentum
    assert not model[0].training


def test_recalibration_changes_statistics_and_nothing_else() -> None:
    model = build("chain")
    before = {key: one.clone() for key, one in model.state_dict().items()}
    draw = torch.Generator().manual_seed(0)
    recalibrate_bn(model, [(torch.randn(4, 3, 8, 8, generator=draw).double(), torch.zeros(4))])
    changed = {key for key, one in model.state_dict().items() if not torch.equal(one, before[key])}
    assert changed == {
        f"{layer}.{name}"
        for layer in (1, 4)
        for name in ("running_mean", "running_var", "num_batches_tracked")
    }


def test_recalibration_leaves_networks_without_batch_norm_alone() -> None:
    model = build("vit")
    with left_as_found(model):
        recalibrate_bn(model, [(torch.zeros(2, 3, SIDE, SIDE).double(), torch.zeros(2))])


# --- measurement ----------------------------------------------------------------------------------


def test_evaluation_counts_over_all_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(CLASSIFICATION), "at_once", 7)
    images, model = split(30, 3), small()
    (x, y), *_ = images.batches(30)
    with torch.no_grad():
        logits = model.eval()(x)
    found = evaluate(model, images, CLASSIFICATION)
    assert found.primary == pytest.approx(float((logits.argmax(1) == y).double().mean()))
    assert found.top5 == 1.0  # of five classes
    assert found.loss == pytest.approx(float(nn.functional.cross_entropy(logits, y)), rel=1e-5)
    assert math.isfinite(found.loss)


def test_sparsity_is_the_share_of_a_layers_parameters_that_is_gone() -> None:
    dense, pruned = Chain(6, 4), Chain(3, 4)
    found = layer_sparsity(dense, pruned)
    assert found["0"] == found["1"] == 0.5
    assert found["3"] == pytest.approx(1 - (27 * 4 + 4) / (54 * 4 + 4))
    assert found["8"] == 0
    assert set(found) == {"0", "1", "3", "4", "8"}
