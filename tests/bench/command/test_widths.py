"""On a terminal of any width no verb prints a longer line, and none loses a word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture

from bench.command import cli

# Where a table is too wide for its terminal, rows are paragraphs, which need no head for names.
NAMES = {"check", "criterion", "dataset", "epochs", "finetune-short", "method", "model", "none"}
NAMES |= {"of", "preset", "recipe", "scale", "shown", "suite", "what", "can", "be"}


@pytest.fixture(scope="module")
def results(session: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy.copied(session, tmp_path_factory.mktemp("toy") / "results")


def words(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z][^\s:,;]*", text))


@pytest.mark.usefixtures("inkless")
@pytest.mark.parametrize(
    "verb",
    [
        *(f"list {what}" for what in ("criteria", "presets", "suites", "models", "recipes")),
        "list criteria taylor",
        "list presets tpp",
        "list procedures",
        "plan toy",
        "plan quickstart --scales",
        "plan quickstrat",
        "status",
        "status toy",
        "compare random l1 --suite toy",
        "report toy --format csv --out out",
        "sync toy",
        "fetch toy",
        pytest.param("check l1", marks=pytest.mark.slow),
    ],
)
def test_every_verb_fits_its_terminal(
    verb: str, bench: Command, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = [] if verb.startswith("list") else ["--results", str(results)]
    whole = bench(*verb.split(), *place)
    assert whole.out or whole.err
    for columns in (80, 60, 40):
        for console in (cli.console, cli.complaints):
            monkeypatch.setattr(console, "width", columns)
        done = bench(*verb.split(), *place)
        for line in (done.out + done.err).splitlines():
            assert len(line) <= columns or len(line.split()) == 1, line
        assert words(whole.out + whole.err) - words(done.out + done.err) <= NAMES
