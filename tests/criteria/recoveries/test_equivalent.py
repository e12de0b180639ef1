"""Equivalent pruning: the same network as naive pruning to begin with, and after the merge."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import (
    CLASSES,
    Chain,
    build,
    groups_of,
    images,
    labelled,
    left_as_found,
    lively,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from bench.models import build_model
from bench.pruning.cost import count_macs, count_params
from criteria import Group, NotApplicable, StructureError
from criteria.families.equivalent_layers import Fold, compressors, fold_, insert, merge
from criteria.network.cut import cut
from criteria.recoveries.equivalent import Equivalent, EquivalentOptions
from criteria.training import Scale
from suites.problem import ModelSpec

# The same sums in another order, forward or over a few steps of training: rounding of float64.
EXACT = 1e-12
# As that in float32; differences are relative to the largest output.
SINGLE = 1e-5


@dataclass(frozen=True)
class Case:
    """One network, pruned naively and equivalently."""

    dense: nn.Module
    groups: Sequence[Group]
    removed: Sequence[Tensor]
    pruned: nn.Module
    equivalent: nn.Module


def some(groups: Sequence[Group], share: float = 1 / 3, seed: int = 0) -> list[Tensor]:
    """A random share of every group's units; at least one, never all."""
    draw = torch.Generator().manual_seed(seed)
    return [
        torch.randperm(group.units, generator=draw)[
            : min(max(1, round(share * group.units)), group.units - 1)
        ]
        for group in groups
    ]


def case(dense: nn.Module, removed: Sequence[Tensor] | None = None) -> Case:
    groups = groups_of(dense)
    removed = some(groups) if removed is None else removed
    pruned = cut(dense, groups, removed)
    return Case(dense, groups, removed, pruned, insert(dense, pruned, groups, removed))


def fold_of(layer: nn.Module) -> Any:
    """The C and D of an equivalent layer."""
    fold = layer.parametrizations.weight[0]
    assert isinstance(fold, Fold)
    return fold


def whole_of(layer: nn.Module) -> list[nn.Parameter]:
    """The dense weight, and the bias if it has one, of an equivalent layer."""
    return [one for name, one in layer.named_parameters() if name.endswith("original")]


def resnet20() -> nn.Module:
    """The benchmark's own, in float64 as all images here; float32 comes after the tracing."""
    spec = ModelSpec(name="resnet20")
    return lively(build_model(spec, classes=CLASSES, channels=3, image_size=8, seed=0))


def gap(one: nn.Module, other: nn.Module, x: Tensor) -> float:
    """Largest difference of outputs, relative to the largest output, in the mode they are in.

    Statistics of the batch are taken by copies.
    """
    with torch.no_grad():
        mine, theirs = copy.deepcopy(one)(x), copy.deepcopy(other)(x)
    return float((mine - theirs).abs().max() / theirs.abs().max())


def train(
    model: nn.Module, steps: int = 3, rate: float = 0.05, dtype: torch.dtype | None = None
) -> nn.Module:
    """SGD with momentum and weight decay on batches of noise; ends in evaluation mode."""
    optimizer = torch.optim.SGD(
        [one for one in model.parameters() if one.requires_grad],
        lr=rate,
        momentum=0.9,
        weight_decay=5e-4,
    )
    model.train()
    for step in range(steps):
        x, labels = labelled(8, seed=10 + step)
        optimizer.zero_grad()
        F.cross_entropy(model(x.to(dtype)), labels).backward()
        optimizer.step()
    return model.eval()


# --- E1, E2: the start ----------------------------------------------------------------------------


def test_with_nothing_removed_it_is_the_network_itself(model: nn.Module) -> None:
    none = [torch.empty(0, dtype=torch.long) for _ in groups_of(model)]
    made = case(model, none)
    assert not compressors(made.equivalent)
    assert gap(made.equivalent, model, images()) == 0
    assert repr(made.equivalent) == repr(model)


@pytest.mark.parametrize("training", [False, True])
def test_to_begin_with_it_computes_what_naive_pruning_computes(
    model: nn.Module, training: bool
) -> None:
    made = case(model)
    assert compressors(made.equivalent)
    made.pruned.train(training)
    made.equivalent.train(training)
    assert gap(made.equivalent, made.pruned, images()) < EXACT


@pytest.mark.parametrize("training", [False, True])
def test_to_begin_with_the_same_in_float32(training: bool) -> None:
    made = case(resnet20())
    one, other = made.equivalent.float().train(training), made.pruned.float().train(training)
    assert gap(one, other, images().float()) < SINGLE


