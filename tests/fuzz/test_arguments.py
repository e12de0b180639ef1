"""Command lines of any words: an answer, or one message and an exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import toy
import typer
from command_line import Command
from command_line import bench as bench  # the fixture
from fuzzing import MANY, fuzz, text, within
from hypothesis import strategies as st

from bench.command.cli import app
from bench.errors import BenchError
from bench.run.session import _shard
from suites.faults import printable

VERBS: Any = typer.main.get_command(app)
# Not asked for: what serves, fetches, or computes for minutes where its words happen to be right.
LEFT_OUT = {"ui", "fetch", "run", "check"}
CODES = {0, 1, 2, 74}


@st.composite
def arguments(draw: st.DrawFn) -> list[str]:
    """A verb with options of its own, or of others, and any values."""
    verbs = sorted(set(VERBS.commands) - LEFT_OUT)
    verb = draw(st.sampled_from(verbs))
    options = [name for one in VERBS.commands[verb].params for name in one.opts]
    given = [verb]
    names = st.sampled_from(["quickstart", "toy", "criteria", "suites", "models", "l1"])
    for _ in range(draw(st.integers(0, 4))):
        if draw(st.booleans()):
            given.append(draw(st.sampled_from(options)))
        given.append(draw(text | names))
    # No word of an argument list can hold these; lone surrogates stand for bytes that are no UTF-8.
    return [one.replace("\0", "").encode(errors="replace").decode()[:100_000] for one in given]


def check(bench: Command, given: list[str]) -> None:
    with within():
        done = bench(*given)
    assert done.code in CODES, (given, done)
    assert "Traceback" not in done.out + done.err, (given, done)
    said = done.err.replace("\x1b[", "")  # a style of rich's own, where the terminal has any
    assert printable(said) == said, (given, done)
    if done.code in (2, 74):
        assert "rror" in done.err or "Usage" in done.err, (given, done)
        assert done.err.count("error:") <= 1, (given, done)


def check_shard(given: str) -> None:
    with within():
        try:
            index, count = _shard(given)
        except BenchError:
            return
    assert 0 <= index <= count > 0


@pytest.fixture
def there(bench: Command, session: Path, tmp_path: Path) -> Command:
    """The command in a folder that has results."""
    toy.copied(session, tmp_path / "results")
    return bench


def test_a_few(there: Command) -> None:
    fuzz(lambda given: check(there, given), arguments(), 30)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_many(there: Command) -> None:
    fuzz(lambda given: check(there, given), arguments(), MANY // 10)


def test_shards() -> None:
    check_shard(f"1/{'9' * 5000}")
    numbers = st.integers(-3, 20).map(str) | text
    fuzz(check_shard, st.builds("{}/{}".format, numbers, numbers) | text, 50)
