"""TPP's Gram term: vectors by hand, autograd of the loss, all kinds of layers, behaviour."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import toy
from conftest import CLASSES, build, conv, groups_of, lively
from growing import lowest_half, procedure, rehearse
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from criteria.phases import PHASES
from criteria.procedures.growth import Ramp
from criteria.procedures.tpp import Gram, doomed_filters, gram_of
from criteria.training import Training

VECTORS = json.loads((toy.VECTORS / "tpp.json").read_text())
EXACT = {"rtol": 1e-12, "atol": 1e-12}  # float64; sums in another order
SIZES = st.tuples(st.integers(1, 6), st.integers(1, 5))


def matrix(name: str) -> Tensor:
    return torch.tensor(VECTORS[name]["weight"], dtype=torch.float64)


def linear(weight: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
    layer.weight.data.copy_(weight)
    return layer


def gram(layer: nn.Module, doomed: list[int], **options: Any) -> Gram:
    chosen: Any = PHASES["procedure"].options("tpp", options)
    return gram_of(layer, torch.tensor(doomed, dtype=torch.long), chosen)


def loss(rows: Tensor, doomed: list[int], scheme: str = "v5", mean_over: str = "all") -> Tensor:
    """Of `[filters, elements]`, entry by entry as the formula has it."""
    count = len(rows)
    pairs = [(i, j) for i in range(count) for j in range(count)]
    if scheme == "v5":
        masked = [(i, j) for i, j in pairs if i in doomed or j in doomed]
        terms = [(rows[i] @ rows[j]) ** 2 for i, j in masked]
    else:
        masked = pairs
        terms = [(rows[i] @ rows[j] - float(i == j and i not in doomed)) ** 2 for i, j in pairs]
    total = sum(terms, rows.new_zeros(()))
    return total / {"all": count**2, "masked": max(len(masked), 1), "none": 1}[mean_over]


def autograd(rows: Tensor, doomed: list[int], **options: str) -> Tensor:
    rows = rows.detach().requires_grad_()
    return torch.autograd.grad(loss(rows, doomed, **options), rows, allow_unused=True)[0]


# --- vectors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["matrix", "convolution"])
def test_vectors_by_hand(name: str) -> None:
    weight, doomed = matrix(name), VECTORS[name]["doomed"]
    assert loss(weight, doomed).item() == VECTORS[name]["loss"]
    found = gram(linear(weight), doomed).gradient()[0]
    assert found.tolist() == VECTORS[name]["gradient"]
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], 1, dtype=torch.float64)
    layer.weight.data.copy_(weight[:, :, None, None])
    assert gram(layer, doomed).gradient()[0, :, :, 0, 0].tolist() == VECTORS[name]["gradient"]


def test_the_papers_form_is_half_the_sum() -> None:
    layer, vector = linear(matrix("matrix")), VECTORS["matrix"]
    found = 0.5 * gram(layer, vector["doomed"], mean_over="none").gradient()[0]
    assert found.tolist() == vector["paper_gradient"]
    assert loss(layer.weight, vector["doomed"], mean_over="none") == vector["masked_square_sum"]


class Small(nn.Sequential):
    """The vectors' layer and its norm between others."""

    def __init__(self) -> None:
        first, norm = nn.Conv2d(3, 4, 1, bias=False), nn.BatchNorm2d(4)
        first.weight.data.copy_(matrix("matrix")[:, :, None, None])
        norm.weight.data.copy_(torch.tensor(VECTORS["step"]["gamma"]))
        norm.bias.data.copy_(torch.tensor(VECTORS["step"]["beta"]))
        rest = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES))
        super().__init__(first, norm, *rest)


def test_everything_that_one_step_adds() -> None:
    model, vector = Small().double(), VECTORS["step"]
    doomed = [torch.tensor(VECTORS["matrix"]["doomed"])]
    rider = procedure(
        "tpp", model, doomed, delta=vector["delta"], update_every=vector["update_every"]
    )
    rehearse(model, rider, steps=110_000)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    rider.after_backward(vector["step"])
    # gamma and beta were given in float32
    close = {"rtol": 1e-6, "atol": 1e-9}
    for parameter, key in (
        (model[0].weight, "weight_gradient"),
        (model[1].weight, "gamma_gradient"),
        (model[1].bias, "beta_gradient"),
    ):
        expected = torch.tensor(vector[key], dtype=torch.float64)
        torch.testing.assert_close(parameter.grad.reshape(expected.shape), expected, **close)
    assert not model[-1].weight.grad.any()


