"""Masks of single weights: exact counts, nested steps, kept through training, counted by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import CLASSES, SIDE, Chain, build, conv, images, labelled, left_as_found, lively
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor, nn

from bench.data.datasets import Dataset
from bench.data.images import ArrayImages, Normalization
from bench.data.reader import image_shape
from bench.pruning.cost import count_macs, count_params, weight_uses
from bench.pruning.masks import (
    Holder,
    Masks,
    check_held,
    choose_masks,
    given_counts,
    macs_saved,
    mask_at_once,
    masked,
    pack,
    unpack,
    weight_groups,
    weights_kept,
)
from bench.pruning.network import Schedule
from bench.pruning.prune import prune
from bench.pruning.selection import InfeasibleBudget, Limits
from bench.training.train import train
from criteria import Group, NotApplicable, StructureError, criteria
from suites import Recipe

Scores = list[Tensor]


@st.composite
def scores_with_ties(draw: st.DrawFn) -> Scores:
    """A few layers whose scores are small whole numbers, so that most are tied."""
    lengths = draw(st.lists(st.integers(1, 40), min_size=1, max_size=4))
    few = st.integers(-2, 2)
    return [torch.from_numpy(draw(arrays.arrays(np.float64, one, elements=few))) for one in lengths]


SHARES = st.floats(0.05, 1).map(lambda one: round(one, 3))


def layers(scores: Scores) -> list[Group]:
    return [Group(f"layer{at}", len(one), ()) for at, one in enumerate(scores)]


def total(scores: Iterable[Tensor]) -> int:
    return sum(len(one) for one in scores)


def kept(masks: Mapping[str, Tensor]) -> list[int]:
    return [int(one.sum()) for one in masks.values()]


def flat(masks: Mapping[str, Tensor]) -> list[bool]:
    return torch.cat(list(masks.values())).tolist()


def best_in_layer(scores: Scores, masks: Masks) -> bool:
    """Whether no weight that left has a higher score than one that stayed."""
    pairs = [(one[~mask], one[mask]) for one, mask in zip(scores, masks.values(), strict=True)]
    return all(low.max() <= high.min() for low, high in pairs if len(low) and len(high))


# --- how many, and which --------------------------------------------------------------------------

NET = nn.Identity()  # only patterns look at the layers


@given(scores_with_ties(), SHARES)
def test_exactly_the_share_stays_and_of_equals_the_earlier_leaves(
    scores: Scores, share: float
) -> None:
    count = round(share * total(scores))
    if count == 0:
        with pytest.raises(InfeasibleBudget, match="is none"):
            mask_at_once(NET, layers(scores), scores, share, "global")
        return
    found = mask_at_once(NET, layers(scores), scores, share, "global")
    values = torch.cat(scores).tolist()
    best = sorted(range(len(values)), key=lambda at: (values[at], at))[len(values) - count :]
    assert flat(found) == [at in best for at in range(len(values))]
    assert [len(one) for one in found.values()] == [len(one) for one in scores]


@given(scores_with_ties(), SHARES)
def test_local_masks_keep_the_same_share_of_every_layer_and_exactly_as_many(
    scores: Scores, share: float
) -> None:
    count = round(share * total(scores))
    if count == 0:
        return
    found = mask_at_once(NET, layers(scores), scores, share, "local")
    assert sum(kept(found)) == count
    least = max((int(mask.sum()) - 1) / len(mask) for mask in found.values())
    most = min((int(mask.sum()) + 1) / len(mask) for mask in found.values())
    assert least <= most  # one share fits all layers, up to a weight of each
    assert best_in_layer(scores, found)


def test_a_large_layer_loses_most_under_a_global_ranking_and_its_share_under_a_local_one() -> None:
    scores = [torch.arange(4.0) + 100, torch.arange(16.0)]
    assert kept(mask_at_once(NET, layers(scores), scores, 0.5, "global")) == [4, 6]
    assert kept(mask_at_once(NET, layers(scores), scores, 0.5, "local")) == [2, 8]


def test_scores_may_be_negative() -> None:
    scores = [torch.tensor([-3.0, -1.0, -2.0])]
    found = mask_at_once(NET, layers(scores), scores, 1 / 3, "global")
    assert flat(found) == [False, True, False]


def test_a_share_that_leaves_nothing_is_refused() -> None:
    assert weights_kept(100, 0.01) == 1
    with pytest.raises(InfeasibleBudget, match=r"budgets\.weights: 0\.001 of 100 weights is none"):
        weights_kept(100, 0.001)


@given(scores_with_ties())
def test_a_control_keeps_as_many_of_each_layer(scores: Scores) -> None:
    draw = torch.Generator().manual_seed(0)
    masks = {
        f"layer{at}": torch.rand(len(one), generator=draw) < 0.5 for at, one in enumerate(scores)
    }
    found = given_counts(layers(scores), scores, masks)
    assert kept(found) == kept(masks)
    assert best_in_layer(scores, found)


@given(scores_with_ties())
def test_masks_are_stored_a_bit_a_weight(scores: Scores) -> None:
    masks = {f"layer{at}": one > 0 for at, one in enumerate(scores)}
    bits = pack(masks)
    assert bits.nbytes == -(-total(scores) // 8)
    found = unpack(bits, layers(scores))
    assert all(torch.equal(found[name], mask) for name, mask in masks.items())


# --- which criteria -------------------------------------------------------------------------------


def test_a_criterion_of_channels_alone_says_so() -> None:
    with pytest.raises(NotApplicable, match=r"fpgm .* single weights; .* l1, l2"):
        prune(build("chain"), images(1), "fpgm", {"weights": 0.5})


def test_a_criterion_made_of_others_needs_parts_that_score_weights() -> None:
    model = build("chain")
    with pytest.raises(NotApplicable, match=r"fpgm .* single weights"):
        prune(model, images(1), "inverse", {"weights": 0.5}, of="fpgm")
    prune(model, images(1), "inverse", {"weights": 0.5}, of="l1")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    model = build("chain")
    with torch.no_grad():
        model.get_parameter("0.weight")[0, 0, 0, 0] = bad
    with pytest.raises(StructureError, match=r"0\.weight holds NaN or infinity"):
        prune(model, images(1), "l1", {"weights": 0.5})


# --- step by step ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", ["global", "local"])
@pytest.mark.parametrize("shape", ["linear", "geometric"])
def test_what_is_masked_stays_masked_whatever_later_scores_say(scope: Any, shape: Any) -> None:
    model = build("residual")
    groups = weight_groups(model, (images(1),))
    draw = torch.Generator().manual_seed(0)
    zeros: list[int] = []

    def scorer(now: nn.Module) -> Scores:
        """Other scores at every stop, highest where there is nothing left."""
        weights = [weight(now, one.root).flatten() for one in groups]
        zeros.append(sum(int((one == 0).sum()) for one in weights))
        return [torch.rand(len(one), generator=draw) + 9 * (one == 0) for one in weights]

    shares, schedule = [0.6, 0.3, 0.05], Schedule(7, shape)
    with left_as_found(model):
        found = choose_masks(model, groups, scorer, shares, scope, schedule=schedule)
    everything = sum(group.units for group in groups)
    assert [sum(kept(found[one])) for one in shares] == [round(s * everything) for s in shares]
    for many, few in itertools.pairwise(found[one] for one in shares):
        assert all((~many[name] <= ~few[name]).all() for name in many)
    stops = schedule.stops(shares)
    assert zeros == [0, *(everything - round(stop * everything) for stop in stops[:-1])]


def weight(model: nn.Module, layer: str) -> Tensor:
    return model.get_submodule(layer).get_parameter("weight").detach()


def test_the_geometric_schedule_is_that_of_the_paper() -> None:
    """OBA keeps ratio^(s / steps) after step s."""
    stops = Schedule(49, "geometric").stops([0.1])
    assert stops == pytest.approx([0.1 ** (s / 49) for s in range(1, 50)])


@pytest.mark.parametrize("scope", ["global", "local"])
def test_one_step_is_one_shot(scope: Any) -> None:
    model = build("chain")
    groups = weight_groups(model, (images(1),))
    scores = [weight(model, one.root).flatten().abs() for one in groups]
    step = choose_masks(model, groups, lambda _: scores, [0.3], scope, schedule=Schedule(1))[0.3]
    assert flat(step) == flat(mask_at_once(model, groups, scores, 0.3, scope))


# --- what it costs --------------------------------------------------------------------------------


class Awkward(nn.Module):
    """A strided, a dilated grouped and a transposed convolution, tokens, a layer used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.strided = conv(3, 4, stride=2)
        self.grouped = nn.Conv2d(4, 4, 3, groups=2, dilation=2, padding=(2, 1), bias=False)
        self.up = nn.ConvTranspose2d(4, 3, 2)
        self.norm = nn.BatchNorm2d(3)
        self.tokens = nn.Linear(3, 3)
        self.idle = nn.Linear(7, 7)  # not called: it costs nothing, and is not prunable
        self.fc = nn.Linear(3, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.up(self.grouped(self.strided(x))))
        x = x.flatten(2).transpose(1, 2)
        return self.fc(self.tokens(torch.relu(self.tokens(x))).mean(1))


