"""Activation and redundancy criteria: against plain loops over units, by hand, by torch-pruning."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch_pruning as tp
from conftest import (
    CLASSES,
    NETWORKS,
    SIDE,
    build,
    conv,
    group_at,
    groups_of,
    images,
    labelled,
    left_as_found,
    lively,
    parameters_of,
)
from hypothesis import given
from hypothesis import strategies as st
from scoring import EXACT, PLAIN, SINGLE, assert_same, scores_of, upstream
from torch import Tensor, nn

from criteria import Member, NotApplicable, Reduction, score, weight_structure
from criteria.criterion import Criterion
from criteria.evidence.batch import Batch
from criteria.evidence.needs import Need
from criteria.families.activations import maps
from criteria.families.moments import per_weight
from criteria.gather import gather, score_alone
from criteria.registry import create
from criteria.saliency.chip import independence
from criteria.saliency.thinet import removal_order

READERS = (
    "apoz", "mean_activation", "hrank", "chip", "thinet", "wanda", "flap", "taylor_activation",
)  # fmt: skip
ALL = (*READERS, "cosine", "fpgm_tp", "taylor_tp")


def readers(model: nn.Module, root: str) -> list[Member]:
    members = group_at(groups_of(model), root).members
    return [one for one in members if one.side == "in" and one.kind in ("conv", "linear")]


def part(model: nn.Module, first: int, end: int | None = None) -> nn.Module:
    return nn.Sequential(*list(model.children())[first:end])


def channels_of(member: Member, unit: int) -> list[int]:
    pairs = zip(member.indices.tolist(), member.units.tolist(), strict=True)
    return [at for at, owner in pairs if owner == unit]


# --- the maps that consumers read -----------------------------------------------------------------


def seen_maps(name: str, model: Any, x: Tensor) -> dict[str, list[Tensor]]:
    """By root, one `[samples, units, channels, h, w]` a consumer; worked out by hand."""
    with torch.no_grad():
        if name == "chain":
            return {
                "0": [part(model, 0, 3)(x)[:, :, None]],
                "3": [part(model, 0, 6)(x)[:, :, None]],
            }
        if name == "flat":
            small = part(model, 0, 3)(x)
            return {"0": [small[:, :, None]], "4": [part(model, 0, 6)(x)[:, :, None]]}
        if name == "grouped":  # blocks of two groups: channels c and c + half are one unit
            first, second, third = part(model, 0, 3)(x), part(model, 0, 6)(x), part(model, 0, 8)(x)
            return {
                "0": [torch.stack([first[:, :3], first[:, 3:]], 2)],
                "3": [torch.stack([second[:, :4], second[:, 4:]], 2)],
                "6": [third[:, :, None]],
            }
        stem = F.silu(model.stem(x))
        inner = F.silu(model.norm1(model.left1(stem)))
        last = F.silu(model.norm2(model.left2(inner)) + model.norm3(model.right(stem)))
        return {
            "stem": [stem[:, :, None]] * 2,
            "left1": [inner[:, :, None]],
            "left2": [last[:, :, None]],
        }


class Keeper(Criterion):
    """Keeps the maps of every consumer."""

    name = "keeper"
    needs = Need.ACTIVATIONS

    def counts(self, member: Member) -> bool:
        return member.side == "in" and member.kind in ("conv", "linear")

    def observe(self, batch: Batch) -> None:
        self.kept = {
            group.root: [maps(batch, member) for member in group.members if self.counts(member)]
            for group in self.groups
        }


def kept_maps(model: nn.Module, x: Tensor) -> dict[str, list[Tensor]]:
    keeper = Keeper(groups_of(model), None, torch.Generator())
    (cost,) = gather(model, [keeper], [(x, torch.zeros(len(x), dtype=torch.long))])
    assert cost.failure is None
    return keeper.kept


BY_HAND = ("chain", "flat", "grouped", "residual")


@pytest.mark.parametrize("name", BY_HAND)
def test_maps_are_what_consumers_read_ahead_of_pooling(name: str) -> None:
    model = build(name)
    found, expected = kept_maps(model, images(3)), seen_maps(name, model, images(3))
    assert found.keys() == expected.keys()
    for root, ones in expected.items():
        assert len(found[root]) == len(ones)
        for mine, theirs in zip(found[root], ones, strict=True):
            torch.testing.assert_close(mine, theirs, **EXACT)


@pytest.mark.parametrize("inplace", [False, True])
def test_a_flattened_map_is_found_behind_pooling_and_dropout(inplace: bool) -> None:
    model = lively(
        nn.Sequential(
            conv(3, 4), nn.ReLU(inplace), nn.MaxPool2d(2), nn.Dropout(), nn.Flatten(),
            nn.Linear(4 * 16, 3),
        )
    )  # fmt: skip
    (found,) = kept_maps(model, images(2))["0"]
    with torch.no_grad():
        torch.testing.assert_close(found[:, :, 0], part(model, 0, 3)(images(2)), **EXACT)


def test_tokens_are_no_feature_maps() -> None:
    model = build("vit")
    found = kept_maps(model, images(2))
    for root, ones in found.items():
        head = readers(model, root)[-1].name.startswith("head")
        assert {one.dim() for one in ones} == ({3, 4} if head else {4}), root
    with pytest.raises(NotApplicable, match="reads tokens"):
        scores_of(model, "hrank", [labelled()])


# --- statistics of maps, unit by unit -------------------------------------------------------------


def nuclear(matrix: Tensor) -> Tensor:
    return torch.linalg.svdvals(matrix).sum()


def by_loop(criterion: str, seen: Tensor, options: dict[str, Any]) -> Tensor:
    """One consumer's score of each unit, from `[samples, units, channels, h, w]`."""
    samples, units = seen.shape[:2]
    scores = []
    for unit in range(units):
        mine = seen[:, unit]
        match criterion:
            case "apoz":
                scores.append((mine > options.get("threshold", 0)).double().mean())
            case "mean_activation" if options.get("statistic") == "std":
                scores.append(mine.std(unbiased=False))
            case "mean_activation":
                scores.append(mine.abs().mean())
            case "hrank":
                pixels = mine if mine.dim() == 4 else mine[..., None, None]
                each = [torch.linalg.matrix_rank(one).double() for one in pixels.flatten(0, 1)]
                scores.append(torch.stack(each).mean())
            case "chip":
                losses = []
                for at in range(samples):
                    whole = seen[at].flatten(1)
                    without = whole.clone()
                    without[unit] = 0
                    losses.append(nuclear(whole) - nuclear(without))
                scores.append(torch.stack(losses).mean())
    return torch.stack(scores)


