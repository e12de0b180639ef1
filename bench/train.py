"""The training loop: one for bases, preparations, procedures and finetuning alike."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from criteria.hooks import Rider, Scale, Training
from reports.records import Epoch
from suites import Recipe

from .checkpoint import Checkpoint
from .datasets import Dataset
from .measure import evaluate


@dataclass(frozen=True)
class Trained:
    """What a training left behind, beside the model itself.

    Attributes:
        history: an entry an epoch.
        best: state dict of the epoch that was best on validation, the earliest among equals.
        images: training images consumed.
        seconds: that it took, those before a kill included.
    """

    history: list[Epoch]
    best: dict[str, Tensor]
    images: int
    seconds: float = 0.0


def train(
    model: nn.Module,
    data: Dataset,
    recipe: Recipe,
    seed: int,
    rider: Rider | None = None,
    *,
    teacher: nn.Module | None = None,
    checkpoint: Checkpoint | None = None,
) -> Trained:
    """Train a model in place by a recipe; it ends in eval mode, with the last epoch's weights.

    The order of images, augmentation and dropout depend on `seed` alone. Only the train split is
    learned from, only the validation split is looked at.

    Args:
        rider: may change the loss, the gradients, the weights, and end training early.
        teacher: in eval mode, of a recipe that distills.
        checkpoint: where to go on from, and to write to; without, a killed training is lost.

    Raises:
        FloatingPointError: the loss is not finite.
    """
    if recipe.distill is not None and teacher is None:
        raise ValueError("this recipe distills, but there is no teacher here")
    run = _Run(model, data, recipe, rider or Rider(), teacher, checkpoint)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        run.draw.manual_seed(seed)
        run.go()
    return Trained(run.history, run.best, run.images, run.spent())


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


@dataclass(eq=False)
class _Run:
    """One training and where it stands; `step` of all, `batch` of this epoch."""

    model: nn.Module
    data: Dataset
    recipe: Recipe
    rider: Rider
    teacher: nn.Module | None
    checkpoint: Checkpoint | None
    draw: torch.Generator = field(default_factory=torch.Generator)
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_top1: float = -1.0
    images: int = 0
    step: int = 0
    batch: int = 0
    seen: int = 0  # images of this epoch
    loss: float = 0.0  # summed over them
    ended: bool = False  # by the rider
    seconds: float = 0.0
    epoch_draw: Tensor = field(default_factory=lambda: torch.empty(0))  # as the epoch began

    def spent(self) -> float:
        """Seconds, those of a killed predecessor included."""
        return self.seconds + time.perf_counter() - self.start

    def go(self) -> None:
        """From the first step, or the checkpoint, to the last."""
        self.start = time.perf_counter()
        self.rider.begin(self.model)
        self.optimizer = _optimizer(self.model, self.recipe, self.rider)
        self.batches = math.ceil(len(self.data.train) / self.recipe.batch_size)
        self.rider.attach(
            Training(self.model, self.optimizer, self.batches, self.recipe.epochs * self.batches)
        )
        state = self.checkpoint.load() if self.checkpoint else None
        if state is not None:
            self._restore(state)
            self._epoch(resume=state["torch_rng"])
        while len(self.history) < self.recipe.epochs and not self.ended:
            self._epoch()
        self.rider.at_end()
        self.model.eval()

    def _epoch(self, resume: Tensor | None = None) -> None:
        """One pass over the train split, which the rider may end early.

        Args:
            resume: the global random state where this epoch was left, after `batch` batches.
        """
        self.model.train()
        if resume is None:
            self.epoch_draw = self.draw.get_state()
            self.batch, self.seen, self.loss = 0, 0, 0.0
        else:
            self.draw.set_state(self.epoch_draw)
        batches = self.data.train.batches(
            self.recipe.batch_size, generator=self.draw, augment=self.recipe.augment
        )
        rest = islice(batches, self.batch, None)
        if resume is not None:
            torch.set_rng_state(resume)
        for images, labels in rest:
            factor = self.rider.rate(self.step)
            if not self.rider.done:  # it may be so before its first step
                self._step(images, labels, factor)
            if self.rider.done:
                self.ended = True
                break
            if self.checkpoint is not None and self.checkpoint.due():
                self.checkpoint.save(self._state())
        self._end_epoch()

    def _step(self, images: Tensor, labels: Tensor, own: float | None) -> None:
        """One batch: loss, gradients, weights, and the rider after each."""
        factor = learning_rate(self.recipe, self.step / self.batches) if own is None else own
        for group in self.optimizer.param_groups:
            group["lr"] = factor * group["initial_lr"]
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(images, labels)
        extra = self.rider.loss_term(self.step)
        (loss if extra is None else loss + extra).backward()
        self.rider.after_backward(self.step)
        self.optimizer.step()
        self.rider.after_step(self.step)
        self.loss += loss.item() * len(labels)
        self.images += len(labels)
        self.seen += len(labels)
        self.step += 1
        self.batch += 1

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy; with a teacher also the distance from it (Hinton, arXiv 1503.02531)."""
        logits = self.model(images)
        truth = functional.cross_entropy(
            logits, labels, label_smoothing=self.recipe.label_smoothing
        )
        distill = self.recipe.distill
        if distill is None:
            return truth
        assert self.teacher is not None
        with torch.no_grad():
            taught = functional.log_softmax(self.teacher(images) / distill.temperature, dim=1)
        learned = functional.log_softmax(logits / distill.temperature, dim=1)
        distance = functional.kl_div(learned, taught, reduction="batchmean", log_target=True)
        return (1 - distill.weight) * truth + distill.weight * distill.temperature**2 * distance

    def _end_epoch(self) -> None:
        if not math.isfinite(self.loss):
            raise FloatingPointError(
                f"the training loss is {self.loss}: the recipe's learning rate "
                f"{self.recipe.learning_rate} is too high for this network"
            )
        if not self.seen:
            return  # the rider had nothing to do
        self.rider.after_epoch(len(self.history))
        accuracy = evaluate(self.model, self.data.validation).top1
        self.history.append(
            Epoch(
                epoch=len(self.history) + 1,
                train_loss=self.loss / self.seen,
                validation_top1=accuracy,
            )
        )
        if accuracy > self.best_top1:
            self.best_top1, self.best = accuracy, copy.deepcopy(self.model.state_dict())
        self.batch = 0

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rider": self.rider.state_dict(),
            "history": [one.model_dump() for one in self.history],
            "torch_rng": torch.get_rng_state(),
            "seconds": self.spent(),
            **{name: getattr(self, name) for name in _PLAIN},
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rider.load_state_dict(state["rider"])
        self.history = [Epoch(**one) for one in state["history"]]
        for name in (*_PLAIN, "seconds"):
            setattr(self, name, state[name])


# What a checkpoint holds of a run as it is.
_PLAIN = ("best", "best_top1", "images", "step", "batch", "seen", "loss", "epoch_draw")


def _optimizer(model: nn.Module, recipe: Recipe, rider: Rider) -> torch.optim.Optimizer:
    """By the recipe; parameters that the rider scales are in groups of their own."""
    scales = rider.scales(model)
    by_scale: dict[Scale, list[nn.Parameter]] = {Scale(1.0, 1.0): []}
    for parameter in model.parameters():
        by_scale.setdefault(scales.get(parameter, Scale(1.0, 1.0)), []).append(parameter)
    groups = [
        {
            "params": parameters,
            "lr": recipe.learning_rate * scale.learning_rate,
            "initial_lr": recipe.learning_rate * scale.learning_rate,
            "weight_decay": recipe.weight_decay * scale.weight_decay,
        }
        for scale, parameters in by_scale.items()
        if parameters or scale == Scale(1.0, 1.0)
    ]
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups)
    return torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=recipe.nesterov)


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
