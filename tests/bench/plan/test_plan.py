"""The plan: a trial's key is what decides its result, and equal work is done once."""

from __future__ import annotations

import copy
import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data.datasets import Dataset
from bench.errors import BenchError, ModelError, PlanError
from bench.plan import makers
from bench.plan.graph import JobGraph, job_graph
from bench.plan.jobs import BaseJob, PathJob, ScoresJob, TrialJob
from bench.plan.plan import Plan, make_plan
from bench.seeds import generator, seed
from bench.steps.workspace import Settings, Workspace
from bench.store.sealed import write_arrays, write_json, write_sealed
from bench.store.store import Store
from bench.training.train import train
from suites import Recipe, Suite, load_suite


def plan_of(**changes: Any) -> Plan:
    return make_plan(toy.suite(**changes))


def keys(plan: Plan) -> set[str]:
    return {trial.key for trial in plan.trials}


def key(method: Any = "l1", **changes: Any) -> str:
    """Of the one trial of a suite with one method, one budget and one recovery."""
    content = {
        "methods": [method],
        "budgets": {"macs": [0.5]},
        "recoveries": ["none"],
        "analysis": {"control": "it"},
        **changes,
    }
    given = {"criterion": method} if isinstance(method, str) else method
    content["methods"] = [{**given, "as": "it"}]
    (trial,) = make_plan(toy.suite(**content)).trials
    return trial.key


# --- keys -----------------------------------------------------------------------------------------


def shuffled(content: Any, draw: random.Random) -> Any:
    """The same mapping with its keys in another order, all the way down."""
    if isinstance(content, dict):
        names = list(content)
        draw.shuffle(names)
        return {name: shuffled(content[name], draw) for name in names}
    return content


@settings(max_examples=6)
@given(st.randoms(use_true_random=False))
def test_keys_do_not_depend_on_the_order_of_anything(draw: random.Random) -> None:
    content = toy.content(
        datasets=["digits", {"name": "digits", "label": "few", "train_images": 160}],
        models=["vgg_small", "resnet20"],
        budgets={"macs": [0.7, 0.5, 0.3]},
    )
    other = shuffled(copy.deepcopy(content), draw)
    for name in ("datasets", "models", "methods", "recoveries"):
        draw.shuffle(other[name])
    draw.shuffle(other["budgets"]["macs"])
    one, two = (make_plan(Suite.model_validate(each)) for each in (content, other))
    assert keys(one) == keys(two)
    assert len(keys(one)) == len(one.trials)


def test_names_people_give_decide_nothing() -> None:
    assert key("l1") == key(
        {"criterion": "l1"},
        suite="other",
        description="other",
        datasets=[{**toy.TOY["datasets"][0], "label": "mine"}],
        models=[
            {
                "name": "vgg_small",
                "label": "mine",
                "datasets": ["mine"],
                "budgets": {"macs": [0.5]},
                "calibration": toy.TOY["calibration"],
                "recipes": toy.TOY["recipes"],
            }
        ],
        recipes={**toy.TOY["recipes"], "unused": {"epochs": 9, "learning_rate": 1.0}},
        analysis={"control": "it", "alpha": 0.01, "rope": 1.0},
        scales={"smoke": {"bases": 1}},
    )
    renamed = {"recipes": {"other": toy.TOY["recipes"]["tiny"]}, "base_recipe": "other"}
    assert key("l1") == key("l1", **renamed)
    finetuned = key("l1", recoveries=[{"finetune": "tiny"}])
    assert finetuned == key("l1", **renamed, recoveries=[{"finetune": "other"}])


def test_defaults_written_out_and_aliases_decide_nothing() -> None:
    assert key("taylor") == key({"criterion": "taylor", "options": {"normalizer": "none"}})
    assert key("l1") == key("l1", selection={"scope": "global", "protect": 0.1})
    assert key({"criterion": "l1", "scope": "global"}) == key("l1")
    assert key("l1", budgets={"macs": [1]}) == key("l1", budgets={"macs": [1.0]})
    assert key("l1", budgets={"speedup": [2]}) == key("l1")


