"""Pruning at initialisation: untrained networks are scored, trained, held against dense ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from command_line import Command
from command_line import bench as bench  # the fixture
from inline_runs import go, measured

from bench.plan.graph import job_graph
from bench.plan.jobs import BaseJob, TrialJob
from bench.plan.plan import Plan, make_plan
from bench.steps.workspace import Settings, Workspace
from bench.store.store import Store
from suites.schema import Suite

RECIPES = {"tiny": {"epochs": 2, "batch_size": 40, "learning_rate": 0.05}}
IMAGES = 144
METHODS: list[Any] = [
    "l1",
    {"criterion": "snip", "options": {"bn_mode": "batch"}, "matched": ["random"], "as": "snip"},
    {"criterion": "synflow", "iterative": {"steps": 5, "schedule": "geometric"}, "as": "synflow"},
]


def suite(**changes: Any) -> Suite:
    return toy.suite(
        **{
            "models": [{"name": "vgg_small", "recipe": False}],
            "methods": METHODS,
            "budgets": {"weights": [1.0, 0.2]},
            "bases": 2,
            "recipes": RECIPES,
            "recoveries": [{"finetune": "tiny"}],
            **changes,
        }
    )


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(suite())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Path:
    folder = tmp_path_factory.mktemp("init")
    assert go(folder, plan) == {"done": 4 * 2 * 2}
    return folder


def trials(plan: Plan) -> list[TrialJob]:
    return [one for one in plan.trials if isinstance(one, TrialJob)]


def test_each_base_is_an_untrained_network_of_its_own_and_has_a_trained_twin(
    results: Path, plan: Plan
) -> None:
    workspace = Workspace(Settings(results, results))
    seen = []
    for number in (0, 1):
        job = next(one for one in trials(plan) if one.labels.base == number)
        assert job.dense is not None
        base, dense = workspace.base(job.at.base), workspace.base(job.dense)
        assert (base.history, len(dense.history)) == ([], RECIPES["tiny"]["epochs"])
        first = workspace.fresh_model(job.dense, dense.data).state_dict()
        now = base.network.model.state_dict()
        assert all(torch.equal(now[name], first[name]) for name in first)
        assert base.data.digest == dense.data.digest
        seen.append(now["classifier.weight"])
    assert not torch.equal(*seen)


def test_what_is_left_is_trained_and_held_against_the_dense_network_trained_alike(
    results: Path, plan: Plan
) -> None:
    workspace = Workspace(Settings(results, results))
    for job in trials(plan):
        record = Store(results).record(job.key)
        assert record is not None
        got = measured(record)
        assert job.dense is not None
        assert got.dense == workspace.base(job.dense).accuracy
        assert got.images_trained == RECIPES["tiny"]["epochs"] * IMAGES
        kept, total = (sum(column) for column in zip(*got.weights.values(), strict=True))
        assert kept == round(job.budget * total)


def test_where_nothing_leaves_all_methods_are_one_network(results: Path) -> None:
    whole = {
        (one.labels.base, measured(one).pruned.loss)
        for one in toy.records(results)
        if one.labels.budget == 1
    }
    assert len(whole) == 2
    assert len({base for base, _ in whole}) == 2


def test_a_dense_network_is_trained_once_a_base(plan: Plan, tmp_path: Path) -> None:
    jobs = job_graph(plan.trials, Store(tmp_path)).jobs.values()
    bases = [one for one in jobs if isinstance(one, BaseJob)]
    assert sorted(bool(one.recipe) for one in bases) == [False, False, True, True]


def test_equal_compute_is_that_of_the_dense_network() -> None:
    recoveries = [{"finetune": "tiny", "total_epochs": 5}]
    (dense,) = {one.dense for one in trials(make_plan(suite(recoveries=recoveries, bases=1)))}
    assert dense is not None
    assert dense.recipe is not None
    assert dense.recipe.epochs == 5


@pytest.mark.parametrize(
    "recoveries",
    [
        ["none"],
        ["bn"],
        [{"finetune": "tiny"}, "none"],
        [{"finetune": "taught"}],
        [{"finetune": "tiny", "tune": {"trials": 2, "over": {"learning_rate": [0.1, 0.01]}}}],
    ],
)
def test_recoveries_that_say_nothing_of_an_untrained_network_are_refused(
    recoveries: list[Any],
) -> None:
    recipes = {**RECIPES, "taught": {**RECIPES["tiny"], "distill": {}}}
    with pytest.raises(ValueError, match=r"are untrained .* give one \{finetune: RECIPE\}"):
        suite(recoveries=recoveries, recipes=recipes)


def test_an_untrained_network_teaches_nobody() -> None:
    recipes = {**RECIPES, "taught": {**RECIPES["tiny"], "distill": {}}}
    way = {"criterion": "l1", "iterative": {"steps": 2, "recover": "taught"}, "as": "way"}
    with pytest.raises(ValueError, match="recipe 'taught' distills from the base"):
        suite(methods=["l1", way], recipes=recipes)


def test_an_untrained_network_has_no_epoch_to_rewind_to() -> None:
    imp = {"steps": 2, "rewind": {"what": "weights", "to": 0}}
    with pytest.raises(ValueError, match="are not trained here"):
        suite(methods=["l1", {"criterion": "l1", "iterative": imp, "as": "imp"}])


@pytest.mark.usefixtures("inkless")
def test_by_the_command_the_page_says_what_dense_means(
    bench: Command, session: Path, tmp_path: Path
) -> None:
    results = toy.prepared(session, tmp_path / "results")
    path = toy.write_suite(
        tmp_path,
        "at-init",
        models=[{"name": "vgg_small", "recipe": False}],
        methods=["l1"],
        budgets={"weights": [0.2]},
        recipes=RECIPES,
        recoveries=[{"finetune": "tiny"}],
    )
    done = bench("run", "--allow-untrained", path, "--results", results, "--executor", "inline")
    assert done.code == 0, done.out + done.err
    page = (results / "reports" / "at-init" / "index.html").read_text()
    assert "has the same first weights, trained whole by the recipe of the recovery" in page
