"""What the training loop costs over a plain one written by hand: images a second of both."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from statistics import median

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench.data.datasets import Dataset
from bench.data.images import ArrayImages
from bench.data.reader import NORMALIZATIONS, image_shape
from bench.models import build_model
from bench.training.train import train
from suites import Recipe
from suites.problem import ModelSpec

BATCH, IMAGES, TURNS = 64, 256, 5


def cifar(count: int) -> ArrayImages:
    draw = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=draw)
    labels = torch.randint(10, (count,), generator=draw)
    return ArrayImages(pixels, labels, NORMALIZATIONS["cifar"], chosen=torch.arange(count))


def by_hand(model: nn.Module, images: ArrayImages) -> None:
    """An epoch of SGD as a tutorial writes it; a whole batch is shifted and mirrored alike."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    mean, std = (
        torch.tensor(one).view(3, 1, 1)
        for one in (NORMALIZATIONS["cifar"].mean, NORMALIZATIONS["cifar"].std)
    )
    model.train()
    for at in torch.randperm(len(images)).split(BATCH):
        pixels = images.pixels[at].float().div_(255).sub_(mean).div_(std)
        down, across = torch.randint(9, (2,)).tolist()
        pixels = functional.pad(pixels, (4, 4, 4, 4))[..., down : down + 32, across : across + 32]
        pixels = pixels.flip(3) if torch.rand(()) < 0.5 else pixels
        loss = functional.cross_entropy(model(pixels), images.labels[at])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.slow
@pytest.mark.benchmark(group="training loop")
@pytest.mark.parametrize("name", ["resnet20", "resnet56"])
def test_images_a_second_beside_a_plain_loop(benchmark: Callable[..., object], name: str) -> None:
    spec = ModelSpec(name=name)
    dense = build_model(spec, classes=10, channels=3, image_size=32, seed=0)
    data = Dataset("noise", image_shape(10, 3, 32), cifar(IMAGES), cifar(2), cifar(2), "digest")
    recipe = Recipe(epochs=1, batch_size=BATCH, learning_rate=0.1)
    seconds: dict[str, list[float]] = {"ours": [], "by hand": []}

    def turns() -> None:
        for _ in range(TURNS):  # in turn, so that drift hits both
            for who, run in (
                ("ours", lambda model: train(model, data, recipe, seed=0)),
                ("by hand", lambda model: by_hand(model, data.train)),
            ):
                model = copy.deepcopy(dense)
                start = time.perf_counter()
                run(model)
                seconds[who].append(time.perf_counter() - start)

    benchmark.pedantic(turns, rounds=1)  # type: ignore[attr-defined]
    rates = {who: IMAGES / median(some) for who, some in seconds.items()}
    print(f"\n{name}: " + ", ".join(f"{who} {rate:.0f} images/s" for who, rate in rates.items()))
    ratio = median(a / b for a, b in zip(seconds["ours"], seconds["by hand"], strict=True))
    print(f"{name}: an epoch of ours takes {ratio:.3f} of the plain loop's time")
    assert all(rate > 0 for rate in rates.values())
