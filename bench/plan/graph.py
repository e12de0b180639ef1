"""What has to run before what: pending trials and the work they stand on, as one graph of jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter

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
    trials = list(trials)
    graph = JobGraph({}, {})
    stored = _Stored(store)
    scores = _scores_jobs(trials, stored)

    def add(job: Job, after: Iterable[Job | None]) -> Job:
        graph.jobs[job.key] = job
        graph.after[job.key] = [one.key for one in after if one is not None]
        return job

    def base(job: DenseJob) -> Job | None:
        if stored.base(job) is not None:
            return None
        return graph.jobs.get(job.key) or add(
            job, [base(job.base)] if isinstance(job, PreparedJob) else []
        )

    def scoring(job: PathJob | FidelityJob) -> Job | None:
        wanted = scores.get(job.score_key) if job.needs_scores else None
        return wanted and add(wanted, [base(wanted.at.base)])

    def path(job: PathJob) -> Job | None:
        if stored.path(job):
            return base(job.at.base)
        if job.key in graph.jobs:
            return graph.jobs[job.key]
        matched = path(job.matched) if job.matched is not None else None
        return add(job, [base(job.at.base), scoring(job), matched])

    def oracle(job: OracleJob) -> Job | None:
        if stored.oracle(job):
            return base(job.base)
        return graph.jobs.get(job.key) or add(job, [base(job.base)])

    for trial in trials:
        if isinstance(trial, FidelityJob):
            on = [scoring(trial), oracle(trial.oracle)]
        else:
            on = [path(trial.path)]
        add(trial, [base(trial.at.base), *on])
    return graph


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


def _scores_jobs(trials: Iterable[Trial], stored: _Stored) -> dict[str, ScoresJob]:
    """One job a standpoint, for all criteria that have no scores there yet; by score key."""
    wanted: dict[tuple[Standpoint, bool], dict[str, CriterionSpec]] = {}
    for job in _takers(trials, stored):
        if job.needs_scores and not stored.scores(job):
            wanted.setdefault((job.at, job.unstructured), {})[job.score_key] = job.criterion
    jobs: dict[str, ScoresJob] = {}
    for (at, per_weight), criteria in wanted.items():
        jobs |= dict.fromkeys(criteria, ScoresJob(at, tuple(criteria.values()), per_weight))
    return jobs


def _takers(trials: Iterable[Trial], stored: _Stored) -> Iterator[PathJob | FidelityJob]:
    """Jobs still to do that may take shared scores; paths before those that others stand on."""
    paths: dict[str, PathJob] = {}
    for trial in trials:
        if isinstance(trial, FidelityJob):
            yield trial
        else:
            paths.setdefault(trial.path.key, trial.path)
    for path in [*paths.values(), *(one.matched for one in paths.values() if one.matched)]:
        if not stored.path(path):
            yield path
