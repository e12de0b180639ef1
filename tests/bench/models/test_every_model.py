"""Every model of every suite: cut as if masked, counted as torch does, halved by its MACs.

Slow (minutes, up to 6 GB); with -s a table is printed:

    pytest tests/bench/models/test_every_model.py -m slow -s
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from bench.models import build_model
from bench.pruning.choose import one_shot
from bench.pruning.cost import count_macs, count_params
from bench.pruning.network import Network, Removed, Rules
from criteria.network.cut import difference, mask
from suites import AnySuite, library, load_suite, scales_of
from suites.problem import DatasetSpec, ModelSpec

# Classes, channels and pixels of datasets that no test can ask for.
SHAPES = {
    "digits": (10, 1, 8),
    "mnist5k": (10, 1, 28),
    "cifar10": (10, 3, 32),
    "cifar100": (100, 3, 32),
    "imagefolder": (10, 3, 32),
    "imagenet": (1000, 3, 224),
    "cub200": (200, 3, 224),
}
Problem = tuple[str, tuple[int, int, int]]  # a model as JSON, and a shape


def problems(suite: AnySuite) -> Iterator[Problem]:
    """The networks of images of a suite, whatever weights they start from; texts: test_hubs.py."""
    for model in suite.models:
        spec = ModelSpec(name=model.name, options=model.options).model_dump_json(
            exclude_defaults=True
        )
        for data in suite.datasets:
            on = model.datasets is None or data.title in model.datasets
            if on and data.name in SHAPES:
                yield spec, _shape(data)


def _shape(data: DatasetSpec) -> tuple[int, int, int]:
    classes, channels, size = SHAPES[data.name]
    return classes, channels, data.image_size or size


# Beside the suites': every way in which a ViT loses, and networks that papers use without a table.
MORE = (
    ("torchvision:vit_b_16", {"attention": "heads"}, "imagenet"),
    ("torchvision:vit_b_16", {"attention": "kept"}, "imagenet"),
    ("torchvision:vit_b_16", {}, "imagenet"),
    ("torchvision:googlenet", {}, "imagenet"),
    ("resnet34_cifar", {}, "cifar10"),
    ("resnet44", {}, "cifar10"),
)


def _all() -> list[Problem]:
    suites = [
        load_suite(name, scale=scale) for name in library() for scale in (None, *scales_of(name))
    ]
    found = {one for suite in suites for one in problems(suite)}
    for name, options, data in MORE:
        found.add(
            (
                ModelSpec(name=name, options=options).model_dump_json(exclude_defaults=True),
                SHAPES[data],
            )
        )
    return sorted(found, key=lambda one: (one[1][2], one))


def settled(model: nn.Module, inputs: torch.Tensor) -> nn.Module:
    """Norms with scales and shifts off 1 and 0 and the statistics of noise, as after training.

    At random weights in evaluation mode deep outputs are so small that all would look equal.
    """
    draw = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.LayerNorm):
            for parameter in module.parameters():
                parameter.data.copy_(torch.rand(parameter.shape, generator=draw) + 0.5)
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(inputs)
    return model.eval()


def halved(network: Network) -> Removed:
    """Half the MACs, by seeded random scores, every group alike."""
    draw = torch.Generator().manual_seed(0)
    scores = [torch.rand(group.units, generator=draw) for group in network.structure.groups]
    removed = one_shot(network, scores, [0.5], Rules(scope="local"))[0.5]
    assert isinstance(removed, list), removed
    return removed


@pytest.mark.slow
@pytest.mark.parametrize(("model", "shape"), _all(), ids=str)
def test_half_of_a_model(model: str, shape: tuple[int, int, int]) -> None:
    classes, channels, size = shape
    inputs = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(0))
    spec = ModelSpec.model_validate_json(model)
    whole = settled(
        build_model(spec, classes=classes, channels=channels, image_size=size, seed=0), inputs
    )
    start = time.perf_counter()
    network = Network.trace(whole, inputs)
    removed = halved(network)
    cut = network.cut(removed)
    seconds = time.perf_counter() - start
    dense, left = count_macs(whole, (inputs,)), count_macs(cut, (inputs,))
    assert network.cost.macs(torch.zeros(len(removed))) == dense
    assert network.cost.macs(torch.tensor([len(units) for units in removed])) == left
    assert left / dense == pytest.approx(0.495, abs=0.00501)  # 49 % to 50 %
    cut(inputs)
    apart = apart_from_masked(network, removed)
    options = "".join(f" {key}={value}" for key, value in spec.options.items())
    size_of = f"{dense / 1e6:.1f} M | {count_params(whole) / 1e6:.3f} M"
    found = f"{left / dense:.4f} | {seconds:.1f} s | {apart:.0e}"
    print(f"\n| {spec.name}{options} | {size} px, {classes} | {size_of} | {found} |")
    assert apart < 1e-9  # float64: the same sums in another order


def apart_from_masked(network: Network, removed: Removed) -> float:
    """Largest difference of outputs; but for residual widths, whose layer norms see fewer."""
    groups = network.structure.groups
    plain = [
        units[:0] if group.normalizes_over_channels else units
        for group, units in zip(groups, removed, strict=True)
    ]
    whole, cut = mask(network.model, groups, plain), network.cut(plain)
    with torch.no_grad():
        assert whole.double().eval()(network.inputs[0].double()).abs().max() > 1e-3
    return difference(whole, cut, network.inputs)
