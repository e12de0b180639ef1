"""Options of recipes: each does what its paper says, and none breaks what training promises."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import CLASSES, CLASSIFICATION, SIDE
from short_training import Counting, Dropping, Killed, recipe, small, split
from torch import Tensor, nn
from torch.nn import functional

from bench.data.datasets import Dataset
from bench.data.images import ArrayImages
from bench.data.reader import image_shape
from bench.errors import BenchError
from bench.pruning.masks import Holder
from bench.store import weights as weights_on_disk
from bench.store.weights import Checkpoint
from bench.training.measure import evaluate
from bench.training.mixing import Mixing, erased, mixed, pasted
from bench.training.train import train
from criteria.training import Rider, Training
from suites.recipe import Recipe, named_recipes

OPTIONS: dict[str, dict[str, Any]] = {
    "bf16": {"amp": "bf16"},
    "fp16": {"amp": "fp16"},
    "channels-last": {"channels_last": True},
    "clipped": {"grad_clip": 0.1},
    "averaged": {"ema": {"decay": 0.8, "every": 2}, "warmup_epochs": 0.5, "warmup_factor": 0.1},
    "mixup": {"mixup": 0.8},
    "cutmix": {"cutmix": 1.0},
    "both": {"mixup": 0.8, "cutmix": 1.0, "label_smoothing": 0.1},
    "erasing": {"random_erasing": 0.5},
    "trivial": {"augment": "trivial"},
    "randaugment": {"augment": "randaugment"},
    "without-the-last": {"drop_last": True},
    "accumulated": {"accumulate": 4},
    "accumulated-in-half": {"accumulate": 2, "amp": "fp16", "ema": {"decay": 0.8, "every": 1}},
}
every_option = pytest.mark.parametrize("changes", OPTIONS.values(), ids=list(OPTIONS))


@pytest.fixture
def data() -> Dataset:
    return Dataset(
        "bright", image_shape(CLASSES, 3, SIDE), split(50, 0), split(30, 1), split(30, 2), "digest"
    )


def trained(data: Dataset, rider: Rider | None = None, **changes: Any) -> nn.Module:
    model = small()
    train(model, data, recipe(**changes), 0, rider)
    return model


def weights(model: nn.Module) -> Tensor:
    return torch.cat([one.detach().flatten() for one in model.parameters()])


# --- what must hold under each ------------------------------------------------------------------


@every_option
def test_it_is_honoured_and_learns(data: Dataset, changes: dict[str, Any]) -> None:
    long = {"epochs": 8, "augment": False}
    model, plain = trained(data, **long | changes), trained(data, **long)
    if "channels_last" in changes:
        # float32 sums in another order; a step of SGD is of the order of 1e-2
        assert torch.allclose(weights(model), weights(plain), atol=1e-4)
    else:
        assert not torch.equal(weights(model), weights(plain))
    assert all(one.is_contiguous() for one in model.parameters())
    assert (
        evaluate(model, data.test, CLASSIFICATION).loss
        < evaluate(small(), data.test, CLASSIFICATION).loss
    )


def test_what_rides_on_a_training_sees_gradients_in_the_usual_format(data: Dataset) -> None:
    seen: list[bool] = []

    class Looking(Counting):
        def after_backward(self, step: int) -> None:
            gradient = self.weight.grad
            seen.append(gradient is not None and gradient.is_contiguous())

    trained(data.worked(channels_last=True), Looking())
    assert seen
    assert all(seen)


@every_option
@pytest.mark.parametrize("dies_after", [1, 4])
def test_a_killed_training_goes_on_bit_for_bit(
    data: Dataset, tmp_path: Path, changes: dict[str, Any], dies_after: int
) -> None:
    chosen = recipe(**{"epochs": 2, "batch_size": 13, **changes})

    def run(rider: Rider, every_s: float) -> tuple[Any, dict[str, Tensor]]:
        torch.manual_seed(1)
        model = Dropping()
        checkpoint = Checkpoint(tmp_path / "at.pt")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(weights_on_disk, "EVERY_S", every_s)
            found = train(model, data, chosen, 5, rider, checkpoint=checkpoint)
        return found, model.state_dict()

    whole, expected = run(Counting(), every_s=1e9)
    with pytest.raises(Killed):
        run(Counting(dies_after), every_s=0)
    found, state = run(Counting(), every_s=0)
    assert found.history == whole.history
    assert all(torch.equal(state[name], one) for name, one in expected.items())
    assert all(torch.equal(found.best[name], one) for name, one in whole.best.items())


@every_option
def test_masked_weights_stay_masked(data: Dataset, changes: dict[str, Any]) -> None:
    model = small()
    masks = {"3": torch.arange(model[3].weight.numel()) % 2 == 0}
    holder = Holder(model, masks)
    holder()
    train(model, data, recipe(**changes), 0, holder)
    flat = model[3].weight.detach().flatten()
    assert (flat[~masks["3"]] == 0).all()
    assert (flat[masks["3"]] != 0).all()


def test_every_option_is_in_the_key_used_or_not() -> None:
    assert set(named_recipes()["base"].identity) == set(Recipe.model_fields)
    for changes in ({**one, "compile": True} for one in OPTIONS.values()):
        assert changes.items() <= recipe(**changes).identity.items()


# --- batches ------------------------------------------------------------------------------------


class Plain(nn.Sequential):
    """Without batch norm."""

    def __init__(self) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            layers = (nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, CLASSES))
            super().__init__(*layers)
        self.double()


class InDouble(ArrayImages):
    def batches(self, *of: Any, **how: Any) -> Iterator[tuple[Tensor, Tensor]]:
        return ((x.double(), y) for x, y in super().batches(*of, **how))


class Shrinking(Rider):
    """Adds a penalty to the loss."""

    def attach(self, training: Training) -> None:
        self.model = training.model

    def loss_term(self, step: int) -> Tensor:
        return 0.01 * (step + 1) * self.model.get_parameter("0.weight").square().sum()


@pytest.mark.parametrize("parts", [2, 3, 16])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mixup": 0.8, "random_erasing": 0.5, "label_smoothing": 0.1},
        {"distill": {"weight": 0.5, "temperature": 2.0}, "grad_clip": 0.5},
        {"ema": {"decay": 0.9}, "optimizer": "adamw", "learning_rate": 1e-3},
    ],
    ids=["plain", "mixed", "distilled", "averaged"],
)
def test_micro_batches_have_the_gradient_of_the_whole_batch(
    changes: dict[str, Any], parts: int
) -> None:
    """50 steps of 16 images, of which every fourth has 2, are those of the whole batches."""
    images = split(50, 0)
    double = InDouble(**vars(images))
    data = Dataset("bright", image_shape(CLASSES, 3, SIDE), double, double, double, "digest")

    def end(**more: Any) -> tuple[Tensor, list[float]]:
        model = Plain()
        chosen = recipe(**{"epochs": 13, "learning_rate": 0.02, **changes, **more})
        found = train(model, data, chosen, 0, Shrinking(), teacher=Plain().eval())
        return weights(model), [one.train_loss for one in found.history]

    (whole, losses), (micro, by_parts) = end(), end(accumulate=parts)
    assert not torch.equal(whole, weights(Plain()))
    largest = float((whole - micro).abs().max())
    assert largest < 1e-12
    assert by_parts == pytest.approx(losses, rel=1e-12)


@pytest.mark.parametrize(("batch", "parts"), [(9, 4), (10, 6), (16, 5), (50, 50)])
def test_a_batch_has_as_many_parts_as_asked(data: Dataset, batch: int, parts: int) -> None:
    found = small()
    chosen = recipe(epochs=1, batch_size=batch, accumulate=parts, drop_last=True)
    seen: list[int] = []
    found.register_forward_pre_hook(
        lambda module, given: seen.append(len(given[0])) if module.training else None
    )
    train(found, data, chosen, 0)
    assert len(seen) == parts * chosen.batches(len(data.train))
    assert sum(seen) == chosen.images_an_epoch(len(data.train))


def test_batch_norm_takes_its_statistics_of_each_micro_batch(data: Dataset) -> None:
    found = small()
    train(found, data, recipe(epochs=1, batch_size=50, accumulate=2, augment=False), 0)
    by_hand = small().train()
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    (x, _), *_ = data.train.batches(50, indices=order)
    with torch.no_grad():
        by_hand(x[:25]), by_hand(x[25:])
    assert torch.allclose(found[1].running_mean, by_hand[1].running_mean, atol=1e-6)
    assert torch.allclose(found[1].running_var, by_hand[1].running_var, atol=1e-6)


def test_a_last_batch_that_is_not_full_is_left_out(data: Dataset) -> None:
    class Noting(Rider):
        def attach(self, training: Training) -> None:
            self.planned = (training.steps_per_epoch, training.steps)
            self.taken: list[int] = []

        def after_step(self, step: int) -> None:
            self.taken.append(step)

    rider = Noting()
    found = train(small(), data, recipe(drop_last=True), 0, rider)
    assert rider.planned == (3, 6)
    assert rider.taken == list(range(6))
    assert found.images == 2 * 48

    with pytest.raises(ValueError, match=r"leaves nothing of 50 training samples in batches of 51"):
        train(small(), data, recipe(drop_last=True, batch_size=51), 0)


def test_micro_batches_without_an_image_are_refused() -> None:
    with pytest.raises(ValueError, match=r"accumulate = 17 micro-batches of batch_size = 16"):
        recipe(accumulate=17)


# --- mixing and erasing -------------------------------------------------------------------------


def batch(n: int = 6, side: int = 8) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(n, 3, side, side, generator=draw) + 1
    return images, torch.randint(3, (n,), generator=draw)


def test_mixup_is_a_mean_of_images_and_of_losses() -> None:
    """share x loss(own label) + (1 - share) x loss(the other's), by hand."""
    images, labels = batch()
    found, targets = Mixing(recipe(mixup=0.8), 3, seed=7)(images, labels, step=4)
    other = torch.cat([images[-1:], images[:-1]])
    share = float(((found - other) / (images - other))[0, 0, 0, 0])
    assert 0 < share < 1
    # float32: one product and one sum
    torch.testing.assert_close(found, share * images + (1 - share) * other, rtol=1e-4, atol=1e-4)
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))
    neighbours = torch.cat([labels[-1:], labels[:-1]])
    by_hand = share * functional.cross_entropy(logits, labels) + (
        1 - share
    ) * functional.cross_entropy(logits, neighbours)
    torch.testing.assert_close(
        functional.cross_entropy(logits, targets), by_hand, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("seed", range(8))
def test_cutmix_pastes_one_rectangle_and_counts_its_pixels(seed: int) -> None:
    images, _ = batch(side=10)
    found, share = pasted(images, 0.6, np.random.default_rng(seed))
    other = torch.cat([images[-1:], images[:-1]])
    from_other = (found == other).all(1)
    assert torch.equal(from_other | (found == images).all(1), torch.ones(6, 10, 10, dtype=bool))
    assert share == pytest.approx(1 - from_other[0].double().mean().item(), abs=1e-12)
    assert (from_other == from_other[0]).all()
    rows, columns = from_other[0].any(1), from_other[0].any(0)
    assert torch.equal(from_other[0], rows[:, None] & columns[None, :])
    assert share >= 0.6 - 1e-9  # a box that sticks out is cut, and never larger than asked for


def test_with_both_a_batch_gets_one_of_them() -> None:
    images, labels = batch()
    mixing = Mixing(recipe(mixup=0.8, cutmix=1.0), 3, seed=0)
    other = torch.cat([images[-1:], images[:-1]])
    kinds = set()
    for step in range(20):
        found, targets = mixing(images, labels, step)
        kinds.add(bool(((found == images) | (found == other)).all()))
        assert torch.allclose(targets.sum(1), torch.ones(6), atol=1e-6)
    assert kinds == {True, False}


def test_draws_depend_on_seed_and_step_alone() -> None:
    images, labels = batch()
    first, same, later, elsewhere = (
        Mixing(recipe(mixup=0.8), 3, seed)(images, labels, step)[0]
        for seed, step in ((1, 0), (1, 0), (1, 1), (2, 0))
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, later)
    assert not torch.equal(first, elsewhere)


def test_erasing_takes_rectangles_of_2_to_33_percent_of_some_images() -> None:
    images = torch.rand(800, 3, 32, 32) + 1
    gone = erased(images, 0.25, np.random.default_rng(0)) == 0
    assert torch.equal(gone.all(1), gone.any(1))
    area = gone[:, 0].double().mean((1, 2))
    hit = area > 0
    assert 0.2 < hit.double().mean() < 0.3  # 800 draws at 1/4: four deviations are 0.06
    assert area[hit].min() > 0.015  # sides are rounded
    assert area[hit].max() < 0.35
    boxes = gone[hit, 0]
    assert torch.equal(boxes, boxes.any(2)[:, :, None] & boxes.any(1)[:, None, :])
    assert torch.equal(erased(images, 0.0, np.random.default_rng(0)), images)


def test_mixing_half_and_half_with_itself_changes_nothing() -> None:
    images = batch(1)[0]
    assert torch.equal(mixed(images, 0.5, np.random.default_rng(0))[0], images)


# --- averaging, clipping, precision -------------------------------------------------------------


class Watching(Rider):
    """Notes the weights after every step."""

    def attach(self, training: Training) -> None:
        self.model = training.model
        self.seen: list[dict[str, Tensor]] = []

    def after_step(self, step: int) -> None:
        self.seen.append({name: one.clone() for name, one in self.model.state_dict().items()})


@pytest.mark.parametrize(("every", "warm"), [(1, 0), (3, 0), (2, 1)])
def test_the_average_is_the_one_computed_by_hand(data: Dataset, every: int, warm: int) -> None:
    """Four steps an epoch; copied at step 0 and while the rate warms up."""
    watching = Watching()
    changes = {"epochs": 3, "batch_size": 13, "ema": {"decay": 0.7, "every": every}}
    model = trained(data, watching, **changes, warmup_epochs=float(warm))
    assert len(watching.seen) == 12
    mean: dict[str, Tensor] = {}
    for step, now in enumerate(watching.seen):
        if step % every == 0:
            copied = step == 0 or step < 4 * warm
            mean = {
                name: one
                if copied or not one.is_floating_point()
                else mean[name].lerp(one, 1 - 0.7)
                for name, one in now.items()
            }
    for name, one in model.state_dict().items():
        assert torch.equal(one, mean[name]), name  # statistics and counters of norms as well


def test_averaged_weights_are_what_is_evaluated_and_best(data: Dataset) -> None:
    model = small()
    chosen = recipe(epochs=1, ema={"decay": 0.9})
    found = train(model, data, chosen, 0)
    assert (
        found.history[-1].validation_top1
        == evaluate(model, data.validation, CLASSIFICATION).primary
    )
    assert all(torch.equal(found.best[name], one) for name, one in model.state_dict().items())


def test_gradients_are_clipped_to_their_common_length(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[float] = []
    step = torch.optim.SGD.step

    def spied(self: torch.optim.SGD, *rest: Any) -> Any:
        grads = [one.grad for group in self.param_groups for one in group["params"]]
        lengths.append(math.sqrt(sum(float(one.square().sum()) for one in grads)))
        return step(self, *rest)

    monkeypatch.setattr(torch.optim.SGD, "step", spied)
    trained(data)
    free = max(lengths)
    lengths.clear()
    trained(data, grad_clip=free / 2)
    assert max(lengths) == pytest.approx(free / 2, rel=1e-4)


@pytest.mark.parametrize("amp", ["bf16", "fp16"])
def test_mixed_precision_trains_nearly_as_full_precision(data: Dataset, amp: str) -> None:
    mixed_weights, full = weights(trained(data, amp=amp)), weights(trained(data))
    apart = float((mixed_weights - full).norm() / (full - weights(small())).norm())
    # bf16 has 8 bits: its products are off by 1/256, a few hundred of them by some per cent
    assert 0 < apart < (0.2 if amp == "bf16" else 0.02)
    assert mixed_weights.dtype == torch.float32


def test_a_rider_never_sees_an_overflow(data: Dataset) -> None:
    class Looking(Rider):
        def attach(self, training: Training) -> None:
            self.model, self.finite = training.model, True

        def loss_term(self, step: int) -> Tensor | None:
            weight = self.model.get_parameter("0.weight")
            return 1e36 * weight.square().sum() if step == 1 else None

        def after_backward(self, step: int) -> None:
            grads = [one.grad for one in self.model.parameters() if one.grad is not None]
            self.finite &= all(bool(one.isfinite().all()) for one in grads)

    looking = Looking()
    model = trained(data, looking, amp="fp16", epochs=3)
    assert looking.finite
    assert weights(model).isfinite().all()  # the step of the overflow was skipped


def test_a_recipe_to_compile_needs_a_compiler(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    nothing: Callable[[str], None] = lambda name: None  # noqa: E731
    monkeypatch.setattr("bench.training.optimizer.shutil.which", nothing)
    with pytest.raises(BenchError, match=r"compile: true.* C\+\+ compiler"):
        trained(data, compile=True)


@pytest.mark.slow
def test_a_compiled_training_is_the_plain_one(data: Dataset) -> None:
    found = weights(trained(data, compile=True, epochs=1))
    # fused kernels round elsewhere
    torch.testing.assert_close(found, weights(trained(data, epochs=1)), rtol=1e-3, atol=1e-4)
