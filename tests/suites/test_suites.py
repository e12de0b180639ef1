"""Suites: a fault of the file is one message that names the place; a good file spans its trials."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any

import pytest
import toy
import yaml
from conftest import about
from hypothesis import given
from hypothesis import strategies as st

from bench.data.known import DATASETS
from bench.plan.plan import make_plan
from criteria import criteria
from suites import Recipe, Suite, SuiteError, expand, library, load_suite, named_recipes, scales_of
from suites.files import CHARACTERS, parse_yaml
from suites.protocol import Measure, SelectionSpec
from suites.section import slug


def load(folder: Path, text: str, *overrides: str, scale: str | None = None) -> Suite:
    path = folder / "mine.yaml"
    path.write_text(text)
    return load_suite(str(path), overrides, scale=scale)


def refused(folder: Path, text: str, *overrides: str, scale: str | None = None) -> str:
    with pytest.raises(SuiteError) as caught:
        load(folder, text, *overrides, scale=scale)
    return str(caught.value)


TINY: dict[str, Any] = {"epochs": 1, "batch_size": 40, "learning_rate": 0.05}
WEIGHTS: dict[str, Any] = {"budgets": {"weights": [0.5]}}

FAULTS: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "a pattern that YAML takes for a number",
        {"methods": ["l1", {"criterion": "taylor", "scope": 124}]},
        ["methods.1.scope = 124", 'write N:M in quotes, as in scope: "2:4"'],
    ),
    (
        "a recovery with a key of another",
        {"recoveries": [{"rewind": "weights", "to": 1, "finetune": "short"}]},
        ["finetune has no place here", "{rewind: weights, to: EPOCH}"],
    ),
    (
        "images like a recipe that there is not",
        {"calibration": {"like": "shrot"}},
        ["calibration.like: there is no recipe 'shrot'", "did you mean short"],
    ),
    ("unknown key", {"metods": ["l1"]}, ["'metods'", "did you mean methods", "budgets"]),
    (
        "unknown key in a section",
        {"calibration": {"image": 3}},
        ["'calibration.image'", "did you mean images", "batch_size"],
    ),
    (
        "unknown key in a list",
        {"methods": ["l1", {"criterion": "l2", "scpoe": "local"}]},
        ["'methods.1.scpoe'", "did you mean scope", "matched"],
    ),
    (
        "unknown key of a recipe",
        {"recipes": {"tiny": {"epochs": 1, "learning_rate": 0.1, "epoch": 2}}},
        ["'recipes.tiny.epoch'", "did you mean epochs", "momentum"],
    ),
    ("wrong type", {"bases": "three"}, ["bases = 'three'", "valid integer"]),
    ("no silent conversion", {"bases": True}, ["bases = True", "valid integer"]),
    ("a number for a method", {"methods": [3]}, ["methods.0 = 3"]),
    ("a word for a list", {"methods": "l1"}, ["methods = 'l1'", "list"]),
    ("empty list", {"datasets": []}, ["datasets", "at least 1"]),
    ("null section", {"calibration": None}, ["calibration = None"]),
    ("unknown recovery", {"recoveries": ["non"]}, ["recoveries.0.kind = 'non'", "'none', 'bn'"]),
    ("finetune of nothing", {"recoveries": ["finetune"]}, ["recoveries.0", "finetune: RECIPE"]),
    (
        "none with a recipe",
        {"recoveries": [{"kind": "none", "recipe": "tiny"}]},
        ["recoveries.0", "finetune: RECIPE"],
    ),
    ("no recovery", {"recoveries": [{"finetun": "tiny"}]}, ["recoveries", "finetun", "RECIPE"]),
    ("unknown recipe", {"recoveries": [{"finetune": "shrt"}]}, ["'shrt'", "short", "tiny"]),
    ("unknown base recipe", {"base_recipe": "bse"}, ["'bse'", "base-digits"]),
    (
        "unknown recipe of a model",
        {"models": [{"name": "vgg_small", "recipe": "nope"}]},
        ["'nope'", "base-digits"],
    ),
    ("control is no method", {"analysis": {"control": "l7"}}, ["control", "'l7'", "l1~taylor"]),
    ("duplicate methods", {"methods": ["l1", "l1"]}, ["methods", "l1", "twice", "as"]),
    ("duplicate datasets", {"datasets": ["digits", "digits"]}, ["datasets", "digits", "twice"]),
    ("duplicate models", {"models": ["resnet20", "resnet20"]}, ["models", "resnet20", "twice"]),
    ("duplicate recoveries", {"recoveries": ["bn", "bn"]}, ["recoveries", "bn", "twice"]),
    (
        "duplicate controls",
        {"methods": ["l1", {"criterion": "taylor", "matched": ["l1", "l1"]}]},
        ["l1~taylor", "twice"],
    ),
    (
        "two axes",
        {"budgets": {"macs": [0.5], "params": [0.5]}},
        ["budgets", "one of macs, params, channels, weights, speedup"],
    ),
    ("two units", {"budgets": {"macs": [0.5], "weights": [0.5]}}, ["budgets", "give one of"]),
    ("no axis", {"budgets": {}}, ["budgets", "one of macs, params, channels, weights, speedup"]),
    *(
        (f"{name} for weights", {**WEIGHTS, "selection": {name: value}}, [f"selection.{name}"])
        for name, value in {
            "protect": 0.2,
            "min_channels": 2,
            "round_to": 4,
            "emptied": "skip",
            "protect_rounds": "down",
            "layers": {"features.0": 1.0},
        }.items()
    ),
    (
        "isomorphic for weights",
        {**WEIGHTS, "selection": {"scope": "isomorphic"}},
        ["selection.scope = isomorphic", "budgets.weights", "global, local"],
    ),
    (
        "an isomorphic method for weights",
        {**WEIGHTS, "methods": ["l1", {"criterion": "l2", "scope": "isomorphic"}]},
        ["methods.1.scope = isomorphic", "global, local"],
    ),
    (
        "latency of masks",
        {**WEIGHTS, "analysis": {"control": "l1", "cost": "latency_ratio"}},
        ["analysis.cost = latency_ratio", "weights_ratio"],
    ),
    (
        "weights where channels leave",
        {"analysis": {"control": "l1", "cost": "weights_ratio"}},
        ["analysis.cost = weights_ratio", "budgets.weights"],
    ),
    (
        "latency of layers that are compiled",
        {"budgets": {"latency": [0.5]}, "measure": {"deployed": ["compile", "eager"]}},
        ["measure.deployed", "name eager, onnxruntime or openvino first"],
    ),
    (
        "latency while a method trains",
        {
            "budgets": {"latency": [0.5]},
            "methods": ["l1", {"criterion": "l2", "iterative": {"steps": 2, "recover": "tiny"}}],
        },
        ["methods.1", "budgets.latency", "macs, params or channels"],
    ),
    ("a runtime twice", {"measure": {"deployed": ["eager", "eager"]}}, ["deployed: each once"]),
    ("no such runtime", {"measure": {"deployed": ["tvm"]}}, ["measure.deployed", "'eager'"]),
    ("no budget", {"budgets": {"macs": []}}, ["budgets.macs", "at least 1"]),
    ("budget above one", {"budgets": {"macs": [0.5, 1.5]}}, ["budgets.macs.1 = 1.5", "equal to 1"]),
    ("budget of zero", {"budgets": {"params": [0]}}, ["budgets.params.0 = 0", "greater than 0"]),
    ("slowdown", {"budgets": {"speedup": [0.5]}}, ["budgets.speedup.0 = 0.5", "equal to 1"]),
    ("a path for a name", {"suite": "../up"}, ["suite = '../up'", "pattern"]),
    ("a hostile label", {"methods": ["l1", {"criterion": "l2", "as": "a/b"}]}, ["methods.1.as"]),
    ("a trailing newline", {"suite": "toy\n"}, ["suite", "pattern"]),
    ("infinity", {"analysis": {"control": "l1", "rope": float("inf")}}, ["analysis.rope = inf"]),
    (
        "not a number",
        {"models": [{"name": "vgg_small", "options": {"width": float("nan")}}]},
        ["models.0.options.width = nan", "finite"],
    ),
    (
        "two sources of weights",
        {"models": [{"name": "vgg_small", "weights": "A", "checkpoint": "b.pt"}]},
        ["models.0", "weights or checkpoint, not both"],
    ),
    (
        "a model on an unknown dataset",
        {"models": [{"name": "vgg_small", "datasets": ["digit"]}]},
        ["models.0.datasets", "'digit'", "did you mean digits?"],
    ),
    (
        "a model on no dataset",
        {"models": ["resnet20", {"name": "vgg_small", "datasets": []}]},
        ["models.1.datasets", "at least 1"],
    ),
    (
        "a dataset without a model",
        {
            "datasets": ["digits", "cifar10"],
            "models": [{"name": "vgg_small", "datasets": ["digits"]}],
        },
        ["no model is on cifar10", "take it out"],
    ),
    (
        "another axis for a model",
        {"models": [{"name": "vgg_small", "budgets": {"params": [0.5]}}]},
        ["models.0.budgets", "params", "macs", "one axis"],
    ),
    (
        "a model's recipe that nothing follows",
        {"models": [{"name": "vgg_small", "recipes": {"short": {**TINY, "epochs": 3}}}]},
        ["models.0.recipes.short", "no training there follows", "take it out"],
    ),
    (
        "a dataset's recipe that nothing follows",
        {"datasets": [{"name": "digits", "recipes": {"tinny": TINY}}]},
        ["datasets.0.recipes.tinny", "no training there follows"],
    ),
    (
        "a base that distills on one model only",
        {
            "models": [
                "resnet20",
                {"name": "vgg_small", "recipes": {"tiny": {**TINY, "distill": {}}}},
            ]
        },
        ["'tiny'", "distills from the base"],
    ),
    (
        "unknown recipe, nearly right",
        {"recoveries": [{"finetune": "shrt"}]},
        ["recipe 'shrt' is unknown (did you mean short"],
    ),
    (
        "a procedure without its recipe",
        {"methods": ["l1", {"criterion": "l2", "procedure": "tpp"}]},
        ["methods.1.procedure", "{name: tpp, recipe: RECIPE}", "bench list presets"],
    ),
    (
        "a model that changes an unknown method",
        {"models": [{"name": "vgg_small", "methods": {"l11": {"scope": "local"}}}]},
        ["models.0.methods", "'l11' is none of the suite's methods (did you mean l1?)"],
    ),
    (
        "a model that changes a method to none",
        {"models": [{"name": "vgg_small", "methods": {"l1": {"scop": "local"}}}]},
        ["models.0.methods.l1: unknown key 'scop'", "did you mean scope"],
    ),
    (
        "a model that renames a method",
        {"models": [{"name": "vgg_small", "methods": {"l1": {"as": "other"}}}]},
        ["models.0.methods.l1.as: what a method is called is the same on all models"],
    ),
    (
        "a model that finetunes where nothing does",
        {
            "models": [{"name": "vgg_small", "methods": {"l1": {"finetuning": "equivalent"}}}],
            "recoveries": ["none"],
        },
        ["models.0.methods.l1.finetuning = equivalent", "none of the recoveries"],
    ),
    (
        "a pattern of another share",
        {
            "budgets": {"weights": [0.5, 0.25]},
            "methods": ["l1", {"criterion": "l2", "scope": "2:4"}],
        },
        ["method l2 of vgg_small: scope = 2:4", "{weights: [0.5]}", "not 0.25 of weights"],
    ),
    (
        "a pattern of channels",
        {"budgets": {"macs": [0.5]}, "selection": {"scope": "1:2"}},
        ["of vgg_small: scope = 1:2", "{weights: [0.5]}", "not 0.5 of macs"],
    ),
    (
        "a pattern that keeps all",
        {**WEIGHTS, "methods": ["l1", {"criterion": "l2", "scope": "4:4"}]},
        ["methods.1.scope = '4:4'", "global, local, isomorphic, or N of M weights"],
    ),
    (
        "residual streams of weights",
        {**WEIGHTS, "methods": [{"criterion": "l1", "coupled": False}]},
        ["methods.0.coupled", "budgets.weights prunes single weights"],
    ),
    (
        "a model's limits on channels of weights",
        {**WEIGHTS, "models": [{"name": "vgg_small", "selection": {"round_to": 8}}]},
        ["models.0.selection.round_to = 8", "budgets.weights"],
    ),
    (
        "steps that end before the last budget",
        {
            "methods": [{"criterion": "l1", "iterative": {"steps": 4, "to": 0.6}, "as": "l1"}],
            "budgets": {"macs": [0.5]},
        },
        ["method l1 of vgg_small", "iterative.to = 0.6", "the budget, 0.5"],
    ),
    (
        "one budget's steps that end before it",
        {
            "methods": [
                {
                    "criterion": "l1",
                    "iterative": {"steps": 4, "to": {0.7: 0.6, 0.5: 0.6}},
                    "as": "l1",
                }
            ],
        },
        ["method l1 of vgg_small", "iterative.to = 0.6", "the budget, 0.5"],
    ),
    (
        "steps of a budget that there is not",
        {"methods": ["l1", {"criterion": "l2", "iterative": {"steps": {0.7: 2, 0.5: 3, 0.4: 4}}}]},
        ["methods.1.iterative.steps: 0.4 is none of the budgets; there are 0.5, 0.7"],
    ),
    (
        "steps of too few budgets",
        {"methods": ["l1", {"criterion": "l2", "iterative": {"steps": 3, "to": {0.7: 0.2}}}]},
        ["methods.1.iterative.to: 0.5 is left out; there are 0.5, 0.7"],
    ),
    (
        "no steps at a budget",
        {"methods": ["l1", {"criterion": "l2", "iterative": {"steps": {0.7: 2, 0.5: 0}}}]},
        ["methods.1.iterative.steps", "0.5 = 0: Input should be greater than or equal to 1"],
    ),
    (
        "a model's ends at the suite's budgets",
        {
            "models": [
                "resnet20",
                {
                    "name": "vgg_small",
                    "budgets": {"macs": [0.6]},
                    "methods": {"l1": {"iterative": {"steps": 2, "to": {0.7: 0.3}}}},
                },
            ],
            "methods": ["l1"],
        },
        ["models.1.methods.l1.iterative.to: 0.7 is none of the budgets; there are 0.6"],
    ),
    (
        "layers at a speed-up that there is not",
        {
            "budgets": {"speedup": [1.5, 2.31]},
            "selection": {"by_budget": {2.3: {"layers": {"features.0": 1.0}}}},
        },
        ["selection.by_budget: 2.3 is none of the budgets; there are 1.5, 2.31"],
    ),
    (
        "an unknown key at a budget",
        {"models": [{"name": "vgg_small", "selection": {"by_budget": {0.5: {"protct": 0.2}}}}]},
        ["unknown key 'models.0.selection.by_budget.0.5.protct'", "did you mean protect"],
    ),
    (
        "budgets of a budget",
        {"selection": {"by_budget": {0.5: {"by_budget": {0.7: {"protect": 0.2}}}}}},
        ["selection: by_budget", "cannot differ by budget again"],
    ),
    (
        "limits on channels of weights at a budget",
        {**WEIGHTS, "selection": {"by_budget": {0.5: {"protect": 0.2}}}},
        ["selection.by_budget.0.5.protect = 0.2", "budgets.weights"],
    ),
    (
        "geometric steps to nothing",
        {
            "methods": [
                {"criterion": "l1", "iterative": {"steps": 4, "schedule": "geometric", "to": 0}}
            ]
        },
        ["methods.0.iterative", "to = 0", "give a share"],
    ),
    ("too many bases", {"bases": 10**6}, ["bases = 1000000", "less than or equal to 10000"]),
    ("too many repeats", {"repeats": 10**6}, ["repeats = 1000000", "10000"]),
    ("too many trials", {"bases": 10_000, "repeats": 3}, ["trials", "at most 200,000"]),
    (
        "too many budgets",
        {"budgets": {"macs": [at / 2000 for at in range(1, 1500)]}},
        ["budgets.macs", "at most 1000 items"],
    ),
    (
        "too many steps",
        {"methods": [{"criterion": "l1", "iterative": {"steps": 10**6}}]},
        ["methods.0.iterative.steps", "10000"],
    ),
    (
        "too many settings to tune",
        {
            "recoveries": [
                {
                    "finetune": "tiny",
                    "tune": {
                        "trials": 2,
                        "over": {
                            key: [at / 100 for at in range(1, 99)]
                            for key in ("learning_rate", "momentum", "gamma", "mixup", "cutmix")
                        },
                    },
                }
            ]
        },
        ["9039207968 combinations", "at most 10000"],
    ),
    ("a number that no machine holds", {"bases": 10**20}, ["bases = a number of 67 bits"]),
    (
        "a preset that is a list",
        {"methods": [{"preset": ["l1"]}]},
        ["methods.0", "there is no preset"],
    ),
    (
        "characters that nobody sees",
        {"datasets": [{"name": "imagefolder", "root": "a\0b\ud800"}]},
        ["datasets.0.root", r"\x00b\ud800", "cannot be printed"],
    ),
    (
        "a recipe by a name that there is not",
        {"models": [{"name": "vgg_small", "recipes": {"tiny": "shrt"}}]},
        ["models.0.recipes.tiny", "no named recipe 'shrt' (did you mean short"],
    ),
]


@pytest.mark.parametrize(
    ("changes", "said"), [case[1:] for case in FAULTS], ids=[c[0] for c in FAULTS]
)
def test_a_fault_names_file_key_what_was_given_and_what_is_allowed(
    tmp_path: Path, changes: dict[str, Any], said: list[str]
) -> None:
    message = refused(tmp_path, yaml.safe_dump(toy.content(**changes)))
    assert str(tmp_path / "mine.yaml") in message
    for part in said:
        assert part in message
    assert "pydantic" not in message


def test_what_differs_by_budget_survives_json() -> None:
    """`bench plan` sends models through it to count their MACs."""
    chosen = SelectionSpec.model_validate({"by_budget": {0.5: {"layers": {"layer1": 0.3}}}})
    assert SelectionSpec.model_validate_json(chosen.model_dump_json()) == chosen
    with pytest.raises(ValueError, match="by budget again"):
        SelectionSpec.model_validate({"by_budget": {0.5: {"by_budget": {0.5: {"protect": 0.3}}}}})


def test_every_fault_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    message = refused(tmp_path, yaml.safe_dump(toy.content(bases=0, repeats="x", latnecy=True)))
    assert len(message.splitlines()) == 3
    for key in ("bases", "repeats", "latnecy"):
        assert key in message


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    content = toy.content()
    del content["analysis"]
    assert "'analysis' is missing" in refused(tmp_path, yaml.safe_dump(content))


GOOD = yaml.safe_dump(toy.content())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "suite: toy\n", "'suite' stands twice"),
        (GOOD + "extra: {a: 1, a: 2}\n", "'a' stands twice"),
        ("suite: [1", "not valid YAML"),
        ("\tsuite: x", "not valid YAML"),
        ("? [a, b]\n: c", "not valid YAML"),
        ("", "a suite is a mapping"),
        ("- a\n- b", "a suite is a mapping"),
        ("words", "a suite is a mapping"),
        ("--- {a: 1}\n--- {b: 2}", "not valid YAML"),
        ("suite: " + "[" * 5000, "nested too deeply"),
        ("suite: &a [*a]", "inside itself"),
        (GOOD + "when: 2020-01-01\n", "when = datetime.date(2020, 1, 1)"),
        (GOOD + "x: !!binary YWJj\n", "x = b'abc'"),
        (GOOD + "x: !!set {a, b}\n", "a set"),
        (GOOD + "3: 4\n", "Keys should be strings"),
        ("!!python/name:os.system", "not valid YAML"),
        ("!!python/object:bench.store.store.Store {}", "not valid YAML"),
        ("!!python/module:antigravity", "not valid YAML"),
        ("!!python/tuple [1, 2]", "not valid YAML"),
        ("!include /etc/passwd", "not valid YAML"),
    ],
)
def test_what_is_no_suite_is_refused(tmp_path: Path, text: str, said: str) -> None:
    message = refused(tmp_path, text)
    assert said in message
    assert str(tmp_path / "mine.yaml") in message


def test_hostile_tags_run_nothing(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    tag = f"!!python/object/apply:os.system ['touch {trace}']"
    refused(tmp_path, f"{GOOD}x: {tag}\n")
    with pytest.raises(SuiteError, match="--set bases"):
        load(tmp_path, GOOD, f"bases={tag}")
    assert not trace.exists()


@given(st.text(max_size=60))
def test_any_text_is_a_value_or_a_suite_error(text: str) -> None:
    with contextlib.suppress(SuiteError):
        parse_yaml(text, "here")


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"
    with pytest.raises(SuiteError, match=re.escape(str(missing))):
        load_suite(str(missing))
    folder = tmp_path / "folder.yaml"
    folder.mkdir()
    with pytest.raises(SuiteError, match="cannot be read"):
        load_suite(str(folder))
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SuiteError, match="cannot be read"):
        load_suite(str(tmp_path / "bytes.yaml"))


@pytest.mark.parametrize("name", ["quikstart", "", "../quickstart", "a/b"])
def test_an_unknown_suite_lists_what_there_is(name: str) -> None:
    with pytest.raises(SuiteError, match="there is no suite") as caught:
        load_suite(name)
    assert all(known in str(caught.value) for known in library())
    assert ("did you mean quickstart" in str(caught.value)) == ("qui" in name)


def test_a_name_of_records_at_a_scale_leads_to_the_suite_and_its_scale() -> None:
    with pytest.raises(SuiteError, match="; or ask for fidelity --scale published; or give"):
        load_suite("fidelity-published")
    with pytest.raises(SuiteError, match=r"there is no suite (?!.*--scale)"):
        load_suite("fidelity-of-mine")


def test_overrides_lead_through_mappings_and_lists(tmp_path: Path) -> None:
    methods = ["random", {"criterion": "l2"}, {"criterion": "taylor"}]
    found = load(
        tmp_path,
        yaml.safe_dump(toy.content(methods=methods)),
        "calibration.images=8",
        "methods.1.criterion=l1",
        "methods.2.options.variant=elementwise",
        "methods.+={criterion: l1, scope: local, as: last}",
        "methods.3.scope=global",
        "models=[resnet20]",
        "selection.protect=0.25",
        "recipes.own={epochs: 3, learning_rate: 0.5}",
        "base_recipe=own",
        "description=a = b",
        " measure ={}",
    )
    assert found.calibration.images == 8
    assert found.calibration.batch_size == 16
    assert found.method_names == ["random", "l1", "taylor", "last"]
    assert found.methods[2].options == {"variant": "elementwise"}
    assert found.methods[3].scope == "global"
    assert [one.name for one in found.models] == ["resnet20"]
    assert found.selection.protect == 0.25
    assert found.all_recipes[found.base_recipe].epochs == 3
    assert found.description == "a = b"
    assert found.measure == Measure()


@pytest.mark.parametrize(
    ("overrides", "description"),
    [
        (["suite=mine", "bases=2"], "toy, changed: bases=2"),
        (["suite=mine"], "toy, changed: its name alone"),
        (["suite=mine", "bases=2", "bases=3"], "toy, changed: bases=3"),
        (["suite=mine", "description=Mine."], "Mine."),
        (["bases=2"], toy.content()["description"]),
    ],
)
def test_a_renamed_suite_says_what_it_was(
    tmp_path: Path, overrides: list[str], description: str
) -> None:
    assert load(tmp_path, GOOD, *overrides).description == description


def test_later_overrides_win(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD, "bases=2", "bases=4").bases == 4


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("bases", "expected key=value"),
        ("=3", "expected key=value"),
        ("bases=[1", "not valid YAML"),
        ("bases=.inf", "only finite numbers"),
        ("methods.9.criterion=l2", "'9' is no position in a list of 4"),
        ("methods.-1=l2", "'-1' is no position"),
        ("methods.+.criterion=l2", "'+' is no position"),
        ("bases.+=1", "bases is 1, it has no '+'"),
        ("methods.x=l2", "'x' is no position"),
        ("bases.x=1", "bases is 1, it has no 'x'"),
        ("bases.x.y=1", "it has no 'x' inside"),
        ("selection.scope=globl", "(did you mean global or local?)"),
    ],
)
def test_bad_overrides_are_told_as_given(tmp_path: Path, override: str, said: str) -> None:
    message = refused(tmp_path, GOOD, override)
    assert message.startswith(f"--set {override}")
    assert said in message


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([f"models={'a' * (CHARACTERS // 2)}"] * 2, "of 200,000 characters in all"),
        (["bases=3"] * 101, "at most 100 of them"),
        (
            [f"methods=[{'{b: 0},' * 300}]", f"methods.*.b=[{'0,' * 300}]"],
            "more than 50,000 values, with all that aliases and * stand for",
        ),
    ],
    ids=["characters", "overrides", "values"],
)
def test_overrides_together_hold_no_more_than_a_file_may(
    tmp_path: Path, overrides: list[str], said: str
) -> None:
    assert said in refused(tmp_path, GOOD, *overrides)


def test_a_scale_copies_no_more_than_a_file_may_hold(tmp_path: Path) -> None:
    methods = [{"criterion": "l1", "options": {}} for _ in range(100)]
    huge = {"methods.*.options": {"x": [0] * 10_000}}
    text = yaml.safe_dump({**toy.content(), "methods": methods, "scales": {"huge": huge}})
    assert "more than 50,000 values" in refused(tmp_path, text, scale="huge")


def test_an_override_of_an_unknown_key_is_refused_like_one_in_the_file(tmp_path: Path) -> None:
    assert "did you mean images" in refused(tmp_path, GOOD, "calibration.image=3")


def test_smoke_applies_the_suites_own_overrides_before_those_of_the_command(tmp_path: Path) -> None:
    small = load(tmp_path, GOOD, "bases=2", scale="smoke")
    assert small.suite == "toy-smoke"
    assert small.method_names == ["l1"]
    assert small.budgets.kept == [0.5]
    assert small.bases == 2


def test_a_scale_names_itself_and_what_it_runs_and_loads_again(tmp_path: Path) -> None:
    text = yaml.safe_dump(
        toy.content(
            description="ResNet-56 on CIFAR-10.",
            models=["resnet20", "vgg_small"],
            scales={"smoke": {"models": ["vgg_small"]}, "reduced": {"description": "Five epochs."}},
        )
    )
    whole, smoke, reduced = (load(tmp_path, text, scale=one) for one in (None, "smoke", "reduced"))
    assert [one.at_scale for one in (whole, smoke, reduced)] == ["", "smoke", "reduced"]
    assert [one.rehearsal for one in (whole, smoke, reduced)] == [False, True, False]
    assert (
        smoke.description == "A smaller version of a suite (scale smoke), of vgg_small on digits."
    )
    assert reduced.description == "Five epochs."
    again = yaml.safe_dump(smoke.model_dump(mode="json", by_alias=True))
    assert load(tmp_path, again) == smoke
    assert "at_scale = smoke" in refused(tmp_path, again, scale="reduced")
    assert "at_scale = tiny" in refused(tmp_path, yaml.safe_dump(toy.content(at_scale="tiny")))


@pytest.mark.parametrize("overlay", [{}, None, 3, ["bases"], "bases=1"])
def test_a_scale_that_cannot_be_applied_is_named(tmp_path: Path, overlay: Any) -> None:
    text = yaml.safe_dump(toy.content(scales={"smoke": overlay}))
    message = refused(tmp_path, text, scale="smoke")
    assert "scales.smoke" in message
    assert "mine.yaml" in message


def test_merge_keys_work(tmp_path: Path) -> None:
    parsed = parse_yaml("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", "here")
    assert parsed["b"] == {"x": 1, "y": 3}


def test_an_unknown_scale_names_those_that_there_are(tmp_path: Path) -> None:
    scales = {"reduced": {"bases": 2}, "smoke": {"bases": 1}}
    message = refused(tmp_path, yaml.safe_dump(toy.content(scales=scales)), scale="small")
    assert "mine.yaml" in message
    assert "'small'; there are paper, reduced, smoke" in message
    assert "there are none" in refused(tmp_path, yaml.safe_dump(toy.content(scales={})), scale="x")


def test_paper_is_the_file_as_it_stands_where_that_has_a_reduced_version(tmp_path: Path) -> None:
    scales = {"reduced": {"bases": 2}, "smoke": {"bases": 1}}
    text = yaml.safe_dump(toy.content(bases=5, scales=scales))
    paper, reduced = (load(tmp_path, text, scale=one) for one in ("paper", "reduced"))
    assert (paper.suite, paper.bases) == ("toy", 5)
    assert (reduced.suite, reduced.bases) == ("toy-reduced", 2)
    assert "'paper'; there are smoke" in refused(tmp_path, GOOD, scale="paper")
    named = yaml.safe_dump(toy.content(scales={"paper": {"bases": 2}}))
    assert "scales.paper" in refused(tmp_path, named, scale="paper")
    with pytest.raises(SuiteError, match=r"scales\.paper"):
        scales_of(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=[pytest.mark.slow] * (one == "grand")) for one in library()]
)
def test_every_suite_of_the_library_loads_spans_and_plans(name: str) -> None:
    for scale in [None, *scales_of(name)]:
        with about(scale):
            loads_spans_and_plans(name, scale)


def loads_spans_and_plans(name: str, scale: str | None) -> None:
    suite = load_suite(name, scale=scale)
    cases = list(expand(suite))
    seeds = suite.bases * suite.repeats
    if isinstance(suite, Suite):
        finetuned = [one for one in suite.recoveries if one.kind == "finetune"]
        recoveries = sum(
            len(finetuned if one.finetuning else suite.recoveries) * (1 + len(one.matched))
            for one in suite.methods
        )
        budgets = sum(len(suite.budgets_of(model).kept) for _, model in suite.problems)
        assert len(cases) == seeds * budgets * recoveries
    else:
        assert len(cases) == seeds * len(suite.problems) * len(suite.method_names)
    assert suite.suite == name + ("" if scale in (None, "paper") else f"-{scale}")
    plan = make_plan(suite)
    stood_for = sum(suite.repeats - 1 for one in plan.trials if one.labels.all_repeats)
    assert len({one.key for one in plan.trials}) == len(plan.trials) == len(cases) - stood_for
    assert {trial.labels.method for trial in plan.trials} == set(suite.method_names)
    if scale == "smoke":
        # Nothing to download; a text is anybody's own.
        assert [one.name for one in suite.datasets] == ["text" if name == "text" else "digits"]
        assert len(cases) <= (165 if name == "grand" else 150)


def test_bases_may_begin_elsewhere_and_are_then_others() -> None:
    first, others = toy.suite(bases=3), toy.suite(bases=3, first_base=3)
    assert [{case.base for case in expand(suite)} for suite in (first, others)] == [
        {0, 1, 2},
        {3, 4, 5},
    ]
    bases = [{one.path.at.base.key for one in make_plan(one).trials} for one in (first, others)]
    assert bases[0].isdisjoint(bases[1])


def test_looks_begin_with_the_first_base() -> None:
    analysis = {"control": "l1", "looks": [3, 4]}
    assert toy.suite(bases=4, analysis=analysis).analysis.looks == [3, 4]
    with pytest.raises(ValueError, match=r"first_base = 3: analysis\.looks begin with base 0"):
        toy.suite(bases=4, first_base=3, analysis=analysis)


def test_matched_controls_bear_both_names() -> None:
    suite = toy.suite(
        methods=["l1", {"criterion": "taylor", "as": "mine", "matched": ["l1", "random"]}]
    )
    assert suite.method_names == ["l1", "mine", "l1~mine", "random~mine"]
    assert {case.method_name for case in expand(suite)} == set(suite.method_names)
    for trial in make_plan(suite).trials:
        control = trial.labels.method in ("l1~mine", "random~mine")
        assert trial.labels.matched_to == ("mine" if control else None)
        assert (trial.path.matched is not None) == control


def test_a_control_may_be_matched() -> None:
    methods = [{"criterion": "taylor", "matched": ["l1"]}]
    assert toy.suite(methods=methods, analysis={"control": "l1~taylor"}).analysis.control


def test_the_suites_own_recipes_win() -> None:
    mine = {"epochs": 7, "learning_rate": 0.5}
    suite = toy.suite(recipes={"short": mine, "tiny": mine})
    assert suite.all_recipes["short"] == Recipe.model_validate(mine)
    assert suite.all_recipes["base"] == named_recipes()["base"]


def test_the_models_recipe_wins_over_the_datasets_and_that_over_the_suites() -> None:
    def of(epochs: int) -> dict[str, Any]:
        return {"epochs": epochs, "learning_rate": 0.5}

    suite = toy.suite(
        datasets=[{"name": "digits", "recipes": {"tiny": of(3), "phase": of(4)}}],
        models=["resnet20", {"name": "vgg_small", "recipes": {"tiny": of(5)}}],
        methods=[{"criterion": "l1", "procedure": {"name": "soft", "recipe": "phase"}, "as": "l1"}],
        recipes={"tiny": of(2), "phase": of(2)},
    )
    epochs = {
        trial.labels.model: {
            "base": trial.at.base.recipe.epochs,
            "phase": trial.path.procedure.recipe.epochs,
            "finetuning": trial.recipe.epochs,
        }
        for trial in make_plan(suite).trials
        if trial.recipe
    }
    assert epochs == {
        "resnet20": {"base": 3, "phase": 4, "finetuning": 3},
        "vgg_small": {"base": 5, "phase": 4, "finetuning": 5},
    }


@pytest.mark.parametrize("given", ["=\n\n", "bases=\n\n", "bases='\n\n", "methods.*.x=\n\n"])
def test_an_override_of_several_lines_is_told_on_one(given: str) -> None:
    with pytest.raises(SuiteError) as caught:
        load_suite("quickstart", [given])
    assert given.replace("\n", r"\n") in str(caught.value)
    assert "\n\n" not in str(caught.value)


def test_a_file_may_not_bear_the_name_of_another_suite_of_the_library(tmp_path: Path) -> None:
    message = refused(tmp_path, yaml.safe_dump(toy.content(suite="quickstart")))
    assert "another suite of that name" in message
    copied = load(tmp_path, library()["quickstart"].read_text())
    assert copied == load_suite("quickstart")


def test_a_model_may_change_keys_of_methods_and_of_the_selection() -> None:
    suite = toy.suite(
        models=[
            "resnet20",
            {
                "name": "vgg_small",
                "selection": {"scope": "local", "round_to": 2},
                "methods": {"l1": {"iterative": {"steps": 2}}, "taylor": {"scope": "isomorphic"}},
                "recipes": {"tiny": "short"},
            },
        ],
        methods=[{"criterion": "l1", "options": {"reduction": "sum"}, "as": "l1"}, "taylor"],
        selection={"protect": 0.2},
    )
    paths = {(one.labels.model, one.labels.method): one.path for one in make_plan(suite).trials}
    assert paths["resnet20", "l1"].iterative is None
    assert paths["resnet20", "l1"].selection.scope == "global"
    changed = paths["vgg_small", "l1"]
    assert changed.iterative.steps == 2
    assert changed.criterion.options["reduction"] == "sum"
    chosen = changed.selection
    assert (chosen.scope, chosen.round_to, chosen.protect) == ("local", 2, 0.2)
    assert paths["vgg_small", "taylor"].selection.scope == "isomorphic"
    bases = {one.labels.model: one.at.base.recipe for one in make_plan(suite).trials}
    assert bases["vgg_small"] == named_recipes()["short"] != bases["resnet20"]


def test_settings_by_budget_make_paths_that_are_those_of_suites_with_one_budget() -> None:
    """Equal keys, whichever way they are written: two suites of a budget each, or one of both."""
    stages = {1.5: {"layers": {"features.0": 0.5}}, 2.31: {"protect": 0.2}}
    by_budget: dict[str, Any] = {
        "methods": [
            {"criterion": "l1", "as": "l1"},
            {
                "criterion": "l2",
                "iterative": {"steps": {1.5: 2, 2.31: 3}, "to": {1.5: 0.5, 2.31: 0.3}},
                "scope": "local",
                "matched": ["l1"],
            },
        ],
        "budgets": {"speedup": [1.5, 2.31]},
        "selection": {"min_channels": 2, "by_budget": stages},
    }
    both = make_plan(toy.suite(**by_budget))
    assert {one.labels.method for one in both.trials} == {"l1", "l2-2-3", "l1~l2-2-3"}
    apart = set()
    for speedup, steps, to in ((1.5, 2, 0.5), (2.31, 3, 0.3)):
        iterative = {"steps": steps, "to": to}
        single = {
            "methods": [
                by_budget["methods"][0],
                {**by_budget["methods"][1], "iterative": iterative},
            ],
            "budgets": {"speedup": [speedup]},
            "selection": {"min_channels": 2, **stages[speedup]},
        }
        apart |= {one.key for one in make_plan(toy.suite(**single)).trials}
    assert {one.key for one in both.trials} == apart
    paths = {one.path.key: one.path for one in both.trials}
    assert len(paths) == 3 * 2
    assert all(len(path.budgets) == 1 for path in paths.values())
    assert {path.selection.scope for path in paths.values() if path.iterative} == {"local"}


def test_a_budget_of_a_model_wins_over_its_selection_and_a_methods_own_over_all() -> None:
    suite = toy.suite(
        models=[
            {
                "name": "vgg_small",
                "selection": {"protect": 0.3, "by_budget": {0.5: {"round_to": 2}}},
            },
            "resnet20",
        ],
        methods=["l1", {"criterion": "l2", "scope": "local"}],
        selection={"scope": "isomorphic", "by_budget": {0.7: {"protect": 0.4, "scope": "global"}}},
    )
    chosen = {
        (one.labels.model, one.labels.method, one.budget): one.path.selection
        for one in make_plan(suite).trials
    }
    said = {at: (one.protect, one.round_to, one.scope) for at, one in chosen.items()}
    assert said["vgg_small", "l1", 0.5] == (0.3, 2, "isomorphic")
    assert said["vgg_small", "l1", 0.7] == (0.3, 1, "isomorphic"), "its own in place of the suite's"
    assert said["resnet20", "l1", 0.7] == (0.4, 1, "global")
    assert said["resnet20", "l2", 0.7] == (0.4, 1, "local")
    assert said["resnet20", "l1", 0.5] == (0.1, 1, "isomorphic")


def test_a_star_stands_for_every_position_that_has_what_follows(tmp_path: Path) -> None:
    stepwise = [{"criterion": one, "iterative": {"steps": 9}, "as": one} for one in ("l1", "l2")]
    methods = [*stepwise, {"criterion": "taylor", "as": "taylor"}, "fpgm"]
    text = yaml.safe_dump(toy.content(methods=methods, analysis={"control": "l1"}))
    suite = load(tmp_path, text, "methods.*.iterative.steps=3")
    assert [one.iterative and one.iterative.steps for one in suite.methods] == [3, 3, None, None]
    assert "has no 'scope' inside" in refused(tmp_path, text, "methods.*.scope=local")
    assert "none of a list of" in refused(tmp_path, GOOD, "methods.*.procedure.recipe=short")


def test_an_alias_is_a_copy(tmp_path: Path) -> None:
    text = "a: &steps {steps: 5}\nb: *steps\n"
    content = parse_yaml(text, "test")
    content["a"]["steps"] = 3
    assert content["b"] == {"steps": 5}


def test_what_a_scale_takes_out_may_leave_recipes_that_nothing_follows(tmp_path: Path) -> None:
    content = toy.content(
        models=[{"name": "vgg_small", "recipes": {"short": TINY}}],
        recoveries=[{"finetune": "short"}],
    )
    text = yaml.safe_dump(content)
    assert load(tmp_path, text, scale="smoke").recoveries[0].kind == "none"
    assert load(tmp_path, text, "recoveries=[none]").unfollowed == [
        ("models.0.recipes.short", "short")
    ]


def test_a_model_may_have_datasets_budgets_and_calibration_of_its_own() -> None:
    suite = toy.suite(
        datasets=["digits", {"name": "cifar10", "label": "c10"}],
        models=[
            "resnet20",
            {
                "name": "vgg_small",
                "datasets": ["c10"],
                "budgets": {"macs": [0.3]},
                "calibration": {"images": 8, "batch_size": 4},
            },
        ],
        methods=["l1", {"criterion": "l2", "iterative": {"steps": 2}}],
    )
    trials = make_plan(suite).trials
    assert len(trials) == len(list(expand(suite))) == 2 * 2 * (2 * 2 + 1)
    found = {(one.labels.model, one.labels.dataset, one.budget, one.path.budgets) for one in trials}
    assert found == {
        *(("resnet20", on, kept, (0.7, 0.5)) for on in ("digits", "c10") for kept in (0.7, 0.5)),
        ("vgg_small", "c10", 0.3, (0.3,)),
    }
    images = {(one.labels.model, one.at.images) for one in trials if one.at.images}
    assert images == {("resnet20", 32), ("vgg_small", 8)}


def test_speed_ups_are_shares_kept_and_equal_budgets_are_one() -> None:
    assert toy.suite(budgets={"speedup": [2, 4, 2.0, 1]}).budgets.kept == [1.0, 0.5, 0.25]
    assert toy.suite(budgets={"params": [0.3, 0.5]}).budgets.cost == "params"


HOSTILE = ["..", ".", "", "/etc/passwd", "a/../../b", "C:\\x", "-rf", "\0", "x" * 999, "ü", "CON\n"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_become_safe_parts_of_a_path(tmp_path: Path, name: str) -> None:
    check_part(tmp_path, slug(name))


@given(st.text())
def test_any_name_becomes_a_safe_part_of_a_path(name: str) -> None:
    check_part(Path("root"), slug(name))


def check_part(root: Path, part: str) -> None:
    assert re.fullmatch(r"[a-z0-9_~+=][a-z0-9._~+=-]{0,79}", part)
    assert part not in (".", "..")
    assert (root / part).resolve().parent == root.resolve()
    assert os.path.basename(part) == part  # noqa: PTH119


@given(st.text(min_size=81), st.text(min_size=81))
def test_long_names_stay_apart(one: str, other: str) -> None:
    if slug(one) == slug(other):
        assert slug(one) == "unnamed" or one.lower() == other.lower() or len(slug(one)) < 80


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=90))
def test_a_name_that_the_schema_takes_is_a_safe_part_of_a_path(name: str) -> None:
    try:
        suite = toy.suite(suite=name)
    except ValueError:
        return
    check_part(Path("root"), suite.suite)


def test_quickstart_downloads_nothing_and_asks_no_finer_than_its_images_tell() -> None:
    suite = load_suite("quickstart")
    assert isinstance(suite, Suite)
    assert not any(one.given for one in suite.models)
    for one in suite.datasets:
        known = DATASETS[one.name]
        assert known.download_bytes is None
        assert known.contents is not None
        assert suite.analysis.rope >= 100 / (one.test_images or known.contents.test)


def test_the_suite_of_criteria_runs_every_one() -> None:
    suite = load_suite("criteria")
    ours = {one.name for one in criteria() if one.type.__module__.startswith("criteria.")}
    assert ours == {one.criterion for one in suite.methods}


def test_a_tolerance_is_in_keys_only_where_a_suite_gives_another() -> None:
    usual = SelectionSpec().identity
    assert "tolerance" not in usual
    assert SelectionSpec(tolerance=0.01).identity == usual
    assert SelectionSpec(tolerance=0.03).identity == {**usual, "tolerance": 0.03}
