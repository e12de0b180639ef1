"""The plan: a suite's trials, every name resolved and every key known; done or not."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any, Self

from reports.records import Record
from suites import FidelitySuite, Suite, expand
from suites.faults import no_such

from ..data.known import list_datasets
from ..errors import PlanError
from .jobs import DenseJob, Trial
from .makers import ComparisonMaker, FidelityMaker
from .outline import Outline
from .refusals import shared_metric


@dataclass(frozen=True)
class Plan(Outline):
    """A suite's trials with all that they stand on, ready to run."""

    trials: tuple[Trial, ...]

    def only(
        self, methods: Collection[str] = (), repeats: int | None = None, trial: str = ""
    ) -> Self:
        """The part with these methods (and the controls matched to them), so many repeats, and the
        keys that begin so. Raises PlanError for a name that is none of its methods, or letters that
        begin no key."""
        known = self.suite.method_names
        if unknown := [name for name in methods if name not in known]:
            raise PlanError(f"--methods: {no_such('method in this suite', unknown[0], known)}")
        chosen = [
            one
            for one in self.trials
            if (not methods or {one.labels.method, one.labels.matched_to} & set(methods))
            and (repeats is None or one.labels.repeat < repeats)
            and one.key.startswith(trial)
        ]
        if trial and not chosen:
            raise PlanError(f"--trial {trial}: no trial has that key, as the suite is planned here")
        return replace(self, trials=tuple(chosen))

    def shard(self, index: int, count: int) -> Self:
        """Every trial is in exactly one of `count` shards, by its key.

        Shard 0 has a trial of all that is trained before a criterion looks: others stand on it.
        """
        mine = [trial for trial in self.trials if int(trial.key[:12], 16) % count == index - 1]
        if not index:
            both = ((trial, job) for trial in self.trials[::-1] for job in trial.below)
            first = {job.key: trial for trial, job in both if isinstance(job, DenseJob)}
            mine = list({trial.key: trial for trial in first.values()}.values())
        return replace(self, trials=tuple(mine))

    def pending(self, records: Iterable[Record], *, retry_failed: bool = False) -> list[Trial]:
        """Trials without a record; with `retry_failed`, those that failed as well."""
        done = {one.key for one in records if not (retry_failed and one.status == "failed")}
        return [trial for trial in self.trials if trial.key not in done]


def make_plan(suite: Suite | FidelitySuite) -> Plan:
    """Resolve every name of a suite and key every trial.

    Raises PlanError for names and options that do not exist, and unreadable checkpoints.

    >>> from suites import load_suite
    >>> plan = make_plan(load_suite("quickstart", ["methods=[l1, jacobian]", "bases=1"]))
    >>> print(len(plan.trials), plan.trials[0])
    32 resnet20 on digits · l1 · 70 % · none · base 0 · all repeats
    """
    known = list_datasets()
    for name in (one.name for one in suite.datasets):
        if name not in known and not name.startswith("hf:"):
            raise PlanError(no_such("dataset", name, known))
    shared_metric(suite)
    maker: Any = ComparisonMaker(suite) if isinstance(suite, Suite) else FidelityMaker(suite)
    made = ((case, maker.trial(case)) for case in expand(suite))
    # What stands for all repeats is that of the first.
    return Plan(suite, tuple(one for case, one in made if one.labels.repeat == case.repeat))
