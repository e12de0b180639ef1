"""Synthetic data, a plain script of torch and torch-pruning, and the networks' own work run bare.

The plain script does what the suite does as a researcher would write it: one loop a method and
step, contiguous float32, batches of a DataLoader, torch-pruning's own pruner.
"""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from bench.data.images import Images
from bench.models import build_model
from bench.steps import scores, workspace
from bench.training import measure
from suites.problem import ModelSpec

SCALE = float(os.environ.get("BENCH_SCALE", "0.1"))
SHAPE = {"classes": 10, "channels": 3, "image_size": 32}
CRITERIA = ["random", "l1", "fpgm_tp", "bn_scale", "taylor_tp", "jacobian"]
CLASSIFIER = "linear"

PLUGIN = '''
"""Images whose pattern tells their class."""

import torch

from bench import register_dataset


@register_dataset("patterns")
def patterns(root, train: int = 100, test: int = 100):
    """Noise over ten patterns."""
    draw = torch.Generator().manual_seed(0)
    shown = torch.randint(256, (10, 3, 32, 32), generator=draw)

    def split(count):
        labels = torch.arange(count) % 10
        noise = torch.randint(256, (count, 3, 32, 32), generator=draw)
        return ((shown[labels] + 3 * noise) // 4).to(torch.uint8), labels

    return {"train": split(train), "test": split(test)}
'''


def scaled(count: int) -> int:
    """So many images or steps, at this scale."""
    return max(1, round(count * SCALE))


def few(images: int) -> int:
    """Images at this scale; fewer steps first, as what one costs beside them does not shrink."""
    return round(images * min(1.0, 2.5 * SCALE))


