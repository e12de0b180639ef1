"""Tables without lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, OverflowMethod
from rich.table import Table


def print_table(
    console: Console, head: Iterable[str], rows: Iterable[Sequence[str]], *, brief: bool = False
) -> None:
    """A table without lines; `brief` keeps a row on one line by cutting its last column."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    lines = list(rows)
    for at, name in enumerate(head):
        whole = brief and lines and at < len(lines[0]) - 1
        least = max(len(row[at]) for row in lines) if whole else None
        cut: OverflowMethod = "ellipsis" if brief else "fold"
        table.add_column(name, overflow=cut, no_wrap=brief, min_width=least)
    for row in lines:
        table.add_row(*row)
    console.print(table)
