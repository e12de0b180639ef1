"""Sentences and tables lose nothing, however narrow the terminal is."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from bench import terminal
from bench.terminal import console_for_people, print_table, say
from suites.faults import printable

WORDS = st.text("ab1_-~/.[]é语", min_size=1, max_size=30)
CELLS = st.lists(WORDS, max_size=5).map(" ".join)
WIDTHS = st.integers(20, 100)


def console(width: int) -> Console:
    return Console(file=io.StringIO(), width=width)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@given(CELLS, WIDTHS, st.integers(0, 8))
def test_a_sentence_is_broken_between_words_only(text: str, width: int, indent: int) -> None:
    out = console(width)
    say(out, text, indent=indent)
    assert printed(out).split() == text.split()
    for line in printed(out).splitlines():
        assert cell_len(line) <= width or len(line.split()) == 1
        assert line == line.rstrip()
        assert line.startswith(" " * indent) or not line


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=5), WIDTHS)
def test_a_table_loses_and_breaks_no_word_and_fits(
    rows: list[tuple[str, str, str]], width: int
) -> None:
    out, heads = console(width), ("name", "needs", "what it is")
    print_table(out, heads, rows)
    lines = printed(out).splitlines()
    longest = max(cell_len(word) for row in rows for cell in row for word in cell.split() or [""])
    assert all(cell_len(line) <= max(width, longest + terminal.GAP) for line in lines)
    assert set(" ".join(cell for row in rows for cell in row).split()) <= set(printed(out).split())


def test_what_fits_is_a_line_a_row() -> None:
    out = console(40)
    print_table(out, ("method", "done"), [("taylor", "12/12"), ("l1", "")])
    assert printed(out) == "method  done\ntaylor  12/12\nl1\n"


def test_the_widest_column_is_broken_between_words() -> None:
    rows = [("resnet20", "taylor_activation", "1e-5 -0.25 of it"), ("b", "l1", "[-1, 2]")]
    out = console(40)
    print_table(out, ("model", "method", "change"), rows)
    assert printed(out) == (
        "model     method             change\n"
        "resnet20  taylor_activation  1e-5 -0.25\n"
        "                             of it\n"
        "b         l1                 [-1, 2]\n"
    )


def test_where_breaking_is_not_enough_a_row_becomes_a_paragraph() -> None:
    rows = [("taylor_activation", "samples, activations"), ("l1", "weights")]
    out = console(20)
    print_table(out, ("criterion", "needs"), rows)
    assert printed(out) == (
        "criterion\ntaylor_activation\n  needs: samples,\n  activations\nl1\n  needs: weights\n"
    )


def test_what_is_no_terminal_has_no_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console_for_people().width == terminal.UNBROKEN
    monkeypatch.setenv("COLUMNS", "60")
    assert console_for_people(stderr=True).width == 60


def test_markup_is_text_and_styles_stay() -> None:
    out = Console(file=io.StringIO(), width=20, force_terminal=True, color_system="standard")
    say(out, ("so: ", "red"), "a [b] c")
    print_table(out, ("verdict",), [(Text("fail it does and so on", "red"),)])
    assert "[b]" in printed(out)
    assert printed(out).count("\x1b[31m") == 3


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\0", "caf\udce9", "\x9b31m", "a\rb", "[/nope]"])
def test_nothing_that_is_said_is_obeyed_by_a_terminal(hostile: str) -> None:
    said = io.StringIO()
    console = Console(file=said, width=200)
    say(console, f"it says {hostile}.", (hostile, "red"))
    print_table(console, ("name",), [(hostile,)])
    told = said.getvalue()
    assert told.count(printable(hostile)) == 3
    assert printable(told) == told