def products_of(layer: nn.Module, given: Tensor) -> int:
    """Products with a nonzero weight in one image: the layer itself adds them up, of ones by ones.

    As torch's own count, products with padding are products.
    """
    ones = torch.ones_like(given[:1])
    weight = (layer.get_parameter("weight") != 0).double()
    match layer:
        case nn.Linear():
            found = F.linear(ones, weight)
        case nn.ConvTranspose2d():
            found = F.conv_transpose2d(ones, weight, None, layer.stride)
        case nn.Conv2d():
            rows, columns = layer.padding
            padded = F.pad(ones, (columns, columns, rows, rows), value=1.0)
            found = F.conv2d(padded, weight, None, layer.stride, 0, layer.dilation, layer.groups)
    return int(found.sum())


def test_theoretical_macs_by_brute_force() -> None:
    model = lively(Awkward())
    x = images(2)
    uses = weight_uses(model, (x,))
    assert list(uses) == ["strided", "grouped", "up", "tokens", "fc"]
    assert [one.root for one in weight_groups(model, (x,))] == list(uses)
    masks = half(model)
    thin = masked(model, masks)
    done = 0

    def count(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal done
        done += products_of(layer, given[0])

    for name in uses:
        thin.get_submodule(name).register_forward_hook(count)
    thin(x)
    assert count_macs(model, (x,)) - macs_saved(masks, uses) == done


def test_weights_and_attention_products_are_all_the_macs_there_are(
    name: str, model: nn.Module
) -> None:
    uses = weight_uses(model, (images(2),))
    by_weights = sum(weight(model, one).numel() * times for one, times in uses.items())
    products = 2 * (2 * 17 * 17 * 8) if name == "vit" else 0  # layers x (QK' and AV), dense
    assert by_weights + products == count_macs(model, (images(2),))


# --- masks on networks ----------------------------------------------------------------------------


def half(model: nn.Module) -> Masks:
    """A random half of all weights."""
    draw = torch.Generator().manual_seed(3)
    x = images(1).to(next(model.parameters()).dtype)
    groups = weight_groups(model, (x,))
    return {one.root: torch.rand(one.units, generator=draw) < 0.5 for one in groups}


def returned(model: nn.Module, masks: Masks) -> int:
    """Masked weights that are not zero."""
    return sum(
        int(weight(model, one).flatten()[~mask].count_nonzero()) for one, mask in masks.items()
    )


def test_a_masked_network_is_a_copy() -> None:
    model = build("chain")
    masks = half(model)
    with left_as_found(model):
        thin = masked(model, masks)
    for name, parameter in thin.named_parameters():
        dense = model.get_parameter(name)
        mask = masks.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
        expected = dense if mask is None else dense * mask.reshape(dense.shape)
        assert torch.equal(parameter, expected)


def test_a_network_that_is_one_layer_can_be_masked() -> None:
    layer = nn.Linear(6, 4)
    result = prune(nn.Sequential(layer), torch.zeros(1, 6), "l1", {"weights": 0.5})
    assert kept(result.masks) == [12]
    assert (result.macs, result.dense_macs) == (12, 24)
    assert (result.params, result.dense_params) == (16, 28)


def split(count: int, seed: int) -> ArrayImages:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=draw)
    pixels = torch.randint(256, (count, 3, SIDE, SIDE), generator=draw).to(torch.uint8)
    plain = Normalization((0.5,) * 3, (0.25,) * 3)
    return ArrayImages(pixels, labels, plain, shift=1, chosen=torch.arange(count))


