"""Evidence of a batch against loops over single samples, double backward and finite differences."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from conftest import CLASSES, build, groups_of, labelled, lively
from torch import Tensor, nn
from torch.nn import functional as F

from criteria import CriteriaError, Criterion, NotApplicable, criteria
from criteria.evidence.batch import Batch
from criteria.evidence.meter import Meter
from criteria.evidence.needs import DATA, Need
from criteria.gather import gather
from criteria.network.weights import weight_structure
from criteria.registry import create
from criteria.source import PACKAGE

EXACT = {"rtol": 1e-9, "atol": 1e-12}  # float64; sums in another order
NETWORKS = ["chain", "residual", "concat", "flat", "depthwise", "grouped", "vit"]


class Look(Criterion):
    """Calls a function on every batch."""

    name = "look"

    def __init__(self, see: Callable[[Batch], None], needs: Need = DATA) -> None:
        super().__init__((), None, torch.Generator())
        self.needs, self._see = needs, see

    def observe(self, batch: Batch) -> None:
        self._see(batch)


def look(
    model: nn.Module, x: Tensor, y: Tensor, see: Callable[[Batch], None], needs: Need = DATA
) -> None:
    (cost,) = gather(model, [Look(see, needs)], [(x, y)])
    if cost.failure is not None:
        raise cost.failure


def own_gradients(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Of the loss, by plain autograd."""
    found = torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters()))
    return dict(zip(dict(model.named_parameters()), found, strict=True))


@pytest.mark.parametrize("needs", [Need.SAMPLES, DATA], ids=["alone", "with all"])
@pytest.mark.parametrize("name", NETWORKS)
def test_sample_products_are_those_of_a_loop_over_single_samples(name: str, needs: Need) -> None:
    model = lively(build(name))
    x, y = labelled(4)
    members = [m for g in groups_of(model) for m in g.members if m.scored]
    found: list[Tensor] = []
    look(model, x, y, lambda b: found.extend(b.sample_products(m) for m in members), needs)
    weights = {key: one.detach() for key, one in model.named_parameters()}
    loops = [own_gradients(model, x[n : n + 1], y[n : n + 1]) for n in range(len(y))]
    for member, products in zip(members, found, strict=True):
        w = member.rows(weights, bias=True)
        expected = torch.stack([(w * member.rows(g, bias=True)).sum(1) for g in loops])
        torch.testing.assert_close(products, expected, **EXACT)


@pytest.mark.parametrize("needs", [Need.SAMPLES, DATA], ids=["alone", "with all"])
def test_layers_that_change_in_place_behind_their_output_are_seen_as_they_were(needs: Need) -> None:
    """`relu_` overwrites what the first layer made, `out += shortcut` what the batch norm made."""

    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.conv = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, padding=1)
            self.norm, self.fc = nn.BatchNorm2d(4), nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = F.relu(self.stem(x), inplace=True)
            out = self.norm(self.conv(x))
            out += x
            return self.fc(F.relu(out, inplace=True).mean((2, 3)))

    model = lively(InPlace())
    x, y = labelled(3)
    members = [m for g in groups_of(model) for m in g.members if m.name in ("stem", "norm")]
    assert len(members) == 2
    found: list[Tensor] = []
    look(model, x, y, lambda b: found.extend(b.sample_products(m) for m in members), needs)
    weights = {key: one.detach() for key, one in model.named_parameters()}
    loops = [own_gradients(model, x[n : n + 1], y[n : n + 1]) for n in range(3)]
    for one, products in zip(members, found, strict=True):
        expected = [(one.rows(weights, bias=True) * one.rows(g, bias=True)).sum(1) for g in loops]
        torch.testing.assert_close(products, torch.stack(expected), **EXACT)


@pytest.mark.parametrize(
    ("needs", "formed"), [(Need.SAMPLES, False), (Need.SAMPLES | Need.GRADIENTS, True)]
)
def test_gradients_of_weights_are_formed_only_for_those_who_want_them(
    needs: Need, formed: bool
) -> None:
    model = lively(build("residual"))
    seen: list[str] = []
    for name, parameter in model.named_parameters():
        parameter.register_hook(lambda _, name=name: seen.append(name))
    (member, *_) = groups_of(model)[0].members
    look(model, *labelled(), lambda batch: batch.sample_products(member).sum(), needs)
    assert set(seen) == ({name for name, _ in model.named_parameters()} if formed else set())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("norms", ["eval", "batch"])
@pytest.mark.parametrize("name", ["chain", "residual", "vit"])
def test_the_hessian_product_is_that_of_a_double_backward(name: str, norms: str) -> None:
    model = lively(build(name))
    x, y = labelled(4)
    found: list[dict[str, Tensor]] = []

    def see(batch: Batch) -> None:
        found.append(dict((batch if norms == "eval" else batch.batch_norm).hessian_product()))

    before = {key: one.clone() for key, one in model.state_dict().items()}
    look(model, x, y, see)
    for key, one in model.state_dict().items():
        assert torch.equal(one, before[key])
    model.train(norms == "batch")
    parameters = list(model.parameters())
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        loss = F.cross_entropy(model(x), y)
        first = torch.autograd.grad(loss, parameters, create_graph=True)
        second = torch.autograd.grad(first, parameters, [one.detach() for one in parameters])
    for (key, _), expected in zip(model.named_parameters(), second, strict=True):
        torch.testing.assert_close(found[0][key], expected, rtol=1e-8, atol=1e-11)


