"""Networks of timm and transformers: made for the data, cut rightly, or kept whole in words."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CLASSIFICATION

from bench.errors import ModelError
from bench.models import build_model, code_of
from bench.models.constructors import called
from bench.models.registry import constructor, fresh
from bench.pruning.network import Network
from bench.pruning.sound import examine
from bench.tasks.known import find_task
from suites.problem import ModelSpec
from suites.section import Chosen

SHAPE = {"classes": 5, "channels": 1, "image_size": 16}
VIT: dict[str, Any] = {"patch_size": 4, "embed_dim": 24, "depth": 2, "num_heads": 3}
HF: dict[str, Any] = {
    "patch_size": 4, "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 3,
    "intermediate_size": 32,
}  # fmt: skip


def traced(name: str, **options: Any) -> Network:
    inputs = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    network = fresh(ModelSpec(name=name, options=options), 0, inputs, CLASSIFICATION, **SHAPE)
    return Network.trace(network.eval(), inputs)


def roots(network: Network, of: str) -> list[str]:
    return [one.root for one in network.structure.groups if of in one.root]


@pytest.fixture
def timm() -> None:
    if not find_spec("timm"):
        pytest.skip("the extra timm is not installed")


@pytest.fixture
def transformers() -> Any:
    return pytest.importorskip("transformers")


def test_timm_loads_beside_a_torchvision_of_another_build(timm: None) -> None:
    code = (
        "from suites.problem import ModelSpec; from bench.models import code_of; "
        "print(code_of(ModelSpec(name='timm:resnet18')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == f"timm {version('timm')}\n"


def test_timm_attention_is_unpacked_and_computes_the_same(timm: None) -> None:
    spec = ModelSpec(name="timm:vit_tiny_patch16_224", options=VIT)
    ours = build_model(spec, seed=0, **SHAPE).eval()
    made = constructor(spec, **SHAPE)["arguments"]["model"]
    theirs = called(made).eval()
    ours.load_state_dict(theirs.state_dict())  # packed names
    images = torch.randn(2, 1, 16, 16)
    assert torch.allclose(ours(images), theirs(images), atol=1e-6)


@pytest.mark.parametrize(("unit", "units"), [("head_dims", 8), ("heads", 3), ("kept", 0)])
def test_what_leaves_timm_attention_is_an_option(timm: None, unit: str, units: int) -> None:
    network = traced("timm:vit_tiny_patch16_224", attention=unit, **VIT)
    inner = [one.units for one in network.structure.groups if "attn" in one.root]
    assert inner == ([units] * len(inner) if units else [])
    assert bool(inner) == bool(units)
    assert examine(network) < 1e-9


def test_couplings_that_torch_pruning_gets_wrong_are_kept_whole(timm: None) -> None:
    network = traced("timm:skresnet18")
    assert any("coupled to more channels than" in why for why in network.structure.refused.values())
    assert examine(network) < 1e-9


def test_channels_that_a_layer_mixes_by_place_stay(timm: None) -> None:
    network = traced("timm:ecaresnet26t")
    assert not any("conv3" in one.root for one in network.structure.groups)
    assert any(".se is ignored" in why for why in network.structure.refused.values())
    assert examine(network) < 1e-9


@pytest.mark.parametrize(("unit", "units"), [("heads", 3), ("kept", 0)])
def test_heads_of_transformers_leave_whole(transformers: Any, unit: str, units: int) -> None:
    network = traced("hf:vit", attention=unit, **HF)
    heads = [one.units for one in network.structure.groups if "_proj" in one.root]
    assert set(heads) == ({units} if units else set())
    assert examine(network) < 1e-9


@pytest.mark.parametrize("name", ["deit", "DeiTForImageClassificationWithTeacher"])
def test_types_with_several_classifiers_give_the_first(transformers: Any, name: str) -> None:
    network = build_model(ModelSpec(name=f"hf:{name}", options=HF), seed=0, **SHAPE)
    kind = "DeiTForImageClassification" if name == "deit" else name
    assert type(network).__name__ == kind


def test_a_folder_of_transformers_is_a_checkpoint(transformers: Any, tmp_path: Path) -> None:
    config = transformers.ViTConfig(**HF, image_size=16, num_channels=1, num_labels=3)
    given = transformers.ViTForImageClassification(config)
    given.save_pretrained(tmp_path)
    spec = ModelSpec(name="hf:ViTForImageClassification", checkpoint=str(tmp_path))
    ours = build_model(spec, seed=0, **SHAPE).state_dict()
    theirs = given.state_dict()
    assert ours["classifier.weight"].shape[0] == SHAPE["classes"]
    assert all(
        torch.equal(ours[name], one) for name, one in theirs.items() if "classifier" not in name
    )


@pytest.mark.parametrize(
    ("extra", "spec", "said"),
    [
        ("timm", {"name": "timm:resnet19"}, r"timm has no model 'resnet19' \(did you mean"),
        ("timm", {"name": "timm:resnet18", "options": {"drop": 1}}, "unexpected keyword.*'drop'"),
        ("timm", {"name": "timm:resnet18", "weights": "a1"}, "give `checkpoint:`"),
        ("transformers", {"name": "hf:resnett"}, r"transformers has no 'resnett' \(did you"),
        ("transformers", {"name": "hf:vit", "options": {"hiden_size": 1}}, "mean hidden_size"),
    ],
)
def test_wrong_names_and_options_are_said(
    extra: str, spec: dict[str, Any], said: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(extra)
    with pytest.raises(ModelError, match=said):
        build_model(ModelSpec.model_validate(spec), seed=0, **SHAPE)


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ModelError, match=r"pip install 'pruning-bench\[timm\]'"):
        code_of(ModelSpec(name="timm:resnet18"))


LLAMA = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
}


@pytest.mark.parametrize("name", ["LlamaForCausalLM", "Qwen2ForCausalLM"])
def test_a_causal_lm_loses_whole_heads_and_mlp_widths(name: str) -> None:
    task, shape = find_task(Chosen(name="language-model")), {"vocabulary": 64, "length": 8}
    tokens = task.noise(shape, 2)
    spec = ModelSpec(name=f"hf:{name}", options=LLAMA)
    network = Network.trace(fresh(spec, 0, tokens, task, **shape).eval(), tokens)
    units = {group.root: group.units for group in network.structure.groups}
    heads = {root for root, count in units.items() if count == 4}
    widths = {root for root, count in units.items() if count == 64}
    assert heads == {f"model.layers.{at}.self_attn.q_proj" for at in (0, 1)}
    assert widths == {f"model.layers.{at}.mlp.gate_proj" for at in (0, 1)}
    assert examine(network) < 1e-5
    assert not network.cost.unmodelled
