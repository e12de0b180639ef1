"""How good the bases are: said before anything is pruned, which of guessing ones shows nothing."""

from collections.abc import Iterable, Mapping
from functools import partial

from rich.console import Console

from reports.metric import Metric
from suites.schema import AnySuite

from ..data.known import task_of
from ..errors import BenchError, fault
from ..plan.jobs import BaseJob, Trial, TrialJob
from ..store.sealed import read_json
from ..store.store import Store
from ..terminal import say
from .preflight import Examined


def inspect_bases(
    suite: AnySuite,
    trials: Iterable[Trial],
    splits: Mapping[str, Examined],
    store: Store,
    console: Console,
    *,
    allow_untrained: bool,
) -> None:
    """Say how well the trained bases of these trials do, those to go, a line a problem.

    `splits` are those of `preflight`. Bases that are missing have failed, which is told elsewhere.
    Networks that the suite prunes untrained are not looked at, but the dense ones that they are
    held against.

    Raises:
        BenchError: some are near chance, which is allowed where `allow_untrained`, and in a
            rehearsal, whose numbers mean nothing.
    """
    found: dict[str, list[float]] = {}
    guessing: dict[str, int] = {}  # problem -> its classes
    task = task_of(suite.datasets[0])  # a suite has one metric
    for problem, base in _bases(trials):
        made = read_json(store.path("bases", base.key, ".json"))
        if made is None:
            continue
        split, top1 = splits[base.dataset.model_dump_json()], made["accuracy"]["top1"]
        found.setdefault(problem, []).append(top1)
        if task.near_chance(top1, split.classes, split.images):
            guessing[problem] = split.classes
    shown = partial(_shown, task.metric)
    for problem, values in found.items():
        some = ", of the bases with trials to go" if len(values) < suite.bases else ""
        say(console, f"{problem}: {shown(values)} on the test split{some}")
    if not guessing:
        return
    worst = "; ".join(
        f"{problem}: {shown(found[problem])}, and guessing among its {classes} classes "
        f"gives {shown([task.chance(classes)])}"
        for problem, classes in guessing.items()
    )
    if allow_untrained or suite.rehearsal:
        why = "--allow-untrained" if allow_untrained else "a rehearsal"
        say(console, (f"bases near chance, which {why} lets pass: {worst}", "yellow"))
        return
    raise BenchError(fault("inspect_bases", worst=worst, root=store.root / "bases"))


def _bases(trials: Iterable[Trial]) -> Iterable[tuple[str, BaseJob]]:
    """Each once, with its problem; of those pruned untrained the dense ones, by recovery."""
    seen = {}
    for trial in trials:
        base, problem = trial.at.base, trial.labels.problem
        if not isinstance(base, BaseJob):
            base = base.base
        if isinstance(trial, TrialJob) and trial.dense is not None:
            base, problem = trial.dense, f"{problem}, {trial.labels.recovery}"
        if base.recipe is not None or base.model.given:
            seen[base.key] = (problem, base)
    return seen.values()


def _shown(metric: Metric, values: Iterable[float]) -> str:
    """Values with one digit less than a report gives, their unit and what they are of."""
    texts = [f"{metric.scale * one:.{metric.digits - 1}f}" for one in values]
    return f"{', '.join(texts)} {metric.unit} {metric.title}"
