"""Color jitter: each change by its formula, by hand, on pictures and on pixels."""

from __future__ import annotations

import colorsys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from bench.data.augment import jittered, varied
from bench.data.datasets import load_dataset
from suites import Recipe
from suites.problem import DatasetSpec

# Two rows of three pixels: colors far from black and white, and a gray one at last.
PIXELS = np.array(
    [
        [[120, 60, 90], [60, 130, 70], [80, 80, 140]],
        [[100, 140, 60], [70, 90, 130], [90, 90, 90]],
    ],
    dtype=np.uint8,
)
GRAY = PIXELS @ np.array([0.299, 0.587, 0.114])
ROUNDING = 1.6  # of gray and of the result, each to a byte


def jitter(kind: str, most: list[float], seed: int) -> np.ndarray:
    """[2, 3, 3]"""
    generator = torch.Generator().manual_seed(seed)
    if kind == "picture":
        return np.array(jittered(Image.fromarray(PIXELS), most, generator)).astype(float)
    found = jittered(torch.from_numpy(PIXELS).permute(2, 0, 1), most, generator)
    assert found.dtype == torch.uint8
    return found.permute(1, 2, 0).double().numpy()


def slope(changed: np.ndarray, still: np.ndarray) -> float:
    """The factor by which pixels moved away from what stays, by least squares."""
    was, now = PIXELS - still, changed - still
    return float((was * now).sum() / (was * was).sum())


KINDS = pytest.mark.parametrize("kind", ["picture", "pixels"])


@KINDS
@pytest.mark.parametrize(
    ("at", "still"),
    [
        (0, np.zeros((2, 3, 3))),  # brightness: black stays
        (1, np.full((2, 3, 3), GRAY.mean())),  # contrast: the mean gray
        (2, np.repeat(GRAY[:, :, None], 3, 2)),  # saturation: each pixel's gray
    ],
)
def test_factors_stretch_from_what_stays(kind: str, at: int, still: np.ndarray) -> None:
    most = [0.0, 0.0, 0.0, 0.0]
    most[at] = 0.4
    factors = []
    for seed in range(60):
        changed = jitter(kind, most, seed)
        factors.append(slope(changed, still))
        expected = still + factors[-1] * (PIXELS - still)
        assert np.abs(changed - expected).max() <= ROUNDING
    # Uniform from 0.6 to 1.4.
    assert 0.57 < min(factors) < 0.68
    assert 1.32 < max(factors) < 1.43
    assert np.mean(factors) == pytest.approx(1, abs=0.1)


@KINDS
def test_hue_turns_all_pixels_alike_and_keeps_saturation_and_value(kind: str) -> None:
    turns = []
    for seed in range(60):
        changed = jitter(kind, [0, 0, 0, 0.2], seed)
        was, now = (
            np.array([colorsys.rgb_to_hsv(*pixel) for pixel in pixels.reshape(-1, 3)[:5] / 255])
            for pixels in (PIXELS, changed)
        )
        turned = (now[:, 0] - was[:, 0] + 0.5) % 1 - 0.5
        assert np.ptp(turned) < 0.03
        assert np.abs(now[:, 1:] - was[:, 1:]).max() < 0.03
        assert np.abs(changed[1, 2] - 90).max() <= 1  # gray has no hue
        turns.append(turned.mean())
    assert -0.22 < min(turns) < -0.15
    assert 0.15 < max(turns) < 0.22


@KINDS
def test_the_same_seed_changes_alike_and_zeros_change_nothing(kind: str) -> None:
    first, same, other = (jitter(kind, [0.4, 0.4, 0.4, 0.2], seed) for seed in (0, 0, 1))
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
    assert np.array_equal(jitter(kind, [0, 0, 0, 0], 0), PIXELS)


class Asked(list[float]):
    """Strengths of zero that remember in which order they were asked for."""

    def __init__(self) -> None:
        super().__init__([0.0] * 4)
        self.order: list[Any] = []

    def __getitem__(self, at: Any) -> Any:
        self.order.append(at)
        return super().__getitem__(at)


def test_changes_come_in_random_order() -> None:
    orders = set()
    for seed in range(60):
        asked = Asked()
        jittered(Image.fromarray(PIXELS), asked, torch.Generator().manual_seed(seed))
        orders.add(tuple(asked.order))
    assert all(sorted(one) == [0, 1, 2, 3] for one in orders)
    assert len(orders) > 15  # of 24


@pytest.mark.parametrize("size", [24, 80])
def test_images_are_jittered_one_by_one_where_a_recipe_asks(tmp_path: Path, size: int) -> None:
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            folder = tmp_path / "pets" / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (size, size), (90, 90, 90)).save(folder / f"{number}.png")
    spec = DatasetSpec(name="imagefolder", root="pets", image_size=size, normalize="none")
    data = load_dataset(spec, tmp_path, tmp_path / "cache")

    def middle(**how: Any) -> list[float]:
        generator = torch.Generator().manual_seed(0)
        ((images, _),) = data.train.batches(8, generator=generator, augment=True, **how)
        return (255 * images[:, 0, size // 2, size // 2]).tolist()

    assert middle() == pytest.approx([90] * 7, abs=0.01)
    levels = middle(jitter=[0.4, 0, 0, 0])
    assert len({round(one) for one in levels}) > 4
    assert all(90 * 0.6 - 1 < one < 90 * 1.4 + 1 for one in levels)
    assert levels == middle(jitter=[0.4, 0, 0, 0])


def test_automatic_changes_come_on_top() -> None:
    image, most = Image.fromarray(PIXELS), [0.4, 0.4, 0.4, 0.2]
    alone, both = (
        np.array(varied(image, how, most, torch.Generator().manual_seed(3)))
        for how in (True, "randaugment")
    )
    assert not np.array_equal(alone, both)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"color_jitter": [0.4, 0.4, 0.4, 0.2], "augment": False}, "part of augment"),
        ({"color_jitter": [0.4, 0.4, 0.4, 0.6]}, "at most 0.5"),
        ({"color_jitter": [0.4, 0.4, 0.4]}, "at least 4 items"),
        ({"color_jitter": [1.5, 0.4, 0.4, 0.2]}, "less than or equal to 1"),
    ],
)
def test_jitter_that_cannot_be_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Recipe.model_validate({"epochs": 1, "learning_rate": 0.1, **changes})
