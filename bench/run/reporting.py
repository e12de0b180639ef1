"""What is made of a plan's records, and what is said of those that are damaged."""

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from reports.records import Record, content_key
from suites.faults import no_such

from ..errors import BenchError, fault
from ..plan.outline import Outline
from ..store.sealed import cannot_write, file_digests, part_of, read_json, write_json
from ..store.store import Store
from ..terminal import say
from .declaring import declared

MANY = 3_000  # records whose figures take longer than other processes take to begin


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

    Raises BenchError where there are no records yet, or no such format, figure or part of a paper.
    """
    from reports.build import FORMATS, build_report

    folder = out or store.path("reports", plan.suite.suite) / ("paper" if paper else "")
    wanted = [one for one in FORMATS if one in formats] if formats else list(FORMATS)
    if unknown := [one for one in formats if one not in FORMATS]:
        raise BenchError(f"--format: {no_such('format', unknown[0], FORMATS)}")
    found = finished(plan, store) if records is None else records
    try:
        with part_of(folder) as part:
            page = build_report(
                plan.suite,
                found,
                plan.expected,
                part,
                declarations=declared(plan, store),
                labs=plan.labs(store),
                formats=wanted,
                figures=figures or None,
                paper=paper,
                processes=(os.cpu_count() or 1) if len(found) > MANY else 1,
            )
            files = [one for one in part.rglob("*") if one.is_file()]
            for file in sorted(files, key=page.__eq__):  # the page last
                place = folder / file.relative_to(part)
                place.parent.mkdir(exist_ok=True)
                file.replace(place)
            return folder / page.relative_to(part)
    except OSError as error:
        raise cannot_write(folder, error) from error
    except ValueError as error:
        if not figures and not paper:
            raise
        raise BenchError(f"{'--paper' if paper else '--figures'}: {error}") from error


def write_own_report(plan: Outline, store: Store, records: Sequence[Record]) -> Path:
    """Write the whole report of a plan to its place in the results; returns the path of the page.

    What it was made of and all files' SHA-256 are written last; `records` are all of the plan's.
    """
    folder = store.path("reports", plan.suite.suite)
    _clear(folder)
    page = write_report(plan, store, folder, records=records)
    content = {"made_of": _made_of(plan, store, records), "files": file_digests(folder)}
    write_json(store.path("reports", plan.suite.suite, ".json"), content)
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
    made = read_json(store.path("reports", plan.suite.suite, ".json"))
    folder = store.path("reports", plan.suite.suite)
    return (
        made is not None
        and made["made_of"] == _made_of(plan, store, records)
        and made["files"].items() <= file_digests(folder).items()
    )


def _made_of(plan: Outline, store: Store, records: Sequence[Record]) -> str:
    """The SHA-256 of all that a report is made of: suite, plan, declaration, records, code."""
    import reports

    code = Path(reports.__file__).parent
    parts = [plan.suite, *plan.expected, *declared(plan, store)]
    said = [one.model_dump_json() for one in parts]
    return content_key([said, [one.to_json().decode() for one in records], file_digests(code)])


def finished(plan: Outline, store: Store) -> list[Record]:
    """All records of a plan; BenchError if there is none yet."""
    if not (records := plan.records(store)):
        raise BenchError(fault("finished", suite=plan.suite.suite, root=store.root))
    return records


def reasons(records: Iterable[Record]) -> dict[tuple[str, str], list[str]]:
    """Trials by how and why they ended without measurements."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in records:
        if one.failure is not None:
            reason = f"{one.failure.kind}: {one.failure.message}"
            found.setdefault((one.status, reason), []).append(one.labels.brief)
    return found


@contextmanager
def saying_damage(store: Store, console: Console) -> Iterator[int]:
    """Say at the end what this process or a worker found damaged; gives how much was before."""
    earlier = len(store.set_aside_so_far())
    try:
        yield earlier
    finally:
        for line in store.set_aside_so_far()[earlier:]:
            say(console, ("damaged", "yellow"), f" {line}")
