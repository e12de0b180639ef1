"""What every executor can do, and the simplest one."""

from collections.abc import Sequence
from typing import Protocol

from suites.faults import no_such

from ..errors import BenchError
from ..plan.jobs import Job
from ..steps.perform import Outcome, perform, start
from ..steps.workspace import Settings
from .local import Local
from .ray import Ray
from .slurm import Slurm, slurm_options


class Executor(Protocol):
    """Runs jobs, in any order, on some number of slots."""

    slots: int

    def submit(self, job: Job) -> None:
        """Accept a job."""

    def finished(self) -> list[tuple[Job, Outcome]]:
        """Wait until some accepted jobs are done, and return those."""

    def close(self) -> None:
        """Let the workers go, without waiting for what they do."""


EXECUTORS = ("inline", "local", "ray", "slurm")


def check_executor(name: str, timeout_s: float | None, slurm: Sequence[str]) -> None:
    """Look at what is asked of an executor, which takes no time and needs nothing installed.

    Raises BenchError for an unknown name, a time-out where none can be enforced, and options of
    another executor or that Slurm does not know.
    """
    if name not in EXECUTORS:
        raise BenchError(f"--executor: {no_such('executor', name, EXECUTORS)}")
    if timeout_s is not None and name == "inline":
        raise BenchError("--timeout: one process cannot stop itself; leave --executor inline out")
    if slurm and name != "slurm":
        raise BenchError(f"--slurm {slurm[0]} is for --executor slurm")
    slurm_options(slurm)


def make_executor(
    name: str,
    settings: Settings,
    workers: int,
    timeout_s: float | None,
    slurm: Sequence[str] = (),  # KEY=VALUE, of its worker jobs
) -> Executor:
    """The executor of that name, as `check_executor` has passed it. Raises BenchError where Ray or
    submitit is not installed, and for no GPU where one is asked for."""
    if name == "inline":
        return Inline(settings)
    if name == "slurm":
        return Slurm(settings, workers, timeout_s, slurm)
    return (Ray if name == "ray" else Local)(settings, workers, timeout_s)


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

    def close(self) -> None:
        self._accepted.clear()
