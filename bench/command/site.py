"""`bench results`: a static site over packs and results folders."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from reports.claims.claim_file import asked
from reports.claims.results_page import answers, results_page
from reports.formats import spanned
from reports.records import Record
from reports.words import templates

from ..errors import BenchError
from ..plan.outline import recorded_suites
from ..run.packing import Pack, readable
from ..run.reporting import write_report
from ..store.sealed import write_atomically
from ..store.store import Store

COLUMNS = ["suite", "recovery", "reference"]


def write_site(places: Sequence[Path], out: Path, questions: Path | None = None) -> Path:
    """Write the report of every suite there, and a first page over them; returns its path.

    Answers to `questions` stand there and in results.md. Raises BenchError: no suite, or one twice.
    """
    records = list[Record]()
    shown, found = dict[str, Any](), [pd.DataFrame(columns=["family", "method", *COLUMNS, "cell"])]
    for place in places:
        store = Store(readable(place))
        for name in recorded_suites(store):
            if name in shown:
                raise BenchError(f"{place}: there is a {name} already; bench merge joins packs")
            pack = Pack.of_results(store, name, place.stem)
            records += pack.outline.records(store)  # under this suite's names for them
            write_report(pack.outline, store, out / name)
            said = json.loads((out / name / "headline.json").read_text("utf-8"))
            shown[name] = pack.outline.suite, pack.about(), said["notices"] + said["answer"]
            if (overall := out / name / "tables" / "overall.csv").exists():  # none of fidelity
                rows = pd.read_csv(overall)
                cells = [*map(spanned, rows["mean"], rows["joint_low"], rows["joint_high"])]
                found.append(rows.assign(suite=name, cell=cells))
    if not shown:
        raise BenchError(f"{', '.join(map(str, places))}: no suite was run there")
    table = pd.concat(found).query("family == 'control'")
    table = table.pivot(index="method", columns=COLUMNS, values="cell").fillna("")
    if questions:
        answered = answers(asked(questions), records)
        write_atomically(out / "results.md", results_page(answered, shown).encode())
    page = templates(autoescape=True).get_template("site.html").render(shown=shown, table=table)
    write_atomically(out / "index.html", page.encode())
    return out / "index.html"
