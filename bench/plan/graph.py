"""What has to run before what: pending trials and the work they stand on, as one graph of jobs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import assert_never

import numpy as np

from ..store.store import Store
from .jobs import (
    BaseJob,
    CriterionSpec,
    DenseJob,
    FidelityJob,
    Job,
    OracleJob,
    PathJob,
    PreparedJob,
    ScoresJob,
    Standpoint,
    Trial,
    TrialJob,
)


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
    """Whether a result lies in the store; jobs of scores and trials are made where none does."""
    match job:
        case BaseJob() | PreparedJob():
            return stored.base(job) is not None
        case PathJob():
            return stored.path(job)
        case OracleJob():
            return stored.oracle(job)
        case ScoresJob() | TrialJob() | FidelityJob():
            return False
        case _:
            assert_never(job)


class _Stored:
    """What the store holds already; scores and paths count only with the base they stand on."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bases: dict[str, str | None] = {}

    def base(self, job: DenseJob) -> str | None:
        """SHA-256 of a stored base's weights; None where there is none, or it has lost its own."""
        if job.key not in self._bases:
            file = self._store.path("bases", job.key, ".json")
            known = self._store.read_json(file) if file.exists() else {}
            fits = isinstance(job, BaseJob) or known.get("base_sha256") == self.base(job.base)
            self._bases[job.key] = known.get("sha256") if fits else None
        return self._bases[job.key]

    def path(self, job: PathJob) -> bool:
        return self._stands_on("paths", job.key, job.at.base)

    def oracle(self, job: OracleJob) -> bool:
        return self._stands_on("oracle", job.key, job.base)

    def _stands_on(self, kind: str, key: str, base: DenseJob) -> bool:
        file = self._store.path(kind, key, ".json")
        if not file.exists():
            return False
        return self._store.read_json(file).get("base_sha256") == self.base(base)

    def scores(self, job: PathJob | FidelityJob) -> bool:
        file = self._store.path("scores", job.score_key, ".npz")
        if not file.exists():
            return False
        with np.load(file, allow_pickle=False) as stored:
            return str(stored.get("base_sha256")) == self.base(job.at.base)


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
