"""Batch norms of a pruned network: their statistics taken anew, without any training."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def recalibrate_bn(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> int:
    """Take the statistics of all batch norms anew from the given images; returns their number.

    Every batch counts alike, as in a plain mean over batches.
    """
    norms = [each for each in model.modules() if isinstance(each, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's cumulative mean
        norm.train()
    with torch.no_grad():
        for images, _ in batches:
            model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
    return sum(len(labels) for _, labels in batches)
