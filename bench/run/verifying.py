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


def run_again(
    pack: Pack, sample: int, seed: int, data_root: Path, plugins: Sequence[Path], console: Console
) -> list[Both]:
    """Run so many finished trials of a pack again, bases included: what it holds and what came.

    Raises BenchError where data, weights or plugins are not at hand.
    """
    plan = make_plan(pack.outline.suite)
    trials = {one.key: one for one in plan.trials}
    found = {key: record for key, (_, record) in pack.rows.items() if record.status == "done"}
    known = sorted(found.keys() & trials.keys())
    if lost := len(found) - len(known):
        what = f"{lost} of {counted(len(found), 'finished trial')} cannot be run"
        why = "with the code of today they have other keys; check out the commit of the pack"
        say(console, (f"{what}: {why}", "yellow"))
    keys = Random(seed).sample(known, min(sample, len(known)))
    if not keys:
        return []
    chosen = [trials[key] for key in keys]
    with TemporaryDirectory() as folder, speaking_of(shared_metric(plan.suite)):
        store, workers = Store(Path(folder)), min(len(chosen), os.cpu_count() or 1)
        settings = Settings(store.root, data_root, plugins=tuple(plugins))
        preflight(chosen, settings)
        executor = make_executor("local", settings, workers, None)
        with RunLog(store, pack.name, Live(console)) as log, log.live:
            Run(chosen, store, executor, log).to_its_end()
        made = store.records(keys)
    return [Both(found[key], made[key], ("packed", "again")) for key in keys]
