"""Networks that were kept, by the trial that made them or by their folder."""

from __future__ import annotations

import sys
from pathlib import Path

from criteria.lazy import nn
from criteria.network.given import given

from ..errors import ExportError, fault
from ..export.recipe import RECIPE, check, kept
from ..store.store import Store


def load(
    trial_or_path: str | Path, model: nn.Module | None = None, results: str | Path = "results"
) -> nn.Module:
    """A kept network in eval mode, on the CPU, its outputs held against those when it was kept.

    Its constructor is run: load what you trust.

    Args:
        trial_or_path: the first letters of a trial's key, or a folder with a recipe.
        model: the unpruned network, for a recipe that cannot build it; it is left as it is.
        results: the folder with the trials.

    Raises ExportError: nothing is kept there, it was damaged or edited, or is of another network.
    """
    from ..data import vision  # noqa: F401  # the one way to torchvision, which constructors import

    folder = kept_folder(trial_or_path, results)
    if model is None:
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.append(here)  # where a constructor may lie; last, as it shadows nothing
        return kept(folder)
    plain = given(model, check(folder)[0])
    return kept(folder, plain.returned(plain.model))


def kept_folder(trial_or_path: str | Path, results: str | Path = "results") -> Path:
    """The folder of a kept network; ExportError for none, or letters that several begin with."""
    path, store, prefix = Path(trial_or_path), Store(Path(results)), str(trial_or_path)
    path = path.parent if path.name == RECIPE else path
    if path.is_dir() or not prefix:
        return path
    folders = [one for one in sorted(store.root.glob("networks/*")) if one.name.startswith(prefix)]
    if len(folders) == 1:
        return folders[0]
    if folders:
        names = ", ".join(one.name[: len(prefix) + 4] for one in folders[:3])
        raise ExportError(f"{prefix!r} fits {len(folders)} kept networks: {names}; give more of it")
    if any(key.startswith(prefix) for key in store.record_keys()):
        raise ExportError(fault("not_kept", prefix=prefix))
    raise ExportError(fault("nothing_kept", prefix=prefix, root=store.root))
