"""Scores of tiny networks, by criteria here and by torch-pruning, and when they are equal."""

from __future__ import annotations

import warnings
from typing import Any

import torch
import torch_pruning as tp
from conftest import (
    groups_of,
    images,
)
from torch import Tensor, nn

from criteria import Group
from criteria.evidence.batch import Loss, cross_entropy
from criteria.gather import score_alone
from criteria.registry import create, require

EXACT = {"rtol": 1e-10, "atol": 1e-14}  # float64, the same sums in another order


SINGLE = {"rtol": 2e-5, "atol": 1e-7}  # torch-pruning reduces in float32


def scores_of(
    model: nn.Module,
    criterion: str,
    batches: Any = (),
    *,
    generator: torch.Generator | None = None,
    loss: Loss = cross_entropy,
    **options: Any,
) -> dict[str, Tensor]:
    """As `criteria.score` gives them, but a network is not traced and verified at every call."""
    require(criterion, options, "channels")
    groups = groups_of(model)
    draw = generator or torch.Generator().manual_seed(0)
    values, _ = score_alone(model, create(criterion, groups, options, draw), batches, loss)
    return {group.root: one for group, one in zip(groups, values, strict=True)}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], **tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for root, values in expected.items():
        torch.testing.assert_close(found[root], values.double(), **tolerance)


def upstream(
    model: nn.Module, importance: Any, only: list[Group] | None = None
) -> dict[str, Tensor]:
    """Scores by torch-pruning of whole groups, rooted as ours; no `.grad` is asked for here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = tp.DependencyGraph().build_dependency(
            model, (images(1),), forward_fn=lambda network, inputs: network(*inputs)
        )
    found = {}
    for group in only or groups_of(model):
        root = model.get_submodule(group.root)
        linear = isinstance(root, nn.Linear)
        prune = tp.prune_linear_out_channels if linear else tp.prune_conv_out_channels
        whole = list(range(group.units))
        found[group.root] = importance(graph.get_pruning_group(root, prune, idxs=whole))
    return found


PLAIN = ("chain", "residual", "concat", "flat", "transposed", "one_channel")
