"""The suites of the library: none leaves a method out at a smaller scale, and all run.

That each of them loads, spans and plans at all its scales is in test_suites.py.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import toy

from suites import Suite, library, load_suite, scales_of
from suites.problem import problem_name

PAPERS = [name for name in library() if "paper" in scales_of(name)]


@pytest.mark.parametrize("name", PAPERS)
def test_a_papers_suite_has_all_its_methods_at_every_scale(name: str) -> None:
    methods, scales = load_suite(name).method_names, scales_of(name)
    assert {"paper", "reduced", "smoke"} <= set(scales)
    for scale in scales:
        assert load_suite(name, scale=scale).method_names == methods


@pytest.mark.parametrize("name", PAPERS)
def test_methods_of_as_many_steps_have_as_many_at_every_scale(name: str) -> None:
    """A method that keeps the paper's steps where others take fewer is another comparison."""
    steps = [str(one.iterative and one.iterative.steps) for one in load_suite(name).methods]
    for scale in ("reduced", "smoke"):
        smaller = load_suite(name, scale=scale)
        found = {
            (paper, str(one.iterative and one.iterative.steps))
            for paper, one in zip(steps, smaller.methods, strict=True)
        }
        assert len(found) == len(set(steps))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", list(library()))
def test_every_suite_runs_and_reports_its_smallest_version(name: str, tmp_path: Path) -> None:
    """As on the command line: all methods give results on every model, and there is a report."""
    brought = []
    if name == "text":  # which is each user's own
        shutil.copytree(Path(__file__).parents[2] / "docs", tmp_path / "data/text")
        brought = ["--data-root", str(tmp_path / "data")]
    run = ["run", name, "--smoke", "--workers", "2", *brought]
    for arguments in (run, ["report", name, "--smoke"]):
        ended = subprocess.run(
            [*toy.COMMAND, *arguments, "--results", str(tmp_path)],
            env=toy.environment(OMP_NUM_THREADS="1"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
    suite = load_suite(name, scale="smoke")
    records = toy.records(tmp_path)
    assert {one.status for one in records} <= {"done", "infeasible"}
    done = [one.labels for one in records if one.status == "done"]
    for problem in suite.problems:
        here = [one for one in done if one.problem == problem_name(*problem)]
        assert {one.method for one in here} == set(suite.method_names)
        if isinstance(suite, Suite):
            assert {one.recovery for one in here} == {one.name for one in suite.recoveries}
    assert (tmp_path / "reports" / suite.suite / "index.html").is_file()
