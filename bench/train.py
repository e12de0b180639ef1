"""The training loop: one for bases, for the adaptation of checkpoints and for finetuning."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from reports.records import Epoch
from suites import Recipe

from .datasets import Dataset
from .measure import evaluate


@dataclass(frozen=True)
class Trained:
    """What a training left behind, beside the model itself.

    Attributes:
        history: an entry an epoch.
        best: state dict of the epoch that was best on validation, the earliest among equals.
        images: training images consumed.
    """

    history: list[Epoch]
    best: dict[str, Tensor]
    images: int


def train(
    model: nn.Module,
    data: Dataset,
    recipe: Recipe,
    seed: int,
    after_step: Callable[[], None] | None = None,
) -> Trained:
    """Train a model in place by a recipe; it ends in eval mode, with the last epoch's weights.

    The order of images, augmentation and dropout depend on `seed` alone. Only the train split is
    learned from, only the validation split is looked at.

    Args:
        after_step: called after every step of the optimizer; it may change the weights.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    draw = torch.Generator().manual_seed(seed)
    optimizer = _optimizer(model, recipe)
    batches = math.ceil(len(data.train) / recipe.batch_size)
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: learning_rate(recipe, step / batches)
    )
    history: list[Epoch] = []
    best: tuple[float, dict[str, Tensor]] = (-1.0, {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for epoch in range(recipe.epochs):
            loss = _epoch(model, data, recipe, optimizer, rates, draw, after_step)
            accuracy = evaluate(model, data.validation).top1
            history.append(Epoch(epoch=epoch + 1, train_loss=loss, validation_top1=accuracy))
            if accuracy > best[0]:
                best = (accuracy, copy.deepcopy(model.state_dict()))
    return Trained(history, best[1], recipe.epochs * len(data.train))


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """Factor on the recipe's learning rate after so many epochs, fractions included."""
    if epoch < recipe.warmup_epochs:
        return (epoch + 1e-2) / (recipe.warmup_epochs + 1e-2)
    done = (epoch - recipe.warmup_epochs) / max(recipe.epochs - recipe.warmup_epochs, 1e-9)
    match recipe.schedule:
        case "constant":
            return 1.0
        case "cosine":
            return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        case "step":
            passed = sum(epoch >= share * recipe.epochs for share in recipe.milestones)
            return recipe.gamma**passed


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(
            model.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
    return torch.optim.SGD(
        model.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
    )


def _epoch(
    model: nn.Module,
    data: Dataset,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    rates: Any,
    draw: torch.Generator,
    after_step: Callable[[], None] | None,
) -> float:
    """One pass over the train split; the mean training loss."""
    model.train()
    total = 0.0
    for images, labels in data.train.batches(
        recipe.batch_size, generator=draw, augment=recipe.augment
    ):
        optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(
            model(images), labels, label_smoothing=recipe.label_smoothing
        )
        loss.backward()
        optimizer.step()
        if after_step is not None:
            after_step()
        rates.step()
        total += loss.item() * len(labels)
    if not math.isfinite(total):
        raise FloatingPointError(
            f"the training loss is {total}: the recipe's learning rate {recipe.learning_rate} is "
            "too high for this network"
        )
    model.eval()
    return total / len(data.train)


def recalibrate_bn(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> int:
    """Take the statistics of all batch norms anew from the given images; returns their number.

    Every batch counts alike, as in a plain mean over batches.
    """
    norms = [one for one in model.modules() if isinstance(one, nn.modules.batchnorm._BatchNorm)]
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
