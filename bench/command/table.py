"""Tables without lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console, OverflowMethod
from rich.table import Table


def print_table(
    console: Console,
    head: Iterable[str],
    rows: Iterable[Sequence[str]],
    *,
    brief: bool = False,
    breaks: int | None = None,
) -> None:
    """A table without lines.

    Args:
        brief: keep a row on one line by cutting its last column.
        breaks: the only column that may break over lines; default: any.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    lines = list(rows)
    for column, name in enumerate(head):
        whole = brief and lines and column < len(lines[0]) - 1
        least = max(len(row[column]) for row in lines) if whole else None
        cut: OverflowMethod = "ellipsis" if brief else "fold"
        single = brief or breaks not in (None, column)
        table.add_column(name, overflow=cut, no_wrap=single, min_width=least)
    for row in lines:
        table.add_row(*row)
    console.print(table)
