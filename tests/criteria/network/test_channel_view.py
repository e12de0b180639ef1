"""The channel view: exactly the parameters that a unit owns, on every kind of coupling."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
import torch_pruning as tp
from conftest import (
    CLASSES,
    NETWORKS,
    SMOOTH,
    Chain,
    OptionA,
    build,
    conv,
    group_at,
    groups_of,
    images,
    left_as_found,
    lively,
    marked,
    numbered,
    parameters_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.models.resnet import ChannelPad, ChannelPadPruner
from criteria import Group, StructureError, find_structure
from criteria.network.cut import cut, mask, verify

# Masked and pruned networks do the same sums in another order: nothing but rounding may differ.
ROUNDING = {torch.float64: 1e-10, torch.float32: 1e-5}


# --- what leaves, by torch-pruning's own hand -----------------------------------------------------


def values(model: nn.Module) -> set[float]:
    return {value for one in model.parameters() for value in one.detach().flatten().tolist()}


def vanished(model: nn.Module, group: Group, unit: int) -> set[float]:
    """Numbers that are gone after torch-pruning, traced afresh, has pruned one unit."""
    pruned = copy.deepcopy(model)
    bare = {"class_token": 2, "encoder.pos_embedding": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = tp.DependencyGraph().build_dependency(
            pruned,
            (images(1),),
            forward_fn=lambda network, inputs: network(*inputs),
            customized_pruners={ChannelPad: ChannelPadPruner()},
            unwrapped_parameters=[
                (one, bare[name]) for name, one in pruned.named_parameters() if name in bare
            ],
        )
    root = pruned.get_submodule(group.root)
    prune = (
        tp.prune_linear_out_channels if isinstance(root, nn.Linear) else tp.prune_conv_out_channels
    )
    channels = group.root_channels(torch.tensor([unit])).tolist()
    graph.get_pruning_group(root, prune, idxs=channels).prune()
    return values(model) - values(pruned)


def owned(model: nn.Module, group: Group, unit: int) -> set[float]:
    tensors = parameters_of(model)
    blocks = [member.view(tensors, bias=True)[unit] for member in group.members]
    return {value for one in blocks for value in one.tolist()}


def test_a_unit_owns_exactly_what_torch_pruning_removes_with_it(name: str) -> None:
    model = numbered(build(name))
    for group in groups_of(model):
        for unit in range(group.units):
            assert owned(model, group, unit) == vanished(model, group, unit), (group.root, unit)


def test_the_units_of_a_group_share_nothing_and_leave_nothing_out(model: nn.Module) -> None:
    for group in groups_of(model):
        for member in group.members:
            assert sorted(member.indices.tolist()) == sorted(set(member.indices.tolist()))
            assert member.units.bincount().unique().numel() == 1
            assert len(member.indices) == group.units * member.entries_per_unit


# --- what stops to matter, by autograd ------------------------------------------------------------


def idle(model: nn.Module) -> dict[str, Tensor]:
    """Which single weights the output does not depend on, for random data."""
    model.zero_grad()
    draw = torch.Generator().manual_seed(3)
    output = model(images(3, seed=2))
    (output * torch.randn(output.shape, generator=draw)).sum().backward()
    return {name: one.grad == 0 for name, one in model.named_parameters()}


@pytest.mark.parametrize("name", SMOOTH)
def test_a_unit_nobody_reads_idles_exactly_the_weights_that_make_it(name: str) -> None:
    """Zero what reads a unit; exactly its out side then has no gradient."""
    model = build(name)
    already = {key for key, where in idle(model).items() if where.any()}
    assert not already, "the network must depend on every weight to begin with"
    for group in groups_of(model):
        readers = [one for one in group.members if one.side == "in"]
        makers = [one for one in group.members if one.side != "in"]
        for unit in range(group.units if group.units > 1 else 0):  # a last one idles all before it
            silent = copy.deepcopy(model)
            tensors = {key: one.data for key, one in silent.named_parameters()}
            for member in readers:
                member.zero_(tensors, torch.tensor([unit]))
                if isinstance(silent.get_submodule(member.name), ChannelPad):
                    gone = member.indices[member.units == unit]
                    silent.get_submodule(member.name).silence("in", gone)
            whole = {key: torch.ones_like(one) for key, one in tensors.items()}
            for member in makers:
                member.zero_(whole, torch.tensor([unit]))
            expected = {key: one == 0 for key, one in whole.items()}
            found = idle(silent)
            for key, where in expected.items():
                assert torch.equal(found[key], where), (group.root, unit, key)


def test_view_and_zero_reach_the_same_elements(model: nn.Module) -> None:
    numbered(model)
    for group in groups_of(model):
        for member in group.members:
            for unit in range(group.units):
                tensors = {key: one.clone() for key, one in parameters_of(model).items()}
                seen = set(member.view(tensors, bias=True)[unit].tolist())
                member.zero_(tensors, torch.tensor([unit]))
                before = parameters_of(model)
                zeroed = {
                    value
                    for key in before
                    for value in before[key][tensors[key] == 0].flatten().tolist()
                }
                assert seen == zeroed


# --- masked equals pruned -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_masked_and_pruned_networks_agree(name: str, dtype: torch.dtype, seed: int) -> None:
    model = build(name).to(dtype)
    groups = list(find_structure(model, images(1).to(dtype)).groups)
    removed = some_units(groups, seed)
    x = images(3).to(dtype)
    with torch.no_grad():
        pruned, masked = cut(model, groups, removed)(x), mask(model, groups, removed)(x)
        dense = model(x)
    assert (pruned - masked).abs().max() <= ROUNDING[dtype] * masked.abs().max().clamp(min=1)
    if any(len(one) for one in removed):
        assert not torch.allclose(dense, masked, rtol=0, atol=1e-4)  # it did remove something


def some_units(groups: list[Group], seed: int) -> list[Tensor]:
    """Random units of every group, at least one of which stays; none where a layer norm spans."""
    draw = torch.Generator().manual_seed(seed)
    removed = []
    for group in groups:
        count = int(torch.randint(group.units, (), generator=draw))
        count = 0 if group.normalizes_over_channels else count
        removed.append(torch.randperm(group.units, generator=draw)[:count])
    return removed


def test_a_pruned_network_is_a_copy(model: nn.Module) -> None:
    groups = groups_of(model)
    with left_as_found(model):
        pruned = cut(model, groups, some_units(list(groups), 1))
    assert not {id(one) for one in model.parameters()} & {id(one) for one in pruned.parameters()}


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_tiny_network_passes_verification(name: str) -> None:
    model = build(name)
    verify(model, (images(1),), find_structure(model, images(1)))


# --- units and blocks -----------------------------------------------------------------------------


def test_a_flattened_channel_is_all_its_features() -> None:
    model = build("flat")
    out, into = group_at(groups_of(model), "0").members
    weights = parameters_of(model)
    assert out.view(weights).shape == (4, 27)
    assert into.view(weights).shape == (4, 4 * 6)
    expected = weights["4.weight"][:, 8:12].T.reshape(-1)  # channel 2 of 2x2 positions
    assert torch.equal(into.view(weights)[2], expected)


def test_blocks_of_a_grouped_convolution_lose_the_same_positions() -> None:
    model = build("grouped")
    groups = groups_of(model)
    before, inside = group_at(groups, "0"), group_at(groups, "3")
    assert (before.units, before.channels_per_unit) == (3, 2)
    assert before.root_channels(torch.tensor([1])).tolist() == [1, 4]
    assert (inside.units, inside.channels_per_unit) == (4, 2)
    assert inside.root_channels(torch.tensor([0, 3])).tolist() == [0, 3, 4, 7]


def test_chained_blocks_tie_channels_until_all_blocks_agree() -> None:
    """Blocks of 6 and of 4 over 12 channels: channels equal modulo gcd(6, 4) leave together."""
    between = group_at(groups_of(build("grouped_chain")), "2")
    assert between.units == 2
    assert between.root_channels(torch.tensor([1])).tolist() == [1, 3, 5, 7, 9, 11]


def test_every_attention_head_loses_the_same_position() -> None:
    groups = groups_of(build("vit"))
    attention = [one for one in groups if one.root.endswith("self_attention.q")]
    assert len(attention) == 2
    for group in attention:
        assert (group.units, group.channels_per_unit) == (4, 2)
        assert group.root_channels(torch.tensor([1])).tolist() == [1, 5]
        assert [one.name.rsplit(".", 1)[-1] for one in group.members] == ["q", "k", "v", "proj"]


def test_concatenated_channels_keep_their_place_behind_the_others() -> None:
    members = {one.name: one for one in group_at(groups_of(build("concat")), "conv2").members}
    assert members["fc"].indices.tolist() == [7, 8, 9]
    assert members["norm3"].units.tolist() == [0, 1, 2]


def test_sums_couple_all_layers_that_enter_them() -> None:
    group = group_at(groups_of(build("residual")), "left2")
    assert [(one.name, one.side) for one in group.members] == [
        ("left2", "out"), ("right", "out"), ("norm2", "both"), ("norm3", "both"), ("fc", "in"),
    ]  # fmt: skip


def test_a_depthwise_filter_belongs_to_its_channel_on_both_sides() -> None:
    members = {one.name: one for one in group_at(groups_of(build("depthwise")), "expand").members}
    assert members["depthwise"].side == "both"
    assert members["depthwise"].blocks == 1


def test_a_convolution_with_one_output_channel_is_not_depthwise() -> None:
    groups = groups_of(build("one_channel"))
    assert {group.root: group.units for group in groups} == {"0": 4, "2": 1, "4": 4}
    sides = {(one.name, one.side) for group in groups for one in group.members}
    assert ("2", "both") not in sides
    assert {("2", "in"), ("2", "out")} <= sides


def test_a_view_follows_the_tensor_it_is_given() -> None:
    """Gradients, squares and masks are viewed as the parameter they are shaped as."""
    model = build("grouped")
    weights = parameters_of(model)
    doubled = {key: 2 * one for key, one in weights.items()}
    for group in groups_of(model):
        for member in group.members:
            assert torch.equal(member.view(doubled), 2 * member.view(weights))


def test_groups_have_the_order_of_units_of_their_root(model: nn.Module) -> None:
    for group in groups_of(model):
        root = group.members[0]
        if group.channels_per_unit == 1:
            assert root.indices.tolist() == root.units.tolist() == list(range(group.units))


# --- what is refused ------------------------------------------------------------------------------


def test_a_shortcut_padded_by_f_pad_is_refused_with_the_reason() -> None:
    model = lively(OptionA(pad=True))
    structure = find_structure(model, images(1))
    assert [group.root for group in structure.groups] == ["conv1"]
    assert "padded shortcut" in structure.refused["stem"]
    verify(model, (images(1),), structure)  # what is left is right


def option_a_stages() -> nn.Module:
    """A plain option-A ResNet: three stages, padded by F.pad between them."""

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.pad, self.stride = (outputs - inputs) // 2, stride

        def forward(self, x: Tensor) -> Tensor:
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            if self.pad:
                x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.pad, self.pad))
            return F.relu(y + x)

    return nn.Sequential(
        conv(3, 4), Block(4, 4, 1), Block(4, 8, 2), Block(8, 16, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, CLASSES),
    )  # fmt: skip


def test_of_a_padded_resnet_only_the_inner_widths_are_prunable() -> None:
    model = lively(option_a_stages())
    structure = find_structure(model, images(1))
    assert sorted(one.root for one in structure.groups) == ["1.conv1", "2.conv1", "3.conv1"]
    assert any("padded" in reason for reason in structure.refused.values())
    verify(model, (images(1),), structure)


def test_a_group_norm_keeps_its_groups_equally_wide() -> None:
    """A unit is the channels at one position of all; as of a layer norm, no mask equals a cut."""
    model = lively(
        nn.Sequential(
            conv(3, 8), nn.GroupNorm(2, 8), nn.SiLU(),
            conv(8, 6), nn.BatchNorm2d(6), nn.SiLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES),
        )
    )  # fmt: skip
    structure = find_structure(model, images(1))
    groups = {one.root: one for one in structure.groups}
    assert (groups["0"].units, groups["0"].channels_per_unit) == (4, 2)
    assert groups["0"].normalizes_over_channels
    assert not groups["3"].normalizes_over_channels
    verify(model, (images(1),), structure)
    gone = [
        torch.tensor([1]) if one is groups["0"] else torch.tensor([]) for one in structure.groups
    ]
    pruned = cut(model, structure.groups, gone)
    kept = [0, 2, 3, 4, 6, 7]
    norm, first = pruned.get_submodule("1"), pruned.get_submodule("0")
    assert torch.equal(first.get_parameter("weight"), model[0].weight[kept])
    assert torch.equal(norm.get_parameter("weight"), model[1].weight[kept])
    assert pruned(images(2)).shape == (2, CLASSES)


class Attends(nn.Module):
    """torch's own attention between linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.hidden, self.fc = nn.Linear(8, 6), nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.flatten(2).transpose(1, 2))
        x = x + self.attention(x, x, x, need_weights=False)[0]
        return self.fc(F.silu(self.hidden(x))).mean(1)