def test_the_schedule_of_the_released_code() -> None:
    vector = VECTORS["schedule"]
    ramp = Ramp(0, vector["update_every"], 0.0, 1.0, vector["delta"])
    for step, expected in vector["r"].items():
        assert ramp.strength(int(step)) == pytest.approx(expected, rel=1e-12)
    assert ramp.end == 100_000


# --- the formula ----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(data=st.data(), size=SIZES, scheme=st.sampled_from(["v5", "v5_2"]))
def test_the_gradient_is_autograds(data: st.DataObject, size: tuple[int, int], scheme: str) -> None:
    filters, elements = size
    options = {"scheme": scheme}
    means = ["all", "none"] + ["masked"] * (scheme == "v5")
    options["mean_over"] = data.draw(st.sampled_from(means))
    doomed = data.draw(st.lists(st.integers(0, filters - 1), min_size=1, unique=True))
    numbers = st.lists(st.floats(-3, 3), min_size=elements, max_size=elements)
    rows = data.draw(st.lists(numbers, min_size=filters, max_size=filters))
    weight = torch.tensor(rows, dtype=torch.float64)
    found = gram(linear(weight), doomed, **options).gradient()[0]
    expected = autograd(weight, doomed, **options)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)  # entries up to 27 * 30


def by_filter(layer: nn.Module) -> list[Tensor]:
    """`[filters, elements]` of every group of a layer, by slicing."""
    weight = layer.weight.detach()
    groups = getattr(layer, "groups", 1)
    parts = weight.chunk(groups)
    if isinstance(layer, nn.ConvTranspose2d):
        parts = [part.transpose(0, 1) for part in parts]
    return [part.reshape(len(part), -1) for part in parts]


@pytest.mark.parametrize("layers", ["inner", "all"])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_each_layer_of_every_network_gets_the_gradient_of_its_own_loss(
    model: nn.Module, layers: str, memory: torch.memory_format
) -> None:
    """Brute force, on every kind of coupling; the doomed filters are those that zeroing empties."""
    model.to(memory_format=memory)
    rider = procedure(
        "tpp", model, layers=layers, weight_term=False, bn_term=False, growth=0.5, update_every=1
    )
    rehearse(model, rider)
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)  # of the same memory format
    rider.after_backward(32)
    gone = {part.name: part.gone for part in rider.parts}
    with_term = doomed_filters(rider.ground.groups, rider.removed(), layers)
    checked = 0
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            continue
        found = layer.weight.grad
        if name not in with_term:
            assert not found.any()
            continue
        ghost = type(layer).__new__(type(layer))  # the gradient in the layer's place, to slice it
        ghost.__dict__ = {**layer.__dict__, "_parameters": {"weight": nn.Parameter(found)}}
        emptied = gone[f"{name}.weight"]
        marks = type(layer).__new__(type(layer))
        marks.__dict__ = {**layer.__dict__, "_parameters": {"weight": nn.Parameter(emptied)}}
        for rows, slope, mark in zip(*map(by_filter, (layer, ghost, marks)), strict=True):
            doomed = mark.bool().all(1).nonzero()[:, 0].tolist()
            if doomed:
                torch.testing.assert_close(slope, 1000 * autograd(rows, doomed), **EXACT)
                checked += 1
            else:
                assert not slope.any()
    assert checked or (layers == "inner" and not with_term)


def test_which_layers_have_a_gram_term() -> None:
    def found(name: str, layers: Any) -> set[str]:
        model = build(name)
        return set(doomed_filters(groups_of(model), lowest_half(model), layers))

    assert found("depthwise", "inner") == {"expand"}  # the depthwise convolution has none
    assert found("depthwise", "all") == {"stem", "expand", "project"}
    assert found("residual", "inner") == {"stem", "left1"}
    assert found("residual", "all") == {"stem", "left1", "left2", "right"}
    assert found("concat", "inner") == {"stem", "conv1", "conv2"}
    assert found("option_a", "inner") == {"stem", "conv1"}
    assert found("flat", "inner") == {"0", "4"}  # a linear layer too
    # Query, key and value are multiplied and not added, so no shortcut couples them.
    inner = ("mlp.0", "self_attention.q", "self_attention.k", "self_attention.v")
    assert found("vit", "inner") == {
        f"encoder.layers.encoder_layer_{i}.{name}" for i in (0, 1) for name in inner
    }