def test_a_vector_of_ones_own_and_missing_names_are_zero() -> None:
    model = lively(build("chain"))
    x, y = labelled(4)
    name = next(key for key, _ in model.named_parameters())
    found: list[dict[str, Tensor]] = []
    some = {name: model.get_parameter(name).detach()}
    every = {
        key: one.detach() if key == name else one.detach() * 0
        for key, one in model.named_parameters()
    }
    look(model, x, y, lambda b: found.extend([b.hessian_product(some), b.hessian_product(every)]))
    for key in found[0]:
        torch.testing.assert_close(found[0][key], found[1][key], **EXACT)


def test_sampled_labels_follow_the_softmax_and_are_the_same_for_all() -> None:
    model = lively(build("chain"))
    x, y = labelled(64)
    seen: list[Tensor] = []
    gather(model, [Look(lambda b: seen.append(b.sampled.targets)) for _ in range(2)], [(x, y)])
    assert torch.equal(seen[0], seen[1])
    with torch.no_grad():
        model.eval()
        expected = model(x).softmax(1).sum(0)
    counts = torch.bincount(seen[0], minlength=expected.numel())
    spread = expected.sqrt().clamp(min=1)  # of a binomial, at most
    assert ((counts - expected).abs() < 4 * spread).all()


def test_gradients_of_sampled_labels_are_of_those_labels() -> None:
    model = lively(build("chain"))
    x, y = labelled(6)
    found: list[tuple[Tensor, dict[str, Tensor]]] = []
    look(model, x, y, lambda b: found.append((b.sampled.targets, dict(b.sampled.gradients))))
    targets, gradients = found[0]
    model.eval()
    for key, one in own_gradients(model, x, targets).items():
        torch.testing.assert_close(gradients[key], one, **EXACT)


def test_evidence_that_was_not_asked_for_is_refused_whoever_else_asked() -> None:
    model = lively(build("chain"))
    quiet = Look(lambda batch: batch.gradients, Need.ACTIVATIONS)  # type: ignore[arg-type, return-value]
    loud = Look(lambda batch: batch.gradients, Need.GRADIENTS)  # type: ignore[arg-type, return-value]
    first, second = gather(model, [quiet, loud], [labelled()])
    assert isinstance(first.failure, CriteriaError)
    assert "needs=GRADIENTS" in str(first.failure)
    assert second.failure is None


def test_a_layer_used_twice_has_no_single_input() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.loop, self.fc = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.loop(self.loop(self.stem(x))).mean((2, 3)))

    with pytest.raises(NotApplicable, match="loop is used 2 times"):
        look(lively(Twice()), *labelled(), lambda batch: batch.layer_input("loop"))


def test_the_meter_counts_shared_work_once_and_for_all_that_use_it() -> None:
    meter = Meter()
    with meter.timing("a"), meter.timing("shared"), meter.timing("deep"):
        pass
    with meter.timing("b"):
        meter.use("shared")
    meter._own.update({"a": 1.0, "b": 2.0, "shared": 4.0, "deep": 8.0})
    assert meter.seconds("a") == 1 + 4 + 8
    assert meter.seconds("b") == 2 + 4 + 8
    assert meter.seconds("deep") == 8


def test_evidence_of_a_batch_is_let_go_before_the_next() -> None:
    """Without the collector: circles through autograd's hooks are invisible to it."""
    model = build("residual")
    ours = [entry for entry in criteria() if PACKAGE in entry.file.parents]  # not other tests'
    names = [entry.name for entry in ours if entry.name != "rgd"]

    def left_over(batches: int) -> int:
        every = [create(one, groups_of(model), {}, torch.Generator()) for one in names]
        gc.collect()
        before = _tensors()
        gc.disable()
        try:
            gather(model, every, [labelled(4, seed) for seed in range(batches)])
            return _tensors() - before
        finally:
            gc.enable()

    left_over(1)  # whatever is made once
    assert left_over(4) <= left_over(1)


def _tensors() -> int:
    return sum(issubclass(type(one), Tensor) for one in gc.get_objects())


def test_what_one_criterion_cannot_have_does_not_stop_the_others() -> None:
    """A norm without running statistics has no per-sample squares, but it has a gradient."""
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4, track_running_stats=False),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    ).double()
    groups = groups_of(model)
    taylor, squares = (create(one, groups, {}, torch.Generator()) for one in ("taylor", "c_obd"))
    first, second = gather(model, [taylor, squares], [labelled(), labelled(4, 1)])
    assert first.failure is None
    assert isinstance(second.failure, NotApplicable)


