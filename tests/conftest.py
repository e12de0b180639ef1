"""Tiny networks of every kind of coupling, and what tests ask of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.conformance.networks import CLASSES, SIDE, Concat, Depthwise, conv, tiny_vit
from bench.conformance.watch import changes, marked, snapshot
from bench.models.resnet import ChannelPad
from bench.pruning import sound
from bench.pruning.network import Network
from bench.tasks.known import find_task
from criteria import Group, Member, find_structure
from criteria.network.units import Units
from suites.section import Chosen

__all__ = ["CLASSES", "SIDE", "conv", "lively", "marked"]  # the conformance kit's, for tests too

torch.set_num_threads(1)

CLASSIFICATION = find_task(Chosen(name="classification"))


class Chain(nn.Sequential):
    """Convolutions with biases and norms, one after the other."""

    def __init__(self, *widths: int) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in zip((3, *widths), widths, strict=False):
            layers += [conv(inputs, outputs), nn.BatchNorm2d(outputs), nn.SiLU()]
        super().__init__(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(widths[-1], CLASSES)
        )


class Residual(nn.Module):
    """Two convolutions into one sum, behind another sum: one group over three layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 6)
        self.left1, self.norm1 = conv(6, 4), nn.BatchNorm2d(4)
        self.left2, self.norm2 = conv(4, 6), nn.BatchNorm2d(6)
        self.right, self.norm3 = conv(6, 6, 1), nn.BatchNorm2d(6)
        self.fc = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(x))
        left = self.norm2(self.left2(F.silu(self.norm1(self.left1(x)))))
        x = F.silu(left + self.norm3(self.right(x)))
        return self.fc(x.mean((2, 3)))


class Flat(nn.Sequential):
    """A convolution whose every channel is several inputs of a linear layer."""

    def __init__(self) -> None:
        super().__init__(
            conv(3, 4), nn.SiLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
            nn.Linear(16, 6), nn.SiLU(), nn.Linear(6, CLASSES),
        )  # fmt: skip


class Grouped(nn.Sequential):
    """A convolution of two groups between plain ones."""

    def __init__(self) -> None:
        super().__init__(
            conv(3, 6), nn.BatchNorm2d(6), nn.SiLU(),
            conv(6, 8, groups=2), nn.BatchNorm2d(8), nn.SiLU(),
            conv(8, 4), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES),
        )  # fmt: skip


class GroupedChain(nn.Sequential):
    """Two and three blocks over the same twelve channels: every second channel is one unit."""

    def __init__(self) -> None:
        super().__init__(
            conv(3, 8), nn.SiLU(),
            conv(8, 12, groups=2), nn.SiLU(),
            conv(12, 6, groups=3), nn.SiLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, CLASSES),
        )  # fmt: skip


class Transposed(nn.Sequential):
    """Up and down again; a transposed convolution holds its inputs first."""

    def __init__(self) -> None:
        super().__init__(
            conv(3, 4), nn.SiLU(),
            nn.ConvTranspose2d(4, 6, 2, 2), nn.BatchNorm2d(6), nn.SiLU(),
            conv(6, 4), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES),
        )  # fmt: skip


class OneChannel(nn.Sequential):
    """A convolution with one output channel, whose one group is not a depthwise one."""

    def __init__(self) -> None:
        super().__init__(
            conv(3, 4), nn.SiLU(), conv(4, 1), nn.SiLU(), conv(1, 4), nn.SiLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, CLASSES),
        )  # fmt: skip


