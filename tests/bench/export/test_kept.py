"""Networks that are saved and loaded again: equal, or refused in one sentence."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from sources import unregistering
from torch import Tensor, nn

import bench
from bench.errors import ExportError
from bench.export import recipe as recipes
from bench.export.recipe import RECIPE, WEIGHTS, call, keep
from bench.export.runtimes import apart
from bench.models.adapters import logits_alone
from bench.models.registry import build_model, plain_constructor
from bench.plan.plugins import load_plugins
from bench.pruning.network import Network
from suites.problem import ModelSpec

pytest.importorskip("safetensors")

IMAGES = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """A layer under two names, a buffer outside the state dict, a depthwise convolution."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.depthwise = nn.Conv2d(width, width, 3, groups=width)
        self.again = self.norm
        self.head = nn.Linear(width, 5)
        self.register_buffer("gain", torch.tensor(2.0), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        return self.head(self.depthwise(x).mean((2, 3))) * self.gain


class Local(Net):
    """Its constructor asks for something that nobody knows."""

    def __init__(self, width: int) -> None:
        super().__init__(width)


def trained(model: nn.Module) -> nn.Module:
    """With statistics of its own, and a gain that no constructor makes."""
    model.train()(3 * IMAGES + 1)
    model.gain.fill_(3.0)  # type: ignore[operator, union-attr]
    return model.eval()


@pytest.fixture
def pruned() -> bench.Pruned:
    return bench.prune(trained(Net()), IMAGES, "l1", {"channels": 0.5})


def test_a_class_that_needs_no_arguments_is_built_alone(
    pruned: bench.Pruned, tmp_path: Path
) -> None:
    pruned.save(tmp_path / "net")
    loaded = bench.load(tmp_path / "net" / RECIPE)
    assert loaded(IMAGES).equal(pruned.model.eval()(IMAGES))
    assert not loaded.training
    assert loaded.first.out_channels == 16
    assert loaded.again is loaded.norm
    recipe = json.loads((tmp_path / "net" / RECIPE).read_text())
    assert recipe["kept"]["first"]["out"] == pruned.kept["first"]
    assert recipe["attributes"]["depthwise"]["groups"] == 16


def test_else_the_unpruned_network_is_brought_and_left_as_it_is(tmp_path: Path) -> None:
    found = bench.prune(trained(Local(32)), IMAGES, "l1", {"channels": 0.5})
    found.save(tmp_path)
    with pytest.raises(ExportError, match=r"Local is not known; give the unpruned network"):
        bench.load(tmp_path)
    fresh = Local(32)
    loaded = bench.load(tmp_path, model=fresh)
    assert loaded(IMAGES).equal(found.model.eval()(IMAGES))
    assert fresh.first.out_channels == 32


def test_or_the_constructor_is_named(tmp_path: Path) -> None:
    found = bench.prune(trained(Local(32)), IMAGES, "l1", {"channels": 0.5})
    found.save(tmp_path, Local, width=32)
    assert bench.load(tmp_path)(IMAGES).equal(found.model.eval()(IMAGES))
    with pytest.raises(ExportError, match="Local is nothing that its constructor makes"):
        found.save(tmp_path / "other", Net)
    with pytest.raises(ExportError, match="an argument is no number or text"):
        found.save(tmp_path / "other", Local, width=torch.tensor(32))
    with pytest.raises(ExportError, match=r"Local fails: TypeError: .*size"):
        found.save(tmp_path / "other", Local, size=32)


def test_masked_weights_stay_at_zero_and_are_counted(tmp_path: Path) -> None:
    found = bench.prune(Net(), IMAGES, "l1", {"weights": 0.25})
    found.save(tmp_path)
    loaded = bench.load(tmp_path)
    assert int((loaded.head.weight != 0).sum()) == int(found.masks["head"].sum())
    counts = json.loads((tmp_path / RECIPE).read_text())["weights"]
    assert counts["head"] == [int(found.masks["head"].sum()), 32 * 5]


class Bound(Net):
    """Its weights are made of others, in the ways that torch has."""

    def __init__(self) -> None:
        super().__init__()
        nn.utils.parametrizations.weight_norm(self.first)
        nn.utils.spectral_norm(self.depthwise)
        nn.utils.prune.l1_unstructured(self.head, "weight", 0.5)


@pytest.mark.parametrize("budget", [{"channels": 0.5}, {"weights": 0.25}])
def test_weights_behind_masks_and_parametrizations_are_built_as_those_that_act(
    budget: dict[str, float], tmp_path: Path
) -> None:
    found = bench.prune(trained(Bound()), IMAGES, "l1", budget)
    found.save(tmp_path)
    loaded = bench.load(tmp_path)
    assert json.loads((tmp_path / RECIPE).read_text())["constructor"]["call"].endswith(":Bound")
    assert loaded(IMAGES).equal(found.model.eval()(IMAGES))
    assert [*loaded.state_dict()] == [*found.model.state_dict()]


class Named(Net):
    def forward(self, *, x: Tensor) -> Tensor:
        return super().forward(x)


class Two(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.reshape(2, 3, 8, 8))


def test_what_cannot_be_kept_is_said(tmp_path: Path) -> None:
    by_name = bench.prune(Named(), {"x": IMAGES}, "l1", {"channels": 0.5})
    with pytest.raises(ExportError, match="inputs that are tensors, by their place"):
        by_name.save(tmp_path)
    of_two = bench.prune(Two(), IMAGES, "l1", {"channels": 0.5})
    with pytest.raises(ExportError, match="does not run on one image: RuntimeError: shape"):
        of_two.save(tmp_path)


def test_random_numbers_stay_where_they_were(pruned: bench.Pruned, tmp_path: Path) -> None:
    before = torch.get_rng_state()
    pruned.save(tmp_path)
    bench.load(tmp_path)
    assert torch.equal(torch.get_rng_state(), before)


def test_half_precision_and_arguments_by_name(tmp_path: Path) -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
            return self.b(torch.relu(self.a(x))), shift

    model = Two().to(torch.bfloat16)
    inputs = {"x": torch.randn(3, 4).bfloat16(), "shift": torch.ones(3, 1)}
    found = bench.prune(model, inputs, "l1", {"channels": 0.5})
    found.save(tmp_path)
    loaded = bench.load(tmp_path, model=model)
    assert loaded.a.weight.dtype == torch.bfloat16
    assert loaded(**inputs)[0].equal(found.model.eval()(**inputs)[0])


def edited(folder: Path) -> None:
    text = (folder / RECIPE).read_text()
    (folder / RECIPE).write_text(text.replace('"out_channels": 16', '"out_channels": 17'))


def torn(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[:-10])


def flipped(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def emptied(folder: Path) -> None:
    (folder / RECIPE).write_text("")


def checked_by_others(folder: Path) -> None:
    (folder / "check.safetensors").write_bytes((folder / WEIGHTS).read_bytes())


def without_weights(folder: Path) -> None:
    (folder / WEIGHTS).unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (edited, "pruning_recipe.json was damaged or edited"),
        (emptied, "pruning_recipe.json was damaged or edited"),
        (torn, "network.safetensors was damaged or edited"),
        (flipped, "network.safetensors was damaged or edited"),
        (checked_by_others, "check.safetensors was damaged or edited"),
        (without_weights, r"no network is kept in .*network\.safetensors"),
    ],
)
def test_what_is_damaged_or_edited_is_refused(
    damage: Callable[[Path], None], said: str, pruned: bench.Pruned, tmp_path: Path
) -> None:
    pruned.save(tmp_path)
    damage(tmp_path)
    with pytest.raises(ExportError, match=said):
        bench.load(tmp_path)


