"""What rides on a training: the order of its hooks, and that a killed one goes on bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from short_training import Counting, Dropping, Killed, recipe, small, split
from short_training import data as data  # the fixture
from torch import Tensor, nn
from torch.nn import functional

from bench.data.datasets import Dataset
from bench.data.reader import image_shape
from bench.store import weights as weights_on_disk
from bench.store.weights import Checkpoint
from bench.training.train import Trained, train
from criteria.training import Rider, Scale, Training


class Notes(Rider):
    """Writes down which hooks are called, and when."""

    def __init__(self, last: int | None = None) -> None:
        self.calls: list[str] = []
        self.last = last
        self.steps = 0

    def begin(self, model: nn.Module) -> None:
        self.calls.append("begin")

    def attach(self, training: Training) -> None:
        self.calls.append(f"attach {training.steps_per_epoch} {training.steps}")

    def loss_term(self, step: int) -> Tensor | None:
        self.calls.append(f"loss {step}")
        return None

    def after_backward(self, step: int) -> None:
        self.calls.append(f"backward {step}")

    def after_step(self, step: int) -> None:
        self.calls.append(f"step {step}")
        self.steps = step + 1

    def after_epoch(self, epoch: int) -> None:
        self.calls.append(f"epoch {epoch}")

    @property
    def done(self) -> bool:
        return self.last is not None and self.steps > self.last

    def at_end(self) -> None:
        self.calls.append("end")


def test_hooks_are_called_in_order(data: Dataset) -> None:
    notes = Notes()
    train(small(), data, recipe(epochs=2, batch_size=24), 0, notes)
    first, second, third, fourth = (
        [f"loss {at}", f"backward {at}", f"step {at}"] for at in range(4)
    )
    assert notes.calls == [
        *("begin", "attach 2 4"),
        *(*first, *second, "epoch 0"),
        *(*third, *fourth, "epoch 1"),
        "end",
    ]


def test_a_rider_that_is_done_ends_training_in_the_middle_of_an_epoch(data: Dataset) -> None:
    notes = Notes(last=3)
    trained = train(small(), data, recipe(epochs=5, batch_size=16), 0, notes)
    assert notes.steps == 4
    assert trained.images == 4 * 16
    assert [one.epoch for one in trained.history] == [1, 2]
    assert notes.calls[-2:] == ["epoch 1", "end"]


class Penalty(Rider):
    """A loss term and, on another layer, the same gradient by hand."""

    def __init__(self, strength: float, by_hand: bool) -> None:
        self.strength, self.by_hand = strength, by_hand

    def attach(self, training: Training) -> None:
        self.weight = training.model.get_parameter("0.weight")

    def loss_term(self, step: int) -> Tensor | None:
        return None if self.by_hand else self.strength * self.weight.square().sum()

    def after_backward(self, step: int) -> None:
        if self.by_hand:
            assert self.weight.grad is not None
            self.weight.grad += 2 * self.strength * self.weight.detach()


def test_a_loss_term_and_its_gradient_by_hand_are_one(data: Dataset) -> None:
    one, two, plain = small(), small(), small()
    train(one, data, recipe(), 0, Penalty(0.1, by_hand=False))
    train(two, data, recipe(), 0, Penalty(0.1, by_hand=True))
    train(plain, data, recipe(), 0)
    # float32: the same sums in another order, over six steps
    assert torch.allclose(one[0].weight, two[0].weight, atol=1e-6)
    assert not torch.allclose(one[0].weight, plain[0].weight, atol=1e-3)


class Slow(Rider):
    """One layer at other settings, and a rate of its own."""

    def __init__(self, scale: Scale, rate: float | None = None) -> None:
        self.scale, self.factor = scale, rate

    def scales(self, model: nn.Module) -> Mapping[nn.Parameter, Scale]:
        return {model.get_parameter("0.weight"): self.scale}

    def rate(self, step: int) -> float | None:
        return self.factor


def test_a_scaled_parameter_moves_at_its_own_rate(data: Dataset) -> None:
    frozen = small()
    before = frozen[0].weight.clone(), frozen[3].weight.clone()
    train(frozen, data, recipe(), 0, Slow(Scale(0.0, 0.0)))
    assert torch.equal(frozen[0].weight, before[0])
    assert not torch.equal(frozen[3].weight, before[1])


def test_a_rate_of_ones_own_replaces_the_schedule(data: Dataset) -> None:
    constant, own = small(), small()
    train(constant, data, recipe(schedule="constant", learning_rate=0.01), 0)
    train(own, data, recipe(learning_rate=0.02), 0, Slow(Scale(1.0, 1.0), rate=0.5))
    assert torch.equal(constant[0].weight, own[0].weight)


# --- distillation ---------------------------------------------------------------------------------


def test_distillation_is_cross_entropy_to_the_teacher(data: Dataset) -> None:
    """The gradient of T^2 KL(teacher || student) is that of T^2 times their cross-entropy."""
    teacher, student = small(1).eval(), small(2)
    seen: list[Tensor] = []

    class Gradient(Rider):
        def attach(self, training: Training) -> None:
            self.weight = training.model.get_parameter("0.weight")

        def after_backward(self, step: int) -> None:
            if step == 0:
                assert self.weight.grad is not None
                seen.append(self.weight.grad.clone())

    chosen = recipe(batch_size=48, augment=False, distill={"weight": 0.3, "temperature": 2.0})
    train(student, data, chosen, 0, Gradient(), teacher=teacher)
    again = small(2).train()
    order = torch.randperm(48, generator=torch.Generator().manual_seed(0))
    ((images, labels),) = list(data.train.batches(48))
    images, labels = images[order], labels[order]
    logits = again(images)
    soft = functional.softmax(teacher(images) / 2, dim=1).detach()
    taught = -(soft * functional.log_softmax(logits / 2, dim=1)).sum(1).mean()
    (0.7 * functional.cross_entropy(logits, labels) + 0.3 * 4 * taught).backward()
    assert torch.allclose(seen[0], again[0].weight.grad, atol=1e-6)  # float32, one batch


def test_a_recipe_that_distills_needs_a_teacher(data: Dataset) -> None:
    with pytest.raises(ValueError, match="no teacher"):
        train(small(), data, recipe(distill={}), 0)


# --- resuming -------------------------------------------------------------------------------------


@pytest.fixture
def large() -> Dataset:
    return Dataset(
        "bright", image_shape(3, 3, 8), split(50, 0), split(30, 1), split(30, 2), "digest"
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("dies_after", [0, 2, 3, 4, 7, 11])
def test_a_killed_training_goes_on_bit_for_bit(
    large: Dataset, tmp_path: Path, optimizer: str, dies_after: int
) -> None:
    """Four batches an epoch: killed within one, at its last step, and in the first of the next."""
    chosen = recipe(epochs=3, batch_size=13, optimizer=optimizer, learning_rate=0.01)
    data = large

    def run(rider: Rider, every_s: float) -> tuple[Trained, dict[str, Tensor]]:
        torch.manual_seed(1)
        model = Dropping()
        checkpoint = Checkpoint(tmp_path / "at.pt")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(weights_on_disk, "EVERY_S", every_s)
            found = train(model, data, chosen, 5, rider, checkpoint=checkpoint)
        return found, model.state_dict()

    whole, expected = run(Counting(), every_s=1e9)
    assert not (tmp_path / "at.pt").exists()
    with pytest.raises(Killed):
        run(Counting(dies_after), every_s=0)
    found, weights = run(Counting(), every_s=0)
    assert found.history == whole.history
    assert found.images == whole.images
    assert all(torch.equal(weights[name], one) for name, one in expected.items())
    assert all(torch.equal(found.best[name], one) for name, one in whole.best.items())