def rectified(name: str) -> nn.Module:
    """With maps that lose rank and have zeros: some BN offsets are far below zero."""
    model = build(name)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias -= 2
    for key, module in list(model.named_modules()):
        if isinstance(module, nn.SiLU):
            parent = model.get_submodule(key.rpartition(".")[0])
            setattr(parent, key.rpartition(".")[2], nn.ReLU(inplace=True))
    return model


@pytest.mark.parametrize("name", BY_HAND)
@pytest.mark.parametrize(
    ("criterion", "options"),
    [
        ("apoz", {}),
        ("apoz", {"threshold": 0.1}),
        ("mean_activation", {"normalizer": "none"}),
        ("mean_activation", {"normalizer": "none", "statistic": "std"}),
        ("hrank", {}),
        ("chip", {}),
    ],
)
def test_statistics_are_those_of_a_loop_over_units(
    name: str, criterion: str, options: dict[str, Any]
) -> None:
    model = rectified(name)
    x, y = labelled(5)
    found = scores_of(model, criterion, [(x[:3], y[:3]), (x[3:], y[3:])], **options)
    expected = {
        root: torch.stack([by_loop(criterion, one, options) for one in ones]).mean(0)
        for root, ones in seen_maps(name, model, x).items()
    }
    # Of chip, the quadrature is good for 1e-9 where singular values span eight decades.
    tolerance = {"rtol": 1e-8, "atol": 1e-8} if criterion == "chip" else EXACT
    assert_same(found, expected, **tolerance)


