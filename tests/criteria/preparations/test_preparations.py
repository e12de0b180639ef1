"""Preparations: what they add to the gradients, and where it leads."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch_pruning as tp
from conftest import CLASSES, build, conv, groups_of, images, labelled
from torch import Tensor, nn
from torch.nn import functional

from criteria.errors import NotApplicable, OptionError
from criteria.families.orthogonality import gram_distance, kernel_distance, matrices
from criteria.network.units import Units
from criteria.phases import PHASES
from criteria.training import Rider, Training

NAMES = [entry.name for entry in PHASES["preparation"].all()]
WITHOUT_NORM = ("flat", "grouped_chain", "one_channel", "vit")
PENALTIES = sorted({"group_sparsity", "bn_slimming", "group_lasso", "kern_orth", "orth_conv"})


def prepared(name: str, model: nn.Module, **options: Any) -> Any:
    phase = PHASES["preparation"].find(name).type
    return phase(PHASES["preparation"].options(name, options), groups_of(model))


def training(model: nn.Module, rate: float = 0.01) -> Training:
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9, weight_decay=5e-4)
    return Training(model, optimizer, steps_per_epoch=4, steps=8)


def run(rider: Rider, session: Training, steps: range, learn: bool = True) -> None:
    """A training as the harness does it; `learn` off leaves the rider alone with the weights."""
    session.model.train()
    for step in steps:
        session.optimizer.zero_grad()
        x, y = labelled(8, seed=step)
        loss = functional.cross_entropy(session.model(x), y) if learn else torch.zeros(())
        term = rider.loss_term(step)
        (loss if term is None else loss + term).backward()
        rider.after_backward(step)
        session.optimizer.step()
        rider.after_step(step)


def gradients(rider: Rider, model: nn.Module) -> dict[str, Tensor]:
    """What the rider adds to the gradients of each parameter."""
    rider.attach(training(model))
    model.zero_grad()
    term = rider.loss_term(0)
    if term is not None:
        term.backward()
    rider.after_backward(0)
    return {
        name: torch.zeros_like(one) if one.grad is None else one.grad
        for name, one in model.named_parameters()
    }


def plain(first: Tensor, last: Tensor | None = None) -> nn.Sequential:
    """Two 1x1 convolutions with a norm between; the first has these filters, [units, 3]."""
    units = len(first)
    model = nn.Sequential(
        nn.Conv2d(3, units, 1, bias=False), nn.BatchNorm2d(units), nn.ReLU(),
        nn.Conv2d(units, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).double()  # fmt: skip
    with torch.no_grad():
        model[0].weight.copy_(first.reshape(units, 3, 1, 1))
        model[3].weight.copy_((torch.zeros(2, units) if last is None else last)[..., None, None])
        model[1].bias.copy_(torch.full((units,), 0.5))
    return model


THREE = torch.tensor([[3.0, 0, 4], [0, 0, 0], [0, 1, 0]]).double()  # norms 5, 0, 1


@pytest.mark.parametrize("preparation", NAMES)
def test_every_preparation_trains_every_kind_of_network(
    preparation: str, name: str, model: nn.Module
) -> None:
    if preparation == "bn_slimming" and name in WITHOUT_NORM:
        pytest.skip("no batch norm to slim")
    rider, session = prepared(preparation, model), training(model)
    rider.begin(model)
    rider.attach(session)
    before = copy.deepcopy(model.state_dict())
    run(rider, session, range(2))
    rider.at_end()
    assert any(not torch.equal(one, before[key]) for key, one in model.state_dict().items())
    assert all(one.isfinite().all() for one in model.parameters())


def test_dense_adds_nothing(model: nn.Module) -> None:
    assert not any(one.any() for one in gradients(prepared("dense", model), model).values())


@pytest.mark.parametrize("name", PENALTIES)
def test_training_can_be_resumed_bit_for_bit(name: str) -> None:
    """Whole, and in two halves with nothing but the saved states between them."""
    whole, first = build("residual"), build("residual")
    rider, session = prepared(name, whole), training(whole)
    rider.attach(session)
    run(rider, session, range(6))

    early, at_first = prepared(name, first), training(first)
    early.attach(at_first)
    run(early, at_first, range(3))
    saved = copy.deepcopy((first.state_dict(), at_first.optimizer.state_dict(), early.state_dict()))

    second = build("residual", seed=1)
    late, at_second = prepared(name, second), training(second)
    second.load_state_dict(saved[0])
    at_second.optimizer.load_state_dict(saved[1])
    late.attach(at_second)
    late.load_state_dict(saved[2])
    run(late, at_second, range(3, 6))
    for key, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key


@pytest.mark.parametrize("name", PENALTIES)
def test_frozen_parameters_stay_out_of_it(name: str) -> None:
    model = build("residual")
    model.stem.weight.requires_grad_(False)
    rider = prepared(name, model)
    rider.attach(training(model))
    term = rider.loss_term(0)
    assert term is not None
    term.backward()
    assert model.stem.weight.grad is None
    assert any(one.grad is not None for one in model.parameters())


def test_options_are_checked() -> None:
    with pytest.raises(OptionError, match="strength"):
        PHASES["preparation"].options("group_lasso", {"strenght": 1.0})
    with pytest.raises(OptionError, match="base"):
        PHASES["preparation"].options("group_sparsity", {"base": 0.5})


# ---- sparse learning of groups


def test_growth_by_hand() -> None:
    """I = 5, 0, 1 behind a norm of scale 0: factors 16^0, 16^1, 16^(4/5), on all of a unit."""
    model = plain(THREE)
    with torch.no_grad():
        model[1].weight.zero_()
    found = gradients(prepared("group_sparsity", model, strength=0.5), model)
    expected = 0.5 * torch.tensor([1, 16, 16**0.8], dtype=torch.float64)[:, None] * THREE
    # float64 rounding
    assert torch.allclose(found["0.weight"].reshape(3, 3), expected, rtol=1e-12, atol=0)
    assert not found["1.bias"].any()
    assert not found["3.weight"].any()


def test_sparsity_reaches_the_norm_and_the_reader() -> None:
    """Squares 25 + 1 + 3^2 + 4^2 = 51, 0 + 1 + 0, 1 + 1 + 2^2 = 6: makers and readers alike."""
    model = plain(THREE, torch.tensor([[3.0, 0, 2], [4, 0, 0]]))
    found = gradients(prepared("group_sparsity", model, strength=1.0), model)
    importance = torch.tensor([51.0, 1, 6]).double().sqrt()
    factors = 16 ** ((importance[0] - importance) / (importance[0] - importance[1]))
    assert torch.allclose(found["1.weight"], factors, rtol=1e-12)
    readers = factors * model[3].weight.detach().reshape(2, 3)
    assert torch.allclose(found["3.weight"].reshape(2, 3), readers, rtol=1e-12)


@pytest.mark.parametrize("size", [0.0, 2.0])
def test_units_of_equal_importance_decay_alike(size: float) -> None:
    model = plain(torch.full((3, 3), size).double())
    found = gradients(prepared("group_sparsity", model, strength=0.1), model)
    assert torch.equal(found["0.weight"], 0.1 * model[0].weight.detach())


def test_sparsity_is_the_formula_over_all_scored_members(model: nn.Module) -> None:
    """Member by member, written back unit by unit, on every kind of coupling."""
    tensors = {name: one.detach() for name, one in model.named_parameters()}
    expected = {name: torch.zeros_like(one) for name, one in tensors.items()}
    for group in groups_of(model):
        members = [one for one in group.members if one.scored]
        squares = sum(one.view(tensors).square().sum(1) for one in members)
        assert isinstance(squares, Tensor)
        root = (squares / len(members)).sqrt()
        factors = 16 ** ((root.max() - root) / (root.max() - root.min()).clamp_min(1e-300))
        for member in members:
            share = {name: torch.zeros_like(one) for name, one in tensors.items()}
            member.write_(share, 0.01 * factors[:, None] * member.view(tensors))
            expected[f"{member.name}.weight"] += share[f"{member.name}.weight"]
    found = gradients(prepared("group_sparsity", model, strength=0.01), model)
    for key, value in expected.items():
        # float64; sums in another order
        assert torch.allclose(found[key], value, rtol=1e-10, atol=1e-14), key


@pytest.mark.parametrize("name", ["chain", "residual", "concat", "flat"])
def test_torch_pruning_agrees_where_it_is_right(name: str) -> None:
    """That is: no grouped, depthwise or transposed convolution, no layer norm, no equal scores."""
    model = build(name)
    oracle = copy.deepcopy(model).train()
    pruner = tp.pruner.GroupNormPruner(
        oracle,
        images(1),
        importance=tp.importance.GroupMagnitudeImportance(p=2, group_reduction="mean"),
        reg=5e-4,
        ignored_layers=[list(oracle.modules())[-1]],  # the classifier
        in_channel_groups={},
        out_channel_groups={},
        num_heads={},
    )
    for parameter in oracle.parameters():
        parameter.grad = torch.zeros_like(parameter)
    pruner.regularize(oracle)
    found = gradients(prepared("group_sparsity", model), model)
    for key, parameter in oracle.named_parameters():
        assert parameter.grad is not None
        # torch-pruning adds its scores up in float32
        assert torch.allclose(found[key], parameter.grad, rtol=1e-5, atol=1e-12), key


@pytest.mark.parametrize("name", ["group_sparsity", "group_lasso"])
def test_the_weakest_unit_is_driven_down_most(name: str) -> None:
    """In proportion to its size, by the penalty alone."""
    model = plain(torch.tensor([[0.0, 4, 3], [0.2, 0, 0.1], [1, 1, 1], [0.5, 0, 0]]).double())
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([1.0, 0.1, 0.7, 0.3]))
        model[1].bias.zero_()  # sparse learning leaves shifts alone
    (group,) = groups_of(model)
    units = Units(model, group)
    before = units.rows(units.tensors()).norm(dim=1)
    rider, session = prepared(name, model, strength=0.1), training(model)
    rider.attach(session)
    run(rider, session, range(10), learn=False)
    left = units.rows(units.tensors()).norm(dim=1) / before
    assert (left < 1).all()
    assert left.argsort().tolist() == before.argsort().tolist() == [1, 3, 2, 0]


# ---- slimming and lasso


def test_slimming_adds_the_sign_of_each_scale() -> None:
    model = plain(THREE)
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([-2.0, 0, 0.1]))
    found = gradients(prepared("bn_slimming", model, strength=0.25), model)
    assert found.pop("1.weight").tolist() == [-0.25, 0, 0.25]
    assert not any(one.any() for one in found.values())


@pytest.mark.parametrize("name", ["residual", "concat", "depthwise", "grouped"])
def test_slimming_takes_each_norm_of_prunable_channels_once(name: str) -> None:
    model = build(name)
    norms = {key for key, one in model.named_modules() if isinstance(one, nn.BatchNorm2d)}
    prunable = {
        one.name for group in groups_of(model) for one in group.members if one.kind == "batchnorm"
    }
    assert prunable <= norms
    found = gradients(prepared("bn_slimming", model, strength=1.0), model)
    for key, value in found.items():
        layer, _, kind = key.rpartition(".")
        scale = dict(model.named_parameters())[key].detach().sign()
        wanted = scale if layer in prunable and kind == "weight" else torch.zeros_like(value)
        assert torch.equal(value, wanted), key


def test_slimming_needs_a_batch_norm() -> None:
    with pytest.raises(NotApplicable, match="batch norm"):
        gradients(prepared("bn_slimming", build("flat")), build("flat"))


def test_lasso_by_hand() -> None:
    """Units of norms sqrt(5^2 + 3^2 + 0.5^2) with filter, scale and shift; and one of zero."""
    model = plain(THREE)
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([3.0, 0, 1]))
        model[1].bias.copy_(torch.tensor([0.5, 0, 0]))
    found = gradients(prepared("group_lasso", model, strength=2.0), model)
    norms = torch.tensor([34.25, 1, 2]).double().sqrt()
    assert torch.allclose(
        found["0.weight"].reshape(3, 3), 2 * THREE / norms[:, None], rtol=1e-12, atol=0
    )
    assert torch.allclose(found["1.weight"], 2 * model[1].weight.detach() / norms, rtol=1e-12)
    assert found["1.bias"].tolist() == pytest.approx([1 / 34.25**0.5, 0, 0], rel=1e-12)
    assert not found["3.weight"].any()


def test_lasso_is_the_formula_over_all_makers(model: nn.Module) -> None:
    expected = {name: torch.zeros_like(one) for name, one in model.named_parameters()}
    for group in groups_of(model):
        units = Units(model, group)
        tensors = units.tensors()
        share = {name: torch.zeros_like(one) for name, one in tensors.items()}
        norms = units.rows(tensors).norm(dim=1, keepdim=True)
        for one in units.members:
            one.write_(share, 0.3 * one.view(tensors, bias=True) / norms, bias=True)
        expected = {name: one + share[name] for name, one in expected.items()}
    found = gradients(prepared("group_lasso", model, strength=0.3), model)
    for key, value in expected.items():
        assert torch.allclose(found[key], value, rtol=1e-10, atol=1e-14), key  # float64


# ---- orthogonality


def operator(layer: nn.Conv2d, side: int) -> Tensor:
    """`[outputs, inputs]` of a convolution on circular images: the map as one matrix, by brute
    force."""
    basis = torch.eye(layer.in_channels * side * side).double()
    basis = basis.reshape(-1, layer.in_channels, side, side)
    wide = functional.pad(basis, (0, layer.kernel_size[0] - 1) * 2, mode="circular")
    out = functional.conv2d(wide, layer.weight, None, layer.stride, 0, layer.dilation, layer.groups)
    return out.flatten(1).T


@pytest.mark.parametrize(
    ("settings", "side"),
    [
        ({"kernel_size": 3}, 8),
        ({"kernel_size": 3, "stride": 2}, 8),
        ({"kernel_size": 2, "stride": 2}, 8),
        ({"kernel_size": 3, "groups": 2}, 8),
        ({"kernel_size": 3, "groups": 4, "stride": 2}, 8),
    ],
)
def test_kernels_meet_as_their_convolutions_do(settings: dict[str, Any], side: int) -> None:
    """||A A' - I||^2 of the whole map is the kernel's squared distance, once a position."""
    layer = nn.Conv2d(4, 4, bias=False, **settings).double()
    nn.init.normal_(layer.weight, generator=torch.Generator().manual_seed(0))
    whole = operator(layer.requires_grad_(False), side)
    positions = (side // layer.stride[0]) ** 2
    expected = (whole @ whole.T - torch.eye(len(whole))).square().sum() / positions
    assert kernel_distance(layer).square().item() == pytest.approx(expected.item(), rel=1e-10)


def test_dilated_kernels_meet_at_their_own_pixels() -> None:
    """Pixels two apart, at a stride of one or two: they meet as if neither were."""
    dilated = nn.Conv2d(2, 2, 3, dilation=2, stride=2, bias=False)
    same = nn.Conv2d(2, 2, 3, bias=False)
    apart = nn.Conv2d(2, 2, 3, dilation=2, bias=False)
    with torch.no_grad():
        same.weight.copy_(dilated.weight)
        apart.weight.copy_(dilated.weight)
    assert kernel_distance(dilated) == kernel_distance(same) == kernel_distance(apart)


def test_a_transposed_kernel_meets_as_its_adjoint() -> None:
    up = nn.ConvTranspose2d(3, 2, 3, stride=2, bias=False)
    down = nn.Conv2d(2, 3, 3, stride=2, bias=False)
    with torch.no_grad():
        down.weight.copy_(up.weight)
    assert kernel_distance(up) == kernel_distance(down)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3)])
def test_the_smaller_gram_matrix_is_compared(shape: tuple[int, int]) -> None:
    weight = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0)).double()
    singular = torch.linalg.svdvals(weight)
    expected = (singular.square() - 1).norm()
    assert gram_distance(weight).item() == pytest.approx(expected.item(), rel=1e-12)


def test_gram_distance_by_hand() -> None:
    """[[2, 0, 0], [0, 1, 1]]: W W' = [[4, 0], [0, 2]], 3 and 1 from the identity."""
    weight = torch.tensor([[[2.0, 0, 0], [0, 1, 1]]])
    assert gram_distance(weight).item() == pytest.approx(10**0.5)


