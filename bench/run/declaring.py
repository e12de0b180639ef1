"""The declaration of a suite: its design, written down before its first trial runs.

`results/declared/SUITE.json` holds it first, and behind it what later runs have changed.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console

from reports.declared import Declaration, Footing, design_of, footing, words
from reports.records import Record

from ..plan.outline import Outline
from ..store.sealed import read_json, write_json
from ..store.store import Store
from ..terminal import say


def declared(plan: Outline, store: Store) -> list[Declaration]:
    """The declaration of a plan's suite and its later changes; empty where there is none."""
    found = read_json(store.path("declared", plan.suite.suite, ".json"))
    return [Declaration.model_validate(one) for one in found["declarations"]] if found else []


def footing_of(plan: Outline, store: Store, records: Sequence[Record]) -> Footing:
    """What words on these records, all of the plan's, may lean on."""
    needed, _ = plan.needed(records)
    return footing(plan.suite, records, needed.expected, declared(plan, store))


def declare(
    plan: Outline, store: Store, records: Sequence[Record], console: Console, *, runs: bool
) -> None:
    """Write down a new design, and say in what it is not as declared.

    While no trial of the suite is finished it takes the place of the old one, afterwards it goes
    behind it. Where nothing `runs`, a first declaration would come after the results: none is made.
    """
    design, known = design_of(plan.suite, plan.expected), declared(plan, store)
    if known[-1].design != design if known else runs:
        planned = {trial.key for trial in plan.trials}
        whole, _ = store.all_records()  # earlier plans of the suite have shown results too
        seen = [one for one in whole if one.key in planned or one.labels.suite == plan.suite.suite]
        latest = Declaration(
            design=design,
            date=datetime.now(UTC).isoformat(timespec="milliseconds"),
            finished=sum(one.status == "done" for one in seen),
            trials=len(planned.union(one.key for one in seen)),
        )
        known = [*known, latest] if latest.finished else [latest]
        path = store.path("declared", plan.suite.suite, ".json")
        write_json(path, {"declarations": [one.model_dump() for one in known]})
        if known == [latest]:
            where = os.path.relpath(path)
            say(console, f"declared: {words(design)} ({where})")
    for one in footing_of(plan, store, records).exploratory:
        say(console, ("not as declared:", "yellow"), f" {one}")