class OptionA(nn.Module):
    """A shortcut that pads channels: by a module made for it, or by F.pad."""

    def __init__(self, pad: bool) -> None:
        super().__init__()
        self.stem = conv(3, 4)
        self.conv1, self.norm1 = conv(4, 8), nn.BatchNorm2d(8)
        self.conv2, self.norm2 = conv(8, 8), nn.BatchNorm2d(8)
        self.shortcut = None if pad else ChannelPad(4, 8, 1)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(x))
        y = self.norm2(self.conv2(F.silu(self.norm1(self.conv1(x)))))
        side = F.pad(x, (0, 0, 0, 0, 2, 2)) if self.shortcut is None else self.shortcut(x)
        return self.fc(F.silu(y + side).mean((2, 3)))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "chain": lambda: Chain(6, 4),
    "residual": Residual,
    "concat": Concat,
    "depthwise": Depthwise,
    "flat": Flat,
    "grouped": Grouped,
    "grouped_chain": GroupedChain,
    "transposed": Transposed,
    "one_channel": OneChannel,
    "option_a": lambda: OptionA(pad=False),
    "vit": lambda: tiny_vit(depth=2),
}
SMOOTH = tuple(name for name in NETWORKS if name != "vit")  # no layer norm: a channel is its own


def lively(model: nn.Module, seed: int = 0) -> nn.Module:
    """In float64 and eval mode, with nothing at 0 or 1."""
    return sound.lively(model.double().eval(), seed)


def build(name: str, seed: int = 0) -> nn.Module:
    """One of `NETWORKS`, lively."""
    with torch.random.fork_rng(devices=[]):
        return lively(NETWORKS[name](), seed)


def images(count: int = 4, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(count, 3, SIDE, SIDE, generator=draw).double()


def labelled(count: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed + 1)
    return images(count, seed), torch.randint(CLASSES, (count,), generator=draw)


_GROUPS: dict[Any, tuple[Group, ...]] = {}


def groups_of(model: nn.Module) -> tuple[Group, ...]:
    """Traced once for networks of one class, one text and the same shapes."""
    shapes = tuple((name, one.shape) for name, one in model.named_parameters())
    kind = (type(model), repr(model), shapes)
    if kind not in _GROUPS:
        _GROUPS[kind] = find_structure(model, images(1)).groups
    return _GROUPS[kind]


def group_at(groups: tuple[Group, ...], root: str) -> Group:
    return next(group for group in groups if group.root == root)


def parameters_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def numbered(model: nn.Module) -> nn.Module:
    """Every single weight a number of its own, from 1 on; exact in float64."""
    first = 1
    with torch.no_grad():
        for parameter in model.parameters():
            count = parameter.numel()
            parameter.copy_(torch.arange(first, first + count).reshape(parameter.shape))
            first += count
    return model


def block(member: Member, tensors: dict[str, Tensor], unit: int) -> Tensor:
    return member.view(tensors, bias=True)[unit]


def multiply(units: Units, chosen: Tensor, factor: float) -> None:
    """Multiply all that makes the chosen units, in place."""
    tensors = units.tensors()
    for member in units.members:
        rows = member.view(tensors, bias=True).clone()
        rows[chosen] *= factor
        member.write_(tensors, rows, bias=True)


def trace(model: nn.Module) -> Network:
    return Network.trace(model, images(1))


@contextmanager
def about(what: object) -> Iterator[None]:
    """A failure in the block tells which of many things it was about."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"about {what}")
        raise


@contextmanager
def left_as_found(model: nn.Module) -> Iterator[None]:
    """Fails if the block changes anything a caller of the model could see."""
    before = snapshot(model)
    yield
    assert not changes(before, snapshot(model))


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where `toy` keeps what all processes of a test run share."""
    mine = tmp_path_factory.getbasetemp()
    return (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "toy"


@pytest.fixture
def inkless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are laid out and captioned, but their files hold no picture: a page's words suffice.

    Drawing each in three formats is most of the time that a report takes.
    """
    from matplotlib.figure import Figure

    def save(_: Figure, path: Path, **__: object) -> None:
        path.write_text('<svg viewBox="0 0 1 1"/>')

    monkeypatch.setattr(Figure, "savefig", save)


@pytest.fixture(params=sorted(NETWORKS))
def name(request: pytest.FixtureRequest) -> str:
    """Name of each tiny network in turn."""
    return request.param


@pytest.fixture
def model(name: str) -> nn.Module:
    return build(name)
