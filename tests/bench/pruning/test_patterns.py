"""N:M patterns: exactly N of every M consecutive inputs stay, by any criterion, and for good."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from conftest import Chain, build, images, labelled, lively
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import Tensor, nn

from bench.data.datasets import Dataset
from bench.data.images import ArrayImages, Normalization
from bench.data.reader import image_shape
from bench.errors import BenchError
from bench.pruning.masks import (
    Holder,
    Masks,
    check_counts,
    choose_masks,
    input_blocks,
    mask_blocks,
    masked,
    weight_groups,
)
from bench.pruning.network import Schedule
from bench.pruning.prune import prune
from bench.pruning.selection import InfeasibleBudget
from bench.training.train import train
from criteria import Group, criteria
from suites import Recipe

LAYERS = [
    nn.Linear(8, 3, bias=False),
    nn.Linear(6, 2),
    nn.Conv2d(8, 4, (2, 3)),
    nn.Conv2d(12, 6, 2, groups=3),
    nn.Conv2d(6, 6, 3, groups=6),
    nn.ConvTranspose2d(8, 3, 2),
    nn.ConvTranspose2d(8, 4, 2, groups=2),
]
PATTERNS = [(2, 4), (1, 4), (3, 4), (1, 2), (1, 3), (4, 8)]


def blocks_by_hand(layer: nn.Module, size: int) -> Iterator[list[int]]:
    """Flat positions of each block, by loops over outputs, kernel positions and inputs."""
    weight = layer.get_parameter("weight")
    at = torch.arange(weight.numel()).reshape(*weight.shape[:2], -1).numpy()
    swapped, groups = getattr(layer, "transposed", False), getattr(layer, "groups", 1)
    if swapped:
        for first in range(0, len(at), len(at) // groups):  # inputs of one group of the convolution
            mine = at[first : first + len(at) // groups]
            for output, position in itertools.product(range(at.shape[1]), range(at.shape[2])):
                yield from by_size([int(one[output, position]) for one in mine], size)
    else:
        for output, position in itertools.product(range(len(at)), range(at.shape[2])):
            yield from by_size([int(one) for one in at[output, :, position]], size)


def by_size(places: list[int], size: int) -> Iterator[list[int]]:
    if len(places) % size == 0:
        yield from (places[at : at + size] for at in range(0, len(places), size))


@pytest.mark.parametrize("size", [2, 3, 4, 8])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_blocks_are_those_of_loops(layer: nn.Module, size: int) -> None:
    found = input_blocks(layer, size).tolist()
    assert sorted(found) == sorted(blocks_by_hand(layer, size))


@given(st.data(), st.sampled_from(LAYERS), st.sampled_from(PATTERNS))
def test_the_best_of_every_block_stay_and_of_equals_the_earlier_leaves(
    data: st.DataObject, layer: nn.Module, pattern: tuple[int, int]
) -> None:
    kept, size = pattern
    count = layer.get_parameter("weight").numel()
    few = st.integers(-2, 2)  # mostly ties
    values = torch.from_numpy(data.draw(arrays.arrays(np.float64, count, elements=few)))
    group, model = Group("0", count, ()), nn.Sequential(layer)
    mask = mask_blocks(model, [group], [values], kept / size, f"{kept}:{size}")["0"]
    in_blocks = list(blocks_by_hand(layer, size))
    for places in in_blocks:
        order = sorted(range(size), key=lambda at: (float(values[places[at]]), at))
        assert mask[places].tolist() == [at in order[size - kept :] for at in range(size)]
    outside = set(range(count)) - set(itertools.chain.from_iterable(in_blocks))
    assert mask[list(outside)].all()
    check_counts(model, {"0": mask}, kept / size, f"{kept}:{size}")
    if in_blocks:
        mask[in_blocks[0]] = True
        with pytest.raises(ArithmeticError, match=rf"0: .* {kept} of every {size}"):
            check_counts(model, {"0": mask}, kept / size, f"{kept}:{size}")


def test_a_layer_that_is_no_multiple_must_be_whole() -> None:
    mask = torch.ones(12, dtype=torch.bool)
    check_counts(nn.Sequential(nn.Linear(6, 2)), {"0": mask}, 0.5, "2:4")
    mask[3] = False
    with pytest.raises(ArithmeticError, match="of every 4"):
        check_counts(nn.Sequential(nn.Linear(6, 2)), {"0": mask}, 0.5, "2:4")


# --- with criteria, steps and training ------------------------------------------------------------


UNSTRUCTURED = [entry.name for entry in criteria() if entry.unstructured]
MADE_OF_OTHERS = {"ensemble": {"of": ["l1", "taylor"]}}


def in_every_block(model: nn.Module, masks: Masks, size: int) -> set[int]:
    found = [mask[input_blocks(model.get_submodule(name), size)] for name, mask in masks.items()]
    return set(torch.cat(found).sum(1).tolist())


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("criterion", UNSTRUCTURED)
def test_every_criterion_of_weights_keeps_two_of_four(criterion: str, steps: int) -> None:
    model = lively(Chain(8, 12))
    options: dict[str, Any] = MADE_OF_OTHERS.get(criterion, {})
    result = prune(
        model,
        images(2),
        criterion,
        {"weights": 0.5},
        [labelled()],
        steps=steps,
        scope="2:4",
        **options,
    )
    masks = dict(result.masks)
    assert in_every_block(model, masks, 4) == {2}
    assert masks["0"].all(), "three inputs are no multiple of four"
    assert [float(masks[name].float().mean()) for name in ("3", "8")] == [0.5, 0.5]
    for name, mask in masks.items():
        assert not result.model.get_submodule(name).get_parameter("weight").flatten()[~mask].any()


def test_steps_thin_blocks_one_by_one_and_what_is_masked_stays_masked() -> None:
    model = lively(Chain(8, 8))
    groups = weight_groups(model, (images(1),))
    draw = torch.Generator().manual_seed(0)
    seen: list[set[int]] = []

    def scorer(now: nn.Module) -> list[Tensor]:
        alive = {
            group.root: now.get_submodule(group.root).get_parameter("weight").flatten() != 0
            for group in groups
        }
        seen.append(in_every_block(model, alive, 4))
        return [torch.rand(group.units, generator=draw) for group in groups]  # new ones each time

    found = choose_masks(model, groups, scorer, [0.5], "2:4", schedule=Schedule(4))
    assert seen == [{4}, {4}, {3}, {3}]  # 0.875, 0.75 and 0.625 of four, rounded up
    assert in_every_block(model, found[0.5], 4) == {2}


def test_patterns_are_kept_through_training() -> None:
    draw = torch.Generator().manual_seed(0)

    def split(count: int) -> ArrayImages:
        pixels = torch.randint(256, (count, 3, 8, 8), generator=draw).to(torch.uint8)
        labels = torch.randint(3, (count,), generator=draw)
        plain = Normalization((0.5,) * 3, (0.25,) * 3)
        return ArrayImages(pixels, labels, plain, shift=1, chosen=torch.arange(count))

    model = lively(Chain(8, 8)).float()
    groups = weight_groups(model, (images(1).float(),))
    sizes = [
        model.get_submodule(one.root).get_parameter("weight").abs().flatten() for one in groups
    ]
    masks = mask_blocks(model, groups, [one.detach() for one in sizes], 0.5, "2:4")
    thin = masked(model, masks)
    data = Dataset("noise", image_shape(3, 3, 8), split(48), split(10), split(10), "digest")
    recipe = Recipe(epochs=2, batch_size=16, learning_rate=0.05, weight_decay=0.01)
    train(thin, data, recipe, 5, Holder(thin, masks))
    alive = {
        name: thin.get_submodule(name).get_parameter("weight").flatten() != 0 for name in masks
    }
    assert all(torch.equal(alive[name], mask) for name, mask in masks.items())
    assert in_every_block(model, alive, 4) == {2}


def test_a_pattern_has_one_share_and_is_for_weights() -> None:
    model = build("chain")
    with pytest.raises(InfeasibleBudget, match=r"2:4 keeps 2 of every 4 .*'weights': 0\.5"):
        prune(model, images(1), "l1", {"weights": 0.4}, scope="2:4")
    with pytest.raises(BenchError, match=r"scope '2:4': .* global, local, isomorphic"):
        prune(model, images(1), "l1", {"macs": 0.5}, scope="2:4")
