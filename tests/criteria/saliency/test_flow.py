"""SNIP and SynFlow: by hand on two linear layers, and by what the papers prove."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from conftest import CLASSES, build, conv, images, labelled, left_as_found, lively
from torch import Tensor, nn
from torch.nn import functional as F

from criteria import NotApplicable, score, weight_structure
from criteria.gather import score_alone
from criteria.registry import create

EXACT = {"rtol": 1e-10, "atol": 1e-15}  # float64; sums in another order
FIRST = torch.tensor([[1.0, -2.0], [3.0, 0.5], [-1.0, 1.0]]).double()
SECOND = torch.tensor([[2.0, -1.0, 0.0], [1.0, 1.0, 4.0]]).double()


def two_layers() -> nn.Module:
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 3, bias=False), nn.Linear(3, 2, bias=False))
    model = model.double()
    with torch.no_grad():
        model[1].weight.copy_(FIRST)
        model[2].weight.copy_(SECOND)
    return model


def linear_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs * targets).sum(1).mean()


# For each sample dL/dW2 = t (W1 x)' and dL/dW1 = W2' t x'; their mean over the two, times weights.
X = torch.tensor([[1.0, 2.0], [-1.0, 1.0]]).double().reshape(2, 1, 1, 2)
T = torch.tensor([[1.0, 0.0], [0.0, -2.0]]).double()
IN_PRODUCTS = torch.tensor([[2.0, -2.0], [1.5, -1.0], [-4.0, -4.0]]).double()
OUT_PRODUCTS = torch.tensor([[-3.0, -2.0, 0.0], [3.0, 2.5, -8.0]]).double()
FLOW_IN = torch.tensor([[3.0, 6.0], [6.0, 1.0], [4.0, 4.0]]).double()  # |W1| times sums of |W2|
FLOW_OUT = torch.tensor([[6.0, 3.5, 0.0], [3.0, 3.5, 8.0]]).double()  # |W2| times sums of |W1|


def both(
    model: nn.Module, criterion: str, batches: Any, **loss: Any
) -> tuple[Tensor, list[Tensor]]:
    """Scores of the hidden channels, and of all single weights of each layer."""
    (channels,) = score(model, X[:1], criterion, batches, **loss)
    one = create(criterion, weight_structure(model).groups, {}, torch.Generator())
    return channels.values, score_alone(model, one, batches, **loss)[0]


def test_the_products_by_hand_are_those_of_autograd() -> None:
    model = two_layers()
    linear_loss(model(X), T).backward()
    torch.testing.assert_close(model[1].weight.grad * FIRST, IN_PRODUCTS, **EXACT)
    torch.testing.assert_close(model[2].weight.grad * SECOND, OUT_PRODUCTS, **EXACT)


@pytest.mark.parametrize("parts", [1, 2])
def test_snip_by_hand(parts: int) -> None:
    """In two batches as in one: products add up before their absolute values are taken."""
    batches = list(zip(X.chunk(parts), T.chunk(parts), strict=True))
    channels, (first, second) = both(two_layers(), "snip", batches, loss=linear_loss)
    total = IN_PRODUCTS.abs().sum() + OUT_PRODUCTS.abs().sum()
    torch.testing.assert_close(first, (IN_PRODUCTS.abs() / total).flatten(), **EXACT)
    torch.testing.assert_close(second, (OUT_PRODUCTS.abs() / total).flatten(), **EXACT)
    assert abs(float(first.sum() + second.sum()) - 1) < 1e-12
    by_channel = (IN_PRODUCTS.abs().sum(1) + OUT_PRODUCTS.abs().sum(0)) / total
    torch.testing.assert_close(channels, by_channel, **EXACT)


def test_snip_of_uneven_batches_is_that_of_all_images() -> None:
    model = build("residual")
    x, y = labelled(5)
    whole = score(model, images(1), "snip", [(x, y)])
    parts = score(model, images(1), "snip", [(x[:1], y[:1]), (x[1:], y[1:])])
    for one, other in zip(whole, parts, strict=True):
        torch.testing.assert_close(one.values, other.values, **EXACT)


@pytest.mark.parametrize("criterion", ["snip", "grasp"])
def test_batch_norm_by_the_batch_is_that_of_the_network_in_training(criterion: str) -> None:
    """By autograd on a copy in train mode; running statistics say something else, and stay."""
    model, batch = build("chain"), labelled(5)
    groups = weight_structure(model).groups
    with left_as_found(model):
        running, found = (
            score_alone(model, create(criterion, groups, options, torch.Generator()), [batch])[0]
            for options in ({}, {"bn_mode": "batch"})
        )
    twin = copy.deepcopy(model).train()
    weights = list(twin.parameters())
    temperature = 1.0 if criterion == "snip" else 200.0
    loss = F.cross_entropy(twin(batch[0]) / temperature, batch[1])
    slopes = torch.autograd.grad(loss, weights, create_graph=True)
    if criterion == "grasp":
        along = sum((slope * slope.detach()).sum() for slope in slopes)
        slopes = torch.autograd.grad(along, weights)
    names = [name for name, _ in twin.named_parameters()]
    worth = {n: (w * s).detach() for n, w, s in zip(names, weights, slopes, strict=True)}
    expected = [worth[f"{group.root}.weight"].flatten() for group in groups]
    if criterion == "snip":
        total = sum(float(one.abs().sum()) for one in expected)
        expected = [one.abs() / total for one in expected]
    for one, by_hand, other in zip(found, expected, running, strict=True):
        torch.testing.assert_close(one.double(), by_hand, rtol=1e-8, atol=1e-14)
        assert not torch.allclose(one, other, rtol=1e-2)


def test_snip_without_any_gradient_is_zero() -> None:
    channels, _ = both(two_layers(), "snip", [(X, 0 * T)], loss=linear_loss)
    assert torch.equal(channels, torch.zeros(3).double())


def test_synflow_by_hand() -> None:
    channels, (first, second) = both(two_layers(), "synflow", [(X, T)], loss=linear_loss)
    torch.testing.assert_close(first, FLOW_IN.flatten(), **EXACT)
    torch.testing.assert_close(second, FLOW_OUT.flatten(), **EXACT)
    torch.testing.assert_close(channels, FLOW_IN.sum(1) + FLOW_OUT.sum(0), **EXACT)
    assert first.sum() == second.sum() == 24  # R


def test_synflow_sees_no_data() -> None:
    model = build("concat")
    expected = score(model, images(1), "synflow", [labelled(4)])
    x, y = labelled(7, 5)
    found = score(model, images(1), "synflow", [(100 * x, y), (x[:1], y[:1])])
    for one, other in zip(expected, found, strict=True):
        assert torch.equal(one.values, other.values)


@pytest.mark.parametrize("name", ["chain", "flat", "grouped", "transposed", "one_channel"])
def test_every_layer_of_a_chain_holds_the_whole_flow(name: str) -> None:
    """What Tanaka et al. prove; and of every channel, as much flows in as out."""
    model = build(name)
    groups = weight_structure(model).groups
    one = create("synflow", groups, {}, torch.Generator())
    values, _ = score_alone(model, one, [labelled()])
    sums = torch.stack([each.sum() for each in values])
    torch.testing.assert_close(sums, sums[:1].expand_as(sums), **EXACT)
    out, both_sides = (
        score(model, images(1), "synflow", [labelled()], reduction=how) for how in ("first", "sum")
    )
    for makers, all_ in zip(out, both_sides, strict=True):
        torch.testing.assert_close(2 * makers.values, all_.values, **EXACT)


@pytest.mark.parametrize("name", ["residual", "concat", "depthwise", "option_a"])
def test_synflow_is_weight_times_gradient_of_the_absolute_network(name: str) -> None:
    """On a copy whose weights are absolute; of positive numbers, ReLU is the identity."""
    model, twin = build(name), build(name)
    x, y = labelled()
    with torch.no_grad():
        for key, one in twin.named_parameters():
            one.copy_(torch.zeros_like(one) if key.endswith("bias") else one.abs())
        for norm in twin.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean.zero_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "silu", F.relu)
        twin(torch.ones_like(x[:1])).sum().backward()
    share = {key: (one * one.grad).detach() for key, one in twin.named_parameters()}
    for found in score(model, images(1), "synflow", [(x, y)]):
        mine = [one for one in found.members if one.kind in ("conv", "linear")]
        expected = sum(one.view(share).sum(1) for one in mine)
        torch.testing.assert_close(found.values, expected, **EXACT)


def test_what_is_added_in_place_behind_an_activation_does_not_reach_its_input() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.fc = nn.Conv2d(3, 4, 1, bias=False), nn.Linear(4, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            x = self.stem(x)
            y = F.relu(x)
            y += x
            return self.fc((y + x).mean((2, 3)))

    model = lively(InPlace())
    (found,) = score(model, images(1), "synflow", [labelled()])
    stem, head = model.stem.weight.detach().abs(), model.fc.weight.detach().abs()
    flow = 3 * stem.sum((1, 2, 3)) * head.sum(0)  # x reaches the head three times
    torch.testing.assert_close(found.values, 2 * flow, **EXACT)


def test_deep_flows_do_not_overflow() -> None:
    """In float32, 1e9 to the sixth is infinite."""
    layers = [conv(3, 4), *[conv(4, 4) for _ in range(5)]]
    model = lively(nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, CLASSES))).float()
    with torch.no_grad():
        for layer in layers:
            layer.weight.mul_(1e9)
    x, y = labelled()
    for found in score(model, x[:1].float(), "synflow", [(x.float(), y)]):
        assert torch.isfinite(found.values).all()
        assert found.values.min() > 1e50


def test_attention_has_no_synaptic_flow() -> None:
    model = build("vit")
    with left_as_found(model), pytest.raises(NotApplicable, match="scaled_dot_product_attention"):
        score(model, images(1), "synflow", [labelled()])
