"""Train/validation splits: one a base or one for all; equal for whatever stands on a base."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from inline_runs import go, measured

from bench.data.datasets import Dataset, load_dataset
from bench.data.images import ArrayImages, Images
from bench.plan.graph import job_graph
from bench.plan.jobs import BaseJob, OracleJob, PreparedJob
from bench.plan.plan import Plan, make_plan
from bench.plan.sizes import DatasetSize, dataset_size
from bench.run.reporting import write_report
from bench.steps.workspace import Settings, Workspace
from bench.store.store import Store
from bench.tracking.fields import metrics
from reports.page import wording
from suites import FidelitySuite

GIVEN = {"name": "vgg_small", "checkpoint": "given.pt"}


def plan_of(**changes: Any) -> Plan:
    return make_plan(toy.suite(**{"bases": 2, **changes}))


def bases(plan: Plan) -> list[BaseJob]:
    """Of every model, in order; each once."""
    stood_on = (trial.at.base for trial in plan.trials)
    found = [one.base if isinstance(one, PreparedJob) else one for one in stood_on]
    return list({one.key: one for one in found}.values())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(Settings(tmp_path, tmp_path))


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`given.pt`, which a plan digests and does not read."""
    monkeypatch.chdir(tmp_path)
    torch.save({}, "given.pt")


def places(images: Images) -> set[int]:
    """Which of the images of the dataset as it is given."""
    assert isinstance(images, ArrayImages)
    return set(images.chosen.tolist())


def test_bases_learn_from_other_images_and_are_tested_on_the_same(workspace: Workspace) -> None:
    one, two = map(workspace.dataset, bases(plan_of()))
    for data in (one, two):
        assert (len(data.train), len(data.validation)) == (144, 16)
        assert not places(data.train) & places(data.validation)
    pools = [places(data.train) | places(data.validation) for data in (one, two)]
    assert pools[0] == pools[1]
    assert len(places(one.validation) & places(two.validation)) < 8  # 1.6 expected
    assert places(one.test) == places(two.test)
    assert one.digest != two.digest


def test_the_splits_of_a_dataset_share_its_pixels_in_memory(workspace: Workspace) -> None:
    def pixels(data: Dataset) -> torch.Tensor:
        assert isinstance(data.train, ArrayImages)
        return data.train.pixels

    one, two = map(workspace.dataset, bases(plan_of()))
    assert pixels(one) is pixels(two)


def test_fixed_is_one_split_and_the_one_of_the_dataset_itself(
    workspace: Workspace, tmp_path: Path
) -> None:
    plan = plan_of(splits="fixed", models=["vgg_small", "resnet20"])
    spec = plan.suite.datasets[0]
    found = {workspace.dataset(base).digest for base in bases(plan)}
    assert found == {load_dataset(spec, tmp_path, tmp_path).digest}


def test_every_base_of_every_model_draws_for_itself(workspace: Workspace) -> None:
    """Bases of two problems that shared a split would not be independent."""
    drawn = bases(plan_of(models=["vgg_small", "resnet20"], bases=3))
    held_out = [frozenset(places(workspace.dataset(base).validation)) for base in drawn]
    assert len(set(held_out)) == len(held_out) == 6


def test_all_that_stands_on_a_base_has_its_split(workspace: Workspace) -> None:
    """Methods, controls, preparations, calibration draws and recoveries: comparisons are paired."""
    prepared = {"criterion": "l1", "prepare": {"name": "dense", "recipe": "tiny"}, "as": "longer"}
    plan = plan_of(methods=[*toy.TOY["methods"], prepared], repeats=2)
    digests: dict[int, set[str]] = {}
    for trial in plan.trials:
        data = workspace.dataset(trial.at.base)
        digests.setdefault(trial.labels.base, set()).add(data.digest)
    assert [len(several) for several in digests.values()] == [1, 1]
    assert digests[0] != digests[1]


def test_oracles_are_measured_on_the_validation_images_of_their_base(tmp_path: Path) -> None:
    shared = ("datasets", "models", "base_recipe", "recipes", "calibration")
    suite = FidelitySuite.model_validate(
        {
            **{key: toy.TOY[key] for key in shared},
            **{"suite": "probe", "kind": "fidelity", "methods": ["l1", "taylor"], "bases": 2},
        }
    )
    jobs = job_graph(make_plan(suite).trials, Store(tmp_path)).jobs.values()
    splits = [job.base.split for job in jobs if isinstance(job, OracleJob)]
    assert [split["base"] for split in splits] == [0, 1]


# --- who draws --------------------------------------------------------------------------------


@pytest.mark.usefixtures("checkpoint")
@pytest.mark.parametrize(
    ("splits", "model", "own"),
    [
        (None, "vgg_small", True),
        (None, GIVEN, False),
        ("fixed", "vgg_small", False),
        ("per_base", GIVEN, True),
    ],
)
def test_fresh_weights_draw_and_given_ones_do_not_unless_the_suite_says_so(
    splits: str | None, model: Any, own: bool
) -> None:
    plan = plan_of(splits=splits, models=[model])
    assert [base.own_split for base in bases(plan)] == [own, own]
    words = "drawn anew for each base" if own else "the same for all bases"
    assert wording.splits(plan.suite) == words


@pytest.mark.usefixtures("checkpoint")
def test_models_of_one_suite_are_told_apart() -> None:
    plan = plan_of(models=["resnet20", GIVEN])
    assert [base.own_split for base in bases(plan)] == [True, True, False, False]
    assert wording.splits(plan.suite) == (
        "drawn anew for each base (resnet20); the same for all bases (vgg_small)"
    )


