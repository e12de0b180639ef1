"""Networks of a user's own: found, called with what they ask for, or refused in words."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import CLASSIFICATION

from bench.errors import ModelError, PlanError
from bench.models import build_model, code_of
from bench.models.constructors import CATALOG, LOGITS_ALONE
from bench.models.registry import constructor, constructor_of, fresh
from bench.plan.jobs import BaseJob
from bench.plan.plugins import load_plugins
from suites.problem import DatasetSpec, ModelSpec

SHAPE = {"classes": 5, "channels": 1, "image_size": 8}

NETS = """
import torch
from torch import nn
from helpers15 import body


class Net(nn.Module):
    def __init__(self, num_classes, in_chans=3, width=4):
        super().__init__()
        self.body = body(in_chans, num_classes, width)

    def forward(self, x):
        return self.body(x)


class Sized(nn.Sequential):
    def __init__(self, num_classes, img_size):
        first = nn.Linear(img_size**2, 6)
        super().__init__(nn.Flatten(), first, nn.ReLU(), nn.Linear(6, num_classes))


class Deep(Net):
    def __init__(self, depth, num_classes):
        super().__init__(num_classes, 1, depth)


class Dict(Net):
    def forward(self, x):
        return {"scores": self.body(x)}


class Mapping(Net):
    def forward(self, x):
        return {"logits": self.body(x)}


class InTraining(Net):
    def forward(self, x):
        return (self.body(x), x) if self.training else self.body(x)


def fixed():
    return Net(7, 3)


def seven():
    return Net(7, 1)


def norm(num_classes, in_channels):
    net = Net(num_classes, in_channels)
    nn.utils.parametrizations.weight_norm(net.body[0])
    return net.bfloat16()


def raises(num_classes):
    return {}["depth"]


def function():
    return print


def leaves():
    raise SystemExit("no GPU")


instance = nn.Linear(1, 1)
"""
HELPERS = """
from torch import nn


def body(inputs, outputs, width):
    layers = [nn.Conv2d(inputs, width, 3), nn.BatchNorm2d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, outputs))
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a user's modules, which no later test finds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "nets15.py").write_text(NETS)
    (tmp_path / "helpers15.py").write_text(HELPERS)
    known = dict(CATALOG.by_name)
    yield tmp_path
    CATALOG.by_name.clear()
    CATALOG.by_name.update(known)
    for name in ("nets15", "helpers15", "broken15", "json15"):
        sys.modules.pop(name, None)


def built(name: str, **options: Any) -> torch.nn.Module:
    return fresh(
        ModelSpec(name=name, options=options), 0, torch.randn(2, 1, 8, 8), CLASSIFICATION, **SHAPE
    )


@pytest.mark.parametrize("name", ["Net", "Sized", "norm"])
def test_a_constructor_gets_what_it_asks_for_by_the_usual_names(name: str) -> None:
    network = built(f"nets15:{name}")
    assert network.training
    assert network(torch.randn(3, 1, 8, 8)).shape == (3, 5)
    assert {one.dtype for one in network.parameters()} == {torch.float32}


def test_options_reach_it_and_win() -> None:
    spec = ModelSpec(name="nets15:Net", options={"width": 7, "num_classes": 3})
    assert constructor(spec, **SHAPE) == {
        "call": "nets15:Net",
        "arguments": {"num_classes": 3, "in_chans": 1, "width": 7},
    }
    assert build_model(spec, seed=0, **SHAPE)(torch.randn(2, 1, 8, 8)).shape == (2, 3)