def test_behind_a_relu_apoz_counts_zeros() -> None:
    model = rectified("chain")
    zeros = (part(model, 0, 3)(images(4)) == 0).double().mean((0, 2, 3))
    assert 0.2 < zeros.mean() < 0.99
    x, y = labelled(4)
    torch.testing.assert_close(scores_of(model, "apoz", [(x, y)])["0"], 1 - zeros, **EXACT)


def test_mean_activations_of_a_layer_have_norm_one() -> None:
    for values in scores_of(build("residual"), "mean_activation", [labelled()]).values():
        torch.testing.assert_close(values.norm(), torch.tensor(1.0).double(), **EXACT)


def test_hrank_of_maps_by_hand() -> None:
    """Channel 0 is constant (rank 1), channel 1 zero, channel 2 the image itself (rank 2)."""
    model = nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 1)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([0.0, -1, 1])[:, None, None, None])
        model[0].bias.copy_(torch.tensor([1.0, 0, 0]))
    x = torch.tensor([[1.0, 2], [3, 4]]).double()[None, None]
    (found,) = score(model, x, "hrank", [(x, x)], loss=lambda out, _: out.mean())
    assert found.values.tolist() == [1, 0, 2]


# --- chip's quick formula -------------------------------------------------------------------------


@given(
    rows=st.integers(1, 7),
    columns=st.integers(1, 7),
    seed=st.integers(0, 10**6),
    kind=st.sampled_from(["plain", "rectified", "equal rows", "zero", "wide scales"]),
)
def test_independence_is_the_nuclear_norm_lost(
    rows: int, columns: int, seed: int, kind: str
) -> None:
    draw = torch.Generator().manual_seed(seed)
    matrix = torch.randn(rows, columns, generator=draw).double()
    match kind:
        case "rectified":
            matrix = matrix.relu()
        case "equal rows":
            matrix[-1] = matrix[0]
        case "zero":
            matrix[:] = 0
        case "wide scales":
            matrix *= 10.0 ** -torch.arange(rows).double()[:, None]
    expected = []
    for row in range(rows):
        without = matrix.clone()
        without[row] = 0
        expected.append(nuclear(matrix) - nuclear(without))
    # Rounding of a share p near 0 at a singular value of 0 moves the integral by its square root.
    tolerance = 1e-7 * max(1.0, float(matrix.norm()))
    torch.testing.assert_close(
        independence(matrix), torch.stack(expected), rtol=1e-8, atol=tolerance
    )


def test_chip_may_look_at_a_few_images_of_each_batch() -> None:
    model = build("chain")
    x, y = labelled(5)
    few = scores_of(model, "chip", [(x, y)], images=2)
    assert_same(few, scores_of(model, "chip", [(x[:2], y[:2])]), **EXACT)


# --- weights times statistics of their inputs -----------------------------------------------------


