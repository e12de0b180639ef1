"""A report is written whole or not at all, wherever it goes."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """What is longer cannot be written, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("inkless")
def test_a_disk_that_fills_while_a_report_is_written_leaves_the_one_before(
    bench: Command, session: Path, tmp_path: Path
) -> None:
    results, out = toy.copied(session, tmp_path / "results"), tmp_path / "out"
    asked = ("report", "toy", "--results", results, "--out", out, "--figures", "widths")
    before = out / "index.html", out / "figures" / "widths.svg", out / "tables" / "methods.csv"
    for path in before:
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"as it was")
    with files_of_at_most(20_000):
        done = bench(*asked)
    assert done.code == 74, done
    assert "cannot be written: File too large" in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert {path.read_bytes() for path in before} == {b"as it was"}
    assert not toy.left_over(out)
    assert bench(*asked).code == 0
    assert "<html" in before[0].read_text()
    assert not toy.left_over(out)


WRITING = {
    "report": ["report", "toy", "--results", "results", "--out"],
    "a paper": ["report", "toy", "--results", "results", "--paper", "accuracy", "--out"],
    "claims": ["claims", "--results", "results", "--out"],
    "a criterion": ["new-criterion", "mine", "--out"],
    "a run": ["run", "quickstart", "--results"],
    "records that are pulled": ["pull", "toy", "--from", "sqlite:///no.db", "--results"],
    "MLflow": ["sync", "quickstart", "--results"],
}
NOWHERE = {
    "in no folder": "/dev/null/x",
    "where no one may": "/proc/x",
    "of a name too long": "x" * 300,
    "of names too many": "/".join(["x" * 200] * 30),
}


@pytest.mark.parametrize("place", list(NOWHERE))
def test_what_cannot_be_written_is_one_message_wherever_it_was_to_go(
    bench: Command, session: Path, tmp_path: Path, place: str
) -> None:
    toy.copied(session, tmp_path / "results")
    for what, arguments in WRITING.items():
        done = bench(*arguments, NOWHERE[place])
        assert done.code in (2, 74), (what, done)
        assert done.err.startswith("error: "), (what, done)
        assert len(done.err.strip().splitlines()) == 1, (what, done)
