"""Kronecker factors and EigenDamage's baselines, against explicit Fisher matrices."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from conftest import CLASSES, build, conv, groups_of, images, labelled, lively
from torch import Tensor, nn
from torch.nn import functional as F

from criteria import Group, Member, NotApplicable, OptionError, score, weight_structure
from criteria.evidence.batch import Batch
from criteria.families.kronecker import KroneckerCriterion, SideOptions, factors, second_moment
from criteria.gather import gather, score_alone
from criteria.registry import create

EXACT = {"rtol": 1e-9, "atol": 1e-14}  # float64; sums in another order, inverses of condition 1e4
KNOWN = ["chain", "residual", "concat", "depthwise", "flat", "grouped", "grouped_chain", "vit"]
DAMPING = 0.05


class Look(KroneckerCriterion):
    """Keeps the averaged factors of all its layers."""

    name = "look"

    def __init__(self, groups: tuple[Group, ...], labels: str = "true", bias: bool = False) -> None:
        options = SideOptions(labels=labels, side="both", bias=bias)  # type: ignore[arg-type]
        super().__init__(groups, options, torch.Generator())
        self.needs = create("kron_obd", groups, {}, torch.Generator()).needs


def averaged(
    model: nn.Module, groups: tuple[Group, ...], batches: Any, bias: bool = False, **loss: Any
) -> Look:
    look = Look(groups, bias=bias)
    (cost,) = gather(model, [look], batches, **loss)
    if cost.failure is not None:
        raise cost.failure
    return look


# --- the factors ----------------------------------------------------------------------------------

LAYERS = {
    "3x3, stride 2": lambda: nn.Conv2d(3, 4, 3, stride=2, padding=1),
    "dilated": lambda: nn.Conv2d(3, 4, 3, dilation=2, padding=(2, 1)),
    "grouped": lambda: nn.Conv2d(6, 4, (3, 1), groups=2, bias=False),
    "depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4, padding=1),
}


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kind", LAYERS)
def test_factors_of_a_convolution_are_those_of_a_loop_over_samples_and_positions(
    kind: str, bias: bool
) -> None:
    layer = LAYERS[kind]()
    model = lively(nn.Sequential(conv(3, layer.in_channels), nn.SiLU(), layer, nn.SiLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, CLASSES)))  # fmt: skip
    x, y = labelled(11)  # more than one chunk, the last one not full
    found = averaged(model, weight_structure(model).groups, [(x, y)], bias).factors("2")
    given = model[1](model[0](x)).detach()
    blocks, positions = layer.groups, 0
    inputs = outputs = 0
    for at in range(11):
        made = layer(given[at : at + 1])
        loss = F.cross_entropy(model[3:](made), y[at : at + 1])
        (gradient,) = torch.autograd.grad(loss, made)
        patches = F.unfold(
            given[at : at + 1], layer.kernel_size, layer.dilation, layer.padding, layer.stride
        )
        a = patches[0].reshape(blocks, -1, patches.shape[2])
        if bias and layer.bias is not None:
            a = torch.cat([a, torch.ones(blocks, 1, a.shape[2]).double()], 1)
        g = gradient[0].reshape(blocks, layer.out_channels // blocks, -1)
        positions = patches.shape[2]
        for t in range(positions):
            inputs = inputs + torch.stack([torch.outer(one, one) for one in a[:, :, t]])
            outputs = outputs + torch.stack([torch.outer(one, one) for one in g[:, :, t]])
    torch.testing.assert_close(found.inputs, inputs / (11 * positions), **EXACT)
    torch.testing.assert_close(found.outputs, outputs / 11, **EXACT)


def test_factors_of_tokens_and_uneven_batches_are_means_over_all_samples() -> None:
    model = build("vit")
    x, y = labelled(7)
    groups = groups_of(model)
    whole = averaged(model, groups, [(x, y)])
    parts = averaged(model, groups, [(x[:1], y[:1]), (x[1:], y[1:])])
    names = dict.fromkeys(member.name for member in whole.members)
    assert any("mlp" in name for name in names)
    for name in names:
        one, other = whole.factors(name), parts.factors(name)
        torch.testing.assert_close(one.inputs, other.inputs, **EXACT)
        torch.testing.assert_close(one.outputs, other.outputs, **EXACT)


class Given(nn.Module):
    """Layers behind a flattened image, whose output gradients are the targets given."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def as_given(outputs: Tensor, targets: Tensor) -> Tensor:
    """A mean loss whose gradient, for each sample's own loss, is the target."""
    return (outputs * targets).flatten(1).sum(1).mean()


