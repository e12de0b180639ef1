"""What a plan says of work: counted by hand on the toy suite, and equal to what trials record."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from rich.console import Console

from bench.command import planning
from bench.data.datasets import load_dataset
from bench.errors import PlanError
from bench.models import build_model
from bench.plan.graph import job_graph
from bench.plan.jobs import Job
from bench.plan.plan import Plan, make_plan
from bench.plan.sizes import DatasetSize, dataset_size, model_size
from bench.plan.workload import (
    HESSIAN,
    TRAINING,
    Load,
    Throughput,
    load_of,
    own_epochs,
    passes_of,
    recovery_epochs,
    work_of,
)
from bench.pruning.cost import count_macs
from bench.store.store import Store
from suites import load_suite
from suites.problem import DatasetSpec, ModelSpec

# The toy's 160 training images, of which a tenth is held out.
TRAIN, HELD_OUT, TEST = 144, 16, 60


def jobs(plan: Plan, root: Path) -> list[Job]:
    return list(job_graph(plan.trials, Store(root)).jobs.values())


def of_kind(plan: Plan, root: Path, kind: str) -> list[Load]:
    found = [load_of(job) for job in jobs(plan, root) if type(job).__name__ == kind]
    assert all(found)
    return [one for one in found if one is not None]


# --- sizes ----------------------------------------------------------------------------------------


def test_the_network_size_digits_is_that_of_the_data(tmp_path: Path) -> None:
    for spec in (
        DatasetSpec(name="digits"),
        DatasetSpec(name="digits", train_images=160, test_images=60, validation=0.2),
    ):
        found, data = dataset_size(spec), load_dataset(spec, tmp_path, tmp_path)
        splits = {name: len(getattr(data, name)) for name in ("train", "validation", "test")}
        assert found == DatasetSize(**data.shape, **splits)


def test_a_folder_of_images_is_counted_once_it_is_there(tmp_path: Path) -> None:
    spec = DatasetSpec(name="imagefolder", root="birds", image_size=16)
    assert dataset_size(spec, tmp_path / "elsewhere") is None
    for split, count in (("train", 10), ("val", 4)):
        for at in range(count):
            file = tmp_path / "birds" / split / f"class{at % 2}" / f"{at}.JPG"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
    assert dataset_size(spec, tmp_path) == DatasetSize(
        train=9, validation=1, test=4, classes=2, channels=3, image_size=16
    )
    assert dataset_size(spec) is None


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "vgg_small"},
        {"name": "resnet20", "options": {"shortcut": "B"}},
        {"name": "vit_small", "options": {"patch_size": 4}},
    ],
    ids=lambda one: one["name"],
)
def test_macs_without_weights_are_those_of_the_network(spec: dict[str, Any]) -> None:
    extent = DatasetSize(train=10, validation=2, test=2, classes=10, channels=3, image_size=32)
    model = build_model(ModelSpec(**spec), classes=10, channels=3, image_size=32, seed=0)
    size = model_size(ModelSpec(**spec, checkpoint="not/there.pt"), extent)
    assert size.macs == count_macs(model.eval(), (torch.zeros(1, 3, 32, 32),))


def test_imagenet_is_planned_without_data_and_without_weights() -> None:
    extent = dataset_size(DatasetSpec(name="imagenet"))
    assert extent is not None
    assert (extent.train + extent.validation, extent.test) == (1_281_167, 50_000)
    spec = ModelSpec(name="torchvision:resnet50", weights="IMAGENET1K_V1", recipe=False)
    assert model_size(spec, extent).macs == pytest.approx(4.09e9, rel=0.01)  # as torchvision says


# --- work by hand ---------------------------------------------------------------------------------


def test_a_base_is_its_epochs_and_its_measuring(tmp_path: Path) -> None:
    plan = make_plan(toy.suite(recipes={"tiny": {"epochs": 3, "learning_rate": 0.1}}))
    (base,) = of_kind(plan, tmp_path, "BaseJob")
    assert base.trained == 3 * TRAIN
    assert base.evaluated == 3 * HELD_OUT + HELD_OUT + TEST
    assert base.passes == TRAINING * base.trained + base.evaluated
    extent = dataset_size(DatasetSpec.model_validate(toy.TOY["datasets"][0]))
    assert extent is not None
    assert base.macs == base.passes * model_size(ModelSpec(name="vgg_small"), extent).macs


def test_one_pass_over_the_calibration_images_serves_all_criteria(tmp_path: Path) -> None:
    methods = ["random", "l1", "taylor", "jacobian"]
    scores, without = of_kind(make_plan(toy.suite(methods=methods)), tmp_path, "ScoresJob")
    assert (scores.scored, scores.passes) == (32, 32 * TRAINING)
    assert without == Load()  # what needs no data is scored by itself
    (weights,) = of_kind(make_plan(toy.suite(methods=["l1"])), tmp_path, "ScoresJob")
    assert weights == Load()


@pytest.mark.parametrize(
    ("method", "passes"),
    [
        ("l1", 0.0),
        ("apoz", 1.0),
        ("taylor", TRAINING),
        ("hvp", TRAINING + HESSIAN),
        ({"criterion": "inverse", "options": {"of": "l1"}}, 0.0),
        ({"criterion": "inverse", "options": {"of": "taylor"}}, TRAINING),
    ],
)
def test_what_a_criterion_needs_is_what_an_image_costs(method: Any, passes: float) -> None:
    given = {"criterion": method} if isinstance(method, str) else method
    plan = make_plan(toy.suite(methods=[{**given, "as": "l1"}]))
    trial = plan.trials[0]
    assert passes_of([trial.path.criterion]) == passes  # type: ignore[union-attr]


def test_an_iterative_path_scores_at_every_stop_a_network_that_shrinks(tmp_path: Path) -> None:
    method = {"criterion": "taylor", "iterative": {"steps": 2}, "as": "l1"}
    plan = make_plan(toy.suite(methods=[method], budgets={"macs": [0.5]}))
    (path,) = of_kind(plan, tmp_path, "PathJob")
    assert path.scored == 2 * 32  # dense, and at 75 %
    assert path.passes == 2 * 32 * TRAINING
    assert path.macs == pytest.approx(32 * TRAINING * (1 + 0.75) * macs())


def macs() -> int:
    extent = dataset_size(DatasetSpec.model_validate(toy.TOY["datasets"][0]))
    assert extent is not None
    return model_size(ModelSpec(name="vgg_small"), extent).macs


def test_a_teacher_is_one_whole_pass_an_image_however_small_its_student(tmp_path: Path) -> None:
    tiny = toy.TOY["recipes"]["tiny"]
    loads = []
    for recipe in (tiny, tiny | {"distill": {}}):
        suite = toy.suite(
            methods=["l1"], budgets={"macs": [0.25]}, recoveries=[{"finetune": "own"}],
            recipes={"tiny": tiny, "own": recipe},
        )  # fmt: skip
        loads += of_kind(make_plan(suite), tmp_path, "TrialJob")
    plain, taught = loads
    assert taught.passes - plain.passes == TRAIN
    assert taught.macs - plain.macs == pytest.approx(TRAIN * macs())


def test_epochs_of_phases_and_of_what_is_left_to_finetune() -> None:
    recipes = {
        **toy.TOY["recipes"],
        "sparse": {"epochs": 4, "learning_rate": 0.01},
        "soft": {"epochs": 3, "learning_rate": 0.01},
        "between": {"epochs": 2, "learning_rate": 0.01},
    }
    between = {"steps": 4, "recover": "between"}
    plan = make_plan(
        toy.suite(
            methods=[
                "l1",
                {"preset": "sfp", "prepare": {"name": "dense", "recipe": "sparse"}},
                {"criterion": "l2", "iterative": between},
                {"criterion": "taylor", "iterative": {**between, "recover_at": "budgets"}},
                {"criterion": "fpgm", "iterative": {**between, "steps": {0.75: 1, 0.5: 3}}},
            ],
            budgets={"macs": [0.75, 0.5]},
            recoveries=[{"finetune": "tiny", "total_epochs": 9}],
            recipes=recipes,
        )
    )
    own = {
        (one.labels.method, one.budget): (own_epochs(one.path, one.budget), recovery_epochs(one))  # type: ignore[union-attr]
        for one in plan.trials
    }
    assert own == {
        **dict.fromkeys([("l1", 0.75), ("l1", 0.5)], (0, 9)),
        **dict.fromkeys([("sfp", 0.75), ("sfp", 0.5)], (7, 2)),
        ("l2-4", 0.75): (4, 5),  # stops at 87.5 % and 75 %
        ("l2-4", 0.5): (8, 1),
        ("taylor-4", 0.75): (2, 7),
        ("taylor-4", 0.5): (4, 5),
        ("fpgm-1-3", 0.75): (2, 7),  # on a path of its own
        ("fpgm-1-3", 0.5): (6, 3),
    }


def test_what_is_planned_is_what_trials_record(session: Path) -> None:
    """Images of finetuning, of a suite that has run."""
    finished = toy.finished(session)
    plan = make_plan(toy.suite())
    records = {one.key: one for one in toy.records(finished)}
    for trial in plan.trials:
        record = records[trial.key]
        load = load_of(trial)
        assert record.measurements is not None
        assert load is not None
        assert load.trained == record.measurements.images_trained


# --- time -----------------------------------------------------------------------------------------


def test_small_networks_wait_for_kernels_and_large_ones_for_arithmetic() -> None:
    rate = Throughput(tflops=10, ceiling=1000)
    assert rate.seconds(Load(passes=5000, macs=5000 * 1e6)) == 5
    assert rate.seconds(Load(passes=5000, macs=5000 * 1e10)) == 10


def test_data_of_unknown_size_are_left_out_and_named(tmp_path: Path) -> None:
    plan = make_plan(toy.suite(datasets=[{"name": "imagefolder", "root": "birds"}]))
    work = work_of(jobs(plan, tmp_path), Throughput())
    assert (work.load, work.hours, work.unknown) == (Load(), 0.0, {"birds"})


def shown(plan: Plan, root: Path) -> str:
    console = Console(record=True, width=160)
    planning.show_plan(console, plan, Store(root), 2, Throughput())
    return console.export_text()


def test_the_plan_tells_work_and_what_its_estimate_rests_on(tmp_path: Path) -> None:
    said = shown(make_plan(toy.suite()), tmp_path)
    for words in ("scored", "trained on", "GPU-hours", "20 effective TFLOP/s", "20,000"):
        assert words in said
    assert "finetune-tiny" in said


def test_a_total_that_phases_have_used_up_is_seen_in_the_plan(tmp_path: Path) -> None:
    recipes = {**toy.TOY["recipes"], "soft": {"epochs": 5, "learning_rate": 0.01}}
    recoveries = ["none", {"finetune": "tiny", "total_epochs": 5}]
    plan = make_plan(toy.suite(methods=["l1", "sfp"], recipes=recipes, recoveries=recoveries))
    lines = [one.split() for one in shown(plan, tmp_path).splitlines()]
    assert ["epochs", "of", "on", "the", "way", "finetune-tiny-5"] in lines
    assert ["l1", "5"] in lines
    assert ["sfp", "5", "0"] in lines


def test_scales_stand_beside_one_another(tmp_path: Path) -> None:
    path = toy.write_suite(tmp_path, scales={"smoke": {"methods": ["l1"]}})
    plans = {
        name: make_plan(load_suite(str(path), scale=scale))
        for name, scale in (("as it stands", None), ("smoke", "smoke"))
    }
    console = Console(record=True, width=160)
    planning.show_scales(console, plans, Store(tmp_path / "results"), Throughput())
    said = console.export_text()
    rows = [line.split() for line in said.splitlines()]
    assert ["as", "it", "stands", str(toy.TRIALS), "of", str(toy.TRIALS)] in [r[:6] for r in rows]
    assert ["smoke", "4", "of", "4"] in [row[:4] for row in rows]


# --- trainings that are too short -----------------------------------------------------------------


def test_a_recipe_without_a_whole_batch_is_refused_by_the_plan(tmp_path: Path) -> None:
    recipes = {"tiny": {**toy.TOY["recipes"]["tiny"], "batch_size": 145, "drop_last": True}}
    with pytest.raises(PlanError, match=r"digits: drop_last leaves nothing of 144 training"):
        make_plan(toy.suite(recipes=recipes))
    recipes["tiny"]["batch_size"] = 100
    (base,) = of_kind(make_plan(toy.suite(recipes=recipes)), tmp_path, "BaseJob")
    assert base.trained == 100


@pytest.mark.parametrize(
    ("procedure", "options", "said"),
    [
        ("tpp", {"update_every": 50}, "left to stabilise"),
        ("greg2", {"update_every": 50}, "left to stabilise"),
        ("dhspg", {"decay": {"steps": 40}}, "behind the start"),
        ("decay", {"steps": 40}, "take 39 steps of training"),
        ("gates", {"cycles": 20}, "too short"),
    ],
)
def test_a_training_too_short_for_its_procedure_is_refused_by_the_plan(
    procedure: str, options: dict[str, Any], said: str
) -> None:
    spec = {"name": procedure, "recipe": "tiny", "options": options}
    constant = {**toy.TOY["recipes"]["tiny"], "schedule": "constant"}

    def planned(epochs: int) -> Plan:
        recipes = {"tiny": {**constant, "epochs": epochs}}
        method = {"criterion": "l1", "procedure": spec, "as": "l1"}
        return make_plan(toy.suite(methods=[method], recipes=recipes))

    with pytest.raises(PlanError) as caught:
        planned(1)  # 144 images in batches of 40
    assert re.search(r"method l1: .* 1 epoch on digits.* 4 steps", str(caught.value))
    assert said in str(caught.value)
    assert planned(300).trials
