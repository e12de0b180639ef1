"""One suite's report: a folder with page, figures and tables, made from records alone."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from importlib import import_module
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, get_args

from suites.fidelity import FidelitySuite
from suites.schema import Suite

from .analysis.analysis import analyse
from .analysis.fidelity import analyse_fidelity
from .declared import Declaration, Footing
from .metric import spoken
from .page.findings import headline_numbers
from .records import Labels, Record, of_its_metric

Format = Literal["html", "csv", "markdown"]
FORMATS: tuple[Format, ...] = get_args(Format)


@of_its_metric
def build_report(
    suite: Suite | FidelitySuite,
    records: Sequence[Record],
    expected: Sequence[Labels],
    out: Path,
    *,
    declarations: Sequence[Declaration] = (),
    labs: Mapping[str, Sequence[Record]] | None = None,
    formats: Collection[Format] = FORMATS,
    figures: Sequence[str] | None = None,
    paper: Sequence[str] = (),
    processes: int = 1,
) -> Path:
    """Write the report of a suite into a folder, and return its path, or that of its index.html.

    A pure function of its arguments: the same records, in any order, give the same bytes.

    Args:
        suite: names, orders and the declared analysis.
        records: finished and failed trials; those that the plan does not hold are left out and
            counted. Records and plan meet by their labels: a record that was made under another
            suite's names must be given the plan's labels first.
        expected: the labels of every trial of the plan.
        out: the folder; made if need be.
        declarations: as `analyse` takes them.
        labs: what each lab has found, where there are several; `records` are those that count.
        formats: `html` is the page; the others are those of the tables.
        figures: names of those to draw; default: all that the finished trials allow.
        paper: what a paper shows of a comparison, as `paper.choice.chosen` reads it; then that is
            written instead, and the path of its paper.tex is returned.
        processes: that write figures; more than one only where `__main__` may be imported again.

    Raises ValueError: the plan is empty, two records stand for one trial, or there is no such
    figure or nothing to show in a paper.

    >>> from tempfile import TemporaryDirectory
    >>> from suites import load_suite
    >>> plan = [Labels(suite="quickstart", dataset="digits", model="resnet20", method="l1",
    ...     recovery="none", cost="macs", budget=0.5, base=0, repeat=0)]
    >>> with TemporaryDirectory() as folder:
    ...     page = build_report(load_suite("quickstart"), [], plan, Path(folder)).read_text("utf-8")
    >>> "are missing: 1 not run." in page
    True
    """
    out.mkdir(parents=True, exist_ok=True)
    if paper:
        from .paper.paper import write_paper

        if isinstance(suite, FidelitySuite):
            raise ValueError("a suite of kind fidelity prunes nothing that a table could show")
        return write_paper(analyse(suite, records, expected, declarations), paper, out)
    # matplotlib and Jinja2 are slow to import and are needed here only.
    from .figures.gallery import gallery
    from .page.answer import answers
    from .page.fidelity_page import fidelity_answers, fidelity_tables, render_fidelity
    from .page.page import render
    from .page.tables import frames_of, typeset

    page: Callable[..., str]
    labs = labs or {}
    with _writers(processes) as others:
        if isinstance(suite, FidelitySuite):
            found = replace(analyse_fidelity(suite, records, expected, declarations), labs=labs)
            drawings = gallery(found, out / "figures", figures, others)
            frames = {"methods": found.methods, "trials": found.trials}
            tables, page = fidelity_tables(found), partial(render_fidelity, found)
            headline = _headline(found.footing, fidelity_answers(found), {})
        else:
            results = replace(analyse(suite, records, expected, declarations), labs=labs)
            drawings = gallery(results, out / "figures", figures, others)
            frames, tables, page = frames_of(results), typeset(results), partial(render, results)
            headline = _headline(results.footing, answers(results), headline_numbers(results))
        _write(out / "headline.json", headline)
        folder = out / "tables"
        folder.mkdir(exist_ok=True)
        for name, frame in frames.items() if "csv" in formats else ():
            named = frame.rename(columns=spoken().named)
            named.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
        every = chain.from_iterable(tables.values())
        for table in every if "markdown" in formats else ():
            _write(folder / f"{table.name}.md", table.markdown)
        if "html" in formats:  # the page asks last for the drawings, which are being written
            return _write(out / "index.html", page(drawings, tables))
        tuple(drawings)  # waits for them
    return out


def _writers(processes: int) -> AbstractContextManager[Executor | None]:
    """Processes that write figures, and load what they need meanwhile; None where one does all."""
    if processes == 1:
        return nullcontext()
    load = partial(import_module, "reports.figures.plot")
    others = ProcessPoolExecutor(processes, get_context("spawn"), load)
    others.submit(int)  # begins them
    return others


def _headline(stands: Footing, answers: Mapping[str, str], numbers: Mapping[str, Any]) -> str:
    """The answer in words, its numbers, and on what they stand, as JSON."""
    said = {"declared": stands.date, "notices": stands.notices}
    said["answer"] = [f"{lead}: {sentences}" for lead, sentences in answers.items()]
    return json.dumps({**said, **numbers}, indent=1) + "\n"


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8", newline="\n")
    return path
