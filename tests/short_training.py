"""Images whose brightness tells their class, and what rides on a training of a few steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from conftest import CLASSES, SIDE, Chain, lively
from torch import nn

from bench.data.datasets import Dataset
from bench.data.images import ArrayImages, Normalization
from bench.data.reader import image_shape
from criteria.training import Rider, Training
from suites import Recipe

GRAY = Normalization((0.5,) * 3, (0.25,) * 3)


def split(count: int, seed: int) -> ArrayImages:
    """Images whose brightness tells their class."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (count,), generator=draw)
    noise = torch.randint(20, (count, 3, SIDE, SIDE), generator=draw)
    pixels = (50 * labels[:, None, None, None] + noise).to(torch.uint8)
    return ArrayImages(pixels, labels, GRAY, shift=1, chosen=torch.arange(count))


@pytest.fixture
def data() -> Dataset:
    return Dataset(
        "bright", image_shape(CLASSES, 3, SIDE), split(48, 0), split(30, 1), split(30, 2), "digest"
    )


def recipe(**changes: Any) -> Recipe:
    return Recipe(**{"epochs": 2, "batch_size": 16, "learning_rate": 0.05, **changes})


def small(seed: int = 0) -> nn.Module:
    return lively(Chain(6, 6), seed).float()


class Killed(Exception):
    pass


class Counting(Rider):
    """State that later steps depend on; may die after a step, as a machine does."""

    def __init__(self, dies_after: int | None = None) -> None:
        self.dies_after = dies_after
        self.sum = torch.zeros(())

    def attach(self, training: Training) -> None:
        self.weight = training.model.get_parameter("0.weight")

    def after_step(self, step: int) -> None:
        self.sum = self.sum + self.weight.detach().abs().mean()
        self.weight.data.mul_(1 - 0.01 * torch.tanh(self.sum))
        if step == self.dies_after:
            raise Killed

    def state_dict(self) -> dict[str, Any]:
        return {"sum": self.sum}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.sum = state["sum"]


class Dropping(nn.Sequential):
    """Draws from the global generator as well."""

    def __init__(self) -> None:
        super().__init__(*small().children())
        self.insert(3, nn.Dropout(0.2))
