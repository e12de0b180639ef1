"""Sentences and tables for people: on a terminal broken between words, in a file not at all."""

import os
import re
import sys
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.measure import measure_renderables
from rich.table import Table
from rich.text import Text

from suites.faults import printable

Cell = str | Text
UNBROKEN = 100_000  # columns of what is no terminal
GAP = 2  # columns between two of a table
_WORD = re.compile(r"\S+\s*")


def console_for_people(*, stderr: bool = False) -> Console:
    """A console as wide as its terminal; what goes into a file or a pipe is not broken at all.

    The environment's COLUMNS, where it is set, is the width of both.
    """
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    width = None if terminal or "COLUMNS" in os.environ else UNBROKEN
    return Console(highlight=False, stderr=stderr, width=width)


def plain(cell: Cell, style: str = "") -> Text:
    """Text as it is: nothing in it is markup, or obeyed by a terminal."""
    return Text(printable(cell), style) if isinstance(cell, str) else cell


def say(console: Console, *parts: Cell | tuple[str, str], indent: int = 0) -> None:
    """Print parts, some with a style, as one text that is broken between words.

    Nothing in them is markup, or obeyed by a terminal. A word that is too long is left whole.
    """
    styled = (plain(*one) if isinstance(one, tuple) else plain(one) for one in parts)
    for line in Text.assemble(*styled).split("\n", allow_blank=True):
        offsets, used = [], indent
        for word in _WORD.finditer(line.plain):
            if used > indent and used + cell_len(word[0].rstrip()) > console.width:
                offsets.append(word.start())
                used = indent
            used += cell_len(word[0])
        for part in line.divide(offsets):
            part.rstrip()
            part.pad_left(indent if part else 0)
            console.print(part, soft_wrap=True)


def print_table(console: Console, head: Iterable[str], rows: Iterable[Sequence[Cell]]) -> None:
    """Print a table without lines, which loses nothing at any width.

    Where it is too wide its widest columns are broken between words. Where that is not enough,
    every row becomes a paragraph with a line for each cell that is not empty.
    """
    heads = [Text(one, "bold") for one in head]
    cells = [[plain(one) for one in row] for row in rows]
    endless = console.options.update(width=UNBROKEN)
    columns = [
        measure_renderables(console, endless, one) for one in zip(heads, *cells, strict=True)
    ]
    widths, room = [one.maximum for one in columns], console.width - GAP * (len(heads) - 1)
    if sum(one.minimum for one in columns) > room:
        _print_paragraphs(console, heads, cells)
        return
    while sum(widths) > room:
        may_shrink = (at for at, one in enumerate(columns) if widths[at] > one.minimum)
        widths[max(may_shrink, key=widths.__getitem__)] -= 1
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), show_header=False)
    for width in widths:
        table.add_column(width=width, overflow="fold")
    for row in (heads, *cells):
        table.add_row(*row)
    with console.capture() as drawn:
        console.print(table)
    for line in drawn.get().splitlines():
        console.out(line.rstrip(), highlight=False)


def _print_paragraphs(
    console: Console, heads: Sequence[Text], rows: Iterable[Sequence[Text]]
) -> None:
    if heads[0]:
        say(console, heads[0])
    for name, *cells in rows:
        name.stylize("bold")
        say(console, name)
        for title, cell in zip(heads[1:], cells, strict=True):
            if cell:
                say(console, f"{title}: " if title else "", cell, indent=GAP)