def test_it_stands_in_the_mode_of_the_pruned_network() -> None:
    dense = build("residual")
    groups = groups_of(dense)
    removed = some(groups)
    for training in (True, False):
        pruned = cut(dense, groups, removed).train(training)
        modes = {one.training for one in insert(dense, pruned, groups, removed).modules()}
        assert modes == {training}


def test_dense_and_pruned_networks_are_left_as_found(name: str) -> None:
    made = case(build(name))
    with left_as_found(made.dense), left_as_found(made.pruned), left_as_found(made.equivalent):
        train(insert(made.dense, made.pruned, made.groups, made.removed), steps=1)
        merge(made.equivalent)


# --- E3, E4: the merge ----------------------------------------------------------------------------


def test_after_training_the_merged_network_computes_the_same(model: nn.Module) -> None:
    made = case(model)
    trained = train(copy.deepcopy(made.equivalent))
    assert gap(trained, made.equivalent, images()) > 1e-3  # it has moved
    assert gap(merge(trained), trained, images()) < EXACT
    assert gap(merge(trained).train(), trained.train(), images()) < EXACT


def test_after_training_in_float32_the_merged_network_computes_the_same() -> None:
    equivalent = case(resnet20()).equivalent.float()
    trained = train(copy.deepcopy(equivalent), dtype=torch.float32)
    assert gap(trained, equivalent, images().float()) > 1e-3
    assert {one.dtype for one in merge(trained).parameters()} == {torch.float32}
    assert gap(merge(trained), trained, images().float()) < SINGLE


def test_the_merged_network_has_the_form_of_the_pruned_one(model: nn.Module) -> None:
    made = case(model)
    merged = merge(train(made.equivalent, steps=1))
    assert repr(merged) == repr(made.pruned)  # types, widths and names of all layers
    mine, theirs = merged.state_dict(), made.pruned.state_dict()
    assert [(key, one.shape) for key, one in mine.items()] == [
        (key, one.shape) for key, one in theirs.items()
    ]
    assert count_params(merged) == count_params(made.pruned)
    assert count_macs(merged, (images(1),)) == count_macs(made.pruned, (images(1),))


def test_merged_at_once_it_is_the_pruned_network(model: nn.Module) -> None:
    made = case(model)
    merged = merge(made.equivalent)
    for mine, theirs in zip(merged.parameters(), made.pruned.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=0)


def test_a_layer_under_two_names_is_one_layer_throughout() -> None:
    dense = build("residual")
    dense.again = dense.left2
    made = case(dense)
    assert fold_of(made.equivalent.again)
    assert made.equivalent.again is made.equivalent.left2
    merged = merge(made.equivalent)
    assert type(merged.again) is nn.Conv2d
    assert merged.again is merged.left2


