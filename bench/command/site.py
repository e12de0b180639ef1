"""`bench results`: a static site over packs and results folders."""

from collections.abc import Sequence
from pathlib import Path

from reports.page.site import site

from ..errors import BenchError
from ..plan.outline import recorded_suites
from ..run.packing import Pack, readable
from ..run.reporting import write_report
from ..store.sealed import write_atomically
from ..store.store import Store


def write_site(places: Sequence[Path], out: Path) -> Path:
    """Write the report of every suite there, and a first page over them; returns its path.

    Raises BenchError where two of them are of one suite, or there is none.
    """
    packs: dict[str, Pack] = {}
    for place in places:
        store = Store(readable(place))
        for name in recorded_suites(store):
            if name in packs:
                raise BenchError(f"{place}: there is a {name} already; bench merge joins packs")
            packs[name] = Pack.of_results(store, name, place.stem)
            write_report(packs[name].outline, store, out / name)
    if not packs:
        raise BenchError(f"{', '.join(map(str, places))}: no suite was run there")
    suites = {name: one.outline.suite for name, one in packs.items()}
    about = {name: one.about() for name, one in packs.items()}
    write_atomically(out / "index.html", site(suites, about, out).encode())
    return out / "index.html"
