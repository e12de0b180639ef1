"""Corrupted images, cheap ones on normalised tensors: noise, blur and lost contrast.

In the spirit of Hendrycks and Dietterich 2019 (1903.12261), whose severities are also 1 to 5;
these are others, so numbers are not comparable with that benchmark's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

from pydantic import Field

from criteria.lazy import Tensor, functional, torch

Severity = Annotated[int, Field(ge=1, le=5)]


def noise(images: Tensor, severity: int) -> Tensor:
    """Gaussian noise of 0.1 to 0.5 of the images' own standard deviation; alike for all methods."""
    draw = torch.randn(images.shape, generator=torch.Generator().manual_seed(severity))
    return images + 0.1 * severity * images.std() * draw.to(images)


def blur(images: Tensor, severity: int) -> Tensor:
    """A mean over 3 x 3 pixels, once to five times."""
    for _ in range(severity):
        padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
        images = functional.avg_pool2d(padded, 3, stride=1)
    return images


def contrast(images: Tensor, severity: int) -> Tensor:
    """0.8 to 0.2 of each image's distance from its own mean, and at severity 5 a tenth."""
    left = (0.8, 0.6, 0.4, 0.2, 0.1)[severity - 1]
    mean = images.mean((1, 2, 3), keepdim=True)
    return mean + left * (images - mean)


CORRUPTIONS: Mapping[str, Callable[..., Tensor]] = {
    "noise": noise,
    "blur": blur,
    "contrast": contrast,
}