class Wider(Net):
    def __init__(self) -> None:
        super().__init__(48)


class Deeper(Net):
    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Linear(5, 5)


class Other(Net):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Wider, r"whose .* is \[48.*\]: it was \[32.*\] before pruning"),
        (Deeper, r"extra.weight is \[5, 5\]: it was missing before pruning"),
        (nn.Flatten, r"norm.* is missing: it was \[.*\] before pruning"),
        (Other, "computes something else"),
    ],
)
def test_another_network_is_refused_with_what_differs(
    kind: Callable[[], nn.Module], said: str, pruned: bench.Pruned, tmp_path: Path
) -> None:
    pruned.save(tmp_path)
    with pytest.raises(ExportError, match=said):
        bench.load(tmp_path, model=kind())


def test_what_is_not_there_is_told_from_what_was_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no network is kept in"):
        bench.load(tmp_path)
    with pytest.raises(ExportError, match="'ab12' is no folder, and no trial with that key"):
        bench.load("ab12", results=tmp_path)
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "ab12.json").write_text("{}")
    with pytest.raises(ExportError, match=r"trial ab12 was not kept; bench run SUITE --keep"):
        bench.load("ab12", results=tmp_path)
    for name in ("ab12", "ab13"):
        (tmp_path / "networks" / name).mkdir(parents=True)
    with pytest.raises(ExportError, match=r"'ab' fits 2 kept networks: ab12, ab13; give more"):
        bench.load("ab", results=tmp_path)


def test_a_full_disk_is_said(
    pruned: bench.Pruned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ExportError, match="cannot be written: No space left on device"):
        pruned.save(tmp_path)
    assert not [*tmp_path.glob("*.safetensors"), *tmp_path.glob("*.json")]


