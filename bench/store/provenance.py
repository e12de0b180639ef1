"""Where and with what a result was made."""

import hashlib
import platform
import socket
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("pruning-bench", "torch", "torchvision", "torch-pruning", "numpy", "scipy", "mlflow")


@cache
def environment(device: str = "cpu") -> dict[str, Any]:
    """Code, versions, machine; `device` that networks are on. Nothing of the user's environment."""
    import torch

    return {
        **_git(),
        "python": platform.python_version(),
        "packages": {name: installed(name) for name in PACKAGES},
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpu": cpu(),
        "threads": torch.get_num_threads(),
        "device": device,
    }


def machine(device: str) -> dict[str, Any]:
    """What decides how long a network takes, beside its runtime: torch, CPU, device."""
    made = environment(device)
    return {"torch": made["packages"]["torch"], "cpu": made["cpu"], "device": made["device"]}


def installed(name: str) -> str | None:
    """The version of a package; None where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git() -> dict[str, Any]:
    """Commit of this code, and a hash of what differs from it; empty outside a checkout."""
    root = Path(__file__).parent

    def git(*arguments: str) -> bytes:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, check=True).stdout

    try:
        sha, difference = git("rev-parse", "HEAD").decode().strip(), git("diff", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return {"git_sha": None, "git_dirty": None, "git_diff_sha256": None}
    digest = hashlib.sha256(difference).hexdigest() if difference else None
    return {"git_sha": sha, "git_dirty": bool(difference), "git_diff_sha256": digest}


def cpu() -> str:
    """What the CPU is called."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
