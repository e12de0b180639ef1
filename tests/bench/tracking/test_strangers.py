"""MLflow stores that others write into too, that are gone, locked or damaged: one line each."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture
from tracked import SUITE, opened, record, runs, sync
from tracked import root as root  # the fixture

from bench.store.store import Store
from bench.tracking import Experiment, TrackingError, connection, pull, tracking_uri
from reports.seal import seal_json

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning:mlflow", "ignore::FutureWarning:mlflow"
)

STRANGE: dict[str, dict[str, str]] = {
    "a trial without a key": {"role": "trial"},
    "a trial of nothing known": {"role": "trial", "trial.key": "../../etc", "status": "\x1b[2J"},
    "a suite that names no host": {"role": "suite"},
    "a suite of a process that is no number": {"role": "suite", "process": "9" * 4900},
    "a summary of no number of trials": {"role": "summary", "trials": "9" * 4900},
    "a summary without any tag": {"role": "summary"},
    "a comparison without any tag": {"role": "comparison", "trials": "-1"},
}


def strangers(root: Path, *tags: dict[str, str], ended: bool, artifact: str = "") -> None:
    """Runs in our experiment that are none of ours."""
    experiment = Experiment(root, SUITE)
    for one in tags:
        run = experiment.client.create_run(experiment.id, tags=one).info.run_id
        if artifact:
            experiment.client.log_text(run, artifact, "trial.json")
        if ended:
            experiment.client.set_terminated(run)


def test_runs_of_strangers_are_left_alone(root: Path, tmp_path: Path) -> None:
    sync(root, [record(0)])
    for ended in (True, False):
        strangers(root, *STRANGE.values(), ended=ended)
    before = len(runs(root, "trial")) + len(runs(root, "suite"))
    assert sync(root, [record(0), record(1)]) == 1
    assert sync(root, [record(0), record(1)]) == 0
    assert len(runs(root, "trial")) + len(runs(root, "suite")) == before + 2
    assert Experiment(root, SUITE).links()
    there = Store(tmp_path / "there")
    pulled = pull(there, "tiny", tracking_uri(root))
    assert (pulled.written, len(pulled.faults)) == (2, 2)
    assert all("trial.json cannot be had" in one for one in pulled.faults)


def text_of(**changes: Any) -> str:
    one = record(1).model_copy(update=changes)
    return seal_json(one.model_dump_json(indent=1)).decode()


def test_records_of_strangers_that_are_none_are_left_out(root: Path, tmp_path: Path) -> None:
    texts = ["null", "{", '{"a": NaN}', "\x00", text_of(key="0" * 64), text_of(identity={"a": "b"})]
    for at, text in enumerate(texts):
        tags = {"role": "trial", "trial.key": record(1 + at).key, "status": "done"}
        strangers(root, tags, ended=True, artifact=text)
    sync(root, [record(0)])
    pulled = pull(Store(tmp_path / "there"), "tiny", tracking_uri(root))
    assert (pulled.written, len(pulled.faults)) == (1, len(texts))
    assert toy.count(tmp_path / "there") == 1


@pytest.mark.parametrize("provenance", [{}, {"started": "no time", "ended": "0001-01-01"}])
def test_a_record_that_does_not_say_when_is_logged_all_the_same(
    root: Path, provenance: dict[str, Any]
) -> None:
    assert sync(root, [record(0).model_copy(update={"provenance": provenance})]) == 1


def test_a_store_larger_than_one_answer_is_read_page_by_page(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    some = [record(at) for at in range(5)]
    assert sync(root, some) == 5
    from mlflow import MlflowClient

    whole = MlflowClient.search_runs

    def two(self: Any, *given: Any, **more: Any) -> Any:
        return whole(self, *given, **{"max_results": 2, **more})

    monkeypatch.setattr(MlflowClient, "search_runs", two)
    assert sync(root, some) == 0
    assert pull(Store(tmp_path / "there"), "tiny", tracking_uri(root)).written == 5


def test_nothing_is_made_where_nothing_is_to_be_pulled_from(bench: Command, tmp_path: Path) -> None:
    for uri in (f"sqlite:///{tmp_path / 'no' / 'such.db'}", "sqlite:///", "http://[/nope]", "x:y"):
        done = bench("pull", "tiny", "--from", uri, "--results", tmp_path / "results")
        assert done.code == 74, done
        assert done.err.startswith("error: ")
        assert len(done.err.strip().splitlines()) == 1
    assert not (tmp_path / "no").exists()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    with contextlib.closing(sqlite3.connect(path)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        yield


@contextlib.contextmanager
def changed(path: Path, how: Callable[[Path], object]) -> Iterator[None]:
    how(path)
    yield


MISHAPS: dict[str, Callable[[Path], Any]] = {
    "locked": locked,
    "deleted": lambda path: changed(path, Path.unlink),
    "zeroed": lambda path: changed(path, lambda one: one.write_bytes(bytes(one.stat().st_size))),
    "emptied": lambda path: changed(path, lambda one: one.write_bytes(b"")),
    "noise": lambda path: changed(path, lambda one: one.write_bytes(b"noise" * 5000)),
}


def test_a_folder_with_characters_that_mean_more_in_an_address_has_its_own_store(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "what? 100%20 ü#"
    folder.mkdir()
    uri = connection.local_uri(folder)
    with connection.talking_to(uri):
        connection.connect(uri).create_experiment("toy")
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        assert ("toy",) in database.execute("SELECT name FROM experiments").fetchall()
    assert [*tmp_path.rglob("*.db")] == [folder / "mlflow.db"]


@pytest.mark.parametrize(
    "mishap",
    [one if one == "zeroed" else pytest.param(one, marks=pytest.mark.slow) for one in MISHAPS],
)
def test_a_database_that_is_spoilt_in_mid_run_is_one_error_with_a_hint(
    root: Path, mishap: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = opened(root)
    tracker.log(record(0))
    monkeypatch.setattr(connection, "WAIT_S", 0.1)
    capfd.readouterr()
    with MISHAPS[mishap](root / "mlflow.db"), pytest.raises(TrackingError) as raised:
        tracker.log(record(1))
    said = capfd.readouterr()
    assert (said.out, said.err) == ("", "")
    assert len(str(raised.value).splitlines()) == 1
    assert "bench sync" in str(raised.value)
    if mishap == "locked":
        assert sync(root, [record(0), record(1)]) == 1
    elif mishap in ("zeroed", "noise"):  # which the next run sees, and makes anew
        assert not connection.local_database_holds(root)
        assert not (root / "mlflow.db").exists()


def test_a_copied_folder_of_results_goes_on_with_the_runs_that_it_holds(
    root: Path, tmp_path: Path
) -> None:
    assert sync(root, [record(0)]) == 1
    copy = Path(shutil.copytree(root, tmp_path / "copy"))
    assert sync(copy, [record(0), record(1)]) == 1
    shutil.rmtree(root)
    pulled = pull(Store(tmp_path / "there"), "tiny", tracking_uri(copy))
    assert (pulled.written, pulled.faults) == (2, [])
