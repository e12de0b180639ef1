"""Does a pack tell what comes out? A sample of its trials is run again, from scratch."""

import os
from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from rich.console import Console

from reports.analysis.labs import Both
from reports.formats import counted
from reports.metric import speaking_of

from ..executors import make_executor
from ..plan.plan import make_plan
from ..plan.refusals import shared_metric
from ..steps.workspace import Settings
from ..store.store import Store
from ..terminal import say
from .live import Live
from .log import RunLog
from .packing import Pack
from .preflight import preflight
from .run import Run


def differing(
    pack: Pack, sample: int, seed: int, data_root: Path, plugins: Sequence[Path], console: Console
) -> int:
    """Run so many finished trials of a pack again, bases included, and say of each whether it has
    measured the same; returns of how many not.

    Raises:
        BenchError: data, weights or plugins are not at hand.
    """
    found = [record for _, record in pack.rows.values() if record.status == "done"]
    plan = make_plan(pack.outline.suite)
    trials = {one.key: one for one in plan.trials}
    known = {one.key: one for one in found if one.key in trials}
    if len(known) < len(found):
        lost = f"{len(found) - len(known)} of {counted(len(found), 'finished trial')} cannot be run"
        why = "with the code of today they have other keys; check out the commit of the pack"
        say(console, (f"{lost}: {why}", "yellow"))
    chosen = [trials[key] for key in Random(seed).sample(sorted(known), min(sample, len(known)))]
    if not chosen:
        say(console, "no trial was run again")
        return 0
    with TemporaryDirectory() as folder, speaking_of(shared_metric(plan.suite)):
        store, workers = Store(Path(folder)), min(len(chosen), os.cpu_count() or 1)
        settings = Settings(store.root, data_root, plugins=tuple(plugins))
        preflight(chosen, settings)
        executor = make_executor("local", settings, workers, None)
        with RunLog(store, pack.name, Live(console)) as log, log.live:
            Run(chosen, store, executor, log).to_its_end()
        made = store.records(known)
    both = [Both(known[one.key], made[one.key], ("packed", "again")) for one in chosen]
    for one in both:
        say(console, ("different", "red") if one.differences else ("equal", "green"), f" {one}")
    return sum(bool(one.differences) for one in both)
