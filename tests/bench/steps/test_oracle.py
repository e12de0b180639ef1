"""The truth about single removals: what a plain loop over masked copies finds."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from conftest import (
    CLASSES,
    CLASSIFICATION,
    build,
    conv,
    groups_of,
    labelled,
    left_as_found,
    lively,
    marked,
)
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.steps.oracle import LEAST, Oracle, loss_changes, sample_units
from criteria import Group
from criteria.network.cut import mask

# Both sides run the same operations on the same numbers; a conv over part of its filters may add
# up in another order.
LOSSES = CLASSIFICATION.losses
EXACT = {"rtol": 0.0, "atol": 1e-12}


def plain_loop(model: nn.Module, groups: Sequence[Group], batch: tuple[Tensor, Tensor]) -> Tensor:
    """[units, images]: mask each unit on a copy, run the whole network."""
    images, labels = batch
    none = torch.empty(0, dtype=torch.long)

    def losses(network: nn.Module) -> Tensor:
        return F.cross_entropy(network.eval()(images), labels, reduction="none")

    with torch.no_grad():
        return torch.stack(
            [
                losses(mask(model, groups, [torch.tensor([unit]) if one is group else none
                                            for one in groups])) - losses(model)
                for group in groups
                for unit in range(group.units)
            ]
        )  # fmt: skip


def every_unit(groups: Sequence[Group]) -> list[Tensor]:
    return [torch.arange(group.units) for group in groups]


def measured(model: nn.Module, batch: tuple[Tensor, Tensor], size: int = 4) -> Oracle:
    groups = groups_of(model)
    batches = zip(batch[0].split(size), batch[1].split(size), strict=True)
    return loss_changes(model, groups, every_unit(groups), batches, LOSSES)


def test_each_removal_equals_the_plain_loop(model: nn.Module) -> None:
    """Residual, concat, plain, depthwise, grouped and transposed networks, and a ViT."""
    batch = labelled(6)
    found = measured(model, batch)
    wanted = plain_loop(model, groups_of(model), batch)
    assert wanted.abs().max() > 0.05  # there is something to be wrong about
    torch.testing.assert_close(found.changes, wanted, **EXACT)
    with torch.no_grad():
        losses = F.cross_entropy(model(batch[0]), batch[1], reduction="none")
    torch.testing.assert_close(found.losses, losses, **EXACT)


def test_the_network_is_left_as_it_was_found() -> None:
    model = marked(build("option_a"))
    with left_as_found(model):
        measured(model, labelled(4))


def test_only_the_units_asked_for_in_their_order() -> None:
    model, batch = build("residual"), labelled(4)
    groups = groups_of(model)
    some = [torch.tensor([2, 0]), *(torch.tensor([], dtype=torch.long) for _ in groups[1:])]
    found = loss_changes(model, groups, some, [batch], LOSSES)
    whole = plain_loop(model, groups, batch)
    torch.testing.assert_close(found.changes, whole[[2, 0]], **EXACT)


def test_no_images_is_an_error() -> None:
    groups = groups_of(model := build("chain"))
    with pytest.raises(ValueError, match="needs images"):
        loss_changes(model, groups, every_unit(groups), [], LOSSES)


# --- networks that make it hard -------------------------------------------------------------------


class InPlace(nn.Module):
    """Activations write into what they are given, one of them into a sum's other term."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = conv(3, 4), nn.BatchNorm2d(4)
        self.act = nn.SiLU(inplace=True)
        self.left, self.right = conv(4, 4), conv(4, 5)
        self.fc = nn.Linear(5, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.stem(x))
        self.act(x)  # what it returns is not used: x itself has changed
        y = self.left(x)
        y += x
        return self.fc(self.act(self.right(self.act(y))).mean((2, 3)))


class Twice(nn.Module):
    """One layer, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.again = conv(3, 4), conv(4, 4)
        self.fc = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(x))
        return self.fc(F.silu(self.again(F.silu(self.again(x)))).mean((2, 3)))


class Borrowed(nn.Module):
    """A layer whose weights are used without calling it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide = conv(3, 4), conv(4, 6)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(x))
        x = F.conv2d(x, self.wide.weight, self.wide.bias, padding=1)
        return self.fc(F.silu(x).mean((2, 3)))


class Peeking(nn.Module):
    """Uses a later layer's weights before that layer is called."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide = conv(3, 4), conv(4, 6)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(x * self.wide.weight.sum()))
        return self.fc(F.silu(self.wide(x)).mean((2, 3)))


def hard(kind: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        return lively(kind())


@pytest.mark.parametrize("kind", [InPlace, Twice])
def test_writes_in_place_and_layers_called_twice(kind: type[nn.Module]) -> None:
    model, batch = hard(kind), labelled(6)
    found = measured(model, batch)
    torch.testing.assert_close(found.changes, plain_loop(model, groups_of(model), batch), **EXACT)


def chained(model: nn.Module, names: Sequence[str]) -> tuple[Group, ...]:
    """Groups of the same layers where they are called one after the other, as in a `Twice`."""
    sequential = nn.Sequential()
    for name in names:
        sequential.add_module(name, model.get_submodule(name))
        sequential.add_module(f"{name}_act", nn.SiLU())
    sequential.add_module("pool", nn.AdaptiveAvgPool2d(1))
    sequential.add_module("flat", nn.Flatten())
    sequential.add_module("fc", model.get_submodule("fc"))
    return groups_of(sequential)


@pytest.mark.parametrize("kind", [Borrowed, Peeking])
def test_layers_whose_weights_are_used_elsewhere(kind: type[nn.Module]) -> None:
    model, batch = hard(kind), labelled(6)
    groups = chained(model, ["stem", "wide"])
    found = loss_changes(model, groups, every_unit(groups), [batch], LOSSES)
    torch.testing.assert_close(found.changes, plain_loop(model, groups, batch), **EXACT)


# --- which units ----------------------------------------------------------------------------------

sizes_of = st.lists(st.integers(1, 40), min_size=1, max_size=8)


@given(sizes_of, st.integers(1, 200), st.integers(0, 9))
def test_a_sample_is_stratified(sizes: list[int], wanted: int, seed: int) -> None:
    def draw() -> list[Tensor]:
        return sample_units(sizes, wanted, torch.Generator().manual_seed(seed))

    units, again = draw(), draw()
    assert all(torch.equal(one, other) for one, other in zip(units, again, strict=True))
    assert sum(map(len, units)) == min(wanted, sum(sizes))
    for size, some in zip(sizes, units, strict=True):
        assert some.tolist() == sorted(set(some.tolist()))
        assert all(0 <= unit < size for unit in some.tolist())
        if wanted >= LEAST * len(sizes):
            assert len(some) >= min(size, LEAST)


def test_a_sample_is_in_proportion_and_none_is_all() -> None:
    draw = torch.Generator().manual_seed(0)
    assert [len(some) for some in sample_units([64, 32, 16, 2], 58, draw)] == [32, 16, 8, 2]
    everything = sample_units([4, 2], None, draw)
    assert [some.tolist() for some in everything] == [[0, 1, 2, 3], [0, 1]]
