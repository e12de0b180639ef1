"""Budgets of latency on this machine: asked, predicted, measured; and what budgets of MACs give.

    python tests/study/latency_budgets.py [--runtimes eager onnxruntime] [--models resnet20 ...]

One line a model, runtime and budget, of networks of random weights pruned by l1: the latency asked
for, predicted by the table of layers, and measured (with the 95 % interval over rounds, and a copy
of the dense network beside it); then the latency of the same network under a budget of as many
MACs. Run it while nothing else runs.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import torch

import bench
from bench.deployed.runtimes import load
from bench.deployed.timing import compare_latency
from suites.protocol import Deployment

sys.path.insert(0, str(Path(__file__).parents[1]))
from real_models import build

SIZES = {"resnet20": 32, "torchvision:mobilenet_v2": 224, "vit_s_16": 224}
SHARES = (0.7, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runtimes", nargs="+", default=["eager", "onnxruntime"])
    parser.add_argument("--models", nargs="+", default=list(SIZES))
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    print("| network | runtime | asked | predicted | measured | 95 % | A/A | round_to | tries "
          "| MACs kept | by MACs instead | s |\n|" + "---|" * 12, flush=True)  # fmt: skip
    for name in given.models:
        for runtime in given.runtimes:
            for share in SHARES:
                print(row(name, runtime, share), flush=True)


def row(name: str, runtime: str, share: float) -> str:
    """One line of the table."""
    torch.manual_seed(0)
    start, images = time.monotonic(), torch.randn(1, 3, SIZES[name], SIZES[name])
    model, deployment = build(name, SIZES[name]).eval(), Deployment(runtime=runtime)  # type: ignore[arg-type]
    found = bench.prune(model, images, "l1", {"latency": share}, deployed={"runtime": runtime})
    check = found.check
    assert check is not None
    low, high = check.latency.interval
    by_macs = bench.prune(model, images, "l1", {"macs": share})
    dense, copy = load(model, (images,), deployment, copies=2)
    (pruned,) = load(by_macs.model, (images,), deployment)
    other = compare_latency(dense, pruned, copy, deployment)
    numbers: list[Any] = [
        name, runtime, share, f"{check.predicted:.3f}", f"{check.latency.ratio:.3f}",
        f"{low:.3f} to {high:.3f}", f"{check.latency.aa_ratio:.3f}", check.round_to, check.tries,
        f"{found.macs / found.dense_macs:.3f}", f"{other.ratio:.3f}",
        f"{time.monotonic() - start:.0f}",
    ]  # fmt: skip
    return "| " + " | ".join(map(str, numbers)) + " |"


if __name__ == "__main__":
    main()
