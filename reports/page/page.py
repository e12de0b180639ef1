"""The page: findings, figures and tables, set by a Jinja2 template."""

import gzip
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from ..analysis import power
from ..analysis.fidelity import FidelityResults
from ..analysis.results import Results
from ..figures.plot import Drawing
from ..formats import Table
from ..words import templates
from . import answer, findings, wording
from .glossary import glossary
from .tables import frames_of
from .warnings import one_image, scope, warnings


def render(
    results: Results, drawings: Iterable[Drawing], tables: Mapping[str, Sequence[Table]]
) -> str:
    """One HTML page without outside parts: style, script and figures are inlined."""
    return rendered(
        "page.html",
        results,
        drawings,
        tables=tables,
        answers=answer.answers(results),
        board=answer.board(results),
        headlines={
            one: (findings.headline(results, one), answer.like_these(results, one))
            for one in ([] if results.footing.rehearsal else results.recoveries)
        },
        scope=scope(results),
        planned_tests=power.planned_tests(results.layout),
        advice=power.advice(results.layout),
        warnings=list(warnings(results)),
        one_image=one_image(results.trials),
        csv_names=list(frames_of(results)),
    )


def rendered(
    name: str, results: Results | FidelityResults, drawings: Iterable[Drawing], **known: Any
) -> str:
    """A template of this package over what its page knows beside all others; what is put into it is
    escaped, and no line breaks between a number and its percent sign."""
    environment = templates(
        autoescape=True,
        finalize=lambda it: it.replace(" %", "\N{NO-BREAK SPACE}%") if isinstance(it, str) else it,
    )
    environment.globals["glossary"] = glossary()
    return environment.get_template(name).render(
        known,
        results=results,
        suite=results.suite,
        wording=wording,
        done=sum(one.status == "done" for one in results.records),
        failures=findings.failures(results.records),
        # SVG, gzipped in base64: it is unpacked in the browser, where it is seen.
        figures=[
            (one, Markup(b64encode(gzip.compress(one.svg.read_bytes(), mtime=0)).decode("ascii")))
            for one in drawings
        ],
        provenance=sorted(findings.provenance(results.records).items()),
    )
