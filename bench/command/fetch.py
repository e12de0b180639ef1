"""What a suite needs from outside (datasets, weights, checkpoints), where from, and getting it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from suites.problem import DatasetSpec, ModelSpec
from suites.schema import AnySuite

from ..data.datasets import load_dataset
from ..data.known import find
from ..errors import BenchError, ModelError
from ..models.checkpoint import checkpoint_file, local_checkpoint
from ..models.registry import TORCHVISION
from ..store.sealed import file_sha256
from ..terminal import plain, say


@dataclass(frozen=True)
class Requirement:
    """One thing from outside."""

    kind: Literal["dataset", "weights", "checkpoint"]
    name: str
    origin: str  # where it comes from
    size: float | None  # bytes to download, where known
    # Returns if it is here and intact, and raises a BenchError that says what to do if not; given
    # True it tries to fetch it first.
    get: Callable[[bool], None]

    def __str__(self) -> str:
        unit, factor = ("GB", 1e9) if self.size and self.size >= 1e9 else ("MB", 1e6)
        size = f", {self.size / factor:.3g} {unit}" if self.size else ""
        return f"{self.kind} {self.name} (from {self.origin}{size})"


def requirements(suite: AnySuite, data_root: Path, cache: Path) -> list[Requirement]:
    """All that a suite needs, each thing once; `cache` keeps decoded small images, as in a run."""
    data = [_dataset(spec, data_root, cache) for spec in suite.datasets]
    weights = [_weights(spec) for spec in suite.models if spec.weights]
    checkpoints = [_checkpoint(spec, data_root) for spec in suite.models if spec.checkpoint]
    return list({(each.kind, each.name): each for each in [*data, *weights, *checkpoints]}.values())


def fetch_all(wanted: list[Requirement], console: Console) -> int:
    """Get what can be got, a line for each thing; returns 0, or 1 where something is missing."""
    missing = []
    for requirement in wanted:
        with console.status(plain(f"looking for {requirement}")):
            state, why = fetch(requirement)
        say(console, f"{state:8} {requirement}")
        if state == "missing":
            say(console, why, indent=9)
            missing.append(requirement.name)
    say(console, f"still missing: {', '.join(missing)}" if missing else "everything is here")
    return int(bool(missing))


def fetch(requirement: Requirement) -> tuple[Literal["present", "fetched", "missing"], str]:
    """Look whether it is here, and try to fetch it if not; of what is missing, what to do."""
    with suppress(BenchError):
        requirement.get(False)
        return "present", ""
    try:
        requirement.get(True)
    except BenchError as error:
        return "missing", str(error)
    return "fetched", ""


def _dataset(spec: DatasetSpec, data_root: Path, cache: Path) -> Requirement:
    known = find(spec.name)
    origin, size = (known.origin, known.download_bytes) if known else ("its reader", None)

    def get(download: bool) -> None:
        load_dataset(spec, data_root, cache, download)

    name = " ".join(filter(None, [spec.name, spec.root]))
    return Requirement("dataset", name, origin, size, get)


def _weights(spec: ModelSpec) -> Requirement:
    from ..models.zoo import downloaded, published, weights_file

    name, weights = spec.name.removeprefix(TORCHVISION), spec.weights or ""
    entry = published(name, weights)
    file = weights_file(entry)

    def get(download: bool) -> None:
        if download:
            downloaded(name, weights)
        if not file.exists():
            raise ModelError(f"there is no {file}")

    megabytes = entry.meta.get("_file_size")
    size = megabytes * 2**20 if megabytes else None
    return Requirement("weights", f"{entry.name} of {name}", entry.url, size, get)


def _checkpoint(spec: ModelSpec, data_root: Path) -> Requirement:
    file, given = checkpoint_file(spec, data_root), spec.checkpoint or ""

    def get(download: bool) -> None:
        if download:
            local_checkpoint(spec, data_root)
        if not file.exists():
            raise ModelError(f"there is no {file}; put it there, or mend the suite's checkpoint")
        if spec.sha256 and file_sha256(file) != spec.sha256:
            raise ModelError(f"{file} has not the SHA-256 {spec.sha256}; delete it and try again")

    return Requirement("checkpoint", file.name, given if "://" in given else "you", None, get)
