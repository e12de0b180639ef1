"""The declaration of a suite: its design, written down before its first trial runs.

`results/declared/SUITE.json` holds it first, and behind it what later runs have changed, each with
its date and with how many trials were finished by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from reports.declared import Declaration, Design, Footing, design_of, footing
from reports.records import Record

from ..plan.plan import Plan
from ..store.sealed import read_json, write_json
from ..store.store import Store


def declared(plan: Plan, store: Store) -> list[Declaration] | None:
    """The declaration of a plan's suite and its later changes; None where there is none."""
    found = read_json(_path(plan, store))
    if found is None:
        return None
    return [Declaration.model_validate(one) for one in found["declarations"]]


def footing_of(plan: Plan, store: Store, records: Sequence[Record]) -> Footing:
    """What the words on these records may lean on; `records` are all of the plan's."""
    return footing(plan.suite, records, plan.expected, declared(plan, store))


def declare(
    plan: Plan, store: Store, records: Sequence[Record], console: Console, *, runs: bool
) -> None:
    """Write down the design of a plan, where it is new, and say in what it is not as declared.

    While no trial of the suite is finished a new design takes the place of the old one; afterwards
    it goes behind it.

    Args:
        records: all of the plan's.
        runs: whether trials are about to run. Where none are, a first declaration would come after
            the results, so none is written.

    Raises:
        StoreError: it cannot be written.
    """
    design = design_of(plan.suite, plan.expected)
    known = declared(plan, store) or []
    if (known or runs) and not (known and known[-1].design == design):
        latest = _declaration(plan, store, design)
        known = [*known, latest] if latest.finished else [latest]
        path = _path(plan, store)
        write_json(path, {"declarations": [one.model_dump(mode="json") for one in known]})
        if len(known) == 1:
            where = path.relative_to(store.root.parent)
            console.print(f"declared: {design.words} ({where})", markup=False, soft_wrap=True)
    for one in footing(plan.suite, records, plan.expected, known).exploratory:
        console.print("[yellow]not as declared:[/]", end=" ")
        console.print(one, markup=False, soft_wrap=True)


def _path(plan: Plan, store: Store) -> Path:
    return store.path("declared", plan.suite.suite, ".json")


def _declaration(plan: Plan, store: Store, design: Design) -> Declaration:
    """A design with what is known now: trials of the plan, and of earlier plans of its suite."""
    planned = {trial.key for trial in plan.trials}
    whole, _ = store.all_records()
    seen = [one for one in whole if one.key in planned or one.labels.suite == plan.suite.suite]
    return Declaration(
        design=design,
        date=datetime.now(UTC).isoformat(timespec="milliseconds"),
        finished=sum(one.status == "done" for one in seen),
        trials=len(planned.union(one.key for one in seen)),
    )