TINY = toy.TOY["recipes"]["tiny"]
DIGITS = toy.TOY["datasets"][0]
DECIDING: dict[str, tuple[Any, dict[str, Any]]] = {
    "criterion": ("l2", {}),
    "option": ({"criterion": "l1", "options": {"normalizer": "mean"}}, {}),
    "iterative": ({"criterion": "l1", "iterative": {"steps": 1}}, {}),
    "steps": ({"criterion": "l1", "iterative": {"steps": 2}}, {}),
    "schedule": ({"criterion": "l1", "iterative": {"steps": 2, "schedule": "geometric"}}, {}),
    "scope": ({"criterion": "l1", "scope": "local"}, {}),
    "suite's scope": ("l1", {"selection": {"scope": "isomorphic"}}),
    "protect": ("l1", {"selection": {"protect": 0.2}}),
    "rounding of protect": ("l1", {"selection": {"protect_rounds": "down"}}),
    "layers": ("l1", {"selection": {"layers": {"features.0": 1.0}}}),
    "min_channels": ("l1", {"selection": {"min_channels": 2}}),
    "round_to": ("l1", {"selection": {"round_to": 4}}),
    "emptied": ("l1", {"selection": {"emptied": "skip"}}),
    "criterion with data": ("taylor", {}),
    "calibration images": ("taylor", {"calibration": {"images": 16, "batch_size": 16}}),
    "calibration batch": ("taylor", {"calibration": {"images": 32, "batch_size": 8}}),
    "budget": ("l1", {"budgets": {"macs": [0.4]}}),
    "cost": ("l1", {"budgets": {"params": [0.5]}}),
    "channels": ("l1", {"budgets": {"channels": [0.5]}}),
    "weights": ("l1", {"budgets": {"weights": [0.5]}}),
    "scope of weights": ({"criterion": "l1", "scope": "local"}, {"budgets": {"weights": [0.5]}}),
    "dataset": ("l1", {"datasets": [{"name": "cifar10"}]}),
    "train images": ("l1", {"datasets": [{**DIGITS, "train_images": 161}]}),
    "test images": ("l1", {"datasets": [{**DIGITS, "test_images": 61}]}),
    "validation": ("l1", {"datasets": [{**DIGITS, "validation": 0.2}]}),
    "image size": ("l1", {"datasets": [{**DIGITS, "image_size": 16}]}),
    "model": ("l1", {"models": ["resnet20"]}),
    "model option": ("l1", {"models": [{"name": "vgg_small", "options": {"width": 4}}]}),
    "base recipe": ("l1", {"base_recipe": "short"}),
    "model's recipe": ("l1", {"models": [{"name": "vgg_small", "recipe": "adapt"}]}),
    "recipe's content": ("l1", {"recipes": {"tiny": {**TINY, "epochs": 2}}}),
    "recovery bn": ("l1", {"recoveries": ["bn"]}),
    "recovery finetune": ("l1", {"recoveries": [{"finetune": "tiny"}]}),
    "finetune's recipe": ("l1", {"recoveries": [{"finetune": "short"}]}),
    "latency": ("l1", {"measure": {}}),
    "more latency": ("l1", {"measure": {"threads": [2]}}),
}


def test_every_field_that_decides_is_in_the_key() -> None:
    found = {"plain": key("l1")}
    found |= {name: key(method, **changes) for name, (method, changes) in DECIDING.items()}
    assert len(set(found.values())) == len(found), found


def test_base_and_repeat_are_in_the_key() -> None:
    plan = plan_of(bases=2, repeats=2, methods=["taylor"], analysis={"control": "taylor"})
    assert len(keys(plan)) == len(plan.trials) == 2 * 2 * 2 * 2


