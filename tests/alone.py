"""Rebuilds kept networks where neither this project nor torch-pruning can be imported.

    python -I tests/alone.py REBUILD FOLDER...

REBUILD is the file that `bench export --code` prints. Of each folder it tells its name, and by how
much the outputs differ from those kept, relative to the largest of them.
"""

import runpy
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch.utils import _pytree as pytree

sys.path.append(str(Path(__file__).parent))  # where networks of the tests lie


class Away:
    """Finds none of these."""

    def find_spec(self, name, *_):
        if name.split(".")[0] in ("bench", "criteria", "suites", "reports", "torch_pruning"):
            raise ImportError(name)


sys.meta_path.insert(0, Away())
try:
    import torchvision  # noqa: F401
except RuntimeError:  # beside a CPU-only torch it lacks an operator, which it does not need
    operators = torch.library.Library("torchvision", "DEF")
    operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


def apart(rebuild, folder):
    kept = load_file(folder / "check.safetensors")
    inputs = [kept[name] for name in sorted(kept) if name.startswith("input.")]
    with torch.no_grad():
        found = pytree.tree_leaves(rebuild(folder)(*inputs))
    largest = 0.0
    for at, one in enumerate(one for one in found if isinstance(one, torch.Tensor)):
        then = kept[f"output.{at}"]
        difference = (one.flatten()[: len(then)] - then).abs().max()
        largest = max(largest, float(difference / then.abs().max().clamp(min=1e-30)))
    return largest


if __name__ == "__main__":
    torch.set_num_threads(1)
    rebuild = runpy.run_path(sys.argv[1])["rebuild"]
    for folder in map(Path, sys.argv[2:]):
        print(folder.name, apart(rebuild, folder))