def test_weights_are_drawn_from_the_seed_alone() -> None:
    one, same, other = (
        build_model(ModelSpec(name="nets15:Net"), seed=seed, **SHAPE) for seed in (0, 0, 1)
    )
    first = [next(net.parameters()) for net in (one, same, other)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("Nett", {}, r"did you mean Net\?.*there are .*Sized"),
        ("Net", {"widht": 3}, r"'widht' \(did you mean width\?\); it takes num_classes, in_chans"),
        ("Deep", {}, r"asks for depth, .*classes, channels, image_size.*`options`"),
        ("raises", {}, r"nets15.py, line 57: KeyError: 'depth'"),
        ("leaves", {}, r"nets15.py, line 65: SystemExit: no GPU"),
        ("function", {}, r"gives a builtin_function_or_method, not an nn.Module"),
        ("instance", {}, r"it is a Linear; name a class"),
        ("Dict", {}, r"a dict of 'scores', not logits"),
        ("InTraining", {}, r"in training a tuple, not logits"),
        ("fixed", {}, r"inputs \[2, 1, 8, 8\].*expected input.* to have 3 channels, but got 1"),
        ("seven", {}, r"outputs \[2, 7\], not \[2, 5\].*num_classes"),
    ],
)
def test_what_does_not_fit_is_said(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        built(f"nets15:{name}", **options)


def test_logits_may_stand_in_a_mapping() -> None:
    """They are taken out where the network is built, and where a task is given one of people's."""
    logits = torch.randn(2, 3)
    assert CLASSIFICATION.outputs({"logits": logits}) is logits
    targets = torch.zeros(2, dtype=torch.long)
    assert CLASSIFICATION.loss({"logits": logits}, targets) == CLASSIFICATION.loss(logits, targets)
    for name, place in (("Mapping", LOGITS_ALONE), ("Net", "nets15:Net")):
        made = built(f"nets15:{name}")
        assert isinstance(made(torch.randn(2, 1, 8, 8)), torch.Tensor)
        assert constructor_of(made, ModelSpec(name=f"nets15:{name}"), **SHAPE)["call"] == place


def test_modules_that_are_not_there_or_do_not_run_are_named(here: Path) -> None:
    with pytest.raises(ModelError, match="ModuleNotFoundError: No module named 'nots15'"):
        built("nots15:Net")
    with pytest.raises(ModelError, match=r"expected PACKAGE\.MODULE:NAME"):
        built(":Net")
    (here / "broken15.py").write_text("import torch\n\nimport nothing15\n")
    with pytest.raises(ModelError, match=r"broken15\.py, line 3: ModuleNotFoundError"):
        built("broken15:make")
    (here / "json.py").write_text("def make(): ...\n")
    with pytest.raises(ModelError, match=r"two modules 'json': .*rename yours"):
        built("json:make")


@pytest.mark.parametrize("place", ["nets.py:Net", "a/nets.py:Net", f"a/{'x' * 300}.py:Net"])
def test_a_file_is_no_module_and_its_name_as_a_plugin_is_told(place: str) -> None:
    with pytest.raises(ModelError, match="a file of your own is given as --plugin"):
        constructor(ModelSpec(name=place), **SHAPE)


def test_a_name_that_is_too_long_for_a_file_is_of_no_module() -> None:
    with pytest.raises(ModelError, match="No module named"):
        constructor(ModelSpec(name=f"{'x' * 300}:Net"), **SHAPE)


def test_the_code_of_a_network_and_its_helpers_is_in_its_key(here: Path) -> None:
    def code(helpers: str) -> str | None:
        import criteria.source as source

        (here / "helpers15.py").write_text(helpers)
        for one in vars(source).values():
            getattr(one, "cache_clear", lambda: None)()
        return code_of(ModelSpec(name="nets15:Net"))

    same = code(HELPERS)
    assert same is not None
    assert code("# a comment\n" + HELPERS) == same
    assert code(HELPERS.replace("Conv2d(inputs, width, 3)", "Conv2d(inputs, width, 5)")) != same
    assert code_of(ModelSpec(name="resnet20")) is None
    assert code_of(ModelSpec(name="torchvision:resnet18")) is None


def test_keys_of_other_networks_know_nothing_of_it() -> None:
    def identity(code: str | None) -> dict[str, Any]:
        data, model = DatasetSpec(name="digits"), ModelSpec(name="resnet20")
        return BaseJob(data, model, None, 0, None, code=code).identity

    assert "code" not in identity(None)
    assert identity("one")["code"] == "one"


def plugin(here: Path, name: str, text: str) -> Path:
    path = here / name
    path.write_text(textwrap.dedent(text))
    return path


def test_a_plugin_registers_classes_and_functions(here: Path) -> None:
    load_plugins(
        [
            plugin(
                here,
                "mine15.py",
                """
                import bench
                from nets15 import Net

                @bench.register_model("mine15")
                class Mine(Net):
                    "A small one."

                @bench.register_model("wide15")
                def wide(num_classes, in_channels):
                    return Mine(num_classes, in_channels, 9)
                """,
            )
        ]
    )
    assert built("mine15", width=6).get_submodule("body.0").out_channels == 6
    assert built("wide15").get_submodule("body.0").out_channels == 9
    made = constructor(ModelSpec(name="wide15"), **SHAPE)
    assert made["call"] == f"{here.resolve() / 'mine15.py'}:wide"
    assert code_of(ModelSpec(name="mine15")) is not None
    with pytest.raises(ModelError, match=r"did you mean mine15.*resnet20"):
        built("minne15")


@pytest.mark.parametrize("taken", ["resnet20", "timm:mine"])
def test_a_name_that_is_taken_is_refused_with_its_line(here: Path, taken: str) -> None:
    text = f"import bench\n\n@bench.register_model({taken!r})\nclass Mine: ...\n"
    with pytest.raises(PlanError, match=r"clash15\.py, line 3: ValueError: .*taken"):
        load_plugins([plugin(here, "clash15.py", text)])