# Methods of which nothing hangs on the repeat, and for each that has something a reason.
STEPWISE = {"criterion": "l1", "iterative": {"steps": 2}}
FIXED: list[Any] = ["l1", STEPWISE, {"criterion": "inverse", "options": {"of": "l2"}}]
VARYING: dict[str, Any] = {
    "looks": "taylor",
    "draws": "random",
    "a part looks": {"criterion": "inverse", "options": {"of": "taylor"}},
    "a part draws": {"criterion": "inverse", "options": {"of": "random"}},
    "is trained on the way": {"criterion": "l1", "iterative": {"steps": 2, "recover": "tiny"}},
    "rides on a training": {"criterion": "l1", "procedure": {"name": "soft", "recipe": "tiny"}},
    "is prepared": {
        "criterion": "l1",
        "prepare": {"name": "bn_slimming", "recipe": "tiny"},
    },
}


def repeats(method: Any, recovery: Any = "none", **changes: Any) -> list[tuple[int, bool]]:
    given = {"criterion": method} if isinstance(method, str) else method
    plan = plan_of(
        repeats=3,
        methods=[{**given, "as": "it"}],
        analysis={"control": "it"},
        recoveries=[recovery],
        **{"budgets": {"macs": [0.5]}, **changes},
    )
    assert len(keys(plan)) == len(plan.trials)
    assert len({id(one.path) for one in plan.trials}) == len({one.path.key for one in plan.trials})
    return [(one.labels.repeat, one.labels.all_repeats) for one in plan.trials]


EACH = [(0, False), (1, False), (2, False)]


@pytest.mark.parametrize("method", FIXED, ids=str)
def test_what_looks_at_nothing_and_draws_nothing_is_one_for_all_repeats(method: Any) -> None:
    assert repeats(method) == repeats(method, budgets={"weights": [0.5]}) == [(0, True)]
    assert repeats(method, budgets={"memory": [0.9]}) == [(0, True)]
    for recovery in ("bn", {"finetune": "tiny"}):  # its images, its order
        assert repeats(method, recovery) == EACH
    assert repeats(method, budgets={"latency": [0.9]}) == EACH  # clocks differ


@pytest.mark.parametrize("method", VARYING.values(), ids=VARYING)
def test_what_looks_or_draws_or_is_trained_is_one_a_repeat(method: Any) -> None:
    assert repeats(method) == EACH


def test_a_control_hangs_on_what_it_and_its_method_hang_on() -> None:
    matched = [{"criterion": "l1", "matched": ["l2", "random"]}]
    matched += [{"criterion": "taylor", "matched": ["l1"]}]
    plan = plan_of(methods=matched, repeats=3, recoveries=["none"])
    counts = Counter(one.labels.method for one in plan.trials)
    two = 2  # budgets
    assert counts == {
        **{"l1": two, "l2~l1": two, "random~l1": 3 * two, "taylor": 3 * two, "l1~taylor": 3 * two}
    }


def test_repeats_share_the_path_and_other_images_decide_nothing() -> None:
    plan = plan_of(repeats=3, methods=["l1"])
    assert len({one.path.key for one in plan.trials}) == 1
    other = plan_of(repeats=5, methods=["l1"], calibration={"images": 16, "batch_size": 4})
    paths, alone = ({one.path.key for one in each.trials} for each in (plan, other))
    assert paths == alone
    unrecovered = [
        {one.key for one in each.trials if one.recovery == "none"} for each in (plan, other)
    ]
    assert unrecovered[0] == unrecovered[1]
    finetuned = [one for one in plan.trials if one.recovery == "finetune"]
    assert len({seed("recovery", **one.at.axes) for one in finetuned}) == 3


