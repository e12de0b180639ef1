"""The one door to torchvision.

Beside a CPU-only torch, torchvision's CUDA build cannot load its compiled operators, and its import
then fails with "operator torchvision::nms does not exist". Nothing here needs those operators, so
their schemas are declared before the import, and only when the compiled library does not load.
"""

import importlib.util
from pathlib import Path

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _compiled_operators_load() -> bool:
    spec = importlib.util.find_spec("torchvision")
    folders = (spec.submodule_search_locations if spec else None) or []
    for library in (path for folder in folders for path in Path(folder).glob("_C.*")):
        try:
            torch.ops.load_library(str(library))
        except OSError:
            continue
        return True
    return False


def _declare_operators() -> torch.library.Library | None:
    """The library that holds the declarations; they last as long as it does."""
    if _compiled_operators_load():
        return None
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    return library


_DECLARED = _declare_operators()

import torchvision  # noqa: E402

__all__ = ["torchvision"]