def fisher_of(model: nn.Module, weight: Tensor, x: Tensor, targets: Tensor) -> Tensor:
    """`[weights, weights]`: mean over samples of the outer product of their own gradients."""
    rows = [
        torch.autograd.grad(as_given(model(x[n : n + 1]), targets[n : n + 1]), weight)[0].flatten()
        for n in range(len(x))
    ]
    stacked = torch.stack(rows)
    return stacked.T @ stacked / len(x)


def kron(outputs: Tensor, inputs: Tensor) -> Tensor:
    """The Fisher matrix over weights `[out, in]`, flattened, of one block."""
    return torch.kron(outputs.contiguous(), inputs.contiguous())


def test_with_one_position_and_independent_factors_the_fisher_matrix_is_exact() -> None:
    """Every input meets every gradient equally often: that is independence, to the last bit."""
    draw = torch.Generator().manual_seed(0)
    layer = nn.Linear(3, 4, bias=False)
    model = lively(Given(nn.Flatten(), layer))
    a, g = torch.randn(5, 3, generator=draw).double(), torch.randn(6, 4, generator=draw).double()
    x = a.repeat_interleave(6, 0).reshape(30, 3, 1, 1)
    found = averaged(
        model, weight_structure(model).groups, [(x, g.repeat(5, 1))], loss=as_given
    ).factors("layers.1")
    expected = fisher_of(model, layer.weight, x, g.repeat(5, 1))
    torch.testing.assert_close(kron(found.outputs[0], found.inputs[0]), expected, **EXACT)


def test_over_positions_the_product_has_the_scale_of_the_fisher_matrix() -> None:
    """White inputs and gradients meet the assumptions, so that only the count of samples errs."""
    draw = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(2, 2, 2, stride=2, bias=False)
    model = lively(Given(layer))
    x = torch.randn(3000, 2, 6, 6, generator=draw).double()
    targets = torch.randn(3000, 2, 3, 3, generator=draw).double()
    groups = weight_structure(model).groups
    found = averaged(model, groups, [(x, targets)], loss=as_given).factors("layers.0")
    exact = fisher_of(model, layer.weight, x, targets)
    diagonal = kron(found.outputs[0], found.inputs[0]).diagonal()
    # A squared gradient scatters by about 1.4 of its mean: 2.6 % over 3000 samples.
    torch.testing.assert_close(diagonal, exact.diagonal(), rtol=0.1, atol=0)
    assert abs(float(diagonal.mean() / exact.diagonal().mean()) - 1) < 0.02  # nine positions


def test_second_moments_need_no_contiguous_values() -> None:
    values = torch.randn(5, 2, 3, 4, 2, 2).double()
    flat = values.flatten(2, 3).flatten(3)
    expected = torch.einsum("ngip,ngjp->gij", flat, flat) / 5
    torch.testing.assert_close(second_moment(values), expected, **EXACT)
    turned = values.transpose(4, 5).contiguous().transpose(4, 5)
    torch.testing.assert_close(second_moment(turned), expected, **EXACT)


@pytest.mark.parametrize("criterion", ["c_obs", "kron_obd", "kron_obs"])
def test_layers_without_factors_are_not_applicable(criterion: str) -> None:
    with pytest.raises(NotApplicable, match="ConvTranspose2d"):
        score(build("transposed"), images(1), criterion, [labelled()])


# --- scores, against the matrix of each layer in full ---------------------------------------------


def with_damping(factor: Tensor, damping: float) -> Tensor:
    mean = torch.stack([one.diagonal() for one in factor]).mean()
    return torch.stack([one + damping * mean * torch.eye(len(one)) for one in factor])


def layer_fisher(look: Look, member: Member, damping: float) -> Tensor:
    """Over the flattened weights of a layer, block by block of its groups."""
    found = look.factors(member.name)
    inputs, outputs = (with_damping(one, damping) for one in (found.inputs, found.outputs))
    return torch.block_diag(*[kron(g, a) for a, g in zip(inputs, outputs, strict=True)])