def read_inputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What goes into each convolution and linear layer, `[features, everything else]`."""
    seen: dict[str, Tensor] = {}

    def keep(name: str, linear: bool) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Tensor]) -> None:
            seen[name] = inputs[0].movedim(-1 if linear else 1, 0).flatten(1)

        return hook

    hooks = [
        module.register_forward_pre_hook(keep(name, isinstance(module, nn.Linear)))
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
    ]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return seen


def readers_of_feature(layer: Any, feature: int) -> Tensor:
    """The weights of a layer that read one of its features."""
    weight = layer.weight.detach()
    if isinstance(layer, nn.ConvTranspose2d):
        return weight[feature]
    if isinstance(layer, nn.Linear):
        return weight[:, feature]
    block, place = divmod(feature, layer.in_channels // layer.groups)
    outputs = layer.out_channels // layer.groups
    return weight[block * outputs : (block + 1) * outputs, place]


@pytest.mark.parametrize("name", ["chain", "concat", "depthwise", "flat", "grouped_chain",
                                  "residual", "transposed", "vit"])  # fmt: skip
@pytest.mark.parametrize("criterion", ["wanda", "flap"])
def test_weighed_inputs_are_those_of_a_loop_over_features(name: str, criterion: str) -> None:
    model = build(name)
    x, y = labelled(5)
    seen = read_inputs(model, x)

    def one(layer: Any, values: Tensor, feature: int) -> Tensor:
        weights = readers_of_feature(layer, feature)
        if criterion == "wanda":
            return (weights.abs() * (values[feature].square().sum() / 5).sqrt()).sum()
        return values[feature].var(unbiased=False) * weights.square().sum()

    expected = {}
    for group in groups_of(model):
        scores = [
            torch.stack(
                [
                    sum(
                        one(model.get_submodule(member.name), seen[member.name], feature)
                        for feature in channels_of(member, unit)
                    )
                    for unit in range(group.units)
                ]
            )
            for member in readers(model, group.root)
        ]
        expected[group.root] = torch.stack(scores).mean(0)
    batches = [(x[:2], y[:2]), (x[2:], y[2:])]
    found = scores_of(model, criterion, batches, normalizer="none")
    assert_same(found, expected, **EXACT)


@pytest.mark.parametrize("name", ["grouped", "depthwise", "flat", "vit", "transposed"])
def test_wanda_of_a_single_weight_is_its_size_times_the_norm_of_its_input(name: str) -> None:
    model = build(name)
    x, y = labelled(4)
    seen = read_inputs(model, x)
    structure = weight_structure(model)
    criterion = create("wanda", structure.groups, {}, torch.Generator())
    scores, _ = score_alone(model, criterion, [(x, y)])
    for group, values in zip(structure.groups, scores, strict=True):
        layer = model.get_submodule(group.root)
        norms = (seen[group.root].square().sum(1) / 4).sqrt()
        marks = per_weight(layer, torch.arange(len(norms)).double()).expand_as(layer.weight)
        for feature in range(len(norms)):
            mine = (marks == feature).flatten()
            sizes = readers_of_feature(layer, feature).abs().flatten()
            torch.testing.assert_close(values[mine], sizes * norms[feature], **EXACT)


def test_flap_is_standardised_within_a_group() -> None:
    for values in scores_of(build("chain"), "flap", [labelled()]).values():
        assert abs(values.mean()) < 1e-12
        assert abs(values.std(unbiased=False) - 1) < 1e-12


def test_a_constant_feature_does_not_fluctuate() -> None:
    model = build("chain")
    with torch.no_grad():
        model[1].weight[2] = 0  # what the norm puts out is its offset
    found = scores_of(model, "flap", [labelled()], normalizer="none")["0"]
    assert found.argmin() == 2
    # A padded border is not in the input; the variance is rounding alone.
    assert found[2] < 1e-14


# --- thinet ---------------------------------------------------------------------------------------


def greedy(parts: Tensor) -> list[int]:
    """Units in the order of leaving, every choice by trying all that are left."""
    gone: list[int] = []
    left = list(range(parts.shape[1]))
    while left:
        errors = [parts[:, [*gone, one]].sum(1).square().sum().item() for one in left]
        gone.append(left.pop(errors.index(min(errors))))
    return gone


@given(units=st.integers(1, 8), rows=st.integers(1, 12), seed=st.integers(0, 10**6))
def test_removal_order_is_the_greedy_one(units: int, rows: int, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    parts = torch.randn(rows, units, generator=draw).double()
    assert removal_order(parts.T @ parts).argsort().tolist() == greedy(parts)


def test_thinet_by_hand() -> None:
    """Two channels that cancel leave together before one that is smaller than either."""
    parts = torch.tensor([[3.0, -3.0, 4.0], [3.1, -3.0, 4.0]]).double()
    assert removal_order(parts.T @ parts).argsort().tolist() == [1, 0, 2]
    parts = torch.tensor([[1.0, 5.0, -5.2, 2.0]]).double()
    assert removal_order(parts.T @ parts).argsort().tolist() == [0, 3, 2, 1]


@pytest.mark.parametrize("name", ["chain", "flat", "grouped", "grouped_chain", "residual", "vit"])
def test_thinet_draws_parts_of_real_outputs(name: str) -> None:
    """Each drawn row is what the units alone put out somewhere in its sample, biases aside."""
    model = build(name)
    groups = groups_of(model)
    criterion = create("thinet", groups, {"positions": 3}, torch.Generator())
    parts = {}
    original = type(criterion)._parts

    def keep(batch: Batch, member: Member) -> list[Tensor]:
        drawn = list(original(criterion, batch, member))
        parts[member] = drawn, batch.layer_input(member.name)
        return drawn

    criterion._parts = keep
    gather(model, [criterion], [labelled(2)])
    assert len(parts) == sum(len(readers(model, group.root)) for group in groups)
    for member, (drawn, read) in parts.items():
        layer = copy.deepcopy(model.get_submodule(member.name))
        layer.bias = None
        assert len(drawn) == min(8, len(layer.weight))
        alone = []
        for unit in range(member.unit_count):
            kept = torch.zeros(member.width).double()
            kept[channels_of(member, unit)] = 1
            if member.kind == "conv":
                kept = kept[:, None, None]
            alone.append(layer(read * kept).detach().flatten(1))
        outputs = torch.stack(alone, 2)  # [samples, outputs, units]
        for rows in drawn:
            assert rows.shape == (2 * 3, member.unit_count)
            for row, values in enumerate(rows):
                gaps = (outputs[row // 3] - values).abs().amax(1)
                assert gaps.min() < 1e-12


def test_thinet_with_all_positions_and_filters_follows_the_whole_output() -> None:
    """One position and every filter dealt to it: nothing is left to chance."""
    model = lively(
        nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 5), nn.ReLU(), nn.Linear(5, CLASSES))
    )
    x, y = labelled(4)
    options = {"positions": 1, "filters": CLASSES}
    read = model[:3](x).detach()
    whole = (read[:, None] * model[3].weight.detach()).flatten(0, 1)  # [samples * outputs, units]
    for seed in (0, 1):
        generator = torch.Generator().manual_seed(seed)
        found = scores_of(model, "thinet", [(x, y)], generator=generator, **options)
        assert found["1"].argsort().tolist() == greedy(whole)


def test_thinet_follows_the_parts_of_all_consumers() -> None:
    model = build("residual")
    criterion = create("thinet", groups_of(model), {}, torch.Generator())
    parts: dict[str, Tensor] = {}
    original = type(criterion)._parts

    def keep(batch: Batch, member: Member) -> list[Tensor]:
        drawn = list(original(criterion, batch, member))
        parts[member.name] = torch.cat(drawn)
        return drawn

    criterion._parts = keep
    scores, _ = score_alone(model, criterion, [labelled(6)])
    both = torch.cat([parts["left1"], parts["right"]])
    at = [group.root for group in criterion.groups].index("stem")
    assert scores[at].argsort().tolist() == greedy(both)
    assert sorted(scores[at].tolist()) == [place / 6 for place in range(6)]


def test_thinet_depends_on_its_generator_alone() -> None:
    def draw(seed: int) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return scores_of(build("vit"), "thinet", [labelled()], generator=generator, positions=1)

    torch.manual_seed(1)
    first = draw(7)
    torch.manual_seed(2)
    assert_same(draw(7), first, rtol=0, atol=0)
    other = draw(8)
    assert any(not torch.equal(other[root], first[root]) for root in first)


def test_thinet_says_which_layer_it_cannot_look_into() -> None:
    with pytest.raises(NotApplicable, match="ConvTranspose2d"):
        scores_of(build("transposed"), "thinet", [labelled()])


# --- taylor on activations ------------------------------------------------------------------------


def test_taylor_on_activations_is_its_formula() -> None:
    """From the gradient of the map itself, sample by sample; rescaled by the layer's norm."""
    model = build("chain")
    x, y = labelled(5)
    for root, cut in (("0", 3), ("3", 6)):
        expected = torch.zeros(len(model[int(root)].weight)).double()
        for at in range(5):
            seen = part(model, 0, cut)(x[at : at + 1]).detach().requires_grad_()
            F.cross_entropy(part(model, cut)(seen), y[at : at + 1]).backward()
            expected += (seen * seen.grad).mean((0, 2, 3)).abs().detach() / 5
        batches = [(x[:2], y[:2]), (x[2:], y[2:])]
        raw = scores_of(model, "taylor_activation", batches, normalizer="none")[root]
        torch.testing.assert_close(raw, expected, **EXACT)
        found = scores_of(model, "taylor_activation", batches)[root]
        torch.testing.assert_close(found, expected / expected.norm(), **EXACT)