@pytest.mark.parametrize(
    "recipe", [name for name in Recipe.model_fields if name not in ("milestones", "distill")]
)
def test_every_field_of_a_recipe_is_in_the_key(recipe: str) -> None:
    other: dict[str, Any] = {
        "epochs": 2,
        "from_epoch": 1,
        "batch_size": 41,
        "drop_last": True,
        "accumulate": 2,
        "optimizer": "adamw",
        "learning_rate": 0.06,
        "momentum": 0.8,
        "nesterov": True,
        "weight_decay": 0.0,
        "schedule": "step",
        "gamma": 0.5,
        "warmup_epochs": 1,
        "label_smoothing": 0.1,
        "augment": False,
        "warmup_factor": 0.5,
        "color_jitter": [0.4, 0.4, 0.4, 0.2],
        "random_erasing": 0.1,
        "mixup": 0.2,
        "cutmix": 1.0,
        "ema": {"decay": 0.99},
        "grad_clip": 1.0,
        "amp": "bf16",
        "channels_last": True,
        "compile": True,
    }
    assert key("l1", recipes={"tiny": {**TINY, recipe: other[recipe]}}) != key("l1")


def test_the_source_of_a_criterion_is_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {method: key(method) for method in ("l1", "taylor")}
    real = makers.registry.source_hash

    def source_hash(name: str, options: Any) -> str:
        return "changed" if name == "l1" else real(name, options)

    monkeypatch.setattr(makers.registry, "source_hash", source_hash)
    assert key("l1") != before["l1"]
    assert key("taylor") == before["taylor"]


def test_a_checkpoint_counts_by_its_content(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one.pt", "same.pt", "other.pt")]
    for path, content in zip(paths, (b"a", b"a", b"b"), strict=True):
        path.write_bytes(content)
    one, same, other = (
        key("l1", models=[{"name": "vgg_small", "checkpoint": str(path), "recipe": False}])
        for path in paths
    )
    assert one == same
    assert one != other


def by_budget(trials: tuple[TrialJob, ...], method: str) -> dict[float, str]:
    return {one.budget: one.key for one in trials if one.labels.method == method}


def test_an_iterative_trial_depends_on_the_budgets_on_its_way_and_a_one_shot_one_does_not() -> None:
    changes: dict[str, Any] = {
        "methods": [
            {"criterion": "l2", "iterative": {"steps": 2}, "matched": ["l1"]},
            {"criterion": "taylor", "matched": ["l1"]},
            "random",
        ],
        "recoveries": ["none"],
        "analysis": {"control": "random"},
    }
    few = plan_of(budgets={"macs": [0.5]}, **changes).trials
    many = plan_of(budgets={"macs": [0.7, 0.5]}, **changes).trials
    for method in ("random", "taylor", "l1~taylor"):
        assert by_budget(few, method)[0.5] == by_budget(many, method)[0.5]
    for method in ("l2-2", "l1~l2-2"):
        assert by_budget(few, method)[0.5] != by_budget(many, method)[0.5]


def test_a_control_depends_on_the_path_whose_widths_it_takes() -> None:
    def control(**options: Any) -> str:
        methods = [{"criterion": "taylor", "as": "t", "matched": ["l1"], **options}, "l1"]
        return by_budget(plan_of(methods=methods).trials, "l1~t")[0.5]

    assert control() != control(scope="local")
    assert control() == control()


# --- names ----------------------------------------------------------------------------------------


def test_a_folder_as_checkpoint_is_known_by_all_of_its_files(tmp_path: Path) -> None:
    def key() -> str:
        model = {"name": "resnet20", "checkpoint": str(tmp_path), "recipe": False}
        makers._file_hash.cache_clear()
        return plan_of(models=[model], bases=1).trials[0].key

    (tmp_path / "config.json").write_text("{}")
    first = key()
    assert key() == first
    (tmp_path / "model.safetensors").write_bytes(b"1")
    assert key() != first


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods": ["l1", "tailor"]}, ["tailor", "Did you mean taylor", "lamp"]),
        ({"methods": ["l1", "depgrap"]}, ["There are presets as well", "depgraph"]),
        (
            {"methods": ["l1", {"criterion": "l2", "options": {"nrmalizer": "mean"}}]},
            ["method l2", "'nrmalizer'", "normalizer"],
        ),
        (
            {"methods": ["l1", {"criterion": "l2", "options": {"normalizer": 3}}]},
            ["method l2", "'normalizer' = 3"],
        ),
        (
            {"methods": ["l1", {"criterion": "taylor", "matched": ["lampp"]}]},
            ["lampp", "Did you mean lamp"],
        ),
        ({"datasets": ["digit"]}, ["dataset 'digit'", "did you mean digits", "cifar10"]),
        ({"models": ["resnet21"]}, ["model 'resnet21'", "did you mean", "resnet20", "vgg_small"]),
    ],
)
def test_an_unknown_name_is_one_error_with_near_matches(
    changes: dict[str, Any], said: list[str]
) -> None:
    with pytest.raises(BenchError) as caught:
        plan_of(**changes)
    for part in said:
        assert part in str(caught.value)


