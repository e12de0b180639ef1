"""Sentences and tables for people: on a terminal broken between words, in a file not at all."""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from itertools import chain, repeat

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

Cell = str | Text
UNBROKEN = 100_000  # columns of what is no terminal
GAP = 2  # columns between two of a table
SHORT = 16  # a column of cells of at most so many columns is not broken
_WORDS = re.compile(r"(?<=\s)(?=\S)")
_PARTS = re.compile(r"(?<=\s)(?=\S)|(?<=[A-Za-z0-9][_~+/-])(?=[A-Za-z])")  # not in -1, 1e-5


def console_for_people(*, stderr: bool = False) -> Console:
    """A console as wide as its terminal; what goes into a file or a pipe is not broken at all.

    The environment's COLUMNS, where it is set, is the width of both.
    """
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if terminal or "COLUMNS" in os.environ else UNBROKEN
    return Console(highlight=False, stderr=stderr, width=width)


def say(console: Console, *parts: Cell | tuple[str, str], indent: int = 0) -> None:
    """Print parts, some with a style, as one text that is broken between words.

    Nothing in them is markup. A word that is too long, as a path may be, is left whole.

    >>> say(Console(width=24), ("so: ", "red"), "a sentence, and /a/path/that/is/much/longer")
    so: a sentence, and
    /a/path/that/is/much/longer
    """
    for line in _lines(Text.assemble(*parts), console.width - indent):
        console.print(Text(" " * indent).append_text(line) if line else line, soft_wrap=True)


def print_table(console: Console, head: Iterable[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table without lines, which loses nothing at any width.

    Where it is too wide its widest columns are broken between words, and all but the first, which
    names the rows, inside of names after `_`, `-`, `~`, `+`, `/`. Where that is not enough, every
    row becomes a paragraph with a line for each cell that is not empty.

    >>> rows = [("taylor_activation", "samples, activations"), ("l1", "weights")]
    >>> print_table(Console(width=36), ("criterion", "needs"), rows)
    criterion          needs
    taylor_activation  samples,
                       activations
    l1                 weights
    >>> print_table(Console(width=20), ("criterion", "needs"), rows)
    taylor_activation
      needs: samples,
      activations
    l1
      needs: weights
    """
    heads = list(head)
    table = [[Text(one, "bold") for one in heads]]
    table += [[Text(one) if isinstance(one, str) else one for one in row] for row in rows]
    columns = [[str(row[at]) for row in table] for at in range(len(heads))]
    widths = _widths(columns, console.width - GAP * (len(heads) - 1))
    if widths:
        for line in (line for row in table for line in _beside(row, widths)):
            console.print(line, soft_wrap=True)
        return
    for name, *cells in table[1:]:
        name.stylize("bold")
        say(console, name)
        for title, cell in zip(heads[1:], cells, strict=True):
            if cell:
                say(console, f"{title}: " if title else "", cell, indent=GAP)


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int]:
    """Of each column, the widest made less wide until all fit; none where they cannot."""
    widths = [max(map(cell_len, column)) for column in columns]
    least = []
    for width, column, at in zip(widths, columns, _places(), strict=False):
        parts = (cell_len(part.strip()) for cell in column for part in at.split(cell))
        least.append(max(min(width, SHORT), *parts))
    if sum(least) > room:
        return []
    while (over := sum(widths) - room) > 0:
        wide = [at for at, width in enumerate(widths) if width > least[at]]
        widest = max(wide, key=lambda at: widths[at])
        widths[widest] -= 1 if len(wide) > 1 else min(over, widths[widest] - least[widest])
    return widths


def _places() -> Iterable[re.Pattern[str]]:
    """Where the cells of each column may be broken."""
    return chain([_WORDS], repeat(_PARTS))


def _beside(row: Sequence[Text], widths: Sequence[int]) -> list[Text]:
    """The lines of a row of a table."""
    cells = [_lines(*each) for each in zip(row, widths, _places(), strict=False)]
    lines = []
    for at in range(max(map(len, cells))):
        line = Text()
        for cell, width in zip(cells, widths, strict=True):
            part = cell[at] if at < len(cell) else Text()
            line.append_text(part).append(" " * (width - part.cell_len + GAP))
        line.rstrip()
        lines.append(line)
    return lines


def _lines(text: Text, width: int, at: re.Pattern[str] = _WORDS) -> list[Text]:
    """Text broken to a width at these places, and where it has lines of its own."""
    lines: list[Text] = []
    for one in text.split("\n", allow_blank=True):
        offsets, used, offset = [], 0, 0
        for part in at.split(one.plain):
            if used and used + cell_len(part.rstrip()) > width:
                offsets.append(offset)
                used = 0
            used += cell_len(part)
            offset += len(part)
        lines += one.divide(offsets)
    for line in lines:
        line.rstrip()
    return lines
