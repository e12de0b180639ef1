"""One suite's report: a folder with page, figures and tables, made from records alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suites.schema import Suite

from . import tables
from .analysis import Results, analyse
from .records import Labels, Record

if TYPE_CHECKING:
    import pandas as pd


def build_report(
    suite: Suite, records: Sequence[Record], expected: Sequence[Labels], out: Path
) -> Path:
    """Write the report of a suite into a folder, and return the path of its index.html.

    A pure function of its arguments: the same records, in any order, give the same bytes.

    Args:
        suite: names, orders and the declared analysis.
        records: finished and failed trials; those that the plan does not hold are left out and
            counted. Records and plan meet by their labels: a record that was made under another
            suite's names must be given the plan's labels first.
        expected: the labels of every trial of the plan.
        out: the folder; made if need be.

    Raises:
        ValueError: the plan is empty, or two records stand for one trial.
    """
    results = analyse(suite, records, expected)
    out.mkdir(parents=True, exist_ok=True)
    _write_tables(results, out / "tables")
    # matplotlib and Jinja2 are slow to import and are needed here only.
    from .figures.gallery import gallery
    from .page import render

    drawings = gallery(results, out / "figures")
    page = out / "index.html"
    page.write_text(render(results, drawings), encoding="utf-8", newline="\n")
    return page


def _write_tables(results: Results, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name in ("trials", "cells", "paired", "overall"):
        table: pd.DataFrame = getattr(results, name)
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    text = tables.paired_markdown(results.paired, results.overall, results.suite)
    (folder / "paired.md").write_text(text, encoding="utf-8", newline="\n")