@pytest.mark.parametrize("name", ["adapters", "compact", "resnet", "vgg", "vit"])
def test_code_that_goes_along_imports_nothing_of_ours(name: str) -> None:
    file = Path(recipes.__file__).parents[1] / "models" / f"{name}.py"
    text = recipes._standing_alone(file)
    ours = re.findall(r"^ *(?:from|import) +(?:\.|bench|criteria|suites|reports).*", text, re.M)
    assert ours == []


ALONE = Path(__file__).parents[2] / "alone.py"


def test_networks_of_ours_are_rebuilt_where_this_project_is_not(tmp_path: Path) -> None:
    names = ["resnet20", "vgg_small", "densenet40", "vit_small", "torchvision:googlenet"]
    for name in names:
        spec, shape = ModelSpec(name=name), {"classes": 7, "channels": 1, "image_size": 32}
        network = Network.trace(
            build_model(spec, seed=0, **shape).eval(), torch.randn(2, 1, 32, 32)
        )
        removed = [torch.arange(one.units // 2) for one in network.structure.groups]
        cut, call = network.cut(removed), plain_constructor(spec, **shape)
        keep(tmp_path / name, cut, network.inputs, call, {})
    done = subprocess.run(
        [sys.executable, "-I", ALONE, recipes.REBUILD, *(tmp_path / name for name in names)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
        timeout=300,
    )
    apart = dict(line.split() for line in done.stdout.splitlines())
    assert [*apart] == names
    # Of outputs around 1: where arrays lie in memory decides how float32 sums are rounded.
    assert all(float(one) < 1e-5 for one in apart.values()), apart


PLUGIN = """
import bench
from criteria import Criterion, register
from torch import nn

import helper16


@bench.register_model(
    "one16",
)
class One(nn.Sequential):
    "One convolution."

    def __init__(self, num_classes, in_channels):
        super().__init__(*helper16.layers(in_channels, num_classes))


@register("mine16", cite="none", faithful="my own")
class Mine(Criterion):
    "Sums of absolute weights."

    def observe(self, batch):
        for member in self.members:
            self.add(member, member.view(batch.weights).abs().sum(1))
"""
HELPER = """
from torch import nn


def layers(inputs, classes):
    return nn.Conv2d(inputs, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes)
"""


def test_a_plugin_that_registers_more_is_kept_with_its_helpers(tmp_path: Path) -> None:
    file = tmp_path / "plugins" / "one16.py"
    file.parent.mkdir()
    file.write_text(PLUGIN)
    (file.parent / "helper16.py").write_text(HELPER)
    with unregistering():
        load_plugins([file])
        how = plain_constructor(ModelSpec(name="one16"), classes=5, channels=3, image_size=8)
        made = build_model(ModelSpec(name="one16"), seed=0, classes=5, channels=3, image_size=8)
        bench.prune(made, IMAGES, "mine16", {"channels": 0.5})
        keep(tmp_path / "kept", made, (IMAGES,), how, {})
    assert {one.name for one in (tmp_path / "kept").iterdir()} >= {"one16.py", "helper16.py"}
    code = "import sys, bench; print(type(bench.load(sys.argv[1])).__name__)"
    afresh = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "kept"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONDONTWRITEBYTECODE": ""},
    )
    assert afresh.stdout == "One\n", afresh.stderr
    assert (tmp_path / "kept" / "__pycache__").is_dir()  # as Python leaves it there
    keep(tmp_path / "kept", made, (IMAGES,), how, {})


def test_what_cannot_be_rebuilt_leaves_what_was_kept_there(
    pruned: bench.Pruned, tmp_path: Path
) -> None:
    pruned.save(tmp_path, Net)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}
    wrong = {"call": f"{__name__}:Local", "arguments": {}}
    with pytest.raises(ExportError, match=re.escape(f"{tmp_path}: its constructor")):
        keep(tmp_path, pruned.model, (IMAGES,), wrong, {})
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


def test_outputs_in_a_mapping_are_built_as_they_were_trained(tmp_path: Path) -> None:
    model = logits_alone(Mapping()).eval()
    how = call("bench.models.adapters:logits_alone", model=call(f"{__name__}:Mapping"))
    keep(tmp_path, model, (IMAGES,), how, {})
    assert torch.equal(bench.load(tmp_path)(IMAGES), model(IMAGES))


class Mapping(Net):
    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
        return {"features": x, "logits": super().forward(x)}


def test_numbers_that_are_none_are_far_apart() -> None:
    one, none = torch.ones(2), torch.tensor([1.0, torch.nan])
    assert apart([one, one], [one, none]) == float("inf")
    assert apart([one, torch.empty(0)], [one, torch.empty(0)]) == 0