def test_blocks_of_a_grouped_convolution_are_apart() -> None:
    layer = conv(4, 6, groups=2)
    assert matrices(layer).shape == (2, 3, 18)
    dense = torch.zeros(6, 36)
    dense[:3, :18], dense[3:, 18:] = layer.weight[:3].flatten(1), layer.weight[3:].flatten(1)
    assert torch.allclose(gram_distance(matrices(layer)), gram_distance(dense[None]), rtol=1e-5)


@pytest.mark.parametrize("rows", [2, 6])
def test_gradient_of_the_gram_distance(rows: int) -> None:
    """d||D||/dW = 2 D W / ||D|| with D = W W' - I."""
    model = nn.Sequential(nn.Linear(4, rows), nn.Linear(rows, 3)).double()
    rider = (
        PHASES["preparation"]
        .find("kern_orth")
        .type(PHASES["preparation"].options("kern_orth", {"weight": 0.5}), ())
    )
    found = gradients(rider, model)
    weight = model[0].weight.detach()
    wide = weight if rows < 4 else weight.T
    gap = wide @ wide.T - torch.eye(len(wide))
    expected = 0.5 * 2 * gap @ wide / gap.norm()
    assert torch.allclose(found["0.weight"], expected if rows < 4 else expected.T, rtol=1e-12)


