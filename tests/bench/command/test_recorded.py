"""The name of a suite that has been run is enough afterwards, whatever options it was run with."""

from __future__ import annotations

from pathlib import Path

import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture
from rich.console import Console

from bench.command.arguments import ChosenSuite
from bench.plan.outline import record_suite, recorded_suites
from bench.plan.plan import make_plan
from bench.store.sealed import read_json, write_json
from bench.store.store import Store
from suites import library, load_suite, resolved

SMALL = {"budgets": {"macs": [0.5]}, "recoveries": ["none"], "bases": 2}
PLUGIN = '''
from criteria import Criterion, register

@register("largest", cite="nobody", faithful="an example")
class Largest(Criterion):
    """The largest weight of a channel."""

    def observe(self, batch):
        for member in self.members:
            self.add(member, member.view(batch.weights).abs().amax(1))
'''
KEY = "methods=[l1, largest]"


@pytest.fixture
def results(session: Path, tmp_path: Path) -> Path:
    return toy.prepared(session, tmp_path / "results")


@pytest.mark.parametrize("name", library())
def test_a_resolved_suite_is_the_same_suite(name: str) -> None:
    for scale in (None, "smoke"):
        suite = load_suite(name, scale=scale)
        again = load_suite("it", recorded={"it": resolved(suite)})
        assert resolved(again) == resolved(suite)


def test_its_plan_has_the_same_keys(tmp_path: Path) -> None:
    suite, store = toy.suite(), Store(tmp_path)
    plan = make_plan(suite)
    record_suite(plan, [], store)
    recorded = recorded_suites(store)["toy"]
    assert [one.key for one in recorded.trials] == [one.key for one in plan.trials]
    assert recorded.outline.expected == plan.expected
    again = make_plan(load_suite("it", recorded={"it": recorded.suite}))
    assert [one.key for one in again.trials] == [one.key for one in plan.trials]
    assert not recorded.outdated
    assert recorded.model_copy(update={"code": "of yesterday"}).outdated


@pytest.mark.usefixtures("inkless")
def test_every_verb_takes_the_name_alone(bench: Command, results: Path, tmp_path: Path) -> None:
    file, plugin = toy.write_suite(tmp_path, **SMALL), tmp_path / "largest.py"
    plugin.write_text(PLUGIN)
    options = ("--set", "suite=mine", "--set", KEY, "--plugin", plugin)
    there = ("--results", results)
    done = bench("run", file, *options, *there, "--executor", "inline", "--allow-untrained")
    assert done.code == 0, done.out + done.err
    by_options = bench("compare", "largest", "l1", "--suite", file, *options, *there).out
    file.unlink()
    plugin.rename(tmp_path / "moved.py")  # reports need neither

    status = bench("status", "mine", *there).out
    assert status.count("2/2") == 2
    assert "largest" in status
    title, changed, *told = bench("compare", "largest", "l1", "--suite", "mine", *there).out.split(
        "\n"
    )
    assert "\n".join([title, *told]) == by_options
    assert changed.startswith(f"There is no plugin {plugin} any more, without which largest cannot")
    assert bench("report", "mine", *there, "--format", "csv").code == 0
    assert "0 of 4 trials were missing" in bench("sync", "mine", *there).out
    (row,) = [line for line in bench("status", *there).out.splitlines() if "mine" in line]
    assert "4/4" in row
    assert "(did you mean mine?)" in bench("status", "mien", *there).err

    assert "moved" not in (missing := bench("plan", "mine", *there)).err
    assert missing.code == 2
    assert "largest.py: there is no such file" in missing.err
    (tmp_path / "moved.py").rename(plugin)
    odd = "methods=[l1, largest, nosuch]"
    assert f"--set {odd}: " in (wrong := bench("plan", "mine", "--set", odd, *there)).err
    assert "no criterion 'largest'" not in wrong.err
    again = bench("run", "mine", *there, "--executor", "inline", "--allow-untrained")
    assert "4 finished before, 0 to go" in again.out
    more = bench(
        "run", "mine", "--set", "bases=3", *there, "--executor", "inline", "--allow-untrained"
    )
    assert "6 trials, 4 finished before, 2 to go" in more.out
    assert bench("status", "mine", *there).out.count("3/3") == 2


def test_what_was_run_goes_before_the_librarys(bench: Command, tmp_path: Path) -> None:
    few = ["methods=[l1, random]", "bases=1"]
    store = Store(tmp_path / "results")
    record_suite(make_plan(load_suite("quickstart")), [], store)
    assert "library's" not in bench("status", "quickstart").out
    record_suite(make_plan(load_suite("quickstart", few)), [], store)
    said = bench("status", "quickstart").out
    assert "the library's has other settings" in said
    quiet = Console(quiet=True)
    assert ChosenSuite(name="quickstart").outline(quiet).suite.method_names == ["l1", "random"]
    assert "library's" not in bench("status", "quickstart", "--set", "bases=1").out
    assert (
        len(ChosenSuite(name="quickstart", overrides=["bases=1"]).outline(quiet).suite.method_names)
        > 2
    )


def test_what_another_version_wrote_is_set_aside_and_said(bench: Command, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    record_suite(make_plan(toy.suite()), [], store)
    ours = store.root / "suites" / "toy.json"
    write_json(ours.with_name("future.json"), read_json(ours) | {"later": 1})
    assert "another version of this program" in bench("status").out
    assert list(recorded_suites(store)) == ["toy"]


def test_code_that_has_changed_since_is_said(bench: Command, tmp_path: Path) -> None:
    store = Store(tmp_path / "results")
    plugin = tmp_path / "largest.py"
    plugin.write_text(PLUGIN)
    record_suite(make_plan(toy.suite()), [plugin], store)
    assert "has changed" not in bench("status", "toy").out
    plugin.write_text(PLUGIN.replace("amax", "amin"))
    assert "The code of criteria has changed since" in bench("status", "toy").out
    assert bench("status", "--smoke").code == 2
