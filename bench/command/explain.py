"""One trial: what its key is made of, what it stands on, where its time went, how to run it."""

import re
import shlex
from contextlib import suppress
from pathlib import Path

import yaml
from rich.console import Console

from criteria import CriteriaError
from reports.records import Record

from ..errors import BenchError
from ..plan.jobs import Job
from ..plan.outline import recorded_suites
from ..plan.plan import make_plan
from ..plan.plugins import load_plugins
from ..run.packing import PACK
from ..store.store import Store
from ..terminal import print_table, say


def show_trial(console: Console, store: Store, wanted: str, place: Path) -> None:
    """Tell of the trial whose key begins so, or whose name in a suite that was run has these words.

    `place`: of the results; those of a pack were made elsewhere, and nothing they stand on is here.
    Raises BenchError where there is no such trial, or there are several.
    """
    suites = recorded_suites(store)
    known = {trial.key: (name, trial.labels) for name in suites for trial in suites[name].trials}
    every = [*known, *sorted(store.record_keys() - known.keys())]
    found = [key for key in every if key.startswith(wanted)]
    if not found:
        found = [key for key, (_, of) in known.items() if _words(wanted) <= _words(of.whole)]
    if len(found) != 1:
        some = [
            f"\n{key[:12]}  {known[key][1].whole if key in known else ''}" for key in found[:20]
        ]
        first = "; the first 20" * (len(found) > 20)
        said = f"{len(found)} trials have this in key or name: {wanted}{first}"
        raise BenchError("".join([said, *some]))
    key, record = found[0], store.record(found[0])
    suite, labels = known.get(key, ("", record.labels if record else None))
    job: Job | None = None
    if suite:
        with suppress(BenchError, CriteriaError):  # a plugin, or an option, is gone
            load_plugins(suites[suite].plugins)
            trials = make_plan(suites[suite].outline.suite).trials
            job = next((one for one in trials if one.key == key), None)
    if labels is None or not (of := record or job):
        raise BenchError(f"{key}: not run, and with the code of today this trial has another key")
    say(console, (labels.whole, "bold"), f", of {labels.suite}")
    _show_record(console, record) if record else say(console, "not run yet")
    say(console, f"{key} stands for\n{yaml.safe_dump(of.identity, sort_keys=False)}")
    if place.suffix == PACK:
        unpacked = f"bench pack --unpack {shlex.quote(str(place))}"
        say(console, ("alone: ", "bold"), f"after {unpacked}, bench explain {key[:12]} says how")
        return
    if job is None:
        say(console, f"As it was, no suite here plans it: bench run FILE --trial {key[:12]}")
        return
    rows, below = [], dict[str, str]()
    for each in (*job.below, job):
        below |= dict.fromkeys(each.takes_scores, "scores") | {each.key: str(each)}
    del below[key]
    for one, what in below.items():
        at = next(store.root.glob(f"*/{one}.*"), None)
        rows.append((what, one[:12], at.parent.name if at else "nowhere yet"))
    print_table(console, ("stands on", "key", "in"), rows)
    plugins = [f"--plugin={one}" for one in suites[suite].plugins]
    command = ["bench", "run", suite, *plugins, f"--trial={key[:12]}", f"--results={store.root}"]
    failed = record is not None and record.status == "failed"
    say(console, ("alone: ", "bold"), shlex.join([*command, *["--retry-failed"] * failed]))
    if record and not failed:
        file = store.record_path(key)
        unpacked = "" if file.exists() else "bench pack --unpack has been run and "
        say(console, f"which runs it again once {unpacked}{file} is taken away")


def _words(text: str) -> set[str]:
    """Those of a name, where numbers stay with their words."""
    return set(re.findall(r"(?:base|repeat|threshold) \S+|[^\s·,]+", text.replace(" %", "%")))


def _show_record(console: Console, record: Record) -> None:
    """What came of it, and where its time went."""
    found, made, costs, why = record.measurements, record.provenance, record.costs, record.failure
    say(console, f"{record.status}, begun {made['started'][:19]} UTC on {made['host']}")
    if found:
        both = (f"{record.metric.scale * one.top1:.2f}" for one in (found.pruned, found.dense))
        say(console, record.metric.axis, " {}, dense {}".format(*both))
    if costs:
        before = f"seconds: score {costs.score_s:.3g}, phases {costs.phases_s:.3g}, then "
        work = "to cut, recover and test" if found else "in all"
        say(console, f"{before}{costs.total_s:.3g} {work}, {costs.recovery_s:.3g} in recovery")
    if costs and costs.equal_to:
        same = f"an equal network was recovered and tested by {costs.equal_to[:12]}"
        say(console, f"{same}: accuracies and those seconds are its")
    if why:
        say(console, (f"{why.kind}: {why.message}", "red"), f"\n{why.traceback}")
