"""The declaration of a suite: written before its first trial, kept, and never quietly changed."""

from __future__ import annotations

import html
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture
from rich.console import Console
from synthetic import failed, record

from bench.plan.plan import Plan, make_plan
from bench.run.declaring import declare, declared, footing_of
from bench.run.reporting import report_holds, write_own_report
from bench.run.session import saying_damage
from bench.store.store import Store

SMALL: dict[str, Any] = {
    "methods": ["random", "l1", "taylor"],
    "budgets": {"macs": [0.5]},
    "recoveries": ["none"],
}


def plan_of(**changes: Any) -> Plan:
    return make_plan(toy.suite(**SMALL | changes))


def finish(store: Store, plan: Plan, trials: int, *, failing: bool = False) -> None:
    """Records of the first trials of a plan, made up."""
    for trial in plan.trials[:trials]:
        made = failed(trial.labels, "boom") if failing else record(trial.labels, 0.8)
        mine: dict[str, Any] = {"identity": trial.identity, "key": trial.key}
        store.write_record(made.model_copy(update=mine))


def said_of(plan: Plan, store: Store, *, runs: bool = True) -> str:
    """What `bench run` says as it declares a plan."""
    out = io.StringIO()
    declare(plan, store, plan.records(store), Console(file=out, width=300), runs=runs)
    return out.getvalue()


def file(store: Store) -> Path:
    return store.path("declared", "toy", ".json")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


def test_a_first_run_declares_and_a_resumed_one_leaves_it_as_it_is(store: Store) -> None:
    plan = plan_of()
    assert said_of(plan, store) == (
        "declared: control l1, level 0.05, ROPE ± 0.2 points, 3 methods, 1 problem, 1 base "
        f"({os.path.relpath(store.root / 'declared/toy.json')})\n"
    )
    (first,) = declared(plan, store)
    assert (first.finished, first.trials) == (0, 3)
    assert plan.suite.analysis.model_dump().items() <= first.design.items()
    before = file(store).read_bytes()
    for trials in range(4):
        finish(store, plan, trials)
        assert said_of(plan, store, runs=trials < 3) == ""
    assert file(store).read_bytes() == before
    assert footing_of(plan, store, plan.records(store)).notices == []


@pytest.mark.usefixtures("inkless")
def test_parts_of_a_plan_declare_the_whole_of_it(
    bench: Command, session: Path, tmp_path: Path
) -> None:
    """Nothing differs for `--methods`, `--repeats` and shards; and nothing runs before it."""
    looks = f"assert os.path.exists({str(tmp_path / 'r/declared/toy.json')!r})"
    plugin = toy.plugin(tmp_path, "looks", looks)
    path = toy.write_suite(tmp_path, **SMALL | {"methods": ["looks", "l1", "random"]}, repeats=2)
    toy.prepared(session, tmp_path / "r")
    run = [
        "run",
        "--allow-untrained",
        path,
        "--results",
        "r",
        "--executor",
        "inline",
        "--plugin",
        plugin,
    ]
    first = bench(*run, "--methods", "looks", "--repeats", 1)
    assert first.code == 0, first.out + first.err
    assert "declared: control l1" in first.out
    assert "3 methods, 1 problem, 1 base (r/declared/toy.json)" in first.out
    before = (tmp_path / "r/declared/toy.json").read_bytes()
    for more in (["--shard", "1/2"], ["--shard", "2/2"], []):
        done = bench(*run, *more)
        assert done.code == 0, done.out + done.err
        assert "declared" not in done.out
    assert (tmp_path / "r/declared/toy.json").read_bytes() == before
    assert toy.count(tmp_path / "r") == 4  # one stands for both repeats where nothing is drawn


def test_where_nothing_runs_nothing_is_declared(store: Store) -> None:
    plan = plan_of()
    finish(store, plan, 3)
    assert said_of(plan, store, runs=False) == ""
    assert declared(plan, store) == []
    found = footing_of(plan, store, plan.records(store))
    assert found.date is None
    assert "Not known" in found.declared


def test_while_nothing_is_finished_a_new_design_takes_its_place(store: Store) -> None:
    said_of(plan_of(), store)
    finish(store, plan_of(), 3, failing=True)  # which shows no result
    other = plan_of(analysis={"control": "random"}, bases=2)
    assert said_of(other, store).startswith("declared: control random")
    (only,) = declared(other, store)
    assert (only.finished, only.design["bases"]) == (0, 2)


def test_afterwards_it_goes_behind_the_first_and_is_said(store: Store) -> None:
    plan = plan_of()
    said_of(plan, store)
    finish(store, plan, 2)
    more = plan_of(methods=[*SMALL["methods"], "l2"])
    assert said_of(more, store) == (
        "not as declared: methods added after 2 of 4 trials had finished: l2\n"
    )
    finish(store, more, 4)
    again = said_of(plan_of(methods=more.suite.method_names, analysis={"control": "l2"}), store)
    assert again.splitlines() == [
        "not as declared: another control after 4 of 4 trials had finished: l2 instead of l1",
        "not as declared: methods added after 2 of 4 trials had finished: l2",
    ]
    assert [one.finished for one in declared(plan, store)] == [0, 2, 4]
    assert said_of(plan, store, runs=False) == ""  # as declared again, which is noted too
    assert len(declared(plan, store)) == 4


