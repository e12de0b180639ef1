"""Workers as jobs of Slurm, submitted through submitit (the extra `slurm`).

Jobs of ours take seconds to hours and come as a graph, so none is a Slurm job of its own: it would
wait in Slurm's queue and import torch for itself. An array of worker jobs is submitted, as many as
have something to do, and each calls the front for one job after the other. A connection says more,
and sooner, than a queue of files: it ends with the front and with the worker, however these end, so
no claim grows stale and nothing needs a heartbeat. The front must be reachable from the nodes;
where a login node is not, run `bench run` itself in an allocation.
"""

import re
import shutil
import signal
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from suites.faults import no_such

from ..errors import BenchError, fault, needed
from ..steps.workspace import Settings
from .pool import LOOPBACK, Pool, Worker

DEFAULTS: dict[str, Any] = {"cluster": "slurm", "time": 240, "cpus_per_task": 1}
OPTIONS = (
    *(*DEFAULTS, "account", "comment", "constraint", "exclude", "exclusive", "gres", "mail_type"),
    *("mail_user", "mem", "mem_per_cpu", "mem_per_gpu", "nodelist", "partition", "qos", "wckey"),
)
POLL_S = 60  # between two questions to Slurm whether jobs that do not call are still there


class Slurm(Pool):
    """One GPU a worker job, where it needs one; one that Slurm ends is replaced."""

    def __init__(
        self, settings: Settings, workers: int, timeout_s: float | None, given: Sequence[str]
    ) -> None:
        submitit, wanted = needed("slurm", "submitit"), slurm_options(given)
        cluster, minutes, cpus = (wanted.pop(one) for one in DEFAULTS)
        host = LOOPBACK if cluster == "local" else socket.gethostname()
        super().__init__(settings, workers, timeout_s, host)
        folder = settings.results / "slurm"
        shutil.rmtree(folder, ignore_errors=True)  # of the run before this one
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # on NFS, what is open stays
        folder.chmod(0o700)  # the key of the run is in there
        try:
            self._engine = submitit.AutoExecutor(folder, cluster=cluster)
        except RuntimeError as error:
            raise BenchError(fault("no_slurm")) from error
        gpus = 1 if settings.device == "cuda" else None
        shared = {"timeout_min": minutes, "cpus_per_task": cpus, "gpus_per_node": gpus}
        own = {f"slurm_{name}": value for name, value in wanted.items()}
        self._engine.update_parameters(name="bench", **shared, **own)

    def _launch(self, call: Callable[[int], None], workers: Sequence[Worker]) -> None:
        try:
            jobs = self._engine.map_array(partial(_mortal, call), [one.number for one in workers])
        except (RuntimeError, OSError) as error:
            said = " ".join(str(error).split())
            raise BenchError(f"--executor slurm: sbatch does not take the job ({said})") from error
        for worker, job in zip(workers, jobs, strict=True):
            worker.handle = job
            job.watcher.delay_s = POLL_S

    def _gone(self, worker: Worker) -> bool:
        return bool(worker.handle.done())

    def _end(self, worker: Worker) -> str:
        job = worker.handle
        job.cancel(check=False)
        said = (job.stderr() or "it said nothing").splitlines()
        return f"Slurm job {job.job_id}: {said[-1]}; see {job.paths.stderr}"


def _mortal(call: Callable[[int], None], number: int) -> None:
    """Signals of Slurm's end the process, as what is lost with it is tried again by the run."""
    for one in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(one, signal.SIG_DFL)
    call(number)


def slurm_options(given: Sequence[str]) -> dict[str, Any]:
    """`--slurm KEY=VALUE` over the defaults, as submitit takes them.

    Raises BenchError for an unknown key or cluster, no value, and minutes or CPUs that are none.

    >>> slurm_options(["partition=gpu", "time=120"])
    {'cluster': 'slurm', 'time': 120, 'cpus_per_task': 1, 'partition': 'gpu'}
    """
    found = dict(DEFAULTS)
    for one in given:
        name, _, value = one.partition("=")
        if name not in OPTIONS:
            raise BenchError(f"--slurm {one}: {no_such('option', name, OPTIONS)}")
        number = isinstance(DEFAULTS.get(name), int)
        form, words = ("[1-9][0-9]{,6}", "a whole number") if number else (".+", "VALUE")
        if name == "cluster":
            form, words = "slurm|local", "slurm or local"
        if not re.fullmatch(form, value):
            raise BenchError(f"--slurm {one}: expected {name}={words}")
        found[name] = int(value) if number else value
    return found
