"""`bench run --until-decided`: look by look, and every verb afterwards knows where it stopped."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture

from bench.command.until_decided import looks_asked
from suites import FidelitySuite, SuiteError

SMALL = {
    "methods": ["l1", "random"],
    "budgets": {"macs": [0.5]},
    "recoveries": ["none"],
    "bases": 3,
}


@pytest.fixture
def empty(session: Path, tmp_path: Path) -> Path:
    return toy.prepared(session, tmp_path / "results")


@pytest.mark.usefixtures("inkless")
def test_a_run_adds_bases_until_it_is_decided_and_goes_on_after_an_interruption(
    bench: Command, empty: Path, tmp_path: Path
) -> None:
    given = (toy.write_suite(tmp_path, **SMALL), "--results", empty)
    run = (
        "run",
        "--allow-untrained",
        *given,
        "--executor",
        "inline",
        "--until-decided",
        "--cap",
        4,
    )
    done = bench(*run)
    assert done.code == 0, done.out + done.err
    assert "6 trials of at most 8, 0 finished before, 6 to go" in done.out
    assert "look 1 of 2, 3 bases: " in done.out
    (used,) = re.findall(r"with (\d) of 8 trials", done.out)
    assert toy.count(empty) == int(used)
    whole = toy.outcomes(empty)

    # Every verb afterwards, without the flag: what the run has declared.
    status = bench("status", *given)
    assert "look " in status.out
    assert bench("report", *given, "--format", "csv").code == 0
    tables = empty / "reports" / "toy" / "tables"
    assert pd.read_csv(tables / "overall.csv")["look"].max() == toy.count(empty) / 2
    assert bench("sync", *given).out.strip().endswith(f"0 of {used} trials were missing in MLflow "
        "and are there now")  # fmt: skip
    page = (empty / "reports" / "toy" / "index.html").read_text()
    assert "The suite is decided look by look, with 3, 4 bases" in page
    assert "Interim" not in page
    assert "Exploratory" not in page

    # Without its last record, the run goes on to the same.
    last = max(whole, key=lambda key: whole[key]["labels"]["base"])
    (empty / "records" / f"{last}.json").unlink()
    again = bench(*run)
    assert again.code == 0, again.out + again.err
    assert toy.outcomes(empty) == whole


def test_a_plan_says_what_looks_can_save(bench: Command, tmp_path: Path) -> None:
    suite = toy.write_suite(tmp_path, **SMALL)
    said = bench("plan", suite, "--until-decided").out
    assert "looked at with 3, 5, 6 bases: 6 trials if the first look decides everything, 12" in said
    assert "looked at" not in bench("plan", suite).out


def test_what_looks_add_is_blamed_on_the_flag(bench: Command, tmp_path: Path) -> None:
    fixed = {"name": "vgg_small", "checkpoint": "x.pt", "recipe": False}
    suite = toy.write_suite(tmp_path, **SMALL | {"bases": 1, "models": [fixed]})
    said = bench("plan", suite, "--until-decided").err
    assert "--until-decided: bases = 6, but" in " ".join(said.split())
    assert "--set" not in said


def test_a_suite_with_looks_is_run_whole(bench: Command, tmp_path: Path) -> None:
    analysis = {"control": "l1", "looks": [3, 4]}
    suite = toy.write_suite(tmp_path, **SMALL | {"bases": 4, "analysis": analysis})
    for part in (("--methods", "l1"), ("--shard", "1/2")):
        done = bench("run", suite, *part)
        assert done.code == 2
        assert "decided look by look" in done.err
        assert "--set analysis.looks=[]" in done.err
    assert "declares its looks" in bench("run", suite, "--until-decided", "--cap", 9).err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cap", "9"], "give that too"),
        (["--until-decided", "--cap", "3"], "the first look of toy is at 3 bases; give more"),
    ],
)
def test_caps_that_cap_nothing_are_faults(
    bench: Command, tmp_path: Path, options: list[str], said: str
) -> None:
    done = bench("run", toy.write_suite(tmp_path, **SMALL), *options)
    assert (done.code, said in done.err) == (2, True), done.err


@pytest.mark.parametrize(
    ("bases", "cap", "at"),
    [(1, None, [3, 5, 6]), (3, 8, [3, 5, 8]), (3, 4, [3, 4]), (5, None, [5, 8, 10])],
)
def test_looks_without_a_declaration(bases: int, cap: int | None, at: list[int]) -> None:
    assert looks_asked(toy.suite(bases=bases), cap) == at


def test_a_suite_that_tests_nothing_is_never_decided() -> None:
    kept = {key: toy.TOY[key] for key in ("datasets", "models", "base_recipe", "recipes")}
    fidelity = FidelitySuite(suite="f", kind="fidelity", methods=["l1"], **kept)
    with pytest.raises(SuiteError, match="tests nothing"):
        looks_asked(fidelity, None)
