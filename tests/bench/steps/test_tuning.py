"""Tuned recoveries: as many settings for all, one chosen on validation, all of them paid for."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
import toy
from inline_runs import Silent, go, measured
from rich.console import Console

from bench.command.planning import show_epochs
from bench.errors import Interrupted
from bench.executors import make_executor
from bench.plan.jobs import TrialJob
from bench.plan.plan import Plan, make_plan
from bench.plan.workload import load_of
from bench.run.reporting import write_report
from bench.run.run import Run
from bench.steps import workspace as workspace_module
from bench.steps.workspace import Settings
from bench.store import weights as checkpoints
from bench.store.store import Store
from bench.tracking.fields import tags
from criteria.training import Rider
from reports.records import Record
from suites.protocol import Tune
from suites.schema import Suite

IMAGES = 144  # of the toy suite's 160, those that are not validation
TINY = {"epochs": 2, "batch_size": 40, "learning_rate": 0.05}
OVER = {"learning_rate": [0.1, 0.01, 0.001], "weight_decay": [0.0, 0.01]}
TUNED = {"finetune": "tiny", "tune": {"trials": 3, "over": OVER}}
METHODS: list[Any] = [
    "l1",
    "taylor",
    {"criterion": "l1", "finetuning": "equivalent"},
    {"criterion": "l1", "prepare": {"name": "dense", "recipe": "tiny"}, "as": "longer+l1"},
]
NAMES = ["l1", "taylor", "l1+equivalent", "longer+l1"]


def suite(**changes: Any) -> Suite:
    plain: dict[str, Any] = {"methods": METHODS, "budgets": {"macs": [0.5]}, "bases": 2}
    plain |= {"recipes": {"tiny": TINY}, "recoveries": [TUNED]}
    return toy.suite(**plain | changes)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(suite())


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, plan: Plan) -> Path:
    folder = tmp_path_factory.mktemp("tuned")
    assert go(folder, plan) == {"done": 2 * len(NAMES)}
    return folder


def by_place(results: Path) -> dict[tuple[str, int], Record]:
    return {(one.labels.method, one.labels.base): one for one in toy.records(results)}


def test_all_methods_are_tried_by_the_same_settings(results: Path) -> None:
    records = by_place(results)
    drawn = {
        place: [one.settings for one in measured(record).tuned] for place, record in records.items()
    }
    for base in (0, 1):
        for name in NAMES:
            assert drawn[name, base] == drawn["l1", base]
        texts = {json.dumps(one) for one in drawn["l1", base]}
        assert len(texts) == 3  # without replacement
        assert texts < {
            json.dumps({"learning_rate": rate, "weight_decay": decay})
            for rate in OVER["learning_rate"]
            for decay in OVER["weight_decay"]
        }
    assert drawn["l1", 0] != drawn["l1", 1]


def test_each_is_the_plain_finetuning_by_its_settings(results: Path) -> None:
    """The same base, finetuned by each setting as a recipe of its own; the best is what stands."""
    for name in NAMES:
        found = measured(by_place(results)[name, 0])
        alone = []
        for one in found.tuned:
            fixed = suite(
                recipes={"tiny": TINY, "set": {**TINY, **one.settings}},
                recoveries=[{"finetune": "set"}],
                bases=1,
            )
            found_alone = make_plan(fixed).only([name])
            go(results, found_alone)
            (again,) = found_alone.records(Store(results))
            alone.append(measured(again))
        assert [one.validation_top1 for one in found.tuned] == [
            one.pruned.validation_top1 for one in alone
        ]
        tops = [one.pruned.validation_top1 or 0.0 for one in alone]
        best = tops.index(max(tops))
        assert [one.won for one in found.tuned] == [at == best for at in range(3)]
        assert found.chosen == found.tuned[best].settings
        same = ("pruned", "history", "best_validation_top1", "macs", "params", "widths")
        assert all(getattr(found, key) == getattr(alone[best], key) for key in same)
        assert found.images_trained == 3 * alone[best].images_trained == 3 * 2 * IMAGES


class Killed(Interrupted):
    """As a machine dies: nobody catches it."""


class Dying(Rider):
    def after_step(self, step: int) -> None:
        if step == 5:
            raise Killed


@pytest.mark.parametrize("name", ["taylor", "l1+equivalent"])
def test_a_trial_killed_in_its_second_setting_ends_bit_equal(
    results: Path, plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(checkpoints, "EVERY_S", 0.0)
    only = plan.only([name])
    trained, calls = workspace_module.train, list[int]()

    def dying(*arguments: Any, **more: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            arguments[4].after_step = Dying().after_step
        return trained(*arguments, **more)

    monkeypatch.setattr(workspace_module, "train", dying)
    store = Store(tmp_path)
    executor = make_executor("inline", Settings(tmp_path, tmp_path), 1, None)
    with pytest.raises(Killed):
        Run(only.pending(only.records(store)), store, executor, Silent()).to_its_end()
    left = sorted(one.stem[65:] for one in (tmp_path / "checkpoints").glob("*.pt"))
    assert left == ["part0", "part1", "tuned"]
    calls.extend([1, 1])  # nobody dies any more
    assert go(tmp_path, only) == {"done": 2}
    whole = {one.key: one for one in plan.only([name]).trials}
    expected = {key: one for key, one in toy.outcomes(results).items() if key in whole}
    assert toy.outcomes(tmp_path) == expected
    assert not list((tmp_path / "checkpoints").glob("*.pt"))


def test_masked_weights_stay_masked_whatever_is_chosen(tmp_path: Path) -> None:
    masks = make_plan(suite(methods=["l1"], budgets={"weights": [0.3]}, bases=1))
    assert go(tmp_path, masks) == {"done": 1}  # or the trial's own check fails it
    (record,) = toy.records(tmp_path)
    assert len(measured(record).tuned) == 3


def test_a_setting_that_diverges_has_lost(tmp_path: Path) -> None:
    wild = {"finetune": "tiny", "tune": {"trials": 2, "over": {"learning_rate": [1e30, 0.01]}}}
    one = make_plan(suite(methods=["l1"], bases=1, recoveries=[wild]))
    assert go(tmp_path, one) == {"done": 1}
    (record,) = one.records(Store(tmp_path))
    found = measured(record)
    assert {each.settings["learning_rate"]: each.won for each in found.tuned} == {
        1e30: False,
        0.01: True,
    }
    lost = {each.settings["learning_rate"]: each.validation_top1 for each in found.tuned}
    assert lost[1e30] is None
    assert found.images_trained == 2 * 2 * IMAGES

    all_wild = {"trials": 2, "over": {"learning_rate": [1e30, 1e31]}}
    two = make_plan(
        suite(methods=["l1"], bases=1, recoveries=[{"finetune": "tiny", "tune": all_wild}])
    )
    assert go(tmp_path, two) == {"failed": 1}
    (record,) = two.records(Store(tmp_path))
    assert record.failure is not None
    assert "no setting of learning_rate leaves a finite loss" in record.failure.message


# --- what is asked --------------------------------------------------------------------------------


def over(**values: Any) -> dict[str, Any]:
    return {"recoveries": [{"finetune": "tiny", "tune": {"trials": 2, "over": values}}]}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"datasets": [{"name": "digits", "validation": 0}]},
            "recoveries.0.tune chooses by validation images, and digits has `validation: 0`",
        ),
        ({"recoveries": [{**TUNED, "total_epochs": 9}]}, "total_epochs or tune, not both"),
        ({"recoveries": [{"kind": "bn", "tune": TUNED["tune"]}]}, "a recovery is none, bn"),
        (over(learning_rate=[0.1]), "trials = 2, and `over` has 1 combinations"),
        (over(epochs=[1, 2]), "by epochs settings would cost unequally"),
        (over(distill=[None, {}]), "by distill settings would cost unequally"),
        (over(learning_rat=[0.1, 0.2]), "recoveries.0.tune.over: .*did you mean learning_rate"),
        (over(learning_rate=[0.1, 0.2, 0.1]), "over.learning_rate = .*: each value once"),
        (over(learning_rate=[0.1, -0.2]), "recoveries.0.tune.over: learning_rate = -0.2: "),
        ({"recoveries": [TUNED, TUNED]}, "finetune-tiny-tuned3 occurs twice"),
    ],
)
def test_what_cannot_be_tuned_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        suite(**changes)


def test_the_order_of_keys_decides_nothing() -> None:
    """Keys of trials do not tell it, so settings may not hang on it."""
    keys = {"learning_rate": [0.1, 0.2], "momentum": [0.0, 0.5]}
    back = dict(reversed(keys.items()))
    assert Tune(trials=2, over=keys).grid == Tune(trials=2, over=back).grid


def test_a_plan_counts_every_setting(plan: Plan) -> None:
    fixed = make_plan(suite(recoveries=[{"finetune": "tiny"}]))
    for one, other in zip(plan.trials, fixed.trials, strict=True):
        assert one.key != other.key
        both = load_of(one), load_of(other)
        assert both[0] is not None
        assert both[1] is not None
        assert both[0].trained == 3 * both[1].trained == 3 * 2 * IMAGES
    console = Console(record=True, width=120)
    show_epochs(console, plan)
    assert "finetune-tiny-tuned3" in (said := console.export_text())
    assert re.search(r"l1\+equivalent +6\n", said)


# --- what is told ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of a suite in which the fixed recipe stands beside the tuned one."""
    folder = tmp_path_factory.mktemp("page")
    both = make_plan(suite(methods=["l1", "taylor"], recoveries=[{"finetune": "tiny"}, TUNED]))
    assert go(folder, both) == {"done": 8}
    for record in both.records(Store(folder)):
        chosen = {key: one for key, one in tags(record).items() if key.startswith("tuned.")}
        settings = measured(record).chosen
        assert chosen == {f"tuned.{key}": json.dumps(one) for key, one in settings.items()}
        assert bool(chosen) == ("tuned" in record.labels.recovery)
    write_report(both, Store(folder), folder / "out", formats=["html"], figures=["accuracy_cost"])
    return html.unescape((folder / "out" / "index.html").read_text())


def test_the_page_has_a_panel_of_the_tuned_beside_the_fixed(page: str) -> None:
    words = "finetune-tiny (tuned alike, 3 settings)"
    assert "<h3>After finetune-tiny</h3>" in page
    assert f"<h3>After {words}</h3>" in page
    assert f"What was chosen (how often) after {words}" in page
    assert "learning_rate (0.1, 0.01, 0.001), weight_decay (0.0, 0.01)" in page
    assert "3 settings are drawn of 6: " in page


def test_a_tuned_trial_is_told_from_a_fixed_one_by_its_settings(plan: Plan) -> None:
    for trial in plan.trials:
        assert isinstance(trial, TrialJob)
        assert trial.identity["tune"] == {"trials": 3, "over": OVER}
    assert len({trial.key for trial in plan.trials}) == len(plan.trials)
