"""What a network costs: the arithmetic equals the count on the network that is really cut."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from conftest import CLASSES, NETWORKS, build, conv, images, left_as_found, lively, marked, trace
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.models import build_model
from bench.pruning.cost import cost_model, count_macs, count_params
from bench.pruning.network import Network
from criteria import Structure, StructureError, find_structure
from criteria.network.cut import cut, verify
from suites.problem import ModelSpec

slow = pytest.mark.slow


# --- by hand --------------------------------------------------------------------------------------


def test_costs_are_those_worked_out_by_hand() -> None:
    model = build("chain")  # 3 -> 6 -> 4 on 8x8 pixels, 4 -> 5
    x = (images(1),)
    assert count_macs(model, x) == 64 * 9 * 3 * 6 + 64 * 9 * 6 * 4 + 4 * 5
    assert count_params(model) == (27 * 6 + 6) + 12 + (54 * 4 + 4) + 8 + (4 * 5 + 5)


def test_grouped_and_transposed_convolutions_are_counted_by_what_they_do() -> None:
    grouped = build("grouped")  # 3 -> 6, 6 -> 8 in two groups, 8 -> 4
    expected = 64 * 9 * (3 * 6 + (6 // 2) * 8 + 8 * 4) + 4 * 5
    assert count_macs(grouped, (images(1),)) == expected
    transposed = build("transposed")  # each of 64 inputs meets 2x2 weights
    expected = 64 * (27 * 4 + 4 * 4 * 6) + 256 * 9 * 6 * 4 + 4 * 5
    assert count_macs(transposed, (images(1),)) == expected


def test_macs_are_of_one_image_whatever_the_batch(model: nn.Module) -> None:
    assert count_macs(model, (images(3),)) == count_macs(model, (images(1),))


def test_attention_is_counted_with_its_products() -> None:
    """Of 4x4 patches and a class token: 17 positions, width 8, two products of 17x17x8 each."""
    model = build("vit")
    s, w, layers = 17, 8, 2
    block = 4 * s * w * w + 2 * s * s * w + 2 * s * w * 16
    expected = 16 * (3 * 2 * 2) * w + layers * block + w * CLASSES
    assert count_macs(model, (images(1),)) == expected


def test_a_learned_token_may_be_handed_to_a_layer() -> None:
    class Joined(nn.Module):
        def forward(self, x: Tensor, token: Tensor) -> Tensor:
            return x.mean(1) + token

    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.zeros(1, 8))
            self.joined, self.first, self.head = Joined(), nn.Linear(8, 8), nn.Linear(8, 10)

        def forward(self, x: Tensor) -> Tensor:
            joined = self.joined(x, self.token.expand(len(x), -1))
            return self.head(self.first(joined).relu())

    assert count_macs(Tokens(), (torch.randn(2, 4, 8),)) == 8 * 8 + 8 * 10


# --- the arithmetic against the cut ---------------------------------------------------------------


def random_removal(structure: Structure, seed: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [
        torch.randperm(group.units, generator=draw)[
            : int(torch.randint(group.units, (), generator=draw))
        ]
        for group in structure.groups
    ]


def assert_arithmetic_is_exact(network: Network, seed: int) -> None:
    removed = random_removal(network.structure, seed)
    counts = torch.tensor([len(one) for one in removed])
    pruned = network.cut(removed)
    assert round(network.cost.params(counts)) == count_params(pruned)
    assert round(network.cost.macs(counts)) == count_macs(pruned, network.inputs)


@pytest.mark.parametrize("name", sorted(NETWORKS))
@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_the_arithmetic_is_exact_on_tiny_networks(name: str, seed: int) -> None:
    network = trace(build(name))
    assert network.cost.macs.constant == 0
    assert_arithmetic_is_exact(network, seed)


def family(
    name: str, size: int = 32, marks: Any = (), **options: Any
) -> Any:  # a parameter set of pytest
    label = name.removeprefix("torchvision:") + "".join(f"-{value}" for value in options.values())
    return pytest.param(name, size, options, id=label, marks=marks)


FAMILIES = [
    family("resnet20", shortcut="A"),
    family("resnet20", shortcut="B"),
    family("vgg_small", 8),
    family("vit_small"),
    family("torchvision:resnet18", 64),
    family("torchvision:mobilenet_v2"),
    family("mobilenet_v1", 16),
    family("mobilenet_v2_cifar", 16),
    family("mobilenet_v2_cifar", 16, projected="all"),
    family("googlenet_cifar", 16, slow),
    family("densenet40", 16, slow),
    family("torchvision:resnext50_32x4d", 32, slow),
    family("torchvision:regnet_x_400mf", 32, slow),
    family("torchvision:efficientnet_b0", 32, slow),
    family("torchvision:convnext_tiny", 32, slow),
    family("torchvision:vit_b_16", 224, slow),
]


@pytest.mark.parametrize(("name", "size", "options"), FAMILIES)
def test_families_are_counted_exactly_and_cut_rightly(
    name: str, size: int, options: dict[str, Any]
) -> None:
    spec = ModelSpec.model_validate({"name": name, "options": options})
    model = build_model(spec, classes=10, channels=3, image_size=size, seed=0).eval()
    x = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    network = Network.trace(model, x)
    none = torch.zeros(len(network.structure.groups))
    assert network.cost.macs.constant == 0
    assert round(network.cost.macs(none)) == count_macs(model, (x,))
    assert round(network.cost.params(none)) == count_params(model)
    for seed in range(2):
        assert_arithmetic_is_exact(network, seed)
    verify(model, (x,), network.structure)


def test_a_layer_used_twice_costs_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.loop, self.fc = conv(3, 4), conv(4, 4), nn.Linear(4, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            x = self.loop(F.silu(self.loop(F.silu(self.stem(x)))))
            return self.fc(x.mean((2, 3)))

    network = trace(lively(Twice()))
    none = torch.zeros(len(network.structure.groups))
    assert network.cost.macs(none) == 64 * 9 * (3 * 4 + 2 * 4 * 4) + 4 * 5
    assert network.cost.macs.constant == 0
    for seed in range(4):
        assert_arithmetic_is_exact(network, seed)


def test_what_is_not_modelled_is_held_constant_and_named() -> None:
    """A product of activations that no layer makes."""

    class Products(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.fc = conv(3, 4), nn.Linear(4, CLASSES)

        def forward(self, x: Tensor) -> Tensor:
            x = F.silu(self.stem(x))
            mixed = x.flatten(2).mean(1)[:, :, None] @ x.flatten(2).mean(1)[:, None]
            return self.fc(x.mean((2, 3)) + mixed.mean((1, 2))[:, None])

    network = trace(lively(Products()))
    assert network.cost.macs.constant == 64 * 64
    none = torch.zeros(len(network.structure.groups))
    assert network.cost.macs(none) == count_macs(network.model, network.inputs)


def test_removal_never_raises_the_cost(model: nn.Module) -> None:
    network = trace(model)
    counts = torch.zeros(len(network.structure.groups))
    for cost in (network.cost.of("macs"), network.cost.of("params")):
        for at, group in enumerate(network.structure.groups):
            for gone in range(1, group.units):
                one = counts.clone()
                one[at] = gone
                two = one.clone()
                two[at] -= 1
                assert cost(one) < cost(two)


def test_counting_leaves_the_model_as_found(model: nn.Module) -> None:
    marked(model)
    structure = find_structure(model, images(1))
    with left_as_found(model):
        cost_model(model, (images(1),), structure)
        count_macs(model, (images(1),))
        verify(model, (images(1),), structure)


# --- verification ---------------------------------------------------------------------------------


def broken(structure: Structure, root: str, **changes: Any) -> Structure:
    """The same groups, but for the last member of one: as `changes`, or left out."""
    groups = []
    for group in structure.groups:
        if group.root == root:
            *rest, last = group.members
            members = (*rest, replace(last, **changes)) if changes else tuple(rest)
            group = replace(group, members=members)
        groups.append(group)
    return Structure(tuple(groups), structure.refused)


def test_verification_names_the_group_whose_channels_are_mixed_up() -> None:
    """Runs, gives outputs of the right shape, and is wrong: another input of the reader leaves."""
    model = build("chain")
    structure = find_structure(model, images(1))
    wrong = broken(structure, "0", units=torch.arange(6).roll(1))
    removed = [torch.empty(0).long(), torch.tensor([0])]
    assert cut(model, wrong.groups, removed)(images(1)).shape == (1, CLASSES)
    with pytest.raises(StructureError, match=r"groups of 0; .* ignor"):
        verify(model, (images(1),), wrong)


def test_verification_names_the_group_that_lacks_a_layer() -> None:
    model = build("residual")
    structure = find_structure(model, images(1))
    with pytest.raises(StructureError, match="in the groups of left2;"):
        verify(model, (images(1),), broken(structure, "left2"))


def test_verification_runs_groups_that_a_layer_norm_spans() -> None:
    """Their outputs change by nature, but a cut that does not run is found all the same."""
    model = build("vit")
    structure = find_structure(model, images(1))
    verify(model, (images(1),), structure)
    with pytest.raises(StructureError, match="in the groups of conv_proj;"):
        verify(model, (images(1),), broken(structure, "conv_proj"))