@pytest.mark.parametrize("name", ["kern_orth", "orth_conv"])
def test_orthogonal_layers_are_left_as_they_are(name: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 3, 1), nn.Linear(3, 3)).double()
    for layer in model:
        nn.init.eye_(layer.weight.data.view(len(layer.weight), -1))
    phase = PHASES["preparation"].find(name)
    found = gradients(phase.type(phase.type.options_type(), ()), model)
    assert not any(one.any() for one in found.values())


@pytest.mark.parametrize(
    ("name", "spared"), [("kern_orth", set()), ("orth_conv", {"0.weight"})], ids=str
)
def test_the_first_convolution_is_left_out_of_one(name: str, spared: set[str]) -> None:
    model = build("grouped")
    found = gradients(prepared(name, model), model)
    layers = {
        f"{key}.weight"
        for key, one in model.named_modules()
        if isinstance(one, nn.Conv2d | nn.Linear)
    }
    assert {key for key, one in found.items() if one.any()} == layers - spared


@pytest.mark.parametrize("name", ["kern_orth", "orth_conv"])
def test_the_penalty_falls_when_it_is_trained_alone(name: str) -> None:
    model = build("residual")
    rider, session = prepared(name, model, weight=1.0), training(model, rate=1e-3)
    rider.attach(session)
    before = rider.loss_term(0)
    run(rider, session, range(20), learn=False)
    after = rider.loss_term(0)
    assert before is not None
    assert after is not None
    assert after < 0.8 * before


def test_a_network_without_layers_is_refused() -> None:
    rider = (
        PHASES["preparation"]
        .find("kern_orth")
        .type(PHASES["preparation"].options("kern_orth", {}), ())
    )
    with pytest.raises(NotApplicable, match="no convolution"):
        rider.attach(training(nn.Sequential(nn.BatchNorm2d(CLASSES))))
