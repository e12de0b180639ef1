"""`bench doctor`: what stands in the way of a run is told with what to do, and ends with 1."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture

from bench.command import doctor
from bench.store.sealed import set_aside
from bench.store.store import Store


@pytest.fixture
def results(session: Path, tmp_path: Path) -> Path:
    return toy.copied(session, tmp_path / "results")


def found(out: str) -> dict[str, tuple[str, str]]:
    """Mark and words by what they are about."""
    rows = (line.split(None, 2) for line in out.splitlines()[1:])
    return {what: (mark, said.strip()) for what, mark, said in rows}


OLD = "of another version or damaged, which bench run makes anew"


def test_a_sound_place_is_told_line_by_line(bench: Command, results: Path) -> None:
    done = bench("doctor", "--results", results)
    told = found(done.out)
    assert done.code == 0
    assert f"torch {metadata.version('torch')}" in told["versions"][1]
    assert told["records"] == ("ok", f"{toy.TRIALS}; 0 {OLD}")
    assert told["results"][0] == told["MLflow"][0] == "ok"


def test_what_is_wrong_in_a_results_folder(bench: Command, results: Path) -> None:
    first, second, *_ = sorted((results / "records").iterdir())
    first.write_text("{}")
    set_aside(second, "edited")
    (results / "mlflow.db").write_text("no database, but long enough to be read as one" * 99)
    told = found((done := bench("doctor", "--results", results)).out)
    assert done.code == 1
    assert told["results"][0] == "ok"
    assert told["MLflow"][0] == "wrong"
    assert "mlflow.db cannot be used" in told["MLflow"][1]
    assert told["damage"][0] == told["records"][0] == "look"
    assert "edited" in told["damage"][1]


def test_a_run_under_way_is_no_fault(bench: Command, results: Path) -> None:
    with Store(results).lock():
        done = bench("doctor", "--results", results)
    assert done.code == 0
    assert found(done.out)["results"][0] == "look"
    assert "bench status --watch" in done.out


def test_nothing_is_made_by_looking(bench: Command, tmp_path: Path) -> None:
    done = bench("doctor", "--results", tmp_path / "none" / "yet")
    assert done.code == 0
    assert not (tmp_path / "none").exists()


def test_what_is_wrong_with_the_machine(
    bench: Command, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def usage(place: Any) -> Any:
        return SimpleNamespace(free=0.1 * doctor.GIB)

    monkeypatch.setattr(doctor.shutil, "disk_usage", usage)
    monkeypatch.setattr(
        doctor, "requires", lambda _: ["torch>=99", 'nobody-has-this; extra == "none"']
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    done = bench("doctor", "--results", results)
    told = found(done.out)
    assert done.code == 1
    for what in ("versions", "disk", "MLflow"):
        assert told[what][0] == "wrong"
    assert told["extras"] == ("ok", "all but none")
    assert told["threads"][0] == "look"
