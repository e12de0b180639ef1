"""A static site over suites: what each asked and found, and its report one click away."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from suites.schema import AnySuite

from ..formats import spanned
from ..words import templates

COLUMNS = ["suite", "recovery", "reference"]


def site(suites: Mapping[str, AnySuite], about: Mapping[str, Any], root: Path) -> str:
    """The first page, over what the reports in `root` have found, each in a folder of its name.

    `about` is what the pack of each suite says of itself.
    """
    files = ((name, root / name / "headline.json") for name in suites)
    answers = {
        name: json.loads(file.read_text("utf-8"))["answer"] for name, file in files if file.exists()
    }
    found = [rows for name in suites for rows in _against_control(name, root / name / "tables")]
    table = (
        pd.concat(found).pivot(index="method", columns=COLUMNS, values="cell") if found else None
    )
    page = templates(autoescape=True).get_template("site.html")
    return page.render(suites=suites, about=about, answers=answers, table=table)


def _against_control(name: str, tables: Path) -> Iterator[pd.DataFrame]:
    """How far each method lies from the control, with its interval; nothing of fidelity suites."""
    if (file := tables / "overall.csv").exists():
        rows = pd.read_csv(file).query("family == 'control'")
        cells = [*map(spanned, rows["mean"], rows["joint_low"], rows["joint_high"])]
        yield rows[["method", "recovery", "reference"]].assign(suite=name, cell=cells)
