"""One suite's report: a folder with page, figures and tables, made from records alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from suites.fidelity import FidelitySuite
from suites.schema import Suite

from . import tables
from .analysis import Results, analyse
from .fidelity import FidelityResults, analyse_fidelity
from .records import Labels, Record

if TYPE_CHECKING:
    import pandas as pd


def build_report(
    suite: Suite | FidelitySuite, records: Sequence[Record], expected: Sequence[Labels], out: Path
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
    if isinstance(suite, FidelitySuite):
        text = _fidelity(analyse_fidelity(suite, records, expected), out)
    else:
        text = _comparison(analyse(suite, records, expected), out)
    page = out / "index.html"
    page.write_text(text, encoding="utf-8", newline="\n")
    return page


def _comparison(results: Results, out: Path) -> str:
    """Write tables and figures of a comparison; returns its page."""
    names = ("trials", "cells", "paired", "overall", "per_budget", "noise", "inflation")
    _write_tables({name: getattr(results, name) for name in names}, out / "tables")
    text = tables.paired_markdown(results.paired, results.overall, results.suite)
    (out / "tables" / "paired.md").write_text(text, encoding="utf-8", newline="\n")
    # matplotlib and Jinja2 are slow to import and are needed here only.
    from .figures.gallery import gallery
    from .page import render

    return render(results, gallery(results, out / "figures"))


def _fidelity(results: FidelityResults, out: Path) -> str:
    """Write tables and figures of a fidelity suite; returns its page."""
    _write_tables({"methods": results.methods, "trials": results.trials}, out / "tables")
    from .fidelity_page import render_fidelity
    from .figures.fidelity import fidelity_gallery

    return render_fidelity(results, fidelity_gallery(results, out / "figures"))


def _write_tables(found: Mapping[str, pd.DataFrame], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in found.items():
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