# --- equation (8), and its first step -------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    blocks=st.integers(1, 3),
    widths=st.tuples(st.integers(2, 6), st.integers(2, 6)),
    lost=st.tuples(st.integers(0, 4), st.integers(0, 4)),
    kernel=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_a_layer_is_its_maps_one_after_the_other(
    blocks: int, widths: tuple[int, int], lost: tuple[int, int], kernel: int, seed: int
) -> None:
    """As the paper draws it: decompress the images, convolve them whole, compress the result."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        core = nn.Conv2d(
            blocks * widths[1], blocks * widths[0], kernel, 2, 1, groups=blocks
        ).double()  # fmt: skip
        kept = [
            (torch.rand(width).argsort() >= min(few, width - 1)).repeat(blocks)
            for width, few in zip(widths, lost, strict=True)
        ]
        sides = [int(one.sum()) for one in kept]
        layer = nn.Conv2d(sides[1], sides[0], kernel, 2, 1, groups=blocks).double()
        fold_(layer, core, {"out": kept[0], "in": kept[1]})
        for one in layer.parameters():
            nn.init.normal_(one)
        dense = whole_of(layer)
        x = torch.randn(2, int(kept[1].sum()), 5, 5).double()
        weighing = torch.randn(int(kept[0].sum())).double()[:, None, None]

    def mixed(maps: Tensor, by: Tensor | None) -> Tensor:
        """`[n, c, h, w]`, channels mixed within blocks by `[blocks, c', c]`."""
        if by is None:
            return maps
        return torch.einsum("bpo,nbohw->nbphw", by, maps.unflatten(1, (blocks, -1))).flatten(1, 2)

    fold = fold_of(layer)
    made = F.conv2d(mixed(x, fold.decompressor), *dense, 2, 1, groups=blocks)
    by_hand = mixed(made, fold.compressor)
    parameters = list(layer.parameters())
    expected = torch.autograd.grad((by_hand * weighing).sum(), parameters)
    found = torch.autograd.grad((layer(x) * weighing).sum(), parameters)
    # Sums of hundreds of products of numbers around 1.
    torch.testing.assert_close(layer(x), by_hand, rtol=0, atol=1e-10)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(merge(layer)(x), by_hand, rtol=0, atol=1e-10)
    torch.testing.assert_close(merge(layer).weight, layer.weight, rtol=0, atol=0)
    assert layer.bias is not None
    assert layer.bias.shape == weighing.shape[:1]


def test_the_first_step_adds_two_preconditioned_terms() -> None:
    """dW' = -e_w G - e_c G (WD)'(WD) - e_d (CW)(CW)' G, up to the square of the step (eq. 9).

    e_w G is the naive step: C and D are rows and columns of the identity.
    """
    draw = torch.Generator().manual_seed(0)
    core = lively(nn.Linear(7, 6, bias=False))
    layer = nn.Linear(3, 4, bias=False)
    fold_(layer, core, {"out": torch.arange(6) % 3 > 0, "in": torch.arange(7) % 2 > 0})
    layer.double()
    fold = fold_of(layer)
    assert fold.compressor is not None
    assert fold.decompressor is not None
    x, y = torch.randn(5, 3, generator=draw).double(), torch.randn(5, 4, generator=draw).double()
    start = layer.weight.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad((F.linear(x, start) - y).square().sum(), start)
    with torch.no_grad():
        whole, compress, expand = whole_of(layer)[0], fold.compressor[0], fold.decompressor[0]
        read, made = whole @ expand, compress @ whole
        expected = -(gradient + 0.5 * gradient @ read.T @ read + 2 * made @ made.T @ gradient)

    def error(rate: float) -> float:
        mine = copy.deepcopy(layer)
        steps = [
            {"params": whole_of(mine), "lr": rate},
            {"params": [fold_of(mine).compressor], "lr": 0.5 * rate},
            {"params": [fold_of(mine).decompressor], "lr": 2 * rate},
        ]
        optimizer = torch.optim.SGD(steps)
        (mine(x) - y).square().sum().backward()
        optimizer.step()
        change = (mine.weight - layer.weight).detach() / rate
        return float((change - expected).norm() / expected.norm())

    # What is left is of second order: it falls with the step, ten times with a tenth of it.
    assert error(1e-6) < 1e-4
    assert error(1e-5) / error(1e-6) == pytest.approx(10, rel=0.05)


# --- E6: where ------------------------------------------------------------------------------------


def test_every_layer_that_makes_or_reads_a_group_has_its_map(name: str) -> None:
    """One group at a time: C where its channels are made, D where they are read, nowhere else."""
    dense = build(name)
    groups = groups_of(dense)
    for at, group in enumerate(groups):
        if group.units == 1:
            continue
        removed = [
            torch.tensor([0]) if one == at else torch.empty(0, dtype=torch.long)
            for one in range(len(groups))
        ]
        found = {
            (name, side)
            for name, layer in case(dense, removed).equivalent.named_modules()
            if parametrize.is_parametrized(layer)
            for side, map_ in (("out", "compressor"), ("in", "decompressor"))
            if getattr(fold_of(layer), map_) is not None
        }
        assert found == {
            (member.name, member.side)
            for member in group.members
            if member.kind in ("conv", "linear")
            if not member.transposed and member.side != "both"
        }
        assert found


def test_a_flattened_channel_is_several_rows_of_the_decompressor() -> None:
    dense = build("flat")
    gone = {"0": torch.tensor([1]), "4": torch.tensor([0, 5])}
    made = case(dense, [gone[group.root] for group in groups_of(dense)])
    first, last = fold_of(made.equivalent[4]), fold_of(made.equivalent[6])
    assert first.decompressor.shape == (1, 16, 12)
    assert first.decompressor[0].sum(1).tolist() == [1] * 4 + [0] * 4 + [1] * 8
    assert first.compressor.shape == (1, 4, 6)
    assert last.decompressor.shape == (1, 6, 4)


def test_a_depthwise_convolution_is_cut_naively() -> None:
    equivalent = case(build("depthwise")).equivalent
    assert type(equivalent.depthwise) is nn.Conv2d
    assert fold_of(equivalent.expand).compressor is not None
    assert fold_of(equivalent.project).decompressor is not None


def test_maps_of_a_grouped_convolution_stay_within_its_groups() -> None:
    layer = case(build("grouped")).equivalent[3]
    fold = fold_of(layer)
    assert len(fold.compressor) == len(fold.decompressor) == 2
    assert layer.groups == merge(layer).groups == 2


def test_transformers_have_maps_in_the_mlp_the_heads_and_the_residual_stream() -> None:
    equivalent = case(build("vit")).equivalent
    layers = {
        name.rpartition(".")[2]: layer
        for name, layer in equivalent.named_modules()
        if parametrize.is_parametrized(layer)
    }
    assert {"q", "k", "v", "proj", "conv_proj", "head"} <= set(layers)
    norms = [one for one in equivalent.modules() if isinstance(one, nn.LayerNorm)]
    assert {one.normalized_shape for one in norms} == {(5,)}  # of 8, cut naively


class OnlyTransposed(nn.Module):
    """A group that only transposed convolutions make and read."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.ConvTranspose2d(3, 4, 1), nn.ConvTranspose2d(4, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.silu(self.first(x)))


