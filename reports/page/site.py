"""A static site over suites: what each asked and found, and its report one click away."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from suites.schema import AnySuite

from ..formats import spanned
from ..words import templates


@dataclass(frozen=True)
class Entry:
    """A suite on the site, whose report lies in a folder of its name."""

    suite: AnySuite
    about: Mapping[str, Any]  # what a pack says of itself


def site(entries: Sequence[Entry], root: Path) -> str:
    """The first page, over what the reports in `root` have found."""
    names = [one.suite.suite for one in entries]
    columns = {
        (name, at): cells for name in names for at, cells in _columns(root / name / "tables")
    }
    methods = sorted({method for cells in columns.values() for method in cells})
    answers = {name: _answers(root / name / "headline.json") for name in names}
    page = templates(autoescape=True).get_template("site.html")
    return page.render(entries=entries, columns=columns, methods=methods, answers=answers)


def _answers(file: Path) -> list[str]:
    """The sentences of a report, one a recovery; none of a fidelity suite's."""
    return list(json.loads(file.read_text("utf-8"))["answer"]) if file.exists() else []


def _columns(tables: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """By recovery, what each method came to: how far from the control, or how true its scores."""
    if (file := tables / "overall.csv").exists():
        found = pd.read_csv(file)
        for recovery, rows in found[found["family"] == "control"].groupby("recovery", sort=False):
            of = rows.to_dict("records")
            cells = {
                str(row["method"]): spanned(row["mean"], row["joint_low"], row["joint_high"])
                for row in of
            }
            yield str(recovery), cells | {str(of[0]["reference"]): "control"}
    elif (file := tables / "methods.csv").exists():
        means = pd.read_csv(file).groupby("method")["spearman"].mean().dropna()
        yield "fidelity", {str(method): f"ρ {value:.2f}" for method, value in means.items()}