def test_opaque_attention_is_refused_and_the_rest_is_not() -> None:
    structure = find_structure(lively(Attends()), images(1))
    assert [group.root for group in structure.groups] == ["hidden"]
    assert any("opaque nn.MultiheadAttention" in reason for reason in structure.refused.values())


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_what_makes_the_output_is_never_pruned(name: str) -> None:
    model = build(name)
    structure = find_structure(model, images(1))
    last = [key for key, one in model.named_modules() if isinstance(one, nn.Linear)][-1]
    makers = {one.name for group in structure.groups for one in group.members if one.side != "in"}
    assert last not in makers
    assert "output" in structure.refused[last]


def test_a_sum_into_the_output_keeps_all_its_layers_whole() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.left, self.right = conv(3, 4), conv(4, 3), conv(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            x = F.silu(self.stem(x))
            return self.left(x) + self.right(x)

    structure = find_structure(lively(Sum()), images(1))
    assert [group.root for group in structure.groups] == ["stem"]


def test_ignored_layers_keep_their_outputs_and_may_lose_inputs() -> None:
    model = build("chain")
    structure = find_structure(model, images(1), ignored=[model[3]])
    assert structure.refused["3"] == "3 is ignored"
    (group,) = structure.groups
    assert ("3", "in") in [(one.name, one.side) for one in group.members]


def test_an_ignored_container_stands_for_its_layers() -> None:
    model = nn.Sequential(nn.Sequential(conv(3, 4), nn.SiLU()), conv(4, 4), nn.SiLU(), conv(4, 2))
    structure = find_structure(lively(model), images(1), ignored=[model[0]])
    assert [group.root for group in structure.groups] == ["1"]


def test_ignoring_by_type_or_name_is_an_error() -> None:
    for wrong in (nn.Linear, "fc"):
        with pytest.raises(StructureError, match="expected layers of this model"):
            find_structure(build("chain"), images(1), ignored=[wrong])  # type: ignore[list-item]


def test_a_network_with_nothing_to_prune_says_why() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, CLASSES)).double()
    with pytest.raises(StructureError, match=r"nothing in this network can be pruned.*output"):
        find_structure(model, images(1))


