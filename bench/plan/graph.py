"""What has to run before what: pending trials and the work they stand on, as one graph of jobs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

from ..store.sealed import read_arrays, read_json
from ..store.store import Store
from ..store.weights import stored_weights, trained_file
from .jobs import (
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
        if isinstance(job, PreparedJob) and known["base_sha256"] != self.base(job.base):
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
