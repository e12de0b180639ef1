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
    counts, rows = Counter((one.labels.method, one.status) for one in records), []
    for method, trials in Counter(one.labels.method for one in needed.trials).items():
        done, *others = (counts[method, one] for one in ("done", "infeasible", "failed"))
        rest = (str(one or "") for one in (*others, trials - done - sum(others)))
        rows.append((method, f"{done}/{trials}", *rest))
    print_table(console, ("method", "done", "infeasible", "failed", "to go"), rows)
    if course.taken:
        say(console, course.last_look)
    for (ended, reason), names in reasons(records).items():
        several = f"{len(names)} trials, as " if len(names) > 1 else ""
        say(console, f"{ended}: {several}{names[0]}: {reason}")


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
