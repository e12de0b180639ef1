"""The training loop: one for bases, preparations, procedures and finetuning alike."""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import math
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from criteria.training import Rider, Scale, Training
from reports.records import Epoch
from suites import Recipe

from ..data.datasets import Dataset
from ..errors import BenchError
from ..store.progress import Checkpoint
from .averaging import Average
from .measure import evaluate
from .mixing import Mixing


@dataclass(frozen=True)
class Trained:
    """What a training left behind, beside the model itself.

    Attributes:
        history: an entry an epoch.
        best: state dict of the epoch that was best on validation, the earliest among equals;
            like the model's own weights the running mean, where the recipe keeps one.
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
        BenchError: the recipe is to be compiled, and there is no compiler.
    """
    if recipe.distill is not None and teacher is None:
        raise ValueError("this recipe distills, but there is no teacher here")
    run = _Run(model, data, recipe, rider or Rider(), teacher, checkpoint, seed)
    on_cuda = [data.device] if data.device.type == "cuda" else []
    with torch.random.fork_rng(devices=on_cuda):
        torch.manual_seed(seed)
        run.draw.manual_seed(seed)
        run.go()
    return Trained(run.history, run.best, run.images, run.spent())


def _compiled(model: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The forward pass, compiled at its first call."""
    if device.type == "cuda":
        missing = importlib.util.find_spec("triton") is None and "the package triton"
    else:
        there = any(map(shutil.which, (os.environ.get("CXX", "g++"), "clang++")))
        missing = not there and "a C++ compiler (g++ or clang++, or one that CXX names)"
    if missing:
        raise BenchError(f"the recipe says compile: true, which needs {missing}; leave it out")
    return torch.compile(model)


def learning_rate(recipe: Recipe, epoch: float) -> float:
    """Factor on the recipe's learning rate after so many epochs, fractions included."""
    if epoch < recipe.warmup_epochs:
        if recipe.warmup_factor is not None:
            left = 1 - epoch / recipe.warmup_epochs
            return 1 - (1 - recipe.warmup_factor) * left
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
        case "triangle":
            return 1 - (1 - recipe.gamma) * abs(2 * min(done, 1.0) - 1)


@dataclass(eq=False)
class _Run:
    """One training and where it stands; `step` of all, `batch` of this epoch."""

    model: nn.Module
    data: Dataset
    recipe: Recipe
    rider: Rider
    teacher: nn.Module | None
    checkpoint: Checkpoint | None
    seed: int
    draw: torch.Generator = field(default_factory=torch.Generator)
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_top1: float = -1.0
    images: int = 0
    step: int = 0
    batch: int = 0
    seen: int = 0  # images of this epoch
    loss: float | Tensor = 0.0  # summed over them; on the device, which need not wait for it
    ended: bool = False  # by the rider
    seconds: float = 0.0
    epoch_draw: Tensor = field(default_factory=lambda: torch.empty(0))  # as the epoch began

    def spent(self) -> float:
        """Seconds, those of a killed predecessor included."""
        return self.seconds + time.perf_counter() - self.start

    def go(self) -> None:
        """From the first step, or the checkpoint, to the last."""
        self.start = time.perf_counter()
        recipe, device = self.recipe, self.data.device
        self.rider.begin(self.model)
        if recipe.channels_last:
            _lay_out(self.model, torch.channels_last)
        self.optimizer = _optimizer(self.model, recipe, self.rider)
        self.batches = math.ceil(len(self.data.train) / recipe.batch_size)
        self.mixing = Mixing(recipe, self.data.classes, self.seed)
        self.forward = _compiled(self.model, device) if recipe.compile else self.model
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.amp == "fp16")
        self.average = recipe.ema and Average(
            self.model, recipe.ema, recipe.warmup_epochs * self.batches
        )
        self.rider.attach(
            Training(self.model, self.optimizer, self.batches, self.recipe.epochs * self.batches)
        )
        state = self.checkpoint.load() if self.checkpoint else None
        if state is not None:
            self._restore(state)
            self._epoch(resume=state["torch_rng"])
        while len(self.history) < self.recipe.epochs and not self.ended:
            self._epoch()
        if self.average:
            self.average.keep()
        self.rider.at_end()
        if recipe.channels_last:
            _lay_out(self.model, torch.contiguous_format)
        self.model.eval()

    def _epoch(self, resume: list[Tensor] | None = None) -> None:
        """One pass over the train split, which the rider may end early.

        Args:
            resume: the global random states where this epoch was left, after `batch` batches.
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
            _set_random_state(resume)
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
        loss = self._loss(*self.mixing(images, labels, self.step))
        extra = self.rider.loss_term(self.step)
        self.scaler.scale(loss if extra is None else loss + extra).backward()
        self._unscale()
        self.rider.after_backward(self.step)
        if self.recipe.grad_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.rider.after_step(self.step)
        if self.average:
            self.average.after_step(self.step)
        self.loss += loss.detach().double() * len(labels)
        self.images += len(labels)
        self.seen += len(labels)
        self.step += 1
        self.batch += 1

    def _unscale(self) -> None:
        """Gradients as they are; the rider sees zeros where half precision has overflown.

        The scaler has noticed, and skips that step.
        """
        if not self.scaler.is_enabled():
            return
        self.scaler.unscale_(self.optimizer)
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.nan_to_num_(nan=0.0, posinf=0.0, neginf=0.0)

    def _loss(self, images: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy; with a teacher also the distance from it (Hinton, arXiv 1503.02531)."""
        if self.recipe.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        with self._precision():
            logits = self.forward(images)
            truth = functional.cross_entropy(
                logits, targets, label_smoothing=self.recipe.label_smoothing
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

    def _precision(self) -> contextlib.AbstractContextManager[object]:
        if self.recipe.amp is None:
            return contextlib.nullcontext()
        low = torch.bfloat16 if self.recipe.amp == "bf16" else torch.float16
        return torch.autocast(self.data.device.type, low)

    def _end_epoch(self) -> None:
        loss = float(self.loss)
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"the training loss is {loss}: the recipe's learning rate "
                f"{self.recipe.learning_rate} is too high for this network"
            )
        if not self.seen:
            return  # the rider had nothing to do
        self.rider.after_epoch(len(self.history))
        with self.average.in_place() if self.average else contextlib.nullcontext():
            accuracy = evaluate(self.model, self.data.validation).top1
            if accuracy > self.best_top1:
                self.best_top1, self.best = accuracy, copy.deepcopy(self.model.state_dict())
        self.history.append(
            Epoch(
                epoch=len(self.history) + 1, train_loss=loss / self.seen, validation_top1=accuracy
            )
        )
        self.batch = 0

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rider": self.rider.state_dict(),
            "history": [one.model_dump() for one in self.history],
            "scaler": self.scaler.state_dict(),
            "average": self.average.weights if self.average else {},
            "torch_rng": _random_state(self.data.device),
            "seconds": self.spent(),
            **{name: getattr(self, name) for name in _PLAIN},
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rider.load_state_dict(state["rider"])
        self.scaler.load_state_dict(state["scaler"])
        if self.average:
            self.average.load(state["average"])
        self.history = [Epoch(**one) for one in state["history"]]
        for name in (*_PLAIN, "seconds"):
            setattr(self, name, state[name])


def _lay_out(model: nn.Module, memory_format: torch.memory_format) -> None:
    """The weights of convolutions in memory; their values stay."""
    for parameter in model.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=memory_format)


def _random_state(device: torch.device) -> list[Tensor]:
    """Global random state of the CPU, and of the device where dropout draws."""
    state = [torch.get_rng_state()]
    return [*state, torch.cuda.get_rng_state(device)] if device.type == "cuda" else state


def _set_random_state(state: list[Tensor]) -> None:
    torch.set_rng_state(state[0])
    for one in state[1:]:
        torch.cuda.set_rng_state(one)


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
