"""A folder for a paper: tables and figures as LaTeX inputs, and a document that holds them all."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from ..analysis.best import OVER
from ..analysis.results import Results
from ..figures.accuracy import points
from ..figures.accuracy_cost import curves
from ..figures.plot import Plot, write
from ..figures.style import looks, publication
from ..formats import Cell, tex
from ..statistics import FEWEST_BASES
from ..words import templates
from .choice import Choice, chosen
from .tables import Shown

COLUMN, PAGE = 3.25, 6.75  # inches, of most two-column templates
_BESIDE = 2  # problems beside one another that fit a column


def write_paper(results: Results, given: Sequence[str], out: Path) -> Path:
    """Write tables, figures and paper.tex into a folder; returns the path of paper.tex.

    `given`: what is shown, as `choice.chosen` reads it. `out`: the folder; made if need be.

    Raises ValueError for a key or value that there is not, or of which nothing has finished.
    """
    choice, parts = chosen(given, results), dict[str, str]()
    out.mkdir(parents=True, exist_ok=True)
    slugs = _slugs(choice.problems)
    for recovery in choice.recoveries:
        shown = Shown(results, choice, recovery)
        for table in shown.tables():
            beside = table["place"] == OVER
            name = f"table_{recovery}" + ("" if beside else slugs[table["place"]])
            wide = choice.wide or (beside and len(choice.problems) > _BESIDE)
            parts[name] = _set(results, name, wide, recovery=recovery, shown=shown, table=table)
        each = [choice.problems] if choice.wide else [[one] for one in choice.problems]
        for problems in each:
            name = f"figure_{recovery}" + ("" if choice.wide else slugs[problems[0]])
            if plot := _draw(results, choice, problems, recovery, out / name):
                told = {"recovery": recovery, "problems": problems, "plot": plot}
                parts[name] = _set(results, name, choice.wide, **told)
    if not any(name.startswith("figure") for name in parts):
        raise ValueError("nothing of these methods, problems, recoveries and budgets has finished")
    parts["paper"] = _set(results, "paper", choice.wide, parts=list(parts))
    for name, text in parts.items():
        (out / f"{name}.tex").write_text(text, encoding="utf-8", newline="\n")
    return out / "paper.tex"


def _slugs(problems: Sequence[str]) -> dict[str, str]:
    """What files of each problem are called; those that would be called alike are numbered."""
    plain = [re.sub(r"[^a-z0-9]+", "-", one.lower()) for one in problems]
    return {
        problem: f"_{slug}-{place}" if plain.count(slug) > 1 else f"_{slug}"
        for place, (problem, slug) in enumerate(zip(problems, plain, strict=True), 1)
    }


def _set(results: Results, name: str, wide: bool, **parts: Any) -> str:
    """A file of LaTeX from its template."""
    kind = name.partition("_")[0]
    kind = "paper" if kind == "paper" else f"paper_{kind}"
    return _environment().get_template(f"{kind}.tex").render(
        results=results, suite=results.suite, name=name, star=Markup("*" if wide else ""),
        over_problems=OVER, fewest=FEWEST_BASES, **parts,
    )  # fmt: skip


@cache
def _environment() -> Environment:
    """Templates whose marks are none of LaTeX's; whatever is put into them is escaped."""
    return templates(
        cell,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<<",
        variable_end_string=">>",
        comment_start_string="<#",
        comment_end_string="#>",
        finalize=lambda value: value if isinstance(value, Markup) else tex(str(value)),
    )


def cell(of: Cell) -> Markup:
    """LaTeX of a cell; the best is bold, and what is not told from it has a dagger."""
    if of.mark == "best":
        return Markup(rf"\textbf{{{tex(of.text)}}}")
    return Markup(tex(of.text) + (r"$^{\dagger}$" if of.mark == "near" else ""))


def _draw(
    results: Results, choice: Choice, problems: Sequence[str], recovery: str, file: Path
) -> Plot | None:
    """Write curves, or with one budget dots, a panel a problem, as .pdf, .svg, .png and .csv; None
    of what has not finished. `file`: without its ending.
    """
    names, budgets = choice.names, choice.budgets
    cells = results.cells[results.cells["recovery"] == recovery]
    cells = cells[cells["problem"].isin(problems) & cells["budget"].isin(budgets)]
    cells = cells[cells["method"].isin(list(names))]
    if not cells["complete"].any():
        return None
    asked = [one for one in results.expected if one.problem in problems and one.budget in budgets]
    own = replace(results, cells=cells, expected=asked)
    with publication():
        drawn = looks(results.suite, set(names))
        drawn |= {method: replace(drawn[method], name=name) for method, name in names.items()}
        draw = curves if max(map(len, own.budgets.values())) > 1 else points
        plot = draw(own, drawn, cells, file.name)
        plot.figure.set_figwidth(PAGE if choice.wide else COLUMN)
        write(plot, file.parent)
    return plot
