"""Workers as jobs of Slurm, submitted through submitit (the extra `slurm`).

Jobs of ours take seconds to hours and come as a graph, so none is a Slurm job of its own: it would
wait in Slurm's queue and import torch for itself. An array of worker jobs is submitted instead, as
many as have something to do and at most `--workers`, and each calls the front for one job after the
other. A connection says more, and sooner, than a queue of files would: it ends with the front,
however that ends, and with the worker, so there are no claims that grow stale and no heartbeats.
A worker that Slurm has preempted, timed out or lost is replaced, and its job tried again, which
goes on from its last checkpoint. The front must be reachable from the nodes: where a login node is
not, run `bench run` itself in an allocation.
"""

import shutil
import signal
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from suites.faults import no_such

from ..errors import BenchError, needed
from ..steps.workspace import Settings
from .calling import LOOPBACK, Call, CallingPool, CallingWorker, answer

CLUSTERS = ("slurm", "local")  # of submitit's
MINUTES = 240  # that a worker job asks for, where no `time` is given
OURS = ("cluster", "time", "cpus_per_task")
SLURMS = (
    *("account", "comment", "constraint", "exclude", "exclusive", "gres", "mail_type", "mail_user"),
    *("mem", "mem_per_cpu", "mem_per_gpu", "nodelist", "partition", "qos", "wckey"),
)
POLL_S = 60  # between two questions to Slurm whether jobs that do not call are still there


class Slurm(CallingPool):
    """One CPU a worker job, and one GPU where it needs one."""

    def __init__(
        self, settings: Settings, workers: int, timeout_s: float | None, given: Sequence[str]
    ) -> None:
        submitit = needed("slurm", "submitit")
        wanted = slurm_options(given)
        cluster = wanted.pop("cluster", "slurm")
        folder = settings.results / "slurm"
        shutil.rmtree(folder, ignore_errors=True)  # of the run before this one
        folder.mkdir(mode=0o700, parents=True)  # the key of the run is in there
        try:
            self._engine = submitit.AutoExecutor(folder, cluster=cluster)
        except RuntimeError as error:
            raise BenchError(
                "--executor slurm: there is no srun here; run this where Slurm's commands are, or "
                "try it on this machine: --slurm cluster=local"
            ) from error
        self._engine.update_parameters(
            name="bench",
            timeout_min=wanted.pop("time", MINUTES),
            cpus_per_task=wanted.pop("cpus_per_task", 1),
            gpus_per_node=1 if settings.device == "cuda" else None,
            **{f"slurm_{name}": value for name, value in wanted.items()},
        )
        host = LOOPBACK if cluster == "local" else socket.gethostname()
        super().__init__(settings, workers, timeout_s, host)

    def _start(self, slots: Sequence[int], calls: Sequence[Call]) -> Sequence[CallingWorker]:
        try:
            jobs = self._engine.map_array(_answer, calls)
        except (RuntimeError, OSError) as error:
            said = " ".join(str(error).split())
            raise BenchError(f"--executor slurm: sbatch does not take the job ({said})") from error
        return [
            _WorkerJob(slot=slot, number=call.number, of=one)
            for slot, call, one in zip(slots, calls, jobs, strict=True)
        ]


def slurm_options(given: Sequence[str]) -> dict[str, Any]:
    """`--slurm KEY=VALUE` as submitit takes them.

    Raises:
        BenchError: an unknown key, no value, or minutes or CPUs that are no number.

    >>> slurm_options(["partition=gpu", "time=120"])
    {'partition': 'gpu', 'time': 120}
    """
    found: dict[str, Any] = {}
    for one in given:
        name, _, value = one.partition("=")
        if name not in (*OURS, *SLURMS):
            raise BenchError(f"--slurm {one}: {no_such('option', name, (*OURS, *SLURMS))}")
        number = name in ("time", "cpus_per_task")
        if not value or (number and not (value.isdecimal() and int(value))):
            kind = "a whole number" if number else "VALUE"
            raise BenchError(f"--slurm {one}: expected {name}={kind}")
        if name == "cluster" and value not in CLUSTERS:
            raise BenchError(f"--slurm {one}: {no_such('cluster', value, CLUSTERS)}")
        found[name] = int(value) if number else value
    return found


@dataclass(eq=False, kw_only=True)
class _WorkerJob(CallingWorker):
    of: Any  # submitit's job

    def __post_init__(self) -> None:
        self.of.watcher.delay_s = POLL_S

    def gone(self) -> bool:
        return bool(self.of.done())

    def end(self) -> str:
        if self.connection:
            self.connection.close()
        self.of.cancel(check=False)
        said = (self.of.stderr() or "it said nothing").splitlines()
        return f"Slurm job {self.of.job_id}: {said[-1]}; see {self.of.paths.stderr}"


def _answer(call: Call) -> None:
    """As `answer`, but signals of Slurm's end the process: what is lost is tried again by us."""
    for one in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(one, signal.SIG_DFL)
    answer(call)
