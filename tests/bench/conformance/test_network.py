"""What `bench check --model` says of a network."""

from __future__ import annotations

from io import StringIO

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from bench.command.checking import show_network
from bench.conformance.network import built, facts, unscored
from bench.errors import ModelError
from bench.pruning.network import Network
from criteria import StructureError
from suites.problem import ModelSpec


def test_it_says_what_leaves_what_stays_and_who_can_score_it() -> None:
    said = StringIO()
    options = ["depth=1", "attention=kept"]
    show_network(Console(file=said, width=80), "vit_small", options, [], (10, 3, 8))
    lines = said.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("mlp.0" in line and " 128 " in line for line in lines)
    assert any("self_attention.q is ignored" in line for line in lines)
    assert "bn_scale" in said.getvalue().partition("score it")[2]


def test_facts_are_counted_and_checked() -> None:
    network = built(ModelSpec(name="vgg_small", options={"width": 8}), 10, 3, 8)
    said = dict(facts(network))
    assert said["prunable"].endswith(" in 6 groups")
    assert said["half of every group"].startswith("cut as if masked")
    assert "kept, by l1" in said["half of the MACs"]


def test_a_criterion_that_fails_is_named_with_its_reason() -> None:
    network = built(ModelSpec(name="vit_small", options={"depth": 1}), 10, 3, 8)
    assert "nothing to score" in unscored(network, 10, lambda _: None)["bn_scale"]


class Squeezing(nn.Module):
    def __init__(self, classes: int, channels: int, image_size: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 8, 3)
        self.last = nn.Conv2d(8, classes, image_size - 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x)).squeeze()


def test_a_network_that_loses_a_batch_of_one_is_refused() -> None:
    images = torch.randn(2, 3, 8, 8)
    network = Network.trace(Squeezing(10, 3, 8).eval(), images)
    with pytest.raises(
        StructureError, match=r"of one sample the network makes \[10\], of 2 \[2, 10\]"
    ):
        dict(facts(network))


def test_what_cannot_be_built_is_said() -> None:
    with pytest.raises(ModelError, match="did you mean vgg_small"):
        built(ModelSpec(name="vgg_smal"), 10, 3, 8)
