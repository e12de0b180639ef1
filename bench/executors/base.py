"""What every executor can do."""

from __future__ import annotations

from typing import Protocol

from ..jobs import Job
from ..lab import Settings
from ..work import Outcome


class Executor(Protocol):
    """Runs jobs, in any order, on some number of slots."""

    slots: int

    def submit(self, job: Job) -> None:
        """Accept a job."""

    def finished(self) -> list[tuple[Job, Outcome]]:
        """Wait until some accepted jobs are done, and return those."""

    def close(self, *, kill: bool) -> None:
        """Let the workers go; with `kill`, without waiting for what they do."""


def make_executor(name: str, settings: Settings, workers: int, timeout_s: float | None) -> Executor:
    """The executor of that name: `inline` or `local`."""
    if name == "inline":
        from .inline import Inline

        return Inline(settings)
    from .local import Local

    return Local(settings, workers, timeout_s)