def test_coupled_units_decay_even_where_they_have_no_gram_term() -> None:
    model = build("residual")
    rider = procedure("tpp", model)
    rehearse(model, rider, steps=1000)
    names = {part.name for part in rider.decayed}
    assert {"left2.weight", "right.weight", "norm2.weight", "norm3.bias"} <= names


def test_terms_can_be_switched_off() -> None:
    def decayed(**options: bool) -> set[str]:
        model = build("chain")
        rider = procedure("tpp", model, **options)
        rehearse(model, rider, steps=1000)
        return {part.name for part in rider.decayed}

    weights = {"0.weight", "0.bias", "3.weight", "3.bias"}
    norms = {"1.weight", "1.bias", "4.weight", "4.bias"}
    assert decayed() == weights | norms
    assert decayed(bn_term=False) == weights
    assert decayed(weight_term=False) == norms
    assert decayed(bn_term=False, weight_term=False) == set()


# --- behaviour ------------------------------------------------------------------------------------


def test_all_doomed_is_the_mean_of_all_squares_and_none_is_nothing() -> None:
    weight = matrix("matrix")
    square = (weight @ weight.T).square().mean()
    assert loss(weight, [0, 1, 2, 3]) == square
    found = gram(linear(weight), [0, 1, 2, 3]).gradient()[0]
    torch.testing.assert_close(found, autograd(weight, [0, 1, 2, 3]), **EXACT)
    assert not gram(linear(weight), []).gradient().any()
    assert not gram(linear(weight), [], mean_over="masked").gradient().any()


@pytest.mark.parametrize("turn_only", [True, False])
def test_kept_filters_may_change_at_will_where_the_doomed_have_nothing(turn_only: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(5, 8, generator=draw, dtype=torch.float64)
    doomed, kept = [1, 3], [0, 2, 4]
    basis = torch.linalg.qr(weight[doomed].T, mode="complete").Q[:, len(doomed) :]
    change = torch.randn(6, 6, generator=draw, dtype=torch.float64)
    if turn_only:
        change = torch.linalg.qr(change).Q
    turned = weight.clone()
    turned[kept] += weight[kept] @ basis @ (change - torch.eye(6)) @ basis.T
    assert (turned - weight).abs().max() > 0.1
    torch.testing.assert_close(loss(turned, doomed), loss(weight, doomed), **EXACT)
    slope, before = (gram(linear(one), doomed).gradient()[0] for one in (turned, weight))
    torch.testing.assert_close(slope[kept], before[kept], **EXACT)  # lies among the doomed
    apart = (loss(turned, doomed, "v5_2") - loss(weight, doomed, "v5_2")).abs()
    assert apart < 1e-9 if turn_only else apart > 1


def test_kept_filters_are_turned_away_from_the_doomed() -> None:
    """The point of the method: at the end of growth zeroing loses nothing, not even overlap."""
    overlap = {}
    for strength in (1e-9, 1000.0):
        model = lively(nn.Sequential(conv(3, 8), nn.BatchNorm2d(8), nn.ReLU(), *head(8)))
        weights = {"weight_term": False, "bn_term": False, "strength": strength}
        rider = procedure("tpp", model, growth=0.9, update_every=1, **weights)
        rehearse(model, rider, steps=200, rate=0.001).run(until=rider.ramp.end)
        (gone,) = rider.removed()
        rows = nn.functional.normalize(model[0].weight.detach().flatten(1), dim=1)
        kept = torch.ones(8).index_fill(0, gone, 0).bool()
        apart = rows[gone] @ rows[kept].T
        overlap[strength] = float(apart.abs().mean())
    assert overlap[1000.0] < 0.5 * overlap[1e-9]


def head(width: int) -> tuple[nn.Module, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES)


def test_the_gram_matrix_is_in_float32_whatever_the_training_computes_in() -> None:
    layer = nn.Linear(64, 16)
    term = gram(layer, [0, 3, 7])
    plain = term.gradient()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(term.gradient(), plain)
    half = nn.Linear(64, 16).bfloat16()
    assert gram(half, [0, 3, 7]).gradient().dtype == torch.float32


def test_attaching_needs_no_gradient_and_leaves_the_network_as_it_is() -> None:
    model = build("chain")
    before = {name: one.clone() for name, one in model.state_dict().items()}
    rider = procedure("tpp", model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    rider.attach(Training(model, optimizer, 10, 1000))
    rider.after_backward(500)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