def test_an_unstructured_suite_takes_criteria_with_a_score_for_single_weights() -> None:
    weights: dict[str, Any] = {"budgets": {"weights": [0.5]}}
    plan = plan_of(**weights)
    assert {one.path.cost for one in plan.trials} == {"weights"}
    for methods in (["l1", "fpgm"], ["l1", {"criterion": "l2", "matched": ["fpgm"]}]):
        with pytest.raises(PlanError, match=r"method fpgm: .* single weights") as e:
            plan_of(**weights, methods=methods)
        able = str(e.value).partition("these do: ")[2].split(", ")
        assert {"random", "l1", "l2", "taylor"} <= set(able)
        assert "fpgm" not in able


def test_an_unstructured_suite_refuses_options_that_are_about_channels() -> None:
    weights: dict[str, Any] = {"budgets": {"weights": [0.5]}}
    method = {"criterion": "taylor", "options": {"reduction": "max"}}
    with pytest.raises(PlanError, match="'reduction' = 'max' would be ignored"):
        plan_of(**weights, methods=["l1", method])
    assert plan_of(methods=["l1", method]).trials


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.pt"
    with pytest.raises(ModelError, match=re.escape(str(path))):
        plan_of(models=[{"name": "vgg_small", "checkpoint": str(path)}])


def test_only_some_methods_with_the_controls_matched_to_them() -> None:
    plan = plan_of(repeats=2)
    assert {one.labels.method for one in plan.only(["taylor"]).trials} == {"taylor", "l1~taylor"}
    assert {one.labels.method for one in plan.only(["l1~taylor"]).trials} == {"l1~taylor"}
    assert {one.labels.repeat for one in plan.only(repeats=1).trials} == {0}
    assert plan.only().trials == plan.trials
    with pytest.raises(PlanError, match=r"no method .*'tailor' \(did you mean taylor.*random, l1"):
        plan.only(["l1", "tailor"])


# --- shards ---------------------------------------------------------------------------------------

MANY = plan_of(bases=5, repeats=3)


@given(st.integers(min_value=1, max_value=400))
def test_shards_partition_the_trials(count: int) -> None:
    shards = [MANY.shard(index, count).trials for index in range(1, count + 1)]
    found = [trial.key for shard in shards for trial in shard]
    assert sorted(found) == sorted(trial.key for trial in MANY.trials)


def test_a_shard_does_not_depend_on_the_order_of_the_suite() -> None:
    other = plan_of(bases=5, repeats=3, methods=list(reversed(toy.TOY["methods"])))
    assert keys(MANY.shard(2, 3)) == keys(other.shard(2, 3))


@pytest.mark.parametrize("text", ["4/3", "1", "a/b", "1/0", "-1/3", "1/3/5", "/"])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    from bench.run.session import _shard

    with pytest.raises(BenchError, match=r"expected I/N with I from 0"):
        _shard(text)


