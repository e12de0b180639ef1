"""Samples of text are split by position; masks move with their images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bench.data.datasets import Dataset, load_dataset
from bench.errors import DataError
from suites.problem import DatasetSpec


def load(folder: Path, **spec: object) -> Dataset:
    return load_dataset(DatasetSpec.model_validate(spec), folder, folder / "cache")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_bytes(bytes(at % 251 for at in range(2001)))
    return tmp_path


def test_a_text_is_split_by_position(text: Path) -> None:
    data = load(text, name="text", root="a.txt", options={"length": 10})
    assert data.shape == {"vocabulary": 256, "length": 10}
    assert (len(data.train), len(data.validation), len(data.test)) == (162, 18, 19)
    whole = torch.arange(2001) % 251
    for at, split in ((0, data.train), (1620, data.validation)):
        tokens, following = next(split.batches(500))
        assert torch.equal(tokens.flatten(), whole[at : at + tokens.numel()])
        assert torch.equal(following.flatten(), whole[at + 1 : at + 1 + tokens.numel()])
    assert data.noise().shape == (2, 10)
    assert data.noise().max() < 256


def test_augmented_text_begins_anywhere_and_never_reaches_validation(text: Path) -> None:
    data = load(text, name="text", root="a.txt", options={"length": 10}, train_images=30)
    draw = torch.Generator().manual_seed(0)
    tokens, following = next(data.train.batches(500, generator=draw, augment=True))
    assert torch.equal((tokens + 1) % 251, following)
    last = int(data.train.chosen.max())
    starts = [int(one) for one in tokens[:, 0]]
    assert any(start % 10 for start in starts)
    assert last < int(data.validation.chosen.min())
    assert len(tokens) == len(data.train)


def test_several_files_are_one_text(tmp_path: Path) -> None:
    (tmp_path / "book").mkdir()
    for name in ("b.md", "a.txt", "c.bin"):
        (tmp_path / "book" / name).write_text(name[0] * 300)
    data = load(tmp_path, name="text", root="book", options={"length": 8})
    (first, _), *_ = data.train.batches(1)
    assert bytes(first[0].tolist()) == b"a" * 8
    (last, _) = list(data.test.batches(1))[-1]
    assert bytes(last[0].tolist()) == b"b" * 8


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"root": "none"}, "no text file, and no folder with"),
        ({"root": "a.txt", "options": {"length": 1}}, "datasets.text.options: length"),
        ({"root": "a.txt", "options": {"length": 900}}, "too few for samples of 900"),
        ({"root": "a.txt", "image_size": 32}, "image_size means nothing"),
        ({}, "give its root"),
    ],
)
def test_what_is_no_text_is_said(text: Path, spec: dict[str, object], said: str) -> None:
    with pytest.raises(DataError, match=said):
        load(text, name="text", **spec)


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Images whose red channel is their mask."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 5)):
        for kind in ("images", "masks"):
            (tmp_path / "scenes" / split / kind).mkdir(parents=True)
        for at in range(count):
            mask = draw.integers(1, 4, (12, 12)).astype(np.uint8)
            pixels = np.stack([mask, 0 * mask, 0 * mask], axis=2)
            place = tmp_path / "scenes" / split
            Image.fromarray(pixels).save(place / "images" / f"{at}.png")
            Image.fromarray(mask).save(place / "masks" / f"{at}.png")
    return tmp_path


def scenes_in(folder: Path) -> Dataset:
    return load(folder, name="segmentation-folder", root="scenes", image_size=12, normalize="none")


def test_masks_move_with_their_images(scenes: Path) -> None:
    data = scenes_in(scenes)
    assert data.shape == {"classes": 4, "channels": 3, "image_size": 12}
    draw = torch.Generator().manual_seed(0)
    plain, mask = next(data.train.batches(50))
    assert torch.equal((255 * plain[:, 0]).round().long(), mask)
    moved, masks = next(data.train.batches(50, generator=draw, augment=True))
    red = (255 * moved[:, 0]).round().long()
    assert (masks == 255).any()  # what was shifted in is ignored
    assert torch.equal(red[masks != 255], masks[masks != 255])
    assert (red[masks == 255] == 0).all()


def test_a_mask_that_is_missing_or_no_mask_is_named(scenes: Path) -> None:
    mask = scenes / "scenes" / "train" / "masks" / "3.png"
    Image.new("RGB", (12, 12)).save(mask)
    with pytest.raises(DataError, match=r"3\.png is RGB; a mask holds a class number a pixel"):
        scenes_in(scenes)
    mask.unlink()
    with pytest.raises(DataError, match=r"3\.png is no readable mask of .*images/3\.png"):
        scenes_in(scenes)
