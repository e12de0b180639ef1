"""What has to run before what: pending trials and the work they stand on, as one graph of jobs."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..store.sealed import read_arrays, read_json
from ..store.store import Store
from ..store.weights import stored_weights, trained_file
from .jobs import DenseJob, FidelityJob, Job, OracleJob, PathJob, ScoresJob, Standpoint, Trial
from .uses import CriterionSpec


@dataclass(frozen=True)
class JobGraph:
    """What has to run, and after what. Equal jobs are one node."""

    jobs: dict[str, Job]  # by key
    after: dict[str, list[str]]  # key -> keys of the jobs that it waits for


def job_graph(trials: Iterable[Trial], store: Store) -> JobGraph:
    """The graph of these trials; work that lies in the store is left out."""
    stored = _Stored(store)
    jobs: dict[str, Job] = {}

    def add(job: Job) -> None:
        if job.key not in jobs and not stored.result(job):
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


class _Stored:
    """What the store holds already, every file of it checked, and looked at once.

    Scores and paths count only with the base they stand on.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.base, self.path = cache(self._base), cache(self._path)
        self.scores = cache(self._scores)

    def result(self, job: Job) -> bool:
        """Whether a job is done; those of scores and trials are made where there is no result, and
        those of timings look for themselves."""
        match job:
            case PathJob():
                return self.path(job)
            case OracleJob():
                return self._known("oracle", job.key, job.base) is not None
        return isinstance(job, DenseJob) and self.base(job) is not None

    def _base(self, job: DenseJob) -> str | None:
        """SHA-256 of a stored base's weights; None where there is none, or it has lost its own."""
        known = read_json(self._store.path("bases", job.key, ".json"))
        if known is None or any(known["base_sha256"] != self.base(one) for one in job.stands_on):
            return None
        weights = self._store.path("bases", job.key, ".pt")
        return known["sha256"] if stored_weights(weights, known["sha256"]) else None

    def _path(self, job: PathJob) -> bool:
        """A path is whole with its masks, where it has some, and what it has trained."""
        if (known := self._known("paths", job.key, job.at.base)) is None:
            return False
        masks = self._store.path("paths", job.key, ".npz")
        if job.unstructured and read_arrays(masks) is None:
            return False
        return all(
            stored_weights(trained_file(self._store, job.key, budget), training["sha256"])
            for budget, training in known.get("training", {}).items()
        )

    def _known(self, kind: str, key: str, base: DenseJob) -> dict[str, Any] | None:
        """What is stored of a job, if it stands on the base that is there."""
        known = read_json(self._store.path(kind, key, ".json"))
        return known if known and known["base_sha256"] == self.base(base) else None

    def _scores(self, key: str, base: DenseJob) -> bool:
        known = read_arrays(self._store.path("scores", key, ".npz"))
        return known is not None and str(known["base_sha256"]) == self.base(base)


def _scores_jobs(jobs: Iterable[Job], stored: _Stored) -> dict[str, ScoresJob]:
    """One job a standpoint, for all criteria that have no scores there yet; by score key."""
    wanted: dict[tuple[Standpoint, bool], dict[str, CriterionSpec]] = {}
    for job in jobs:
        if not isinstance(job, PathJob | FidelityJob) or not job.takes_scores:
            continue
        if not stored.scores(job.score_key, job.at.base):
            wanted.setdefault((job.at, job.unstructured), {})[job.score_key] = job.criterion
    scoring: dict[str, ScoresJob] = {}
    for (standpoint, per_weight), criteria in wanted.items():
        job = ScoresJob(standpoint, tuple(criteria.values()), per_weight)
        scoring |= dict.fromkeys(criteria, job)
    return scoring