def test_shared_parameters_are_refused_by_name() -> None:
    model = Chain(4, 4, 4)
    model[6].weight = model[3].weight
    with pytest.raises(StructureError, match=r"3\.weight and 6\.weight share one parameter"):
        find_structure(model.double(), images(1))


def test_depth_multipliers_are_never_cut_wrongly() -> None:
    """Grouped convolutions at the border of depthwise: more, or fewer, outputs than groups."""
    for middle in (conv(8, 16, groups=8), conv(8, 4, groups=4)):
        tail = [nn.SiLU(), conv(middle.out_channels, 4), nn.SiLU(), conv(4, 2)]
        model = lively(nn.Sequential(conv(3, 8), nn.SiLU(), middle, *tail))
        verify(model, (images(1),), find_structure(model, images(1)))


# --- the model is left as found -------------------------------------------------------------------


def test_tracing_leaves_the_model_as_found(model: nn.Module) -> None:
    marked(model)
    with left_as_found(model):
        find_structure(model, images(2))


def test_frozen_and_training_networks_have_the_same_groups(name: str) -> None:
    def shape(model: nn.Module) -> list[tuple[str, int, list[str]]]:
        return [
            (one.root, one.units, [member.name for member in one.members])
            for one in groups_of(model)
        ]

    expected = shape(build(name))
    assert shape(build(name).train()) == expected
    assert shape(build(name).requires_grad_(False)) == expected
    with torch.no_grad():
        assert shape(build(name)) == expected


def test_a_tensor_subclass_as_example_couples_as_a_plain_tensor(name: str) -> None:
    """torch-pruning sees operations of the subclass between the layers."""

    class Marked(Tensor):
        pass

    def members(example: Tensor) -> list[list[tuple[str, list[int]]]]:
        groups = find_structure(model, example).groups
        return [[(m.name, m.indices.tolist()) for m in one.members] for one in groups]

    model = build(name)
    assert members(images(1).as_subclass(Marked)) == members(images(1))


def test_a_forward_of_two_arguments_takes_a_tuple() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right, self.fc = nn.Linear(3, 4), nn.Linear(2, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.fc(F.silu(self.left(x) + self.right(y)))

    (group,) = find_structure(Two(), (torch.randn(2, 3), torch.randn(2, 2))).groups
    assert {one.name for one in group.members} == {"left", "right", "fc"}