@dataclass
class Bare:
    """The networks' own work, done again beside the harness's, on the same networks and batches."""

    seconds: float = 0.0
    aside: float = 0.0  # what it took to prepare, and to hold results against contiguous float32
    apart: list[int] = field(default_factory=list)  # images of which top-1 differs there

    @contextmanager
    def watching(self, *, half: bool = False) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for owner, name, again in (
                (measure, "evaluate", self._evaluate),
                (scores, "gather", self._gather),
                (scores, "score_alone", self._score),
                (workspace, "train", self._train),
            ):
                patch.setattr(owner, name, self._around(getattr(owner, name), again, half))
            yield

    def _around(self, work: Callable[..., Any], again: Callable[..., Any], half: bool) -> Any:
        def both(*given: Any, **how: Any) -> Any:
            start = time.process_time()
            task = again(half, *given)
            self.aside += time.process_time() - start
            found = work(*given, **how)
            start = time.process_time()
            task()
            self.seconds += time.process_time() - start
            return found

        return both

    def _evaluate(
        self, half: bool, model: nn.Module, images: Images, *_: Any
    ) -> Callable[[], None]:
        batches = list(images.batches(500))
        if len(self.apart) < 4:
            plain = [(x.contiguous(), y) for x, y in batches]
            truth = torch.cat([y for _, y in batches])
            hits = [
                int((evaluated(model.eval(), of, half=part).argmax(1) == truth).sum())
                for part, of in ((half, batches), (False, plain))
            ]
            self.apart.append(abs(hits[0] - hits[1]))
        return lambda: void(evaluated(model.eval(), batches, half=half))

    def _gather(
        self, half: bool, model: nn.Module, criteria: Sequence[Any], batches: Any, *_: Any
    ) -> Callable[[], None]:
        batches = list(batches) if any(one.needs for one in criteria) else []
        return lambda: passes(model, batches, half)

    def _score(self, half: bool, model: nn.Module, one: Any, batches: Any, *_: Any) -> Any:
        return self._gather(half, model, [one], batches)

    def _train(
        self, half: bool, model: nn.Module, data: Any, recipe: Any, *_: Any
    ) -> Callable[[], None]:
        own = copy.deepcopy(model).train()
        batches = list(data.train.batches(recipe.batch_size))
        optimizer = torch.optim.SGD(own.parameters(), 0.0, momentum=0.9)

        def steps() -> None:
            for x, y in batches * recipe.epochs:
                with half_precision(half):
                    loss = functional.cross_entropy(own(x), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()

        return steps


def void(_: Any) -> None:
    pass


def half_precision(half: bool) -> Any:
    return torch.autocast("cpu", torch.bfloat16) if half else nullcontext()


def evaluated(model: nn.Module, batches: Sequence[Any], *, half: bool) -> Tensor:
    with torch.inference_mode(), half_precision(half):
        return torch.cat([model(x) for x, _ in batches])


def passes(model: nn.Module, batches: Sequence[Any], half: bool) -> None:
    model.eval()
    parameters = list(model.parameters())
    for x, y in batches:
        with torch.enable_grad(), half_precision(half):
            loss = functional.cross_entropy(model(x), y)
        torch.autograd.grad(loss, parameters)


# --- the plain script -----------------------------------------------------------------------------


class Jacobian(tp.importance.Importance):
    """Squared products of gradient and weights of every filter, summed over batches."""

    def __init__(self) -> None:
        self.sums: dict[nn.Module, Tensor] = {}

    def accumulate(self, model: nn.Module) -> None:
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                products = (layer.weight * layer.weight.grad).flatten(1).sum(1).detach().square()
                self.sums[layer] = self.sums.get(layer, 0) + products

    def __call__(self, group: Any) -> Tensor:
        found = [
            self.sums[item.dep.target.module][item.idxs]
            for item in group
            if item.dep.target.module in self.sums
            and item.dep.handler == tp.prune_conv_out_channels
        ]
        return torch.stack(found).sum(0)


def importance(name: str) -> Any:
    return {
        "random": tp.importance.RandomImportance,
        "l1": lambda: tp.importance.GroupMagnitudeImportance(p=1),
        "fpgm_tp": tp.importance.FPGMImportance,
        "bn_scale": tp.importance.BNScaleImportance,
        "taylor_tp": tp.importance.GroupTaylorImportance,
        "jacobian": Jacobian,
    }[name]()


def pruner(model: nn.Module, name: str, share: float, steps: int) -> Any:
    return tp.pruner.BasePruner(
        model,
        torch.randn(1, 3, 32, 32),
        importance=importance(name),
        pruning_ratio=share,
        iterative_steps=steps,
        ignored_layers=[model.get_submodule(CLASSIFIER)],
    )


def step(model: nn.Module, by: Any, loader: Any) -> None:
    """Score on the calibration images where the criterion looks at any, and prune one step."""
    if isinstance(by.importance, Jacobian | tp.importance.GroupTaylorImportance):
        model.eval()
        model.zero_grad()
        if isinstance(by.importance, Jacobian):
            by.importance.sums = {}
        for x, y in loader:
            if isinstance(by.importance, Jacobian):
                model.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            if isinstance(by.importance, Jacobian):
                by.importance.accumulate(model)
    by.step()


def top1(model: nn.Module, loader: Any) -> float:
    model.eval()
    right = of = 0
    with torch.no_grad():
        for x, y in loader:
            right += int((model(x).argmax(1) == y).sum())
            of += len(y)
    return right / of


def finetune(model: nn.Module, loader: Any, epochs: int, rate: float) -> None:
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(loader))
    model.train()
    for _ in range(epochs):
        for x, y in loader:
            down, across = torch.randint(9, (2,)).tolist()
            x = functional.pad(x, (4, 4, 4, 4))[..., down : down + 32, across : across + 32]
            x = x.flip(3) if torch.rand(()) < 0.5 else x
            loss = functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


# --- both -----------------------------------------------------------------------------------------


def plugin(folder: Path) -> Path:
    file = folder / "patterns.py"
    file.write_text(PLUGIN)
    return file


def checkpoint(
    folder: Path, name: str, options: dict[str, Any]
) -> tuple[dict[str, Any], nn.Module]:
    """A network with norms that have seen images, as a suite's model and as a module."""
    model = build_model(ModelSpec(name=name, options=options), seed=0, **SHAPE)
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(64, 3, 32, 32))
    torch.save(model.state_dict(), folder / f"{name}.pt")
    spec = {"name": name, "options": options, "checkpoint": str(folder / f"{name}.pt")}
    return {**spec, "recipe": False}, model


def loaders(images: Images, batch: int, *, shuffle: bool = False) -> Any:
    """Those images as a researcher holds them: normalised tensors."""
    ((x, y),) = list(images.batches(len(images)))
    return DataLoader(TensorDataset(x.contiguous(), y), batch, shuffle=shuffle)


def cpu(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start