# --- seeds ----------------------------------------------------------------------------------------


GOLDEN_BASE = {"base-init": 206095343914018334, "base-order": 6998688988678578942}
GOLDEN_CALIBRATION = 4695817076568324794
GOLDEN_RECOVERY = 3856913231433602561
GOLDEN_ORDER = [2, 7, 5, 1, 6, 3, 4, 8, 0, 9]
GOLDEN_BASE_KEY = "73d8ca6933c949890ac0fe998f8e9a646168197a0edeebbc1a593595ccd64fae"


def test_seeds_are_what_they_have_always_been() -> None:
    """A change here changes every result there is: raise ENGINE_VERSION with it."""
    axes: dict[str, str | int] = {"dataset": "digits", "model": "vgg_small", "base": 0}
    assert {
        purpose: seed(purpose, **axes) for purpose in ("base-init", "base-order")
    } == GOLDEN_BASE
    assert seed("calibration", **axes, repeat=0) == GOLDEN_CALIBRATION
    assert seed("recovery", **axes, repeat=0) == GOLDEN_RECOVERY
    drawn = torch.randperm(10, generator=generator("calibration", **axes, repeat=0)).tolist()
    assert drawn == GOLDEN_ORDER


def test_keys_are_what_they_have_always_been() -> None:
    """A change here makes every record there is worthless: raise SCHEMA_VERSION with it."""
    standpoint = plan_of(splits="fixed").trials[0].path.at
    assert standpoint.base.key == GOLDEN_BASE_KEY


def test_seeds_depend_on_purpose_and_every_axis_and_on_nothing_else() -> None:
    found = {
        seed("a"),
        seed("b"),
        seed("a", base=0),
        seed("a", base=1),
        seed("a", base="1"),
        seed("a", repeat=0),
        seed("a", base=0, repeat=1),
        seed("a", base=1, repeat=0),
    }
    assert len(found) == 8
    assert seed("a", base=1, repeat=2) == seed("a", repeat=2, base=1)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    generator("a")
    assert torch.equal(before, torch.random.get_rng_state())


@given(st.text(), st.dictionaries(st.text(min_size=1).filter(str.isidentifier), st.integers()))
def test_seeds_fit_torch(purpose: str, axes: dict[str, int]) -> None:
    axes.pop("purpose", None)
    assert 0 <= seed(purpose, **axes) < 2**63
    generator(purpose, **axes)


def test_the_method_is_no_axis_of_calibration_or_finetuning(tmp_path: Path) -> None:
    """Whatever the criterion and whatever ran before, the batches are the same, bit for bit."""
    workspace = Workspace(Settings(tmp_path, tmp_path))
    plan = plan_of(repeats=2)
    seen: dict[int | None, list[torch.Tensor]] = {}
    methods: dict[int | None, set[str]] = {}
    for trial in plan.trials:
        at = trial.at
        data = workspace.dataset(at.base)
        torch.rand(7)
        images = [inputs for inputs, _ in workspace.calibration(at, data)]
        first = seen.setdefault(at.repeat, images)
        assert all(torch.equal(one, other) for one, other in zip(first, images, strict=True))
        methods.setdefault(at.repeat, set()).add(trial.labels.method)
        assert "method" not in at.axes
    assert methods == {
        **{repeat: set(plan.suite.method_names) for repeat in (0, 1)},  # those that finetune
        None: {"l1", "l2-2"},
    }
    assert seen[None] == []
    assert not torch.equal(torch.cat(seen[0]), torch.cat(seen[1]))