def test_a_group_without_a_place_for_a_map_is_refused() -> None:
    with pytest.raises(NotApplicable, match="the group of first has none"):
        case(lively(OnlyTransposed()))


def test_a_pruned_network_that_is_another_is_refused() -> None:
    made = case(build("residual"))
    others = some(made.groups, seed=1)
    with pytest.raises(StructureError, match="give the units that were cut"):
        insert(made.dense, made.pruned, made.groups, others)
    with pytest.raises(StructureError, match="before any training"):
        insert(made.dense, train(made.pruned, steps=1), made.groups, made.removed)
    with pytest.raises(StructureError, match="give the units that were cut"):
        insert(made.dense, made.dense, made.groups, made.removed)


def test_a_bias_that_is_another_is_refused() -> None:
    made = case(build("flat"))
    with torch.no_grad():
        made.pruned[4].bias += 1
    with pytest.raises(StructureError, match=r"^4: in the pruned network"):
        insert(made.dense, made.pruned, made.groups, made.removed)


def test_a_layer_with_parameters_of_its_own_is_refused() -> None:
    dense = lively(Chain(6, 4))
    groups = groups_of(dense)
    removed = some(groups)
    pruned = cut(dense, groups, removed)
    parametrizations.weight_norm(dense[3])
    with pytest.raises(NotApplicable, match=r"^3: .*parametrizations\.weight\.original0"):
        insert(dense, pruned, groups, removed)


# --- E7: what is frozen, and how the rest is trained ----------------------------------------------


def test_with_frozen_maps_training_is_naive_training(model: nn.Module) -> None:
    made = case(model)
    for one in compressors(made.equivalent):
        one.requires_grad_(False)
    equivalent, naive = train(made.equivalent, steps=4), train(made.pruned, steps=4)
    for mine, theirs in zip(merge(equivalent).parameters(), naive.parameters(), strict=True):
        # Rounding of a few steps, which momentum and norms carry on.
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-11)
    assert gap(equivalent, naive, images()) < 1e-10


def test_two_maps_that_learn_make_another_network(model: nn.Module) -> None:
    """So that the test above would see a map that the list of compressors misses."""
    made = case(model)
    for one in compressors(made.equivalent)[2:]:
        one.requires_grad_(False)
    assert gap(train(made.equivalent, steps=4), train(made.pruned, steps=4), images()) > 1e-4


def test_maps_have_a_learning_rate_and_a_weight_decay_of_their_own() -> None:
    equivalent = case(build("residual")).equivalent
    options = EquivalentOptions(lr_div=5, wd_div=2)
    scales = Equivalent(options, torch.Generator()).scales(equivalent)
    assert {id(one) for one in scales} == {id(one) for one in compressors(equivalent)}
    assert set(scales.values()) == {Scale(1 / 5, 1 / 2)}


def test_by_default_maps_do_not_decay() -> None:
    equivalent = case(build("flat")).equivalent
    scales = Equivalent(EquivalentOptions(), torch.Generator()).scales(equivalent)
    assert set(scales.values()) == {Scale(1.0, 0.0)}


@pytest.mark.parametrize("wrong", [{"lr_div": 0}, {"wd_div": -1}, {"freeze": True}])
def test_options_that_mean_nothing_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        EquivalentOptions(**wrong)
