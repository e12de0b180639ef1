"""How much a run has to process: images, GPU-hours, and epochs of each phase of each method."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from rich.console import Console

from .table import print_table

if TYPE_CHECKING:
    from ..jobs import Job
    from ..plan import Plan
    from ..workload import Throughput, Work


def by_kind(jobs: Iterable[Job]) -> dict[str, list[Job]]:
    """Jobs by what they are called where work is shown; those of trials last."""
    from ..jobs import BaseJob, OracleJob, PathJob, PreparedJob, ScoresJob

    found: dict[str, list[Job]] = {}
    for job in jobs:
        match job:
            case BaseJob() | PreparedJob():
                kind = "bases"
            case ScoresJob():
                kind = "scores"
            case PathJob():
                kind = "paths"
            case OracleJob():
                kind = "oracles"
            case _:
                kind = "trials"
        found.setdefault(kind, []).append(job)
    return found


def show_work(
    console: Console, head: str, rows: Mapping[str, Work], throughput: Throughput
) -> None:
    """A row each, and what the estimate rests on."""
    print_table(
        console,
        (head, "images scored", "trained on", "evaluated", "GPU-hours"),
        [
            (
                name,
                *map(_count, (work.load.scored, work.load.trained, work.load.evaluated)),
                _hours(work.hours),
            )
            for name, work in rows.items()
        ],
    )
    console.print(
        f"GPU-hours: MACs of the forward passes, at {throughput}; without cutting and loading.",
        soft_wrap=True,
    )
    unknown = sorted(set().union(*(work.unknown for work in rows.values())))
    if unknown:
        console.print(
            f"Not in it: {', '.join(unknown)}, whose size is not known before it lies under "
            "--data-root with an image_size.",
            soft_wrap=True,
        )


def _count(images: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if images >= 10 * size:
            return f"{images / size:,.0f} {letter}"
    return str(images) if images else ""


def _hours(hours: float) -> str:
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def epochs(console: Console, planned: Plan) -> None:
    """Of each method: what it trains before it is scored, on its way, and to recover."""
    from ..jobs import TrialJob
    from ..workload import own_epochs, prepared_epochs, recovery_epochs

    found: dict[str, dict[str, set[int]]] = {}
    for trial in planned.trials:
        if isinstance(trial, TrialJob):
            mine = found.setdefault(trial.labels.method, {})
            before = prepared_epochs(trial.path)
            mine.setdefault("before", set()).add(before)
            mine.setdefault("way", set()).add(own_epochs(trial.path, trial.budget) - before)
            if trial.recipe is not None:
                mine.setdefault(trial.labels.recovery, set()).add(recovery_epochs(trial))
    if not found:
        return
    every = dict.fromkeys(name for mine in found.values() for name in mine)
    kinds = [one for one in every if any(max(mine.get(one, {0})) for mine in found.values())]
    print_table(
        console,
        ("epochs of", *(_HEADS.get(one, one) for one in kinds)),
        [
            (method, *(_range(mine.get(one, set()), one not in _HEADS) for one in kinds))
            for method, mine in found.items()
        ],
    )


_HEADS = {"before": "before scoring", "way": "on the way"}


def _range(counts: set[int], finetuned: bool) -> str:
    """Over budgets and problems. A method's own phases may leave nothing of a total."""
    if not counts or (counts == {0} and not finetuned):
        return ""
    low, high = min(counts), max(counts)
    return str(low) if low == high else f"{low} to {high}"
