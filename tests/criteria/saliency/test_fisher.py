"""Fisher by weights, gates and shared gates, against loops over single samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from conftest import CLASSES, build, groups_of, images, labelled, parameters_of
from torch import Tensor, nn
from torch.nn import functional as F

from criteria import Member, score, weight_structure
from criteria.evidence.batch import Batch
from criteria.gather import gather, score_alone
from criteria.registry import create

EXACT = {"rtol": 1e-9, "atol": 1e-15}  # float64; sums in another order
KNOWN = ["chain", "residual", "concat", "depthwise", "flat", "grouped", "grouped_chain", "vit"]


def scores_of(model: nn.Module, criterion: str, batches: Any, **options: Any) -> dict[str, Tensor]:
    found = score(model, images(1), criterion, batches, **options)
    return {one.root: one.values for one in found}


# --- diagonal Fisher ------------------------------------------------------------------------------


def diagonal_fisher(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    """Mean over samples of the squared gradient of each sample's own loss."""
    total = {name: torch.zeros_like(one) for name, one in model.named_parameters()}
    for at in range(len(y)):
        loss = F.cross_entropy(model(x[at : at + 1]), y[at : at + 1])
        found = torch.autograd.grad(loss, list(model.parameters()))
        for name, one in zip(total, found, strict=True):
            total[name] += one.square() / len(y)
    return total