def test_two_networks_are_finetuned_on_identical_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace(Settings(tmp_path, tmp_path))
    trials = [one for one in plan_of().trials if one.recovery == "finetune"]
    data = workspace.dataset(trials[0].path.at.base)
    fed: list[list[torch.Tensor]] = []

    def watched(model: torch.nn.Module) -> torch.nn.Module:
        batches: list[torch.Tensor] = []
        fed.append(batches)

        def keep(one: torch.nn.Module, inputs: Any) -> None:
            if one.training:
                batches.append(inputs[0].clone())

        model.register_forward_pre_hook(keep)
        return model

    chosen = {one.labels.method: one for one in trials}
    for number, method in enumerate(("l1", "taylor")):
        at, recipe = chosen[method].at, chosen[method].recipe
        assert recipe is not None
        model = watched(workspace.fresh_model(at.base, data))
        if number:  # another network, another past
            torch.nn.init.zeros_(next(model.parameters()))
            torch.rand(13)
        train(model, data, recipe, seed("recovery", **at.axes))
    one, other = fed
    assert len(one) == 4
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_calibration_never_sees_validation_or_test(tmp_path: Path) -> None:
    workspace = Workspace(Settings(tmp_path, tmp_path))
    at = plan_of(calibration={"images": 144, "batch_size": 36}).trials[0].path.at
    data = workspace.dataset(at.base)

    def rows(batches: Any) -> list[bytes]:
        return sorted(one.numpy().tobytes() for images, _ in batches for one in images)

    assert rows(workspace.calibration(at, data)) == rows(data.train.batches(50))
    assert len(data.train) == 144


def test_more_calibration_images_than_there_are_is_one_clear_error(tmp_path: Path) -> None:
    workspace = Workspace(Settings(tmp_path, tmp_path))
    at = plan_of(calibration={"images": 10_000}).trials[0].path.at
    data: Dataset = workspace.dataset(at.base)
    with pytest.raises(BenchError, match=r"calibration.images = 10000.*only 144"):
        workspace.calibration(at, data)


# --- the graph ------------------------------------------------------------------------------------


def kinds(graph: JobGraph) -> dict[str, int]:
    found: dict[str, int] = {}
    for job in graph.jobs.values():
        found[type(job).__name__] = found.get(type(job).__name__, 0) + 1
    return found


def keep(store: Store, job: Any, base: str = "weights") -> None:
    """Store what a job leaves, as far as the plan looks at it; `base` stands for its weights."""
    match job:
        case BaseJob():
            content = base.encode()
            write_sealed(store.path("bases", job.key, ".pt"), content)
            sha256 = hashlib.sha256(content).hexdigest()
            write_json(store.path("bases", job.key, ".json"), {"sha256": sha256})
        case PathJob():
            sha256 = hashlib.sha256(base.encode()).hexdigest()
            write_json(store.path("paths", job.key, ".json"), {"base_sha256": sha256})


def keep_scores(store: Store, path: PathJob, base: str = "weights") -> None:
    file = store.path("scores", path.at.score_key(path.criterion), ".npz")
    write_arrays(file, {"base_sha256": np.array(hashlib.sha256(base.encode()).hexdigest())})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_equal_work_is_one_job(store: Store) -> None:
    plan = plan_of(bases=2, repeats=2)
    graph = job_graph(plan.trials, store)
    assert kinds(graph) == {
        "BaseJob": 2,
        # A standpoint each: all one-shot criteria with data in one pass, and those without.
        "ScoresJob": 4 + 2,
        "PathJob": 4 * 3 + 2 * 2,
        "TrialJob": len(plan.trials),
    }
    for job in graph.jobs.values():
        if isinstance(job, ScoresJob):
            names = [one.name for one in job.criteria]
            assert names == (["random", "taylor", "l1"] if job.at.images else ["l1", "l2"])


def test_scores_of_weights_and_of_channels_are_kept_apart(store: Store) -> None:
    def scores(axis: str) -> ScoresJob:
        plan = plan_of(budgets={axis: [0.5]})
        graph = job_graph(plan.trials, store)
        found = [job for job in graph.jobs.values() if isinstance(job, ScoresJob)]
        wanted = {trial.path.score_key for trial in plan.trials if trial.path.takes_scores}
        assert wanted == {one.score_key(each) for one in found for each in one.criteria}
        (one,) = (one for one in found if one.at.images)
        return one

    by_axis = {axis: scores(axis) for axis in ("macs", "channels", "weights")}
    assert by_axis["macs"].key == by_axis["channels"].key
    assert by_axis["macs"].key != by_axis["weights"].key
    assert by_axis["weights"].per_weight


