"""What is made of a plan's records, and what is said of those that are damaged."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from reports.records import Record
from suites import Suite
from suites.faults import no_such

from ..errors import BenchError
from ..plan.outline import Outline
from ..store.sealed import cannot_write, read_json, write_json
from ..store.store import Store
from ..terminal import say
from .declaring import declared

if TYPE_CHECKING:
    from reports.analysis.compare import MethodDifference


def write_report(
    plan: Outline,
    store: Store,
    out: Path | None,
    formats: Sequence[str] = (),
    figures: Sequence[str] = (),
    records: Sequence[Record] | None = None,
    paper: Sequence[str] = (),
) -> Path:
    """Write the report of a plan from its records; returns the path of the page, or of the folder.

    `formats`, `figures` and `paper` are those of `reports.build.build_report`; no formats or
    figures are all. `records` are all of the plan's, where they have been read already.

    Raises:
        BenchError: no records yet, or a format, figure or part of a paper that there is not.
    """
    from reports.build import FORMATS, build_report

    folder = out or store.report(plan.suite.suite) / ("paper" if paper else "")
    wanted = [one for one in FORMATS if one in formats] if formats else list(FORMATS)
    unknown = [one for one in formats if one not in FORMATS]
    if unknown:
        raise BenchError(f"--format: {no_such('format', unknown[0], FORMATS)}")
    try:
        return build_report(
            plan.suite,
            finished(plan, store) if records is None else records,
            plan.expected,
            folder,
            declarations=declared(plan, store),
            formats=wanted,
            figures=figures or None,
            paper=paper,
        )
    except OSError as error:
        raise cannot_write(folder, error) from error
    except ValueError as error:
        if not figures and not paper:
            raise
        raise BenchError(f"{'--paper' if paper else '--figures'}: {error}") from error


def write_own_report(plan: Outline, store: Store, records: Sequence[Record]) -> Path:
    """Write the whole report of a plan to its place in the results; returns the path of the page.

    What it was made of, and the SHA-256 of every file, are written last. `records` are all of the
    plan's.
    """
    folder = store.report(plan.suite.suite)
    _clear(folder)
    page = write_report(plan, store, folder, records=records)
    content = {"made_of": _made_of(plan, store, records), "files": file_digests(folder)}
    write_json(_made(plan, store), content)
    return page


def _clear(folder: Path) -> None:
    """Take away what stands in the way of a report: no folder where one goes, no file likewise."""
    for place in (folder, folder / "figures", folder / "tables"):
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            place.unlink()
    for place in sorted(folder.rglob("*.*")):
        if place.is_dir() and not place.is_symlink():
            shutil.rmtree(place)
        elif not place.is_file():
            place.unlink(missing_ok=True)


def report_holds(plan: Outline, store: Store, records: Sequence[Record]) -> bool:
    """Whether the report in the results is whole, and made of these records."""
    made = read_json(_made(plan, store))
    folder = store.report(plan.suite.suite)
    return (
        made is not None
        and made["made_of"] == _made_of(plan, store, records)
        and made["files"].items() <= file_digests(folder).items()
    )


def _made(plan: Outline, store: Store) -> Path:
    return store.path("reports", plan.suite.suite, ".json")


def _made_of(plan: Outline, store: Store, records: Sequence[Record]) -> str:
    """The SHA-256 of all that a report is made of: suite, plan, declaration, records, code."""
    import reports

    code = Path(reports.__file__).parent
    digest = hashlib.sha256(plan.suite.model_dump_json().encode())
    for part in (*plan.expected, *declared(plan, store)):
        digest.update(part.model_dump_json().encode())
    for record in records:
        digest.update(record.to_json())
    for name, sha256 in file_digests(code).items():
        digest.update(f"{name} {sha256}".encode())
    return digest.hexdigest()


def file_digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, by its path there."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".pyc"
    }


def compare_methods(plan: Outline, store: Store, method: str, reference: str) -> MethodDifference:
    """Two methods of a suite against each other, from its records.

    Raises:
        BenchError: no records yet, a fidelity suite, or a name that is none of its methods.
    """
    from reports.analysis.compare import compare_methods as difference

    if not isinstance(plan.suite, Suite):
        raise BenchError(f"{plan.suite.suite} is of kind fidelity, whose report compares criteria")
    known = plan.suite.method_names
    unknown = [name for name in (method, reference) if name not in known]
    if unknown:
        said = (no_such(f"method in {plan.suite.suite}", name, known) for name in unknown)
        raise BenchError(f"compare: {'; '.join(said)}")
    return difference(plan.suite, finished(plan, store), plan.expected, method, reference)


def finished(plan: Outline, store: Store) -> list[Record]:
    """All records of a plan.

    Raises:
        BenchError: there is none yet.
    """
    records = plan.records(store)
    if not records:
        raise BenchError(
            f"{plan.suite.suite} has no records in {store.root}; first: bench run "
            f"{plan.suite.suite}"
        )
    return records


@contextmanager
def saying_damage(store: Store, console: Console) -> Iterator[None]:
    """Say at the end what was found damaged inside the block, by this process or a worker."""
    earlier = len(store.set_aside_so_far())
    try:
        yield
    finally:
        for line in store.set_aside_so_far()[earlier:]:
            say(console, ("damaged", "yellow"), f" {line}")
