"""How far a suite has come."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console

from .table import print_table

if TYPE_CHECKING:
    from ..plan import Plan
    from ..store import Store


def status(console: Console, planned: Plan, store: Store) -> None:
    """How far each method has come, and the failures with their reasons."""
    records = planned.records(store)
    counts: dict[str, Counter[str]] = {}
    for trial in planned.trials:
        counts.setdefault(trial.labels.method, Counter())["trials"] += 1
    for record in records:
        counts[record.labels.method][record.status] += 1
    rows = [
        (
            method,
            f"{count['done']}/{count['trials']}",
            *(str(count[one] or "") for one in ("infeasible", "failed")),
            str(count["trials"] - count["done"] - count["infeasible"] - count["failed"] or ""),
        )
        for method, count in counts.items()
    ]
    print_table(console, ("method", "done", "infeasible", "failed", "to go"), rows)
    for record in records:
        if record.failure is not None:
            console.print(
                f"{record.status}: {record.labels.brief}: "
                f"{record.failure.kind}: {record.failure.message}",
                markup=False,
            )
