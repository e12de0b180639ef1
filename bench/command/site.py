"""`bench results`: a static site over packs and results folders."""

from collections.abc import Sequence
from pathlib import Path

from reports.page.site import Entry, site

from ..errors import BenchError
from ..plan.outline import recorded_suites
from ..run.packing import Pack, readable
from ..run.reporting import write_report
from ..store.sealed import write_atomically
from ..store.store import Store


def write_site(places: Sequence[Path], out: Path) -> Path:
    """Write the report of every suite there, and a first page over them; returns its path.

    Raises:
        BenchError: two of them are of one suite, or there is none.
    """
    entries: dict[str, Entry] = {}
    for place in places:
        store = Store(readable(place))
        for name in recorded_suites(store):
            if name in entries:
                raise BenchError(f"{place}: there is a {name} already; bench merge joins packs")
            pack = Pack.of_results(store, name, place.stem)
            write_report(pack.outline, store, out / name)
            entries[name] = Entry(pack.outline.suite, pack.about())
    if not entries:
        raise BenchError(f"{', '.join(map(str, places))}: no suite was run there")
    write_atomically(out / "index.html", site(list(entries.values()), out).encode())
    return out / "index.html"