DATA = Dataset(
    "noise", image_shape(CLASSES, 3, SIDE), split(48, 0), split(10, 1), split(10, 2), "digest"
)
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "plain": {"momentum": 0.0, "weight_decay": 0.0},
    "momentum": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.1},
}


def recipe(kind: str) -> Recipe:
    return Recipe(epochs=2, batch_size=16, learning_rate=0.05, **OPTIMIZERS[kind])


@pytest.mark.parametrize("kind", list(OPTIMIZERS))
def test_masked_weights_are_zero_at_every_step_of_training(kind: str) -> None:
    """And the others learn as if the masked ones had never been there, to the last bit."""
    model = lively(Chain(6, 6)).float()
    masks = half(model)
    thin, reference = masked(model, masks), masked(model, masks)
    seen: list[int] = []
    thin.register_forward_pre_hook(lambda one, _: seen.append(returned(one, masks)))
    trained = train(thin, DATA, recipe(kind), 5, Holder(thin, masks))
    assert len(seen) > 2 * 3
    assert set(seen) == {0}
    check_held(thin, masks)

    for name, mask in masks.items():  # masked gradients keep all that an optimizer holds at zero
        parameter = reference.get_submodule(name).get_parameter("weight")
        shaped = mask.reshape(parameter.shape)
        parameter.register_hook(lambda gradient, shaped=shaped: gradient * shaped)
    again = train(reference, DATA, recipe(kind), 5)
    for name, one in thin.state_dict().items():
        assert torch.equal(one, reference.state_dict()[name]), name
    assert trained.history == again.history
    assert not torch.equal(weight(thin, "0"), weight(masked(model, masks), "0"))
    thin.load_state_dict(trained.best)
    assert returned(thin, masks) == 0


