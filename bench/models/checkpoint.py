"""State dicts from files and URLs: only tensors are unpickled, every misfit is one message."""

from __future__ import annotations

import http.client
import pickle
import re
import socket
import urllib.error
import urllib.parse
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from criteria.lazy import Tensor, nn, torch
from reports.formats import few
from suites.problem import ModelSpec

from ..errors import ModelError, fault
from ..store.sealed import file_sha256

TIMEOUT_S = 60  # of a download, without a byte
# Where training scripts put the state dict, in the order in which it is looked for.
NESTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights")


def local_checkpoint(spec: ModelSpec, data_root: Path) -> ModelSpec:
    """The same model with a path as its checkpoint: a URL's file is fetched to the data root.
    Raises ModelError if it cannot be, or has not the hash that the model asks for."""
    if not spec.checkpoint or "://" not in spec.checkpoint:
        return spec
    file = checkpoint_file(spec, data_root)
    download(spec.checkpoint, file, spec.sha256 or "")
    return spec.model_copy(update={"checkpoint": str(file)})


def download(url: str, file: Path, sha256: str) -> None:
    """Fetch a URL to a file; nothing to do where the file is there.

    Several processes may ask at once: one of them fetches.

    Raises ModelError for no network, no such file, not enough room, or another hash.
    """
    usual = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT_S)  # torch.hub waits for ever
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(file.name + ".lock")):
            if not file.exists():
                torch.hub.download_url_to_file(url, str(file), sha256, progress=False)
    except RuntimeError as error:
        raise ModelError(fault("wrong_hash", url=url, error=error)) from error
    except urllib.error.HTTPError as error:
        raise ModelError(f"{url}: the server says {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise ModelError(fault("unreachable", url=url, reason=reason, file=file)) from error
    finally:
        socket.setdefaulttimeout(usual)


def checkpoint_file(spec: ModelSpec, data_root: Path) -> Path:
    """The file of a model's checkpoint, which may still have to be fetched."""
    assert spec.checkpoint
    if "://" not in spec.checkpoint:
        return Path(spec.checkpoint)
    name = Path(urllib.parse.urlsplit(spec.checkpoint).path).name or "checkpoint"
    return data_root / "checkpoints" / f"{(spec.sha256 or '')[:12]}-{name}"


def load_checkpoint(model: nn.Module, path: Path, sha256: str | None = None) -> None:
    """Fill a model from a state dict; ModelError if file, hash, a key or a shape misfits."""
    state = read_state(path)
    if sha256 and file_sha256(path) != sha256:
        raise ModelError(fault("other_checkpoint", path=path, sha256=sha256))
    try:
        misfit = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        # torch names each parameter with both shapes, one a line, after a headline.
        lines = [line.strip() for line in str(error).splitlines()[1:]]
        raise ModelError(fault("other_shapes", path=path, shapes=few(lines))) from error
    both = zip(("it lacks", "the model has no"), misfit, strict=True)
    if faults := [f"{what} {few(keys)}" for what, keys in both if keys]:
        raise ModelError(fault("other_keys", path=path, faults="; ".join(faults)))


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict in a file, out of its nest and without `module.` before its keys. Raises
    ModelError if the file is missing, broken, holds more than tensors, or no state dict."""
    try:
        with warnings.catch_warnings():
            # A plain pickle is refused below; that its protocol is unusual adds nothing.
            warnings.filterwarnings("ignore", message="Detected pickle protocol")
            content = torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise ModelError(fault("unpickled", path=path, error=_headline(error))) from error
    except Exception as error:  # whatever the bytes make of torch's reader
        raise ModelError(f"checkpoint {path} cannot be read: {_headline(error)}") from error
    if (state := _unnested(content)) is None:
        inside = few([str(key) for key in content]) if isinstance(content, Mapping) else ""
        found = f"{type(content).__name__} {inside}"
        raise ModelError(fault("no_state", path=path, found=found, nests=", ".join(NESTS)))
    # nn.DataParallel puts `module.` before every name.
    return {re.sub(r"^(module\.)+", "", key): value for key, value in state.items()}


def _unnested(content: Any, deep: int = len(NESTS)) -> Mapping[str, Tensor] | None:
    if not isinstance(content, Mapping) or not content or not deep:
        return None
    if all(isinstance(one, torch.Tensor) for one in content.values()):
        return content if all(isinstance(name, str) for name in content) else None
    nested = (_unnested(content[name], deep - 1) for name in NESTS if name in content)
    return next((state for state in nested if state is not None), None)


def _headline(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