@pytest.mark.parametrize("name", ["hessian_diag", "fisher", "kron_obd", "mean_activation"])
def test_layers_that_do_not_work_on_samples_are_refused(name: str) -> None:
    class Windows(nn.Module):
        """Cuts each image in four and puts the windows where samples are."""

        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(48, 6), nn.Linear(6, 5)

        def forward(self, x: Tensor) -> Tensor:
            windows = F.relu(self.first(x.reshape(4 * len(x), 48)))
            return self.second(windows).reshape(len(x), 4, -1).mean(1)

    model = lively(Windows())
    one = create(name, groups_of(model), {}, torch.Generator())
    (cost,) = gather(model, [one], [labelled()])
    assert isinstance(cost.failure, NotApplicable)
    assert "not the 4 samples of the batch" in str(cost.failure)


def test_squares_are_known_of_every_layer_that_works_on_each_sample_alone() -> None:
    layers = [nn.ConvTranspose2d(3, 4, 2, stride=2), nn.GroupNorm(2, 4), nn.SiLU()]
    layers += [nn.Conv2d(4, 6, 3, padding="same", padding_mode="reflect"), nn.SiLU()]
    model = lively(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)))
    x, y = labelled(3)
    found: list[dict[str, Tensor]] = []
    look(model, x, y, lambda batch: found.append(dict(batch.squared_gradients)))
    loops = [own_gradients(model, x[n : n + 1], y[n : n + 1]) for n in range(3)]
    for name, squares in found[0].items():
        expected = torch.stack([one[name] for one in loops]).square().mean(0)
        torch.testing.assert_close(squares, expected, **EXACT)
    assert set(found[0]) == set(dict(model.named_parameters()))


def test_a_use_that_the_loss_does_not_reach_adds_nothing_to_the_squares() -> None:
    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm, self.fc = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5)

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x)
            self.norm(2 * x)
            return self.fc(F.silu(self.norm(x)).mean((2, 3)))

    model = lively(Idle())
    x, y = labelled(3)
    found: list[dict[str, Tensor]] = []
    look(model, x, y, lambda batch: found.append(dict(batch.squared_gradients)))
    loops = [own_gradients(model, x[n : n + 1], y[n : n + 1])["norm.weight"] for n in range(3)]
    expected = torch.stack(loops).square().mean(0)
    torch.testing.assert_close(found[0]["norm.weight"], expected, **EXACT)


def test_a_failure_does_not_hold_on_to_evidence() -> None:
    class Broken(Look):
        def observe(self, batch: Batch) -> None:
            kept.append(weakref.ref(batch.gradients["0.weight"]))
            raise ValueError("mine")

    kept: list[weakref.ref[Tensor]] = []
    (cost,) = gather(build("chain"), [Broken(lambda _: None)], [labelled()])
    assert str(cost.failure) == "mine"
    assert kept[0]() is None


class Odd(nn.Module):
    """Two convolutions of one weight, or one that is called by keyword."""

    def __init__(self, shared: bool) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        if shared:
            self.second.weight = self.first.weight
        self.head, self.shared = nn.Linear(3, CLASSES), shared

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x) if self.shared else self.first(input=x)
        return self.head(self.second(x).relu().mean((2, 3)))


@pytest.mark.parametrize(
    ("shared", "said"), [(True, "layers share a weight"), (False, "input by keyword")]
)
def test_squares_that_would_be_wrong_are_refused_with_their_reason(shared: bool, said: str) -> None:
    model = Odd(shared)
    groups = weight_structure(model).groups
    scoring = create("hessian_diag", groups, {}, torch.Generator())
    (cost,) = gather(model, [scoring], [labelled()])
    assert isinstance(cost.failure, NotApplicable)
    assert said in str(cost.failure)


def test_criteria_know_nothing_of_images_whose_channels_lie_last() -> None:
    """Nothing that they are handed lies otherwise, and it is the same but for rounding."""
    model = lively(build("residual")).float()
    x, y = labelled(4)
    ran: list[bool] = []
    model.stem.register_forward_pre_hook(lambda _, given: ran.append(given[0].stride(1) == 1))

    def seen(images: Tensor, needs: Need) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}

        def see(batch: Batch) -> None:
            found.update(batch.gradients, images=batch.images)
            if Need.ACTIVATIONS in needs:
                found.update(read=batch.layer_input("left2"), made=batch.layer_output("left2"))

        look(model, images.float(), y, see, needs)
        assert all(one.is_contiguous() for one in found.values())
        return found

    last = x.float().clone(memory_format=torch.channels_last)
    for needs, laid_out in ((Need.GRADIENTS, True), (Need.GRADIENTS | Need.ACTIVATIONS, False)):
        plain, found = seen(x, needs), seen(last, needs)
        assert ran[-1] is laid_out
        for name, one in plain.items():
            assert torch.allclose(one, found[name], rtol=1e-4, atol=1e-6), name
    assert not model._forward_pre_hooks
