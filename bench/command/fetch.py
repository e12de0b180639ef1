"""What a suite needs from outside (datasets, weights, checkpoints), where from, and getting it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from suites.problem import DatasetSpec, ModelSpec
from suites.schema import AnySuite

from ..data.datasets import load_dataset
from ..data.download import file_sha256, size_of
from ..errors import BenchError, ModelError
from ..models.checkpoint import checkpoint_file, local_checkpoint
from ..models.registry import TORCHVISION

# Where datasets come from, and how many bytes are downloaded.
ORIGINS: dict[str, tuple[str, float | None]] = {
    "digits": ("the scikit-learn package", None),
    "cifar10": ("https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz", 170.5e6),
    "cifar100": ("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz", 169.0e6),
    "imagefolder": ("you", None),
    "imagenet": ("image-net.org, after registration: ILSVRC2012 train and val", 144e9),
    "cub200": ("data.caltech.edu: CUB_200_2011.tgz", 1.15e9),
}


@dataclass(frozen=True)
class Need:
    """One thing from outside.

    Attributes:
        origin: where it comes from.
        size: bytes to download, where known.
        get: returns if it is here and intact, and raises a BenchError that says what to do if not;
            given True it tries to fetch it first.
    """

    kind: Literal["dataset", "weights", "checkpoint"]
    name: str
    origin: str
    size: float | None
    get: Callable[[bool], None]

    def __str__(self) -> str:
        size = f", {_readable(self.size)}" if self.size else ""
        return f"{self.kind} {self.name} (from {self.origin}{size})"


@dataclass(frozen=True)
class Found:
    """What came of a need; `why` says what to do about what is still missing."""

    need: Need
    state: Literal["present", "fetched", "missing"]
    why: str = ""


def needs(suite: AnySuite, data_root: Path, cache: Path) -> list[Need]:
    """All that a suite needs, each thing once.

    Args:
        cache: where decoded small images are kept, as by a run.

    Raises:
        ModelError: torchvision has no such model or weights.
    """
    data = [_dataset(one, data_root, cache) for one in suite.datasets]
    weights = [_weights(one) for one in suite.models if one.weights]
    checkpoints = [_checkpoint(one, data_root) for one in suite.models if one.checkpoint]
    return list({(one.kind, one.name): one for one in [*data, *weights, *checkpoints]}.values())


def fetch_all(wanted: list[Need], console: Console) -> int:
    """Get what can be got, a line for each thing; returns 0, or 1 where something is missing."""
    missing = []
    for need in wanted:
        with console.status(f"looking for {need}"):
            found = fetch(need)
        console.print(f"{found.state:8} {need}", markup=False, soft_wrap=True)
        if found.state == "missing":
            console.print(f"         {found.why}", markup=False, soft_wrap=True)
            missing.append(need.name)
    if missing:
        console.print(f"still missing: {', '.join(missing)}", markup=False, soft_wrap=True)
    else:
        console.print("everything is here")
    return int(bool(missing))


def fetch(need: Need) -> Found:
    """Look whether it is here, and try to fetch it if not."""
    try:
        need.get(False)
    except BenchError:
        try:
            need.get(True)
        except BenchError as error:
            return Found(need, "missing", str(error))
        return Found(need, "fetched")
    return Found(need, "present")


def _dataset(spec: DatasetSpec, data_root: Path, cache: Path) -> Need:
    origin, size = ORIGINS.get(spec.name, ("its reader", None))

    def get(download: bool) -> None:
        load_dataset(spec, data_root, cache, download)

    name = " ".join(filter(None, [spec.name, spec.root]))
    return Need("dataset", name, origin, size, get)


def _weights(spec: ModelSpec) -> Need:
    from ..models.zoo import published, weights_file

    name = spec.name.removeprefix(TORCHVISION)
    entry: Any = published(name, spec.weights or "")
    file = weights_file(entry)

    def get(download: bool) -> None:
        if download:
            try:
                entry.get_state_dict(progress=False, check_hash=True)
            except (OSError, RuntimeError) as error:
                raise ModelError(
                    f"could not be fetched ({error}); put {file.name} into {file.parent}"
                ) from error
        if not file.exists():
            raise ModelError(f"there is no {file}")

    megabytes = entry.meta.get("_file_size")
    size = megabytes * 2**20 if megabytes else None
    return Need("weights", f"{entry.name} of {name}", entry.url, size, get)


def _checkpoint(spec: ModelSpec, data_root: Path) -> Need:
    file, given = checkpoint_file(spec, data_root), spec.checkpoint or ""
    remote = "://" in given

    def get(download: bool) -> None:
        if download:
            local_checkpoint(spec, data_root)
        if not file.exists():
            raise ModelError(f"there is no {file}; put it there, or mend the suite's checkpoint")
        if spec.sha256 and file_sha256(file) != spec.sha256:
            raise ModelError(f"{file} has not the SHA-256 {spec.sha256}; delete it and try again")

    size = size_of(given) if remote and not file.exists() else None
    return Need("checkpoint", file.name, given if remote else "you", size, get)


def _readable(size: float) -> str:
    """12345678 -> 12.3 MB."""
    unit, factor = ("GB", 1e9) if size >= 1e9 else ("MB", 1e6)
    return f"{size / factor:.3g} {unit}"
