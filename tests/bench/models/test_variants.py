"""The papers' variants of models: their sizes, what leaves a transformer, and thop's half of it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from real_models import build, lively
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from bench.models.vit import SelfAttention
from bench.pruning.choose import one_shot
from bench.pruning.cost import count_macs, count_params
from bench.pruning.network import Network, Rules
from bench.pruning.selection import InfeasibleBudget, Limits
from bench.training.measure import torch_pruning_macs
from criteria import find_structure
from criteria.criterion import checked_scores
from criteria.gather import gather
from criteria.network.cut import difference, mask, verify
from criteria.registry import create, criteria

OTOS = {"bias": True, "pools": 5, "hidden": 512, "dropout": True}


@pytest.mark.parametrize(
    ("name", "options", "classes", "params"),
    [
        # The first three are the specs' (OBC 3.1, Gate-Decorator's log), which print them.
        ("vgg19_bn", {"bias": True, "pools": 3}, 100, 20_086_692),
        ("resnet56", {"shortcut": "B"}, 10, 855_770),
        ("vgg16_bn", {"bias": True}, 10, 14_728_266),
        # Printed by OTO's tutorial 04.
        ("vgg16_bn", OTOS, 10, 15_253_578),
        # The others by hand: what the variant adds to the known network.
        ("resnet56", {"shortcut": "B3"}, 10, 853_018 + 9 * (16 * 32 + 32 * 64) + 2 * (32 + 64)),
        ("vgg16_bn", {"hidden": 512}, 10, 14_724_042 + 512 * 513 + 2 * 512),
        ("resnet32", {"width": 64, "shortcut": "B"}, 10, 7_427_914),
        ("densenet40", {"stem": 24}, 10, 1_059_298),
        # The widespread sizes of the CIFAR forms: 11.17 M and 23.52 M.
        ("resnet18_cifar", {}, 10, 11_173_962),
        ("resnet50_cifar", {}, 10, 23_520_842),
        # Widespread with biases of the convolutions, 7,904: 6,166,250.
        ("googlenet_cifar", {}, 10, 6_166_250 - 7_904),
        ("mobilenet_v1", {}, 10, 3_217_226),
        ("mobilenet_v2_cifar", {}, 10, 2_296_922),
        # Ten more blocks of stride 1 than the three that widen have a convolution and a norm.
        (
            "mobilenet_v2_cifar",
            {"projected": "all"},
            10,
            2_296_922
            + sum(n * (c * c + 2 * c) for n, c in [(1, 24), (2, 32), (3, 64), (2, 96), (2, 160)]),
        ),
    ],
)
def test_variants_have_the_papers_parameters(
    name: str, options: dict[str, Any], classes: int, params: int
) -> None:
    assert count_params(build(name, options=options, classes=classes)) == params


@pytest.mark.parametrize(
    ("name", "options", "classes", "theirs", "apart"),
    [
        # OBC 3.1. torch-pruning counts modules only: they call the last ReLU of each stage as a
        # function (131,072 outputs), and the stem's, each block's first ReLU and the 8x8 pooling
        # as modules (274,432 outputs and 4,096 inputs).
        ("vgg19_bn", {"bias": True, "pools": 3}, 100, 512_731_236, 131_072),
        ("resnet56", {"shortcut": "B"}, 10, 127_115_914, -278_528),
    ],
)
def test_torch_prunings_count_is_obcs(
    name: str, options: dict[str, Any], classes: int, theirs: int, apart: int
) -> None:
    model = build(name, options=options, classes=classes).eval()
    assert torch_pruning_macs(model, (torch.zeros(1, 3, 32, 32),)) == theirs + apart


def test_otos_vgg_is_cut_rightly_and_drops_out_only_while_it_trains() -> None:
    model = lively(build("vgg16_bn", options=OTOS))
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    # Printed by OTO's tutorial 04: 313.73 M.
    assert count_macs(model, (x,)) / 1e6 == pytest.approx(313.73, abs=0.005)
    assert model.get_submodule("features")(x).shape[-1] == 1
    structure = find_structure(model, x)
    assert len(structure.groups) == 13 + 2
    verify(model, (x,), structure)
    assert torch.equal(model(x), model(x))
    assert not torch.equal(model.train()(x), model(x))


def test_stem_and_pools_of_the_small_forms_keep_resolution() -> None:
    model = build("resnet18_cifar", channels=1).eval()
    assert model.get_submodule("layer4")(torch.zeros(1, 256, 8, 8)).shape[-1] == 4
    assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 10)
    deep = build("vgg16_bn", options={"pools": 3}).get_submodule("features")
    assert deep(torch.zeros(1, 3, 32, 32)).shape == (1, 512, 4, 4)


# --- RGD's networks ---------------------------------------------------------------------------

RGDS = [
    ("googlenet_cifar", {}, 64),
    ("mobilenet_v1", {}, 14),
    ("mobilenet_v2_cifar", {"projected": "all"}, 36),
]


@pytest.mark.parametrize(("name", "options", "groups"), RGDS)
def test_as_many_widths_are_free_as_rgds_code_lists(
    name: str, options: dict[str, Any], groups: int
) -> None:
    model = build(name, 16, options=options)
    structure = find_structure(model, torch.randn(1, 3, 16, 16))
    assert len(structure.groups) == groups
    assert list(structure.refused) == ["classifier"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options", "groups"), RGDS)
def test_every_criterion_scores_them(name: str, options: dict[str, Any], groups: int) -> None:
    draw = torch.Generator().manual_seed(0)
    model = build(name, 16, options=options).eval()
    x = torch.randn(4, 3, 16, 16, generator=draw)
    made = [
        create(one.name, find_structure(model, x).groups, {}, torch.Generator().manual_seed(0))
        for one in criteria()
    ]
    for one, cost in zip(made, gather(model, made, [(x, torch.arange(4))]), strict=True):
        assert cost.failure is None, one.name
        assert len(checked_scores(one)) == groups


# --- what leaves a transformer ----------------------------------------------------------------


def half(network: Network, budget: float, coupled: bool = True) -> Any:
    """Seeded random scores, every group cut alike, to a share of the MACs."""
    draw = torch.Generator().manual_seed(0)
    scores = [torch.rand(group.units, generator=draw) for group in network.structure.groups]
    rules = Rules(scope="local", limits=Limits(coupled=coupled))
    return one_shot(network, scores, [budget], rules)[budget]


def vit(**options: Any) -> tuple[Network, list[str]]:
    """The network, and the layers whose outputs make its groups."""
    model = lively(build("vit_small", 8, options=options))
    network = Network.trace(model, torch.randn(2, 3, 8, 8, dtype=torch.float64))
    return network, [group.root for group in network.structure.groups]


def attentions(model: nn.Module) -> list[SelfAttention]:
    return [one for one in model.modules() if isinstance(one, SelfAttention)]


def test_whole_heads_leave() -> None:
    network, _ = vit(attention="heads")
    groups = network.structure.groups
    heads = [group for group in groups if "self_attention" in group.root]
    assert [(group.units, group.channels_per_unit) for group in heads] == [(4, 16)] * 4
    removed = [
        torch.tensor([0, 2]) if group in heads else torch.empty(0, dtype=torch.long)
        for group in groups
    ]
    cut = network.cut(removed)
    assert [(one.num_heads, one.q.out_features) for one in attentions(cut)] == [(2, 32)] * 4
    # float64: the same sums in another order.
    assert difference(mask(network.model, groups, removed), cut, network.inputs) < 1e-9
    lost = torch.tensor([len(units) for units in removed])
    assert network.cost.macs(lost) == count_macs(cut, network.inputs)
    first, dense = attentions(cut)[0], attentions(network.model)[0]
    kept = [*range(16, 32), *range(48, 64)]  # heads 1 and 3 as they were
    assert torch.equal(first.v.weight, dense.v.weight[kept])
    # Traced anew, two heads of the same width are left to choose from.
    again = [
        one
        for one in network.without(removed).structure.groups
        if one.root in {group.root for group in heads}
    ]
    assert [group.units for group in again] == [2] * 4


def test_heads_that_are_kept_are_no_group() -> None:
    _, whole = vit(attention="kept")
    _, cut = vit()
    assert set(cut) - set(whole) == {root for root in cut if "self_attention" in root}


def test_keeping_the_residual_width_does_not_keep_the_heads() -> None:
    network, roots = vit(mlp_ratio=4)
    removed = half(network, 0.6, coupled=False)
    lost = {root for root, units in zip(roots, removed, strict=True) if len(units)}
    assert lost == set(roots) - {"conv_proj"}
    assert [group.root for group in network.structure.groups if group.coupled] == ["conv_proj"]
    kept, _ = vit(mlp_ratio=4, attention="kept")
    assert isinstance(half(kept, 0.3, coupled=False), InfeasibleBudget)


# --- the paper's half of ViT-B/16 -------------------------------------------------------------


def macs_outside_attention(model: nn.Module) -> int:
    """What thop sees of one 224x224 image: nothing of an attention module, its layers included."""
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 224, 224))
    by_module = counter.get_flop_counts()
    hidden = [
        sum(flops.values()) for name, flops in by_module.items() if name.endswith("self_attention")
    ]
    assert len(hidden) == 12
    return (sum(by_module["Global"].values()) - sum(hidden)) // 2


@pytest.mark.slow
def test_obas_half_of_vit_is_two_thirds_of_its_macs() -> None:
    """OBA 3.4: '0.51' by thop, which sees 11.29 of 17.59 GMACs, is 68.6 % of the truth."""
    model = build("torchvision:vit_b_16", 224, classes=1000, options={"attention": "kept"}).eval()
    network = Network.trace(model, torch.zeros(1, 3, 224, 224))
    dense, seen = count_macs(model, network.inputs), macs_outside_attention(model)
    # thop adds the operations of 25 layer norms, 0.1 %, to the products counted here.
    assert dense == pytest.approx(17.59e9, rel=2e-3)
    assert seen == pytest.approx(11.29e9, rel=2e-3)
    cut = network.cut(half(network, 0.686, coupled=False))
    assert count_macs(cut, network.inputs) / dense == pytest.approx(0.686, abs=1e-3)
    assert macs_outside_attention(cut) / seen == pytest.approx(0.51, abs=2e-3)
    # The MLPs, all that leaves, are 98.8 % of what thop sees; about half their width is left.
    widths = [
        layer.out_features
        for name, layer in cut.named_modules()
        if name.endswith("mlp.0") and isinstance(layer, nn.Linear)
    ]
    assert sum(widths) / (12 * 3072) == pytest.approx(0.504, abs=2e-3)