def test_results_of_an_earlier_plan_of_the_suite_count_as_seen(store: Store) -> None:
    """Nothing of the new plan is finished, but the suite has shown results."""
    said_of(plan_of(), store)
    finish(store, plan_of(), 3)
    other = plan_of(methods=["l2", "lamp"], analysis={"control": "l2"})
    assert not other.records(store)
    said = said_of(other, store)
    assert "methods taken out after 3 of 5 trials had finished: random, l1, taylor" in said
    assert [one.finished for one in declared(other, store)] == [0, 3]


def test_results_under_other_settings_count_as_seen(store: Store) -> None:
    """The names are the same; of what looks at images, no key is."""
    said_of(plan_of(), store)
    finish(store, plan_of(), 3)
    other = plan_of(calibration={"images": 16, "batch_size": 16})
    changed = "other settings after 3 of 5 trials had finished: calibration"
    assert said_of(other, store) == f"not as declared: {changed}\n"
    finish(store, other, 3)
    assert footing_of(other, store, other.records(store)).exploratory == [changed]


def test_a_suite_of_another_name_does_not_wash_results_clean(store: Store) -> None:
    finish(store, plan_of(), 3)
    copy = plan_of(suite="again", methods=[*SMALL["methods"], "l2"])
    assert said_of(copy, store).splitlines()[1:] == [
        "not as declared: the declaration came after 3 of 4 trials had finished"
    ]


@pytest.mark.parametrize("damage", [b"", b"null", b"[]", b'{"declarations": []}\n'])
def test_a_damaged_declaration_is_set_aside_and_the_next_knows_that_it_is_late(
    store: Store, damage: bytes
) -> None:
    plan = plan_of()
    said_of(plan, store)
    finish(store, plan, 2)
    file(store).write_bytes(damage)
    out = io.StringIO()
    with saying_damage(store, Console(file=out, width=300)):
        said = said_of(plan, store)
    assert out.getvalue().startswith("damaged declared/toy.json: ")
    assert (store.root / "damaged" / "declared-toy.json").read_bytes() == damage
    assert "the declaration came after 2 of 3 trials had finished" in said


def test_one_edited_value_is_damage(store: Store) -> None:
    plan = plan_of()
    said_of(plan, store)
    text = file(store).read_text()
    file(store).write_text(text.replace('"rope": 0.2', '"rope": 2.2'))
    assert declared(plan, store) == []


@pytest.mark.usefixtures("inkless")
def test_a_report_is_made_anew_where_the_declaration_has_changed(store: Store) -> None:
    plan = plan_of()
    finish(store, plan, 3)
    records = plan.records(store)
    write_own_report(plan, store, records)
    assert report_holds(plan, store, records)
    said_of(plan, store)
    assert not report_holds(plan, store, records)
    page = write_own_report(plan, store, records).read_text()
    assert "the declaration came after 3 of 3 trials had finished" in page
    assert report_holds(plan, store, records)


def text_of(page: Path) -> str:
    return " ".join(html.unescape(page.read_text()).replace("\N{NO-BREAK SPACE}", " ").split())


@pytest.mark.usefixtures("inkless")
def test_from_the_first_run_to_the_page_by_the_command(
    bench: Command, session: Path, tmp_path: Path
) -> None:
    path = toy.write_suite(tmp_path, **SMALL)
    toy.prepared(session, tmp_path / "r")
    page = tmp_path / "r" / "reports" / "toy" / "index.html"

    def on(verb: str, *more: object) -> str:
        done = bench(verb, *more, "--results", "r")
        assert done.code == 0, done.out + done.err
        return done.out

    run = ("run", "--allow-untrained", path, "--executor", "inline")
    assert "declared: control l1" in on(*run, "--methods", "l1,random")
    assert "<b>Interim:</b> 2 of 3 trials have run." in text_of(page)
    assert "<b>Exploratory:</b>" not in text_of(page)
    on(*run)
    assert ", before any trial had finished: control l1, level 0.05" in text_of(page)
    assert '<div class="notice"' not in text_of(page)
    headline = json.loads((page.parent / "headline.json").read_text())
    (notice,) = headline["notices"]  # toy networks guess; all else is as it was declared
    assert notice.startswith("Near chance: dense networks do hardly more than guess on vgg_")
    assert headline["declared"].startswith("20")

    changed = "another control after 3 of 3 trials had finished: random instead of l1"
    on("report", path, "--set", "analysis.control=random", "--out", "other")
    assert f"<li>{changed}</li>" in text_of(tmp_path / "other" / "index.html")
    other = ["--suite", path, "--set", "analysis.control=random"]
    assert f"Exploratory: {changed}." in on("compare", "l1", "random", *other)
    same = on("compare", "taylor", "l1", "--suite", path)
    assert "Declared on 20" in same
    assert "Exploratory" not in same

    more = on(*run, "--set", "analysis.rope=2", "--set", "methods=[random, l1, taylor, l2]")
    widened = "another ROPE (points) after 3 of 4 trials had finished: 2.0 instead of 0.2"
    added = "methods added after 3 of 4 trials had finished: l2"
    assert f"not as declared: {widened}" in more
    assert f"not as declared: {added}" in more
    assert f"<li>{widened}</li><li>{added}</li>" in text_of(page)

    fewer = "other settings after 4 of 6 trials had finished: calibration"
    assert f"not as declared: {fewer}" in on(*run, "--set", "calibration.images=16")
    assert f"<li>{fewer}</li>" in text_of(page)

    # Records that come from elsewhere come without a declaration.
    shutil.copytree(tmp_path / "r" / "records", tmp_path / "theirs" / "records")
    done = bench("report", path, "--results", "theirs")
    assert done.code == 0, done.err
    assert "Not known: whether" in text_of(tmp_path / "theirs/reports/toy/index.html")
