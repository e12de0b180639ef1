"""How far a suite has come."""

from collections import Counter

from rich.console import Console

from ..plan.outline import Outline, recorded_suites
from ..run.reporting import finished, reasons
from ..store.store import Store
from ..terminal import print_table, say


def show_status(console: Console, planned: Outline, store: Store) -> None:
    """How far each method has come, and the failures with their reasons."""
    records = finished(planned, store)
    needed, course = planned.needed(records)
    keys = {trial.key for trial in needed.trials}
    records = [one for one in records if one.key in keys]
    counts: dict[str, Counter[str]] = {}
    for trial in needed.trials:
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
    if course.taken:
        say(console, course.last_look)
    for (ended, reason), trials in reasons(records).items():
        several = f"{len(trials)} trials, as " if len(trials) > 1 else ""
        say(console, f"{ended}: {several}{trials[0]}: {reason}")


def show_all(console: Console, store: Store) -> None:
    """The suites that were run with these results, and how far each has come."""
    rows, known = [], store.record_keys()
    for name, one in recorded_suites(store).items():
        done = sum(trial.key in known for trial in one.trials)
        told = one.minute, one.outline.suite.description
        rows.append((name, f"{done}/{len(one.trials)}", *told))
    if rows:
        print_table(console, ("suite", "trials", "run last", "what it is"), rows)
    else:
        say(console, f"No suite was run with {store.root}; first: bench run quickstart")
