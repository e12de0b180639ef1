"""How much a run has to process: images, GPU-hours, and epochs of each phase of each method."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Console

from reports.words import Words

from ..terminal import print_table, say

if TYPE_CHECKING:
    from ..plan.jobs import Trial
    from ..plan.plan import Plan
    from ..plan.workload import Throughput, Work


SAID = Words("planning.yaml")
WORK = ("scored", "trained", "evaluated", "GPU-hours")  # images, and time


def kinds_of(trials: Iterable[Trial]) -> list[str]:
    """What these trials stand on, done or not, and they themselves."""
    below = (one for trial in trials for one in (trial, *trial.stands_on))
    jobs = {job for one in below for job in (one, *one.stands_on)}
    kinds = {"bases", "scores", *(job.kind for job in jobs)}
    return [one for one in SAID.texts["kinds"] if one in kinds]


def cells(work: Work) -> tuple[str, ...]:
    """The columns `WORK`."""
    load = work.load
    return (*map(_count, (load.scored, load.trained, load.evaluated)), _hours(work.hours))


def hours_of(works: Iterable[Work]) -> str:
    """Their sum, in a person's digits."""
    return _hours(sum(one.hours for one in works))


def say_assumptions(console: Console, works: Iterable[Work], throughput: Throughput) -> None:
    """What the estimate rests on, and what is not in it."""
    say(console, SAID("work", "assumed", rate=throughput))
    if unknown := set().union(*(one.unknown for one in works)):
        say(console, SAID("work", "unknown", unknown=unknown))


def _count(images: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if images >= 10 * size:
            return f"{images / size:,.0f} {letter}"
    return str(images) if images else ""


def _hours(hours: float) -> str:
    if hours >= 10:
        return f"{hours:,.0f}"
    return f"{hours:.2g}" if hours >= 0.001 else "< 0.001" if hours else ""


def show_epochs(console: Console, planned: Plan) -> None:
    """Print what methods train before they are scored, on the way, and to recover; alike as one."""
    from ..plan.jobs import TrialJob
    from ..plan.workload import own_epochs, prepared_epochs, recovery_epochs

    by_method: dict[str, dict[str, set[int]]] = {}
    for trial in planned.trials:
        if isinstance(trial, TrialJob):
            trained = by_method.setdefault(trial.labels.method, {})
            before = prepared_epochs(trial.path)
            trained.setdefault("before", set()).add(before)
            trained.setdefault("way", set()).add(own_epochs(trial.path, trial.budget) - before)
            if trial.recipe is not None:
                trained.setdefault(trial.labels.recovery, set()).add(recovery_epochs(trial))
    every = dict.fromkeys(name for trained in by_method.values() for name in trained)
    kinds = [
        one for one in every if any(max(trained.get(one, {0})) for trained in by_method.values())
    ]
    if not kinds:
        return
    alike: dict[tuple[str, ...], list[str]] = {}
    for method, trained in by_method.items():
        counts = (_range(trained.get(one, set()), one not in _HEADS) for one in kinds)
        alike.setdefault(tuple(counts), []).append(method)
    rows = [
        (f"all {len(names)} methods" if names == [*by_method] else ", ".join(names), *counts)
        for counts, names in alike.items()
    ]
    print_table(console, ("epochs of", *(_HEADS.get(one, one) for one in kinds)), rows)


_HEADS = {"before": "before scoring", "way": "on the way"}


def _range(counts: set[int], finetuned: bool) -> str:
    """Epochs over budgets and problems. A method's own phases may leave nothing of a total."""
    if not counts or (counts == {0} and not finetuned):
        return ""
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
