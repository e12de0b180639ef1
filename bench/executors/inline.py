"""Jobs in this very process, one after the other: for debugging and for notebooks."""

from __future__ import annotations

from ..plan.jobs import Job
from ..steps.perform import Outcome, perform, start
from ..steps.workspace import Settings


class Inline:
    """The simplest executor; it cannot survive a crash nor enforce a time-out."""

    slots = 1

    def __init__(self, settings: Settings) -> None:
        self._workspace = start(settings)
        self._accepted: list[Job] = []

    def submit(self, job: Job) -> None:
        self._accepted.append(job)

    def finished(self) -> list[tuple[Job, Outcome]]:
        job = self._accepted.pop(0)
        return [(job, perform(job, self._workspace))]

    def close(self, *, kill: bool) -> None:
        self._accepted.clear()
