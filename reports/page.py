"""The page: findings, figures and tables, set by a Jinja2 template."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from suites.method import MethodSpec
from suites.schema import AnySuite, Suite

from . import findings
from .records import budget_words
from .tables import counts, interval, p_value, points

if TYPE_CHECKING:
    from .analysis import Results
    from .figures.gallery import Drawing


@dataclass(frozen=True)
class Column:
    head: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table as it is set: texts, and beside each number its value for sorting."""

    caption: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[tuple[str, float | None]]]


def render(results: Results, drawings: Sequence[Drawing]) -> str:
    """One HTML page without outside parts: style, script and figures are inlined."""
    return template("page.html").render(
        results=results,
        suite=results.suite,
        methods=[described(one, results.suite) for one in results.suite.methods],
        axis=findings.WORDS[results.suite.budgets.cost],
        given=any(one.checkpoint or one.weights for one in results.suite.models),
        done=sum(one.status == "done" for one in results.records),
        headlines=[(one, findings.headline(results, one)) for one in results.recoveries],
        power_line=findings.power_line(results.power),
        warnings=list(findings.warnings(results)),
        failures=findings.failures(results.records),
        unfinished=findings.unfinished(results),
        left_out=findings.left_out(results),
        figures=[(one, data_uri(one)) for one in drawings],
        recovery_tables=[
            (one, difference_table(results, one), overall_table(results, one))
            for one in results.recoveries
        ],
        cell_table=cell_table(results),
        recipes=recipes(results.suite),
        provenance=sorted(findings.provenance(results.records).items()),
    )


def template(name: str) -> Template:
    """A template of this package; whatever is put into it is escaped."""
    return Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_keep_together,
    ).get_template(name)


def described(method: MethodSpec, suite: AnySuite) -> str:
    """A method in words, with all in which it differs from the suite's defaults."""
    parts = [] if method.name == method.criterion else [f"criterion {method.criterion}"]
    parts += [f"{key} {value}" for key, value in method.options.items()]
    if method.scope:
        parts.append(f"{method.scope} ranking")
    if method.iterative:
        parts.append(f"scored anew in {method.iterative.steps} {method.iterative.schedule} steps")
    if method.matched:
        same = (
            "weight counts" if isinstance(suite, Suite) and suite.budgets.unstructured else "widths"
        )
        parts.append(f"controls with its {same}: {', '.join(method.matched)}")
    return method.name + (f" ({', '.join(parts)})" if parts else "")


_VERDICTS = {
    "better": "better by more than the ROPE",
    "worse": "worse by more than the ROPE",
    "equivalent": "within the ROPE",
    "open": "undecided",
}


def difference_table(results: Results, recovery: str) -> Table:
    """Paired differences of one recovery, a row a problem and comparison."""
    rows = []
    for row in results.paired[results.paired["recovery"] == recovery].to_dict("records"):
        said = _VERDICTS.get(row["verdict"], f"missing: {row['reason']}")
        number = _value(row["mean"])
        cells = [_text(row["method"]), _text(row["reference"]), _text(row["problem"])]
        cells += [(points(row["mean"]), number), (interval(row["low"], row["high"]), number)]
        cells += [_count(row["n_bases"]), (counts(row), _value(row["wins"])), _text(said)]
        rows.append(cells)
    level = f"{100 * (1 - results.suite.analysis.alpha):g} % interval"
    heads = ["Method", "Against", "Problem", "Difference", level, "Bases", "Won/tied/lost"]
    caption = "On each problem, over bases: points of retained top-1, averaged over budgets"
    return Table(caption, [*_columns(heads, 3), Column("Against the ROPE")], rows)


def overall_table(results: Results, recovery: str) -> Table:
    """Differences over problems; tests only where they could reject."""
    heads = ["Method", "Against", "Problems", "Mean", "Hodges–Lehmann", "Won/tied/lost"]
    tested = results.power.can_reach_alpha
    if tested:
        heads += [f"{100 * (1 - results.suite.analysis.alpha):g} % interval", "p", "Holm p"]
    rows = []
    for row in results.overall[results.overall["recovery"] == recovery].to_dict("records"):
        number = _value(row["mean"])
        cells = [_text(row["method"]), _text(row["reference"]), _count(row["n_problems"])]
        cells += [(points(row["mean"]), number)]
        cells += [(points(row["hodges_lehmann"]), _value(row["hodges_lehmann"]))]
        cells += [(counts(row), _value(row["wins"]))]
        if tested:
            cells += [(interval(row["low"], row["high"]), number)]
            cells += [(p_value(row[one]), _value(row[one])) for one in ("p", "p_holm")]
        rows.append(cells)
    return Table("Over problems", _columns(heads, 2), rows)


def cell_table(results: Results) -> Table:
    """Every cell of the suite."""
    columns = {
        "top1": "Top-1 %",
        "retained_top1": "Retained, points",
        "best_validation_top1": "Top-1 % at best validation",
        "macs_percent": "MACs %",
        "params_percent": "Parameters %",
        "channels_percent": "Channels %",
        "weights_percent": "Weights %",
        "latency_percent": "Latency %",
        "score_s": "Scoring s",
        "recovery_s": "Recovery s",
    }
    left_out = ("channels", "latency") if results.suite.budgets.unstructured else ("weights",)
    for one in left_out:  # a mask leaves these as they are, or only a mask has them
        del columns[f"{one}_percent"]
    rows = []
    for row in results.cells.to_dict("records"):
        cells = [_text(row[one]) for one in ("problem", "recovery", "method")]
        cells += [(budget_words(row["cost"], row["budget"]), row["budget"])]
        cells += [(f"{row['done']}/{row['expected']}", row["done"])]
        cells += [
            (f"{row[one]:.3g}" if pd.notna(row[one]) else "–", _value(row[one])) for one in columns
        ]
        rows.append(cells)
    heads = ["Problem", "Recovery", "Method", "Budget", "Trials", *columns.values()]
    return Table("Means of every cell", _columns(heads, 3), rows)


def _keep_together(value: Any) -> Any:
    """No line break between a number and its percent sign."""
    return value.replace(" %", "\N{NO-BREAK SPACE}%") if isinstance(value, str) else value


def _columns(heads: Sequence[str], texts: int) -> list[Column]:
    return [Column(head, numeric=i >= texts) for i, head in enumerate(heads)]


def _text(text: str) -> tuple[str, float | None]:
    return (text, None)


def _count(value: Any) -> tuple[str, float | None]:
    return ("–" if pd.isna(value) else str(value), _value(value))


def _value(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def data_uri(drawing: Drawing) -> Markup:
    text = base64.b64encode(drawing.svg.read_bytes()).decode("ascii")
    return Markup(f"data:image/svg+xml;base64,{text}")


def recipes(suite: AnySuite) -> list[tuple[str, str]]:
    texts = []
    for name in sorted(suite.used_recipes):
        recipe = suite.all_recipes[name].model_dump()
        if recipe["schedule"] != "step":
            del recipe["milestones"], recipe["gamma"]
        texts.append((name, ", ".join(f"{key} {value}" for key, value in recipe.items())))
    return texts