def test_taylor_on_a_flattened_map_is_over_all_its_features() -> None:
    model = build("flat")
    x, y = labelled(3)
    expected = torch.zeros(4).double()
    for at in range(3):
        seen = part(model, 0, 3)(x[at : at + 1]).detach().requires_grad_()
        F.cross_entropy(part(model, 3)(seen), y[at : at + 1]).backward()
        expected += (seen * seen.grad).mean((0, 2, 3)).abs().detach() / 3
    found = scores_of(model, "taylor_activation", [(x, y)], normalizer="none")["0"]
    torch.testing.assert_close(found, expected, **EXACT)


def test_each_reader_counts_with_the_gradient_through_itself() -> None:
    model = build("residual")
    x, y = labelled(3)
    expected = torch.zeros(6).double()
    for at in range(3):
        stem = F.silu(model.stem(x[at : at + 1])).detach()
        left, right = stem.clone().requires_grad_(), stem.clone().requires_grad_()
        inner = F.silu(model.norm1(model.left1(left)))
        both = model.norm2(model.left2(inner)) + model.norm3(model.right(right))
        F.cross_entropy(model.fc(F.silu(both).mean((2, 3))), y[at : at + 1]).backward()
        for seen in (left, right):
            expected += (seen * seen.grad).mean((0, 2, 3)).abs().detach() / 3 / 2
    found = scores_of(model, "taylor_activation", [(x, y)], normalizer="none")["stem"]
    torch.testing.assert_close(found, expected, **EXACT)


