"""`bench claims`: what papers claim, against the records of one or several results folders."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from reports.claims.claim_file import known_claims
from reports.claims.claims import judge
from reports.claims.claims_page import by_chance, claims_page, verdicts, what_we_found, worded
from reports.records import Record

from ..errors import BenchError
from ..plan.outline import recorded_suites
from ..store.sealed import write_atomically
from ..store.store import Store
from ..terminal import print_table, say


def show_claims(console: Console, folders: Sequence[Path], out: Path | None) -> None:
    """Print a line for each claim that has been tried, and write the whole table. Raises BenchError
    for a folder without records, and a file that cannot be written."""
    records: list[Record] = []
    for folder in folders:
        store = Store(folder)
        whole, faulty = store.all_records()
        if not whole:
            raise BenchError(f"--results {folder}: there are no records; make some with bench run")
        if faulty:
            say(console, f"{folder}: {faulty} files are no valid records and are left out")
        # A record of several suites speaks for each, by its names for it.
        named = [it for one in recorded_suites(store).values() for it in one.outline.records(store)]
        known = {one.key for one in named}
        records += named + [one for one in whole if one.key not in known]
    judgements = judge(known_claims(), records)
    judged = list(verdicts(judgements))
    rows = [
        (one.paper, one.claim, f"{one.suite}, {on[0].scale}", what_we_found(on), worded(said, on))
        for one, said, on in judged
        if said != "not run"
    ]
    print_table(console, ("paper", "claim", "suite", "what we found", "verdict"), rows)
    say(console, by_chance(judged))
    say(console, f"claims that no record speaks of: {len(judged) - len(rows)}")
    if out is not None:
        write_atomically(out, claims_page(judgements, records).encode())
        say(console, f"wrote {out}")
