"""Whose networks are kept (all, those of some methods, or of the best), and whether all were."""

import json
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from reports.formats import counted
from reports.records import Record, frame
from suites import FidelitySuite
from suites.faults import no_such

from ..errors import ExportError, PlanError, needed
from ..export.recipe import RECIPE, read_recipe
from ..store.store import Store
from ..terminal import say
from .jobs import Trial, TrialJob
from .plan import Plan

AFRESH = Path(__file__).with_name("afresh.txt")


def keeping(
    plan: Plan, asked: str, records: Sequence[Record], store: Store, pending: Sequence[Trial] = ()
) -> list[Trial]:
    """The pending trials, and those done whose network is asked for and not there, to make again.

    `asked`: `all`, `best` or names of methods; "" is what the suite says. The best have the highest
    mean top-1 of a problem, budget and recovery, once nothing is pending.
    """
    chosen, ahead = {one.key for one in asked_for(plan, asked)}, {one.key for one in pending}
    if asked == "best":
        chosen = _best(records) if records and not pending else set()
    if chosen:
        needed("export", "safetensors", wrong=ExportError)
    again = {one.key for one in records if one.status == "done" and one.key in chosen}
    again = {key for key in again if not is_kept(store, key)}
    return [
        replace(one, keep=True) if isinstance(one, TrialJob) and one.key in chosen else one
        for one in plan.trials
        if one.key in ahead | again
    ]


def asked_for(plan: Plan, asked: str) -> list[Trial]:
    """The trials whose networks are to be kept; of the best, which nobody knows, of one method."""
    if isinstance(plan.suite, FidelitySuite):
        if asked:
            raise PlanError(f"--keep {asked}: a suite of kind fidelity makes no pruned networks")
        return []
    known = plan.suite.method_names
    names = known if asked == "all" or (plan.suite.keep and not asked) else asked.split(",")
    names = known[:1] if asked == "best" else [one for one in names if one]
    if wrong := [one for one in names if one not in known]:
        allowed = [*known, "all", "best"]
        raise PlanError(f"--keep: {no_such('method in this suite', wrong[0], allowed)}")
    return [one for one in plan.trials if one.labels.method in names]


def is_kept(store: Store, key: str) -> bool:
    """Whether the network of a trial is there, and whole."""
    try:
        read_recipe(store.path("networks", key))
    except ExportError:
        return False
    return True


def check_kept(keys: Collection[str], store: Store, console: Console) -> None:
    """Load the networks of these trials in a fresh process, and say what came of it.

    Those that it cannot rebuild are no longer taken for kept.
    """
    folders = [store.path("networks", key) for key in sorted(keys) if is_kept(store, key)]
    command = [sys.executable, "-c", AFRESH.read_text("utf-8"), *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        say(console, ("not checked", "red"), f" {' '.join(done.stderr.splitlines()[-1:])}")
        return
    for folder, why in json.loads(done.stdout).items():
        (Path(folder) / RECIPE).unlink(missing_ok=True)
        say(console, ("not kept", "red"), f" {why}")
    whole = [one for one in folders if (one / RECIPE).exists()]
    size = sum(one.stat().st_size for folder in whole for one in folder.iterdir()) / 1e6
    networks = counted(len(whole), "pruned network")
    where = f" in {store.root / 'networks'} ({size:.1f} MB), rebuilt in a fresh process, outputs "
    more = f"{where}equal; bench export lists them" if whole else ""
    say(console, f"{networks} of {len(keys)} kept{more}")


def _best(records: Sequence[Record]) -> set[str]:
    """Keys of the trials of the best methods; one with a failed trial is behind the others."""
    done = frame(one for one in records if one.labels.matched_to is None)
    if done.empty:
        return set()
    cell = ["problem", "budget", "recovery"]
    means = done.groupby([*cell, "method"])["top1"].agg(["size", "mean"])
    best = means.sort_values(["size", "mean"]).groupby(cell).tail(1).index
    return {*done.set_index([*cell, "method"]).loc[best, "key"]}