def test_everything_waits_for_what_it_stands_on(store: Store) -> None:
    graph = job_graph(plan_of().trials, store)
    order = list(TopologicalSorter(graph.after).static_order())
    place = {key: number for number, key in enumerate(order)}
    assert set(order) == set(graph.jobs)
    for job in graph.jobs.values():
        before = {type(graph.jobs[one]) for one in graph.after[job.key]}
        assert all(place[one] < place[job.key] for one in graph.after[job.key])
        match job:
            case BaseJob():
                assert before == set()
            case ScoresJob():
                assert before == {BaseJob}
            case TrialJob():
                assert before == {BaseJob, PathJob}
            case PathJob() if job.matched is not None:
                assert before == {BaseJob, ScoresJob, PathJob}
                assert job.matched.key in graph.after[job.key]
            case PathJob():
                assert before == {BaseJob, ScoresJob}


def test_a_control_alone_brings_the_path_that_it_needs(store: Store) -> None:
    graph = job_graph(plan_of().only(["l1~taylor"]).trials, store)
    assert kinds(graph) == {"BaseJob": 1, "ScoresJob": 1, "PathJob": 2, "TrialJob": 4}
    (scores,) = (job for job in graph.jobs.values() if isinstance(job, ScoresJob))
    assert sorted(one.name for one in scores.criteria) == ["l1", "taylor"]


def test_what_lies_in_the_store_is_left_out(store: Store) -> None:
    plan = plan_of()
    path = {one.labels.method: one.path for one in plan.trials}
    at = plan.trials[0].path.at

    keep(store, at.base)
    graph = job_graph(plan.trials, store)
    assert kinds(graph) == {"ScoresJob": 2, "PathJob": 5, "TrialJob": 20}
    assert not any(at.base.key in after for after in graph.after.values())

    for method in ("l1", "l1~taylor", "l2-2"):
        keep_scores(store, path[method])
    graph = job_graph(plan.trials, store)
    (scores,) = (job for job in graph.jobs.values() if isinstance(job, ScoresJob))
    assert [one.name for one in scores.criteria] == ["random", "taylor"]

    for method in ("random", "taylor"):
        keep(store, path[method])
    assert kinds(job_graph(plan.trials, store)) == {"PathJob": 3, "TrialJob": 20}


@pytest.mark.parametrize("there", [None, "other weights"])
def test_work_that_stands_on_another_base_is_done_again(store: Store, there: str | None) -> None:
    """The base is lost, or has been trained anew and come out otherwise."""
    plan = plan_of()
    for trial in plan.trials:
        keep(store, trial.path)
        keep_scores(store, trial.path)
    if there is not None:
        keep(store, trial.path.at.base, there)
    rest = {"ScoresJob": 2, "PathJob": 5, "TrialJob": 20}
    wanted = rest if there else {"BaseJob": 1, **rest}
    assert kinds(job_graph(plan.trials, store)) == wanted


def test_suites_share_what_they_have_in_common() -> None:
    quick = make_plan(load_suite("quickstart", ["bases=1"]))
    other = make_plan(load_suite("quickstart", ["bases=2", "methods=[l1, taylor]", "suite=other"]))
    bases = [{one.path.at.base.key for one in plan.trials} for plan in (quick, other)]
    assert bases[0] < bases[1]
    shared: Callable[[Plan], set[str]] = lambda plan: {  # noqa: E731
        one.key for one in plan.trials if one.labels.method == "taylor"
    }
    assert shared(quick) <= shared(other)