def test_networks_that_are_taken_as_they_are_have_no_split_to_draw() -> None:
    untrained = {**GIVEN, "recipe": False}
    with pytest.raises(ValueError, match=r"splits = per_base, but vgg_small has `recipe: false`"):
        toy.suite(models=[untrained], splits="per_base")
    suite = toy.suite(models=[untrained])
    assert not suite.own_splits(suite.datasets[0], suite.models[0])


@pytest.mark.usefixtures("checkpoint")
def test_whether_the_split_is_its_own_is_in_every_key() -> None:
    fixed, own, default = (plan_of(splits=one) for one in ("fixed", "per_base", None))
    assert [one.key for one in default.trials] == [one.key for one in own.trials]
    for one, other in zip(fixed.trials, own.trials, strict=True):
        for job, twin in zip((*one.stands_on, one), (*other.stands_on, other), strict=True):
            assert job.key != twin.key
    assert not any(base.identity["own_split"] for base in bases(fixed))
    given = [plan_of(models=[GIVEN], splits=one) for one in ("fixed", None)]
    assert [one.key for one in given[0].trials] == [one.key for one in given[1].trials]


# --- a run ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("splits", "digests"), [("per_base", 2), ("fixed", 1)])
def test_a_run_from_suite_to_page(tmp_path: Path, splits: str, digests: int) -> None:
    plan = plan_of(methods=["l1", "taylor"], budgets={"macs": [0.5]}, splits=splits)
    store = Store(tmp_path)
    assert go(tmp_path, plan) == {"done": 8}
    found = plan.records(store)
    by_base = {
        base: {one.provenance["dataset_sha256"] for one in found if one.labels.base == base}
        for base in (0, 1)
    }
    assert [len(several) for several in by_base.values()] == [1, 1]
    assert len(set.union(*by_base.values())) == digests
    assert {measured(one).test_images for one in found} == {60}
    assert all(
        abs(60 * measured(one).pruned.top1 - round(60 * measured(one).pruned.top1)) < 1e-9
        for one in found
    )

    write_report(plan, store, tmp_path / "out", formats=["html"], figures=["widths"])
    page = html.unescape((tmp_path / "out" / "index.html").read_text())
    words = {"per_base": "drawn anew for each base", "fixed": "the same for all bases"}[splits]
    assert f"The split into training and validation images is {words}; test images never" in page
    assert "One test image of digits (60 images) is worth 1.7 points." in page
    assert (
        "One test image of digits (60 images) is worth 1.7 points, more than the ROPE of "
        "0.2 points. Smaller differences are no finding." in page
    )


def test_a_run_that_holds_nothing_out_learns_from_all_and_calls_no_epoch_best(
    tmp_path: Path,
) -> None:
    whole = {"name": "digits", "train_images": 160, "test_images": 60, "validation": 0}
    longer = {"tiny": {"epochs": 2, "batch_size": 40, "learning_rate": 0.05}}
    plan = plan_of(methods=["l1", "taylor"], datasets=[whole], recipes=longer)
    held_none = bases(plan)
    workspace = Workspace(Settings(tmp_path, tmp_path))
    for base in held_none:
        data = workspace.dataset(base)
        assert (len(data.train), len(data.validation)) == (160, 0)
        assert dataset_size(base.dataset) == DatasetSize(
            train=160, validation=0, test=60, classes=10, channels=1, image_size=8
        )
    assert {base.own_split for base in held_none} == {False}  # there is nothing to draw
    fixed = plan_of(methods=["l1", "taylor"], datasets=[whole], recipes=longer, splits="fixed")
    assert [one.key for one in bases(fixed)] == [one.key for one in held_none]

    store = Store(tmp_path)
    assert go(tmp_path, plan) == {"done": 16}
    found = plan.records(store)
    for record in found:
        result = measured(record)
        assert result.pruned.validation_top1 is result.dense.validation_loss is None
        assert result.best_validation_top1 is None
        assert [one.validation_top1 for one in result.history] == [None] * len(result.history)
        assert result.images_trained == 160 * len(result.history)
        names = {name for name, _, _ in metrics(record)}
        assert "eval/test_top1" in names
        assert not any("validation" in name for name in names)

    write_report(plan, store, tmp_path / "out", formats=["html"])
    page = html.unescape((tmp_path / "out" / "index.html").read_text())
    assert (
        "digits: all of its training images are learned from, and none are held out for validation"
        in page
    )
    assert "best validation" not in page
    assert "stands beside it" not in page
    assert "The last epoch is reported. Nothing was chosen on the test images." in page
    assert wording.splits(plan.suite) == "none, as all are learned from"


def test_problems_with_and_without_validation_images_are_told_apart() -> None:
    two = [{"name": "digits", "label": "whole", "validation": 0}, "digits"]
    suite = plan_of(datasets=two).suite
    assert wording.splits(suite) == (
        "none, as all are learned from (whole); drawn anew for each base (vgg_small)"
    )


def test_what_looks_at_validation_images_is_refused_where_there_are_none() -> None:
    with pytest.raises(ValueError, match=r"dataset digits: `validation: 0` is not for .*fidelity"):
        FidelitySuite.model_validate(
            {
                "suite": "without",
                "kind": "fidelity",
                "datasets": [{"name": "digits", "validation": 0}],
                "models": ["vgg_small"],
                "methods": ["l1"],
            }
        )