def test_without_its_mask_a_network_grows_back_and_that_is_found() -> None:
    model = lively(Chain(6, 6)).float()
    masks = half(model)
    thin = masked(model, masks)
    train(thin, DATA, recipe("momentum"), 5)
    with pytest.raises(ArithmeticError, match="no longer zero"):
        check_held(thin, masks)


# --- the public call ------------------------------------------------------------------------------


MADE_OF_OTHERS = {"ensemble": {"of": ["l1", "taylor"]}}
UNSTRUCTURED = [entry.name for entry in criteria() if entry.unstructured]


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("criterion", UNSTRUCTURED)
def test_the_public_call_masks_single_weights(criterion: str, steps: int) -> None:
    model = build("residual")
    with left_as_found(model):
        result = prune(
            model,
            images(2),
            criterion,
            {"weights": 0.3},
            [labelled()],
            steps=steps,
            scope="local",
            **MADE_OF_OTHERS.get(criterion, {}),
        )
    assert sum(kept(result.masks)) == round(0.3 * total(result.masks.values()))
    gone = total(result.masks.values()) - sum(kept(result.masks))
    assert result.dense_params - result.params == gone
    assert 0.25 < result.macs / result.dense_macs < 0.35  # the same share of every layer
    assert result.dense_macs == count_macs(result.model, (images(1),))  # on dense kernels
    assert result.dense_params == count_params(result.model)
    assert result.kept == {}


def test_l1_keeps_the_largest_weights_of_all_layers() -> None:
    model = build("chain")
    result = prune(model, images(1), "l1", {"weights": 0.25})
    sizes = {name: weight(model, name).flatten().abs() for name in result.masks}
    threshold = min(sizes[name][mask].min() for name, mask in result.masks.items() if mask.any())
    for name, mask in result.masks.items():
        assert torch.equal(mask, sizes[name] >= threshold)


def test_taylor_keeps_the_largest_products_of_weight_and_gradient() -> None:
    """Mean over batches of the squared product, one weight a unit."""
    model = build("chain")
    batches = [labelled(4, seed) for seed in (0, 1)]
    result = prune(model, images(1), "taylor", {"weights": 0.25}, batches)
    squares = {name: torch.zeros(weight(model, name).numel()).double() for name in result.masks}
    for x, y in batches:
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        for name in squares:
            parameter = model.get_submodule(name).get_parameter("weight")
            assert parameter.grad is not None
            squares[name] += (parameter * parameter.grad).detach().flatten().square()
    threshold = torch.cat(list(squares.values())).sort(descending=True).values
    for name, mask in result.masks.items():
        assert torch.equal(mask, squares[name] >= threshold[sum(kept(result.masks)) - 1])


def test_what_is_about_channels_is_refused() -> None:
    model = build("chain")
    cases: list[dict[str, Any]] = [
        {"scope": "isomorphic"},
        {"limits": Limits(protect=0.3)},
        {"ignored": [model[0]]},
    ]
    for wrong in cases:
        with pytest.raises(InfeasibleBudget, match="are about channels"):
            prune(model, images(1), "l1", {"weights": 0.5}, **wrong)