def drawn(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The labels that a batch of these images samples."""
    seen: list[Tensor] = []
    one = create("c_obd", groups_of(model), {}, torch.Generator())

    def look(batch: Batch) -> None:
        seen.append(batch.sampled.targets)

    one.observe = look  # type: ignore[method-assign]
    gather(model, [one], [(x, y)])
    return seen[0]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("side", ["out", "in", "both"])
@pytest.mark.parametrize("name", ["chain", "depthwise", "grouped", "flat", "vit"])
def test_c_obd_is_half_of_squared_weights_times_fisher(name: str, side: str, bias: bool) -> None:
    model = build(name)
    x, y = labelled(6)
    labels = drawn(model, x, y)
    assert not torch.equal(labels, y)
    fisher = diagonal_fisher(model, x, labels)
    share = {key: w.square() * fisher[key] / 2 for key, w in parameters_of(model).items()}
    found = scores_of(model, "c_obd", [(x, y)], side=side, labels="sampled", bias=bias)
    for group in groups_of(model):
        mine = [
            member
            for member in group.members
            if member.kind in ("conv", "linear")
            and ("both" in (side, member.side) or side == member.side)
        ]
        expected = sum(member.view(share, bias=bias).sum(1) for member in mine)
        torch.testing.assert_close(found[group.root], expected, **EXACT)


@pytest.mark.parametrize("parts", [1, 2, CLASSES])
def test_expected_labels_average_to_the_fisher_matrix_over_all_labels(parts: int) -> None:
    """Over many seeds; with as many parts as classes, at each."""
    model = build("chain")
    x, y = labelled(3)
    chances = model(x).softmax(1).detach()
    right = {name: torch.zeros_like(one) for name, one in parameters_of(model).items()}
    for label in range(CLASSES):
        for at in range(3):
            one = diagonal_fisher(model, x[at : at + 1], torch.tensor([label]))
            for name in right:
                right[name] += chances[at, label] * one[name] / 3
    found: list[dict[str, Tensor]] = []
    one = create("c_obd", groups_of(model), {}, torch.Generator())

    def look(batch: Batch) -> None:
        squares = [each.squared_gradients for each in batch.expected(parts)]
        assert len(squares) == parts
        found.append({name: sum(each[name] for each in squares) for name in right})

    one.observe = look  # type: ignore[method-assign]
    for seed in range(1 if parts == CLASSES else 200):
        gather(model, [one], [(x, y)], seed=seed)
    for name, expected in right.items():
        drawn = torch.stack([each[name] for each in found])
        if parts == CLASSES:
            torch.testing.assert_close(drawn[0], expected, **EXACT)
            continue
        assert len({float(each.sum()) for each in drawn}) > 1  # seeds do change it
        scatter = drawn.std(0) / len(found) ** 0.5
        assert ((drawn.mean(0) - expected).abs() <= 5 * scatter + 1e-12).all(), name


def test_two_parts_leave_less_to_chance_than_one() -> None:
    model = build("chain")
    x, y = labelled(8)

    def scatter(parts: int) -> float:
        found: list[Tensor] = []
        one = create("c_obd", groups_of(model), {}, torch.Generator())

        def look(batch: Batch) -> None:
            squares = [each.squared_gradients["0.weight"] for each in batch.expected(parts)]
            found.append(torch.stack(squares).sum(0).flatten(1).sum(1))

        one.observe = look  # type: ignore[method-assign]
        for seed in range(60):
            gather(model, [one], [(x, y)], seed=seed)
        drawn = torch.stack(found)
        return float((drawn.std(0) / drawn.mean(0)).mean())

    assert scatter(2) < 0.7 * scatter(1)  # as two independent draws would


def test_hessian_diag_takes_sampled_labels_and_c_obd_true_ones() -> None:
    model = build("chain")
    x, y = labelled(6)
    sampled = scores_of(model, "hessian_diag", [(x, y)], labels="sampled")
    by_hand = scores_of(model, "hessian_diag", [(x, drawn(model, x, y))])
    true = scores_of(model, "c_obd", [(x, y)], labels="true", side="both")
    fisher = diagonal_fisher(model, x, y)
    share = {key: w.square() * fisher[key] / 2 for key, w in parameters_of(model).items()}
    for group in groups_of(model):
        torch.testing.assert_close(sampled[group.root], by_hand[group.root], **EXACT)
        mine = [member for member in group.members if member.kind in ("conv", "linear")]
        expected = sum(member.view(share, bias=True).sum(1) for member in mine)
        torch.testing.assert_close(true[group.root], expected, **EXACT)


def test_c_obd_of_single_weights() -> None:
    model = build("chain")
    x, y = labelled(5)
    groups = weight_structure(model).groups
    one = create("c_obd", groups, {"labels": "true"}, torch.Generator())
    values, _ = score_alone(model, one, [(x[:2], y[:2]), (x[2:], y[2:])])
    fisher = diagonal_fisher(model, x, y)
    for group, found in zip(groups, values, strict=True):
        name = f"{group.root}.weight"
        weight = model.get_parameter(name).detach()
        torch.testing.assert_close(found, (weight**2 * fisher[name] / 2).flatten(), **EXACT)


# --- gates ----------------------------------------------------------------------------------------


def gate_gradients(model: nn.Module, member: Member, x: Tensor, y: Tensor) -> Tensor:
    """`[samples, units]`: one gate a channel on this layer's input, by a hook and autograd."""
    layer = model.get_submodule(member.name)
    last = isinstance(layer, nn.Linear)
    rows = []
    for at in range(len(y)):
        gate = torch.ones(member.width).double().requires_grad_()

        def put(_: nn.Module, given: tuple[Tensor], gate: Tensor = gate) -> tuple[Tensor]:
            shaped = gate if last else gate[:, None, None]
            return (given[0] * shaped,)

        with layer.register_forward_pre_hook(put):
            loss = F.cross_entropy(model(x[at : at + 1]), y[at : at + 1])
        (gradient,) = torch.autograd.grad(loss, gate)
        unit = torch.zeros(member.unit_count).double()
        rows.append(unit.index_add(0, member.units, gradient[member.indices]))
    return torch.stack(rows)


def readers(members: tuple[Member, ...]) -> list[Member]:
    return [one for one in members if one.kind in ("conv", "linear") and one.side != "out"]


def check(
    name: str, criterion: str, combine: Callable[[list[Tensor]], Tensor], **options: Any
) -> None:
    model = build(name)
    x, y = labelled(5)
    found = scores_of(model, criterion, [(x[:2], y[:2]), (x[2:], y[2:])], **options)
    for group in groups_of(model):
        gates = [gate_gradients(model, one, x, y) for one in readers(group.members)]
        torch.testing.assert_close(found[group.root], combine(gates), **EXACT)


@pytest.mark.parametrize("name", KNOWN)
def test_fisher_squares_the_gradient_of_a_gate_at_every_consumer(name: str) -> None:
    check(name, "fisher", lambda gates: sum((one**2).mean(0) / 2 for one in gates))


@pytest.mark.parametrize("name", KNOWN)
def test_group_fisher_squares_the_gradient_of_one_gate_for_all_coupled_layers(name: str) -> None:
    check(name, "group_fisher", lambda gates: (sum(gates) ** 2).mean(0) / 2, per="none")


def test_where_a_channel_has_one_consumer_the_two_are_one() -> None:
    model, batches = build("chain"), [labelled(5)]
    one, other = (
        scores_of(model, name, batches, **options)
        for name, options in (("fisher", {}), ("group_fisher", {"per": "none"}))
    )
    for root in one:
        torch.testing.assert_close(one[root], other[root], rtol=0, atol=0)
    shared = build("residual")
    batches = [labelled(5)]
    stem = scores_of(shared, "fisher", batches)
    stem_shared = scores_of(shared, "group_fisher", batches, per="none")
    assert not torch.allclose(stem["stem"], stem_shared["stem"])


COSTS = {
    # An 8 x 8 image; producers' maps: stem of 6 channels, then 4; the classifier is no map.
    ("chain", "memory"): {"0": 64, "3": 64},
    # conv(3, 6) and conv(6, 4) by 3 x 3; conv(6, 4) and linear(4, 5).
    ("chain", "macs"): {"0": 64 * 9 * (3 + 4), "3": 64 * 9 * 6 + 5},
    # Two feature maps of one channel each at 2 x 2 inputs of the linear layer of 6.
    ("flat", "memory"): {"0": 64, "4": 1},
    ("flat", "macs"): {"0": 64 * 27 + 4 * 6, "4": 16 + 5},
    # expand, its depthwise copy; project, and the residual stream that stem and project make.
    ("depthwise", "memory"): {"expand": 128, "stem": 128},
    ("depthwise", "macs"): {
        "expand": 64 * (4 + 9 + 4),
        "stem": 64 * (27 + 8 + 8) + 5,
    },
    # A transposed convolution by 2 x 2 uses its weights at its inputs, and makes 16 x 16 maps.
    ("transposed", "memory"): {"0": 64, "2": 256},
    ("transposed", "macs"): {"0": 64 * (27 + 4 * 6), "2": 64 * 4 * 4 + 256 * 9 * 4},
    # A unit is one channel of either block.
    ("grouped", "memory"): {"0": 2 * 64, "3": 2 * 64, "6": 64},
}


@pytest.mark.parametrize(("name", "per"), COSTS)
def test_group_fisher_divides_by_what_a_unit_costs(name: str, per: str) -> None:
    model, batches = build(name), [labelled(5)]
    plain = scores_of(model, "group_fisher", batches, per="none")
    found = scores_of(model, "group_fisher", batches, per=per)
    for root, cost in COSTS[name, per].items():
        torch.testing.assert_close(found[root] * cost, plain[root], **EXACT)


def test_memory_is_the_papers_choice_and_the_normaliser_comes_last() -> None:
    model, batches = build("chain"), [labelled(5)]
    default = scores_of(model, "group_fisher", batches)
    memory = scores_of(model, "group_fisher", batches, per="memory")
    shares = scores_of(model, "group_fisher", batches, normalizer="sum")
    for root, values in default.items():
        assert torch.equal(values, memory[root])
        torch.testing.assert_close(shares[root], values / values.sum(), **EXACT)


@pytest.mark.parametrize("criterion", ["fisher", "group_fisher"])
def test_a_dead_channel_scores_zero(criterion: str) -> None:
    model = build("chain")
    with torch.no_grad():
        for part in (model[0], model[1]):
            part.weight[2] = part.bias[2] = 0
    found = scores_of(model, criterion, [labelled()])["0"]
    assert found[2] == 0
    assert (found[torch.arange(6) != 2] > 0).all()
