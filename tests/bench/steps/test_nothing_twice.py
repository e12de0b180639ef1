"""What is shared is what each would have got alone: the records are equal to the bit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import toy
from inline_runs import go
from sources import unregistering

from bench.plan.makers import Maker
from bench.plan.plan import Plan, make_plan
from bench.steps import paths, trial
from criteria import load_plugin
from reports.records import Record

STEPWISE = {"steps": 2}
METHODS: list[Any] = [
    "random",
    {"criterion": "l1", "matched": ["random"]},
    {"criterion": "taylor", "matched": ["l1"]},
    *({"criterion": one, "iterative": STEPWISE} for one in ("l2", "taylor", "thinet", "random")),
]


def suite_of(**changes: Any) -> Plan:
    given: dict[str, Any] = {"methods": METHODS, "repeats": 2, "recoveries": ["none"]}
    return make_plan(toy.suite(**given | changes))


Place = tuple[str, float | None, str, int]


def found(results: Path) -> dict[Place, tuple[Record, dict[str, Any]]]:
    """Records and what they have measured, by what they are of."""
    by_place = {}
    for one in toy.records(results):
        assert one.measurements is not None, one.failure
        place = (one.labels.method, one.labels.budget, one.labels.recovery, one.labels.repeat)
        by_place[place] = (one, one.measurements.model_dump(exclude={"latency"}))
    return by_place


def test_one_for_all_repeats_is_what_each_repeat_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, apart = tmp_path / "together", tmp_path / "apart"
    plan = suite_of()
    go(together, plan)
    monkeypatch.setattr(Maker, "varies", lambda *_: True)
    go(apart, suite_of())
    shared, each = found(together), found(apart)
    fixed = {"l1", "l2-2"}
    assert len(each) - len(shared) == len(fixed) * 2  # budgets, in a second repeat
    for (method, budget, recovery, repeat), (record, measured) in each.items():
        assert not record.labels.all_repeats
        place = method, budget, recovery, 0 if method in fixed else repeat
        assert shared[place][0].labels.all_repeats == (method in fixed)
        assert shared[place][1] == measured  # to the last bit of accuracy and loss


def test_steps_that_begin_at_the_dense_network_share_its_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stepwise = [one for one in METHODS if isinstance(one, dict) and "iterative" in one]
    plan = suite_of(methods=stepwise, repeats=1, analysis={"control": "l2-2"})
    together, apart = tmp_path / "together", tmp_path / "apart"
    scored: list[str] = []
    anew = paths.rescorer

    def counted(job: Any, workspace: Any, base: Any) -> Any:
        score, total = anew(job, workspace, base)

        def count(model: Any, groups: Any) -> Any:
            scored.append(job.criterion.name)
            return score(model, groups)

        return count, total

    monkeypatch.setattr(paths, "rescorer", counted)
    go(together, plan)
    # All stops but the first; what draws draws for every one by itself.
    assert Counter(scored) == {"l2": 2, "taylor": 2, "random": 3, "thinet": 3}
    load = paths.load_scores
    monkeypatch.setattr(paths, "load_scores", lambda *given: (*load(*given)[:2], True))
    go(apart, plan)
    assert len(scored) == 10 + 3 * len(stepwise)
    one, other = found(together), found(apart)
    assert {place: measured for place, (_, measured) in one.items()} == {
        place: measured for place, (_, measured) in other.items()
    }
    # What a method looks at is what it costs it, shared or not.
    assert one["taylor-2", 0.5, "none", 0][1]["images_scored"] == 3 * 32


def test_what_draws_without_saying_so_is_told_how_to(tmp_path: Path) -> None:
    with unregistering():
        load_plugin(toy.plugin(tmp_path, "sly", "torch.rand(1, generator=self.generator)"))
        go(tmp_path / "results", suite_of(methods=["sly", "l1"], repeats=1))
    for one in toy.records(tmp_path / "results"):
        if one.labels.method == "sly":
            assert one.failure is not None
            assert "register it with chance=True" in one.failure.message
        else:
            assert one.status == "done"


def test_networks_cut_alike_are_recovered_and_tested_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A control by the criterion of its method leaves what that leaves."""
    plan = suite_of(
        methods=[{"criterion": "taylor", "matched": ["taylor"]}, "l1"],
        recoveries=["none", "bn", {"finetune": "tiny"}],
        train_accuracy=True,
        repeats=1,
    )
    together, apart = tmp_path / "together", tmp_path / "apart"
    go(together, plan)
    cut = trial._cut

    def forgetful(job: Any, workspace: Any, base: Any, network: Any) -> Any:
        base.came.clear()
        base.counted.clear()
        return cut(job, workspace, base, network)

    monkeypatch.setattr(trial, "_cut", forgetful)
    go(apart, plan)
    shared, each = found(together), found(apart)
    assert {place: one for place, (_, one) in shared.items()} == {
        place: one for place, (_, one) in each.items()
    }
    equal = {place: one.costs.equal_to for place, (one, _) in shared.items() if one.costs}
    pairs = {place for place, of in equal.items() if of is not None}
    assert len(pairs) == 3 * 2  # recoveries, budgets
    for method, *rest in pairs:
        other = "taylor" if method == "taylor~taylor" else "taylor~taylor"
        first, second = shared[method, *rest][0], shared[other, *rest][0]
        assert equal[method, *rest] == second.key
        assert first.costs is not None
        assert second.costs is not None
        assert first.costs.recovery_s == second.costs.recovery_s
    assert all(one.costs.equal_to is None for one, _ in each.values() if one.costs)
