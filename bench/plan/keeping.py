"""Whose networks are kept: all, those of some methods, or of the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean
from typing import TYPE_CHECKING

from reports.records import Record
from suites import FidelitySuite
from suites.faults import no_such

from ..errors import ExportError, PlanError
from ..export.recipe import read_recipe
from ..store.store import Store
from .jobs import Trial, TrialJob

if TYPE_CHECKING:
    from .plan import Plan


def keeping(
    plan: Plan, asked: str, records: Sequence[Record], store: Store, pending: Sequence[Trial] = ()
) -> list[Trial]:
    """The pending trials, and those done whose network is asked for and not there, to make again.

    Args:
        asked: `all`, `best` or names of methods; "" is what the suite says. The best have the
            highest mean top-1 of a problem, budget and recovery, once nothing is pending.

    Raises:
        PlanError: none of these, or trials that make no networks.
    """
    chosen = _asked(plan, asked, [] if pending else records)
    ahead = {one.key for one in pending}
    again = {one.key for one in records if one.status == "done"} & chosen
    again = {key for key in again if not is_kept(store, key)}
    return [
        replace(one, keep=True) if isinstance(one, TrialJob) and one.key in chosen else one
        for one in plan.trials
        if one.key in ahead | again
    ]


def is_kept(store: Store, key: str) -> bool:
    """Whether the network of a trial is there, and whole."""
    try:
        read_recipe(store.network(key))
    except ExportError:
        return False
    return True


def _asked(plan: Plan, asked: str, records: Sequence[Record]) -> set[str]:
    """Keys of the trials whose networks are to be kept, as far as that is known."""
    if isinstance(plan.suite, FidelitySuite):
        if asked:
            raise PlanError(f"--keep {asked}: a suite of kind fidelity makes no pruned networks")
        return set()
    asked = asked or ("all" if plan.suite.keep else "")
    if asked == "best":
        return _best(records)
    names = asked.split(",") if asked else []
    known = plan.suite.method_names
    if asked != "all" and (wrong := [one for one in names if one not in known]):
        raise PlanError(
            f"--keep: {no_such('method in this suite', wrong[0], [*known, 'all', 'best'])}"
        )
    return {one.key for one in plan.trials if asked == "all" or one.labels.method in names}


def _best(records: Sequence[Record]) -> set[str]:
    """Keys of the trials of the best methods; one with a trial that has failed is none."""
    cells: dict[tuple[object, ...], dict[str, list[Record]]] = {}
    for one in records:
        at = one.labels
        if at.matched_to is None:
            cell = cells.setdefault((at.problem, at.budget, at.recovery), {})
            cell.setdefault(at.method, []).append(one)
    best: set[str] = set()
    for cell in cells.values():
        most = max(map(len, cell.values()))
        means = {
            name: fmean(one.measurements.pruned.top1 for one in trials if one.measurements)
            for name, trials in cell.items()
            if len(trials) == most and all(one.measurements for one in trials)
        }
        if means:
            best |= {one.key for one in cell[max(means, key=means.__getitem__)]}
    return best
