"""What is done to a whole batch before it is learned from: random erasing, mixup, CutMix.

All draws are a function of the training's seed and the step, so a resumed training needs no state,
and every method sees the same.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from suites.recipe import Alteration

from .. import seeds

TRIES = 10  # of a rectangle that fits


@dataclass(frozen=True)
class Mixing:
    """What a recipe does to a batch; `classes` are the dataset's, `seed` is the training's."""

    recipe: Alteration
    classes: int
    seed: int

    def __call__(self, images: Tensor, labels: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """Images [n, c, h, w], and their targets: labels [n], or probabilities [n, classes]."""
        if self.recipe.random_erasing:
            images = erased(images, self.recipe.random_erasing, self._draw("erasing", step))
        ways = [
            (mix, alpha)
            for mix, alpha in ((mixed, self.recipe.mixup), (pasted, self.recipe.cutmix))
            if alpha is not None
        ]
        if not ways:
            return images, labels
        draw = self._draw("mixing", step)
        mix, alpha = ways[draw.integers(len(ways))]
        images, share = mix(images, draw.beta(alpha, alpha), draw)
        targets = functional.one_hot(labels, self.classes).to(images.dtype)
        return images, share * targets + (1 - share) * targets.roll(1, 0)

    def _draw(self, purpose: str, step: int) -> np.random.Generator:
        return np.random.default_rng(seeds.seed(purpose, training=self.seed, step=step))


def mixed(images: Tensor, share: float, draw: np.random.Generator) -> tuple[Tensor, float]:
    """Mixup: each image with the one before it in the batch (Zhang et al. 2018, 1710.09412)."""
    return share * images + (1 - share) * images.roll(1, 0), share


def pasted(images: Tensor, share: float, draw: np.random.Generator) -> tuple[Tensor, float]:
    """CutMix: a rectangle of the image before (Yun et al. 2019, 1905.04899); the share left."""
    height, width = images.shape[-2:]
    half = 0.5 * math.sqrt(1 - share)
    (top, bottom), (left, right) = (
        (max(middle - int(half * size), 0), min(middle + int(half * size), size))
        for size, middle in ((one, int(draw.integers(one))) for one in (height, width))
    )
    images, before = images.clone(), images.roll(1, 0)
    images[:, :, top:bottom, left:right] = before[:, :, top:bottom, left:right]
    return images, 1 - (bottom - top) * (right - left) / (height * width)


def erased(images: Tensor, probability: float, draw: np.random.Generator) -> Tensor:
    """Each image with this probability loses a rectangle of 2 to 33 % of its area to the mean.

    Random erasing (Zhong et al. 2020, 1708.04896), aspect 0.3 to 3.3, by 0: images are normalised.
    """
    count, _, height, width = images.shape
    size = np.array([[height], [width]])
    area = draw.uniform(0.02, 0.33, (count, TRIES)) * height * width
    aspect = np.exp(draw.uniform(math.log(0.3), math.log(3.3), (count, TRIES)))
    tried = np.stack([np.sqrt(area * aspect), np.sqrt(area / aspect)]).round()
    fits = np.all(tried < size[:, :, None], axis=0)  # [count, TRIES]
    sides = tried[:, np.arange(count), fits.argmax(1)]  # of the first that does
    starts = np.floor(draw.uniform(size=(2, count)) * (size - sides + 1))
    chosen = fits.any(1) & (draw.uniform(size=count) < probability)
    rows, columns = (
        (start[:, None] <= np.arange(length)) & (np.arange(length) < (start + side)[:, None])
        for start, side, length in zip(starts, sides, (height, width), strict=True)
    )
    gone = chosen[:, None, None] & rows[:, :, None] & columns[:, None, :]
    return images.masked_fill(torch.from_numpy(gone).to(images.device)[:, None], 0)
