"""The training loop: one for bases, preparations, procedures and finetuning alike."""

import copy
import math
import time
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from criteria.training import Rider, Training
from reports.records import Epoch
from suites import Recipe

from ..data.datasets import Dataset
from ..errors import fault
from ..store.weights import Checkpoint
from .measure import evaluate
from .mixing import Mixing
from .optimizer import compiled, learning_rate, make_optimizer, precision


@dataclass(frozen=True)
class Trained:
    """What a training left behind, beside the model itself."""

    history: list[Epoch] = field(default_factory=list)  # an entry an epoch
    # State dict of the epoch that was best on validation, the earliest among equals; like the
    # model's own weights the running mean, where the recipe keeps one. Empty where no images are
    # held out.
    best: dict[str, Tensor] = field(default_factory=dict)
    images: int = 0  # training images consumed
    seconds: float = 0.0  # that it took, those before a kill included


def train(
    model: nn.Module,
    data: Dataset,
    recipe: Recipe,
    seed: int,
    # May change the loss, the gradients, the weights, and end training early.
    rider: Rider | None = None,
    *,
    teacher: nn.Module | None = None,  # in eval mode, of a recipe that distills
    # Where to go on from, and to write to; without, a killed training is lost.
    checkpoint: Checkpoint | None = None,
    until: int | None = None,  # the epoch that it is left after; None: the recipe's last
) -> Trained:
    """Train a model in place by a recipe; it ends in eval mode, with the last epoch's weights.

    The order of images, augmentation and dropout depend on `seed` alone. Only the train split is
    learned from, only the validation split is looked at.

    Raises FloatingPointError where the loss is not finite.
    """
    if recipe.distill is not None and teacher is None:
        raise ValueError("this recipe distills, but there is no teacher here")
    last = recipe.epochs if until is None else until
    run = _Run(model, data, recipe, rider or Rider(), teacher, checkpoint, seed, last)
    on_cuda = [data.device] if data.device.type == "cuda" else []
    with torch.random.fork_rng(devices=on_cuda):
        torch.manual_seed(seed)
        run.draw.manual_seed(seed)
        run.go()
    return Trained(run.history, run.best, run.images, run.spent())


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
    last: int  # epoch
    draw: torch.Generator = field(default_factory=torch.Generator)
    history: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_top1: float = -math.inf
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
        """Train from the first step, or from the checkpoint, to the last."""
        self.start = time.perf_counter()
        recipe, device = self.recipe, self.data.device
        self.rider.begin(self.model)
        if recipe.channels_last:
            self.data = self.data.worked(channels_last=True)
        self.optimizer = make_optimizer(self.model, recipe, self.rider)
        self.batches = recipe.batches(len(self.data.train))
        self.mixing = Mixing(recipe, self.data.classes, self.seed)
        self.forward = compiled(self.model, device) if recipe.compile else self.model
        self.scaler = torch.amp.GradScaler(device.type, enabled=recipe.amp == "fp16")
        self.average = recipe.ema and AveragedModel(
            self.model, avg_fn=partial(_mean, recipe.ema.decay), use_buffers=True
        )
        steps = recipe.epochs * self.batches
        self.rider.attach(Training(self.model, self.optimizer, self.batches, steps))
        state = self.checkpoint.load() if self.checkpoint else None
        if state is not None:
            self._restore(state)
            self._epoch(resume=state["torch_rng"])
        while len(self.history) < self.last and not self.ended:
            self._epoch()
        if self.average:
            self.model.load_state_dict(self.average.module.state_dict())
        self.rider.at_end()
        self.model.eval()

    def _epoch(self, resume: list[Tensor] | None = None) -> None:
        """One pass over the train split, which the rider may end early.

        `resume`: the global random states where this epoch was left, after `batch` batches.
        """
        self.model.train()
        if resume is None:
            self.epoch_draw = self.draw.get_state()
            self.batch, self.seen, self.loss = 0, 0, 0.0
        else:
            self.draw.set_state(self.epoch_draw)
        batches = self.data.train.batches(
            self.recipe.batch_size,
            generator=self.draw,
            augment=self.recipe.augment,
            jitter=self.recipe.color_jitter,
        )
        rest = islice(batches, self.batch, self.batches)
        if resume is not None:
            torch.set_rng_state(resume[0])
            for one in resume[1:]:
                torch.cuda.set_rng_state(one)
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
        loss = self._backward(*self.mixing(images, labels, self.step))
        self._unscale()
        self.rider.after_backward(self.step)
        if self.recipe.grad_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.grad_clip)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.rider.after_step(self.step)
        self._update_average()
        self.loss += loss.double() * len(labels)
        self.images += len(labels)
        self.seen += len(labels)
        self.step += 1
        self.batch += 1

    def _backward(self, images: Tensor, targets: Tensor) -> Tensor:
        """Gradients of the mean loss over a batch, the rider's term included; that loss without it.

        Of micro-batches the losses are weighted by their images, so that their gradients add up to
        that of the whole batch. A batch that is not full has as many fewer.
        """
        parts = math.ceil(len(images) * self.recipe.accumulate / self.recipe.batch_size)
        pairs = zip(images.tensor_split(parts), targets.tensor_split(parts), strict=True)
        losses = []
        for at, part in enumerate(pairs):
            loss = self._loss(*part) * (len(part[0]) / len(images))
            extra = None if at else self.rider.loss_term(self.step)
            self.scaler.scale(loss if extra is None else loss + extra).backward()
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _update_average(self) -> None:
        """Copy the weights at the first step and while the rate warms up; average them later."""
        ema = self.recipe.ema
        if not self.average or ema is None or self.step % ema.every:
            return
        warmup = self.recipe.warmup_epochs - self.recipe.from_epoch
        if self.step < warmup * self.batches:
            self.average.n_averaged.zero_()  # a mean of none is replaced by what comes
        self.average.update_parameters(self.model)

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
        """The task's; with a teacher also the distance from it (Hinton, arXiv 1503.02531)."""
        with precision(self.recipe.amp, self.data.device):
            task, found = self.data.task, self.forward(images)
            truth = task.loss(found, targets, label_smoothing=self.recipe.label_smoothing)
            if (distill := self.recipe.distill) is None:
                return truth
            assert self.teacher is not None
            with torch.no_grad():
                taught = task.outputs(self.teacher(images)) / distill.temperature
            learned = (task.outputs(found) / distill.temperature).log_softmax(1)
            apart = functional.kl_div(
                learned, taught.log_softmax(1), reduction="sum", log_target=True
            )
            distance = apart / (learned.numel() // learned.shape[1])  # a mean over positions
        return (1 - distill.weight) * truth + distill.weight * distill.temperature**2 * distance

    def _end_epoch(self) -> None:
        loss = float(self.loss)
        if not math.isfinite(loss):
            raise FloatingPointError(fault("training_loss", loss=loss, recipe=self.recipe))
        if not self.seen:
            return  # the rider had nothing to do
        self.rider.after_epoch(len(self.history))
        accuracy = None
        if len(self.data.validation):
            kept = self.average.module if self.average else self.model
            accuracy = evaluate(kept, self.data.validation, self.data.task).primary
            if accuracy > self.best_top1:
                self.best_top1, self.best = accuracy, copy.deepcopy(kept.state_dict())
        number, mean = len(self.history) + 1, loss / self.seen
        self.history.append(Epoch(epoch=number, train_loss=mean, validation_top1=accuracy))
        self.batch = 0

    def _state(self) -> dict[str, Any]:
        device = self.data.device
        cuda = [device] if device.type == "cuda" else []  # where dropout draws
        return {
            **{name: getattr(self, name).state_dict() for name in _STATEFUL},
            "history": [one.model_dump() for one in self.history],
            "average": self.average.state_dict() if self.average else {},
            "torch_rng": [torch.get_rng_state(), *map(torch.cuda.get_rng_state, cuda)],
            "seconds": self.spent(),
            **{name: getattr(self, name) for name in _PLAIN},
        }

    def _restore(self, state: dict[str, Any]) -> None:
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        if self.average:
            self.average.load_state_dict(state["average"])
        self.history = [Epoch(**one) for one in state["history"]]
        for name in (*_PLAIN, "seconds"):
            setattr(self, name, state[name])


def _mean(decay: float, mean: Tensor, now: Tensor, count: int | Tensor) -> Tensor:
    """The running mean, one step on; integers are as they are now."""
    return mean.lerp(now, 1 - decay) if now.is_floating_point() else now


# What a checkpoint holds of a run: the states of some, others as they are.
_STATEFUL = ("model", "optimizer", "rider", "scaler")
_PLAIN = ("best", "best_top1", "images", "step", "batch", "seen", "loss", "epoch_draw")