def explicit(
    model: nn.Module, criterion: str, batches: Any, side: str, bias: bool
) -> dict[str, Tensor]:
    """Half of d' F d for the weights d of a unit; with the inverse, for the rest at its best."""
    groups = groups_of(model)
    look = averaged(model, groups, batches, bias)
    scores = {}
    for group in groups:
        total = torch.zeros(group.units).double()
        for member in group.members:
            if member.kind not in ("conv", "linear"):
                continue
            if member.side not in (side, "both"):
                continue
            layer = model.get_submodule(member.name)
            weight = layer.weight.detach()
            matrix, rows = weight.flatten(1), len(weight)
            if bias and layer.bias is not None:
                matrix = torch.cat([matrix, layer.bias.detach()[:, None]], 1)
            numbers = torch.arange(matrix.numel()).reshape(rows, -1)
            inputs = weight[0].numel()
            places = {f"{member.name}.weight": numbers[:, :inputs].reshape(weight.shape)}
            if matrix.shape[1] > inputs:
                places[f"{member.name}.bias"] = numbers[:, inputs]
            fisher = layer_fisher(look, member, 0 if criterion == "kron_obd" else DAMPING)
            inverse = None if criterion == "kron_obd" else torch.linalg.inv(fisher)
            for unit, at in enumerate(member.view(places, bias=True)):
                w = matrix.flatten()[at]
                match criterion:
                    case "kron_obd":
                        cost = w @ fisher[at][:, at] @ w
                    case "kron_obs":
                        cost = w @ torch.linalg.solve(inverse[at][:, at], w)
                    case "c_obs":
                        cost = (w.square() / inverse.diagonal()[at]).sum()
                total[unit] += cost / 2
        scores[group.root] = total
    return scores


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("side", ["out", "in"])
@pytest.mark.parametrize("criterion", ["c_obs", "kron_obd", "kron_obs"])
@pytest.mark.parametrize("name", KNOWN)
def test_scores_are_those_of_the_explicit_matrix(
    name: str, criterion: str, side: str, bias: bool
) -> None:
    model = build(name)
    batches = [labelled(3), labelled(2, 5)]
    options: dict[str, Any] = {"labels": "true", "side": side, "bias": bias}
    options |= {} if criterion == "kron_obd" else {"damping": DAMPING}
    found = score(model, images(1), criterion, batches, **options)
    expected = explicit(model, criterion, batches, side, bias)
    assert {one.root for one in found} == expected.keys()
    for one in found:
        # Explicit inverses of up to 400 weights lose some six digits.
        torch.testing.assert_close(one.values, expected[one.root], rtol=1e-7, atol=1e-14)


def test_single_weights_get_the_surgeons_formula() -> None:
    model = build("grouped")
    structure = weight_structure(model)
    batches = [labelled(4)]
    options = {"labels": "true", "damping": DAMPING, "bias": False}
    one = create("c_obs", structure.groups, options, torch.Generator())
    values, _ = score_alone(model, one, batches)
    look = averaged(model, structure.groups, batches)
    for group, found in zip(structure.groups, values, strict=True):
        (member,) = group.members
        weight = model.get_parameter(f"{member.name}.weight").detach().flatten()
        inverse = torch.linalg.inv(layer_fisher(look, member, DAMPING)).diagonal()
        # The explicit inverse loses digits where blocks differ by orders of magnitude.
        torch.testing.assert_close(found, weight.square() / (2 * inverse), rtol=1e-6, atol=1e-16)


def test_sampled_labels_are_those_of_the_batch() -> None:
    model = build("chain")
    x, y = labelled(6)
    seen: list[Tensor] = []

    class Peek(Look):
        def observe(self, batch: Batch) -> None:
            seen.append(batch.sampled.targets)

    gather(model, [Peek(groups_of(model))], [(x, y)])
    assert not torch.equal(seen[0], y)
    drawn = score(model, images(1), "kron_obd", [(x, y)], labels="sampled")
    by_hand = score(model, images(1), "kron_obd", [(x, seen[0])], labels="true")
    for one, other in zip(drawn, by_hand, strict=True):
        torch.testing.assert_close(one.values, other.values, **EXACT)