# --- redundancy of filters ------------------------------------------------------------------------


def test_cosine_by_hand() -> None:
    """Opposite filters are as redundant as equal ones; a zero filter most of all."""
    model = nn.Sequential(nn.Conv2d(2, 5, 1), nn.ReLU(), nn.Conv2d(5, 2, 1)).double()
    with torch.no_grad():
        rows = torch.tensor([[3.0, 4], [-6, -8], [1, 0], [0, 0], [0, 2]])
        model[0].weight.copy_(rows[:, :, None, None])
    (found,) = score(model, torch.zeros(1, 2, 4, 4).double(), "cosine")
    expected = torch.tensor([0, 0, 0.4, 0, 0.2], dtype=torch.float64)
    torch.testing.assert_close(found.values, expected, rtol=0, atol=1e-15)


def test_a_channel_alone_is_not_redundant() -> None:
    assert scores_of(build("one_channel"), "cosine")["2"].tolist() == [1]


@pytest.mark.parametrize("name", ["residual", "flat"])
def test_cosine_is_that_of_a_loop_over_pairs(name: str) -> None:
    model = build(name)
    weights = parameters_of(model)
    for root, values in scores_of(model, "cosine").items():
        rows = weights[f"{root}.weight"].flatten(1)
        for one, value in enumerate(values):
            others = [row for at, row in enumerate(rows) if at != one]
            best = max(abs(F.cosine_similarity(rows[one], row, 0).item()) for row in others)
            assert abs(value.item() - (1 - best)) < 1e-12


