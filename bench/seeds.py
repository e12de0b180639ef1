"""Seeds are hashes of named axes: one generator a purpose, and no global state.

The method is no axis of splits, data order, calibration or finetuning, so methods are compared on
equal draws whatever runs first.
"""

import hashlib
import json

import torch


def seed(purpose: str, **axes: str | int) -> int:
    """A seed in [0, 2^63) that depends on the purpose and on the named axes, on nothing else."""
    text = json.dumps([purpose, axes], sort_keys=True)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(purpose: str, **axes: str | int) -> torch.Generator:
    """A CPU generator of its own for one purpose."""
    return torch.Generator().manual_seed(seed(purpose, **axes))
