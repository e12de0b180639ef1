"""What has to run before what: pending trials and the work they stand on, as one graph of jobs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any, assert_never

from ..store.sealed import read_arrays, read_json
from ..store.store import Store
from ..store.weights import stored_weights, trained_file
from .jobs import (
    BaseJob,
    DenseJob,
    EarlyJob,
    FidelityJob,
    Job,
    OracleJob,
    PathJob,
    PreparedJob,
    ScoresJob,
    Standpoint,
    TimingJob,
    Trial,
    TrialJob,
)
from .uses import CriterionSpec


@dataclass(frozen=True)
class JobGraph:
    """What has to run, and after what. Equal jobs are one node.

    Attributes:
        jobs: by key.
        after: key -> keys of the jobs that it waits for.
    """

    jobs: dict[str, Job]
    after: dict[str, list[str]]

    def sorter(self) -> TopologicalSorter[str]:
        return TopologicalSorter(self.after)


def job_graph(trials: Iterable[Trial], store: Store) -> JobGraph:
    """The graph of these trials; work that lies in the store is left out."""
    stored = _Stored(store)
    jobs: dict[str, Job] = {}

    def add(job: Job) -> None:
        if job.key not in jobs and not _is_done(job, stored):
            for needed in job.stands_on:
                add(needed)
            jobs[job.key] = job

    for trial in trials:
        add(trial)
    scoring = _scores_jobs(jobs.values(), stored)
    jobs |= {job.key: job for job in scoring.values()}

    def after(job: Job) -> list[str]:
        scores = [scoring[key] for key in job.takes_scores if key in scoring]
        return [needed.key for needed in (*job.stands_on, *scores) if needed.key in jobs]

    return JobGraph(jobs, {key: after(job) for key, job in jobs.items()})


def _is_done(job: Job, stored: _Stored) -> bool:
    """Whether a result lies in the store; jobs of scores and trials are made where none does, and
    those of timings look for themselves."""
    match job:
        case BaseJob() | PreparedJob() | EarlyJob():
            return stored.base(job) is not None
        case PathJob():
            return stored.path(job)
        case OracleJob():
            return stored.oracle(job)
        case ScoresJob() | TimingJob() | TrialJob() | FidelityJob():
            return False
        case _:
            assert_never(job)


class _Stored:
    """What the store holds already, every file of it checked.

    Scores and paths count only with the base they stand on.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bases: dict[str, str | None] = {}
        self._paths: dict[str, bool] = {}
        self._scores: dict[str, bool] = {}

    def base(self, job: DenseJob) -> str | None:
        """SHA-256 of a stored base's weights; None where there is none, or it has lost its own."""
        if job.key not in self._bases:
            self._bases[job.key] = self._base(job)
        return self._bases[job.key]

    def _base(self, job: DenseJob) -> str | None:
        known = read_json(self._store.path("bases", job.key, ".json"))
        if known is None:
            return None
        if not isinstance(job, BaseJob) and known["base_sha256"] != self.base(job.base):
            return None
        weights = self._store.path("bases", job.key, ".pt")
        return known["sha256"] if stored_weights(weights, known["sha256"]) else None

    def path(self, job: PathJob) -> bool:
        """A path is whole with its masks, where it has some, and what it has trained."""
        if job.key not in self._paths:
            self._paths[job.key] = self._path(job)
        return self._paths[job.key]

    def _path(self, job: PathJob) -> bool:
        known = self._known("paths", job.key, job.at.base)
        if known is None:
            return False
        masks = self._store.path("paths", job.key, ".npz")
        if job.unstructured and read_arrays(masks) is None:
            return False
        return all(
            stored_weights(trained_file(self._store, job.key, budget), training["sha256"])
            for budget, training in known.get("training", {}).items()
        )

    def oracle(self, job: OracleJob) -> bool:
        return self._known("oracle", job.key, job.base) is not None

    def _known(self, kind: str, key: str, base: DenseJob) -> dict[str, Any] | None:
        """What is stored of a job, if it stands on the base that is there."""
        known = read_json(self._store.path(kind, key, ".json"))
        return known if known and known["base_sha256"] == self.base(base) else None

    def scores(self, job: PathJob | FidelityJob) -> bool:
        if job.score_key not in self._scores:
            known = read_arrays(self._store.path("scores", job.score_key, ".npz"))
            base = self.base(job.at.base)
            self._scores[job.score_key] = known is not None and str(known["base_sha256"]) == base
        return self._scores[job.score_key]


def _scores_jobs(jobs: Iterable[Job], stored: _Stored) -> dict[str, ScoresJob]:
    """One job a standpoint, for all criteria that have no scores there yet; by score key."""
    wanted: dict[tuple[Standpoint, bool], dict[str, CriterionSpec]] = {}
    for job in jobs:
        if not isinstance(job, PathJob | FidelityJob) or not job.takes_scores:
            continue
        if not stored.scores(job):
            wanted.setdefault((job.at, job.unstructured), {})[job.score_key] = job.criterion
    scoring: dict[str, ScoresJob] = {}
    for (standpoint, per_weight), criteria in wanted.items():
        scoring |= dict.fromkeys(
            criteria, ScoresJob(standpoint, tuple(criteria.values()), per_weight)
        )
    return scoring