@pytest.mark.parametrize(
    ("name", "reduction"),
    # torch-pruning takes the entries of a flattened channel for members.
    [each for each in product(PLAIN, ("sum", "mean", "first", "max")) if each != ("flat", "max")],
)
@pytest.mark.parametrize("normalizer", ["none", "mean"])
def test_fpgm_tp_is_torch_prunings(name: str, reduction: Reduction, normalizer: str) -> None:
    model = build(name)
    importance = tp.importance.FPGMImportance(
        group_reduction=reduction, normalizer=None if normalizer == "none" else normalizer
    )
    found = scores_of(model, "fpgm_tp", reduction=reduction, normalizer=normalizer)
    expected = upstream(model, importance)
    # Of one channel alone all distances are zero, and torch-pruning divides by their mean.
    expected = {root: one.nan_to_num(0) for root, one in expected.items()}
    assert_same(found, expected, **SINGLE)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("multivariable", [False, True])
def test_taylor_tp_is_torch_prunings(name: str, multivariable: bool) -> None:
    model = build(name)
    batches = [labelled(3, seed) for seed in range(2)]
    found = scores_of(model, "taylor_tp", batches, multivariable=multivariable)
    for x, y in batches:
        F.cross_entropy(model(x), y).backward()
    importance = tp.importance.GroupTaylorImportance(multivariable=multivariable)
    assert_same(found, upstream(model, importance), **SINGLE)


# --- what all of them promise ---------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ALL)
@pytest.mark.parametrize("name", [*NETWORKS])
def test_every_network_is_scored_or_refused_with_a_reason(name: str, criterion: str) -> None:
    model = build(name)
    refused = {("hrank", "vit"): "hrank", ("thinet", "transposed"): "ConvTranspose2d"}
    with left_as_found(model):
        if (criterion, name) in refused:
            with pytest.raises(NotApplicable, match=refused[criterion, name]):
                scores_of(model, criterion, [labelled()])
        else:
            found = scores_of(model, criterion, [labelled(3), labelled(1)])
            assert len(found) == len(groups_of(model))


@pytest.mark.parametrize("criterion", READERS)
def test_batches_may_be_of_any_size(criterion: str) -> None:
    model = rectified("residual")
    x, y = labelled(6)
    whole = scores_of(model, criterion, [(x, y)])
    parted = scores_of(model, criterion, [(x[:1], y[:1]), (x[1:], y[1:])])
    if criterion == "thinet":  # which draws other positions then
        assert all(sorted(parted[root]) == sorted(whole[root]) for root in whole)
    else:
        assert_same(parted, whole, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("criterion", READERS)
def test_a_dead_channel_leaves_first(criterion: str) -> None:
    model = rectified("chain")
    with torch.no_grad():
        model[1].weight[2] = model[1].bias[2] = 0
    values = scores_of(model, criterion, [labelled()])["0"]
    assert values[2] <= values.min() + 1e-12  # rounding of chip's integral
    with torch.no_grad():  # all of them dead
        model[1].weight[:] = model[1].bias[:] = 0
    scores_of(model, criterion, [labelled()])


def test_permuted_channels_have_permuted_ranks() -> None:
    model = rectified("chain")
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    other = copy.deepcopy(model)
    with torch.no_grad():
        norm = other[1]
        for one in (other[0].weight, other[0].bias, norm.weight, norm.bias):
            one.copy_(one[order])
        for one in (norm.running_mean, norm.running_var):
            one.copy_(one[order])
        other[3].weight.copy_(other[3].weight[:, order])
    expected, found = (scores_of(each, "hrank", [labelled()]) for each in (model, other))
    assert len(expected["0"].unique()) > 1
    assert_same(found, {"0": expected["0"][order], "3": expected["3"]}, rtol=0, atol=0)
