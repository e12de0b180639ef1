"""`bench explain`: a trial by key or name, run or not, with its suite or without."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture

from bench.plan.plan import make_plan
from bench.store.store import Store
from reports.records import content_key

NAME = "vgg_small on digits · l1 · 50 % · none · base 0 · all repeats"


@pytest.fixture
def results(session: Path, tmp_path: Path) -> Path:
    return toy.copied(session, tmp_path / "results")


@pytest.fixture
def key() -> str:
    named = {
        (one.labels.method, one.labels.at, one.labels.recovery): one.key
        for one in make_plan(toy.suite()).trials
    }
    return named["l1", "50 %", "none"]


def command(out: str) -> list[str]:
    (line,) = (one for one in out.splitlines() if one.startswith("alone: "))
    return shlex.split(line.removeprefix("alone: bench "))


def test_a_trial_is_found_by_its_key_and_by_its_name(
    bench: Command, results: Path, key: str
) -> None:
    by_key = bench("explain", key[:10], "--results", results)
    assert (by_key.code, by_key.err) == (0, "")
    assert bench("explain", NAME, "--results", results).out == by_key.out
    assert bench("explain", *["l1", "50", "%", "none"], "--results", results).out == by_key.out
    record = Store(results).record(key)
    assert record is not None
    assert record.measurements is not None
    assert by_key.out.splitlines()[0] == f"{NAME}, of toy"
    for said in (
        f"{key} stands for",
        "    epochs: 1",
        "name: l1",
        content_key(record.identity["base"])[:12],
        "path of l1 on base 0",
        f"test top-1 (%) {100 * record.measurements.pruned.top1:.2f}",
        str(Store(results).record_path(key)),
    ):
        assert said in by_key.out
    assert "nowhere yet" not in by_key.out


def test_what_is_taken_from_an_equal_network_is_said(
    bench: Command, results: Path, key: str
) -> None:
    store, other = Store(results), "e" * 64
    record = store.record(key)
    assert record is not None
    assert record.costs is not None
    costs = record.costs.model_copy(update={"equal_to": other})
    store.write_record(record.model_copy(update={"costs": costs}))
    assert f"tested by {other[:12]}: accuracies" in bench("explain", key, "--results", results).out


def test_what_several_names_have_lists_them_with_their_keys(
    bench: Command, results: Path, key: str
) -> None:
    done = bench("explain", "l1", "--results", results)
    assert done.code == 2
    assert "4 trials" in done.err
    assert f"{key[:12]}  {NAME}" in done.err
    assert "0 trials" in bench("explain", "nobody", "--results", results).err


@pytest.mark.usefixtures("inkless")
def test_the_command_runs_that_trial_alone(
    bench: Command, results: Path, key: str, session: Path
) -> None:
    """Of one that has not run, with all that it stands on; nothing else runs."""
    store = Store(results)
    for record in store.root.glob("records/*.json"):
        record.unlink()
    for path in store.root.glob("paths/*"):
        path.unlink()
    said = bench("explain", "l1", "50%", "none", "--results", results)
    assert "nowhere yet" in said.out
    done = bench(*command(said.out), "--executor", "inline", "--allow-untrained")
    assert done.code == 0, done.out + done.err
    assert store.record_keys() == {key}
    assert toy.outcomes(results)[key] == toy.outcomes(toy.finished(session))[key]


def test_without_its_suite_the_record_tells(bench: Command, results: Path, key: str) -> None:
    (results / "suites" / "toy.json").unlink()
    done = bench("explain", key, "--results", results)
    assert done.code == 0
    assert "name: l1" in done.out
    assert f"bench run FILE --trial {key[:12]}" in done.out
    suite = toy.write_suite(results.parent)
    done = bench("run", suite, "--trial", "nokey", "--results", results)
    assert done.code == 2
    assert "--trial nokey" in done.err


@pytest.mark.usefixtures("inkless")
def test_a_failure_is_told_with_its_traceback(
    bench: Command, results: Path, tmp_path: Path
) -> None:
    file = toy.plugin(tmp_path, "mine", "raise ValueError('cannot')")
    suite = toy.write_suite(tmp_path, "failing", methods=["mine"], analysis={"control": "mine"})
    assert (
        bench(
            *("run", suite, "--plugin", file, "--results", results),
            *("--executor", "inline", "--allow-untrained"),
        ).code
        == 1
    )
    done = bench("explain", "mine", "50 %", "none", "--results", results)
    for said in ("failed, begun", "ValueError: cannot", "in observe", "--retry-failed"):
        assert said in done.out
    assert f"--plugin={file}" in command(done.out)
