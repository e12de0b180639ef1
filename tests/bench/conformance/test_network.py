"""What `bench check --model` says of a network."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from bench.command.checking import show_network
from bench.conformance.network import built, facts, unscored
from bench.errors import ModelError, PlanError
from bench.pruning.network import Network
from criteria import StructureError
from suites.problem import ModelSpec

PIXELS = """
from torch import nn


class Pixels(nn.Sequential):
    def __init__(self, num_classes, in_channels):
        layers = [nn.Conv2d(in_channels, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()]
        layers += [nn.Conv2d(8, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU()]
        layers += [nn.Upsample(scale_factor=2)]
        super().__init__(*layers, nn.Conv2d(8, num_classes, 1))

    def forward(self, x):
        return {"out": super().forward(x)}
"""


def test_it_says_what_leaves_what_stays_and_who_can_score_it() -> None:
    said = StringIO()
    options = ["depth=1", "attention=kept"]
    show_network(
        Console(file=said, width=80), "vit_small", options, [], (10, 3, 8), "classification"
    )
    lines = said.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("mlp.0" in line and " 128 " in line for line in lines)
    assert any("self_attention.q is ignored" in line for line in lines)
    assert "bn_scale" in said.getvalue().partition("score it")[2]


def test_facts_are_counted_and_checked() -> None:
    network = built(ModelSpec(name="vgg_small", options={"width": 8}), 10, 3, 8, "classification")
    said = dict(facts(network))
    assert said["prunable"].endswith(" in 6 groups")
    assert said["half of every group"].startswith("cut as if masked")
    assert "kept, by l1" in said["half of the MACs"]


def test_a_criterion_that_fails_is_named_with_its_reason() -> None:
    network = built(ModelSpec(name="vit_small", options={"depth": 1}), 10, 3, 8, "classification")
    assert "nothing to score" in unscored(network, "classification", lambda _: None)["bn_scale"]


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
        built(ModelSpec(name="vgg_smal"), 10, 3, 8, "classification")


NO_LABELS = "labels are drawn from the softmax over classes, of which a sample has one"
DRAW_LABELS = ("c_obd", "c_obs", "hap", "kron_obd", "kron_obs")


def test_every_criterion_scores_pixels_or_says_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pixels16.py").write_text(PIXELS)
    monkeypatch.chdir(tmp_path)
    network = built(ModelSpec(name="pixels16:Pixels"), 4, 3, 8, task="segmentation")
    why = unscored(network, "segmentation", lambda _: None)
    assert set(why) == set(DRAW_LABELS)
    assert all(one.startswith(NO_LABELS) for one in why.values())


def test_every_criterion_scores_a_decoder_or_says_why_not() -> None:
    pytest.importorskip("transformers")
    options = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    spec = ModelSpec(name="hf:LlamaForCausalLM", options={**options, **heads})
    network = built(spec, 32, 3, 8, task="language-model")
    why = unscored(network, "language-model", lambda _: None)
    assert {one: why[one].partition(";")[0] for one in DRAW_LABELS} == dict.fromkeys(
        DRAW_LABELS, NO_LABELS
    )
    said = {one: text for one, text in why.items() if one not in DRAW_LABELS}
    assert said.keys() == {"bn_scale", "gate_decorator", "hrank", "rgd", "synflow"}
    assert "reads tokens, which are no feature maps" in said["hrank"]
    assert "no convolution makes its channels" in said["rgd"]
    assert "the flow through embedding is not defined" in said["synflow"]
    for one in ("bn_scale", "gate_decorator"):
        assert "finds nothing to score" in said[one]


def test_a_task_that_is_none_is_said() -> None:
    with pytest.raises(PlanError, match="Did you mean segmentation"):
        built(ModelSpec(name="vgg_small"), 10, 3, 8, task="segmentaton")