def test_as_many_parts_as_classes_are_the_expectation_over_all_labels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each label once, times its chance: G of every sample alone, so that chances differ."""
    monkeypatch.setattr("criteria.evidence.batch.PARTS", CLASSES)
    model, sample = build("chain"), labelled(1)
    by_default = score(model, images(1), "kron_obd", [sample])
    chances = model(sample[0]).softmax(1)[0].detach()
    by_label = [
        score(model, images(1), "kron_obd", [(sample[0], torch.tensor([label]))], labels="true")
        for label in range(CLASSES)
    ]
    for at, one in enumerate(by_default):
        expected = sum(p * each[at].values for p, each in zip(chances, by_label, strict=True))
        torch.testing.assert_close(one.values, expected, **EXACT)


def test_both_sides_are_the_sum_of_the_two_where_no_layer_is_of_either() -> None:
    model = build("residual")
    for criterion in ("c_obd", "c_obs", "kron_obd", "kron_obs"):
        out, into, both = (
            score(model, images(1), criterion, [labelled()], side=side)
            for side in ("out", "in", "both")
        )
        for one, two, sum_ in zip(out, into, both, strict=True):
            torch.testing.assert_close(one.values + two.values, sum_.values, **EXACT)
            assert (one.values != two.values).all()


# --- what the released code gets wrong ------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["c_obd", "c_obs", "kron_obd", "kron_obs"])
def test_the_softmaxs_null_space_takes_no_score_away(criterion: str) -> None:
    """The classifier's output gradients sum to zero, and so do the rows of G.

    Sums of (G W^2) over outputs are then rounding errors, and so is 1 / [G^-1]_oo.
    """
    model = build("chain")
    batches = [labelled(16)]
    found = averaged(model, groups_of(model), batches).factors("8").outputs[0]
    assert found.sum(1).abs().max() < 1e-15
    assert found.diagonal().min() > 1e-3
    scores = score(model, images(1), criterion, batches, side="in")
    before, last = (next(one for one in scores if one.root == root) for root in ("0", "3"))
    # Of the size that other layers' scores have, not sixteen digits below.
    assert last.values.min() > 1e-3 * before.values.mean()


def test_damping_limits_what_a_free_direction_gives_away() -> None:
    """With G of rank n - 1 and damping e, [G^-1]_oo is about 1 / (n e mean)."""
    model = build("chain")

    def last(damping: float) -> Tensor:
        found = score(model, images(1), "c_obs", [labelled(16)], side="in", damping=damping)
        return next(one.values for one in found if one.root == "3")

    assert (last(1e-2) > 10 * last(1e-4)).all()
    with pytest.raises(OptionError, match="damping"):
        last(0.0)


def test_dead_channels_and_dead_layers_score_zero() -> None:
    model = build("depthwise")
    with torch.no_grad():
        for part in (model.expand, model.norm1, model.depthwise, model.norm2):
            part.weight[2] = 0
            if part.bias is not None:
                part.bias[2] = 0
        model.norm1.running_mean[2] = model.norm2.running_mean[2] = 0
    for criterion in ("c_obd", "c_obs", "kron_obd", "kron_obs"):
        for one in score(model, images(1), criterion, [labelled()], side="both"):
            if one.root == "expand":
                rest = torch.arange(8) != 2
                # What damping pretends to have seen; OBD has none.
                share = 1e-12 if criterion.endswith("obd") else 0.2
                assert one.values[2] < share * one.values[rest].min()
    with torch.no_grad():
        model.fc.weight.zero_()  # nothing has a gradient any more
    for criterion in ("c_obd", "c_obs", "kron_obd", "kron_obs"):
        for one in score(model, images(1), criterion, [labelled()]):
            assert one.values.max() < 1e-20


def test_shared_by_all_criteria_of_a_batch() -> None:
    model = build("chain")
    found: list[Any] = []

    class Twice(Look):
        def observe(self, batch: Batch) -> None:
            found.append(factors([batch], "0"))

    groups = groups_of(model)
    gather(model, [Twice(groups), Twice(groups)], [labelled()])
    assert found[0].inputs is found[1].inputs
