"""Folders of images as they lie about: a dataset, or one message that names the file."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzzing import MANY, answered, fuzz
from hypothesis import strategies as st
from PIL import Image

from bench.data.datasets import load_dataset
from suites.problem import DatasetSpec

MODES = ["RGB", "L", "P", "RGBA", "LA", "1", "I;16", "F", "CMYK", "YCbCr"]
FORMATS = {"png": "PNG", "jpg": "JPEG", "gif": "GIF", "tif": "TIFF", "bmp": "BMP", "webp": "WEBP"}


def image(mode: str, size: tuple[int, int], how: str) -> bytes:
    """A small image; nothing where its format does not know its mode."""
    buffer = io.BytesIO()
    try:
        made = Image.fromarray(np.zeros((size[1], size[0], 3), np.uint8)).convert(mode)
        made.save(buffer, FORMATS[how])
    except (OSError, ValueError, KeyError):
        return b""
    return buffer.getvalue()


names = st.sampled_from(
    [b"a", b"caf\xe9", b"[bold]", b"\x1b[2J", b"a\nb", b" ", b".hidden", b"x" * 250, "ü".encode()]
)
Make = Callable[[Path], object]


def written(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


ODD: list[Make] = [
    os.mkfifo,
    Path.mkdir,
    lambda path: path.symlink_to(path),
    lambda path: path.symlink_to("/dev/zero"),
    lambda path: path.symlink_to("no/such/file"),
    written(b""),
    written(b"no image"),
    lambda path: (path.touch(), path.chmod(0)),
]
sizes = st.tuples(st.sampled_from([1, 2, 8, 33]), st.sampled_from([1, 8, 9]))
sound = st.builds(image, st.just("RGB"), st.just((8, 8)), st.just("png")).map(written)
any_image = st.builds(image, st.sampled_from(MODES), sizes, st.sampled_from(sorted(FORMATS)))


@st.composite
def torn(draw: st.DrawFn) -> Make:
    content = bytearray(draw(any_image))
    for _ in range(draw(st.integers(0, 5)) if content else 0):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return written(bytes(content[: draw(st.integers(0, len(content)))]))


makes = sound | sound | any_image.map(written) | torn() | st.sampled_from(ODD)
split = st.dictionaries(
    names, st.dictionaries(names, st.tuples(st.sampled_from(sorted(FORMATS)), makes), max_size=3),
    max_size=3,
)  # fmt: skip
Files = dict[bytes, dict[bytes, tuple[str, Make]]]


def check(folder: Path, train: Files, test: Files, size: int | None) -> None:
    root = folder / "pets"
    shutil.rmtree(folder, ignore_errors=True)
    for of, files in (("train", train), ("test", test)):
        for name, inside in files.items():
            place = root / of / os.fsdecode(name)
            place.mkdir(parents=True)
            for stem, (suffix, make) in inside.items():
                make(place / f"{os.fsdecode(stem[:245])}.{suffix}")
    (root / "train").mkdir(parents=True, exist_ok=True)
    spec = DatasetSpec(name="imagefolder", root="pets", image_size=size, validation=0)

    def looked_at() -> Any:
        data = load_dataset(spec, folder, folder / "cache", threads=1)
        return [next(part.batches(2)) for part in (data.train, data.test)]

    answered(looked_at)


@st.composite
def folders(draw: st.DrawFn) -> tuple[Files, Files, int | None]:
    train = draw(split)
    test = draw(split) if draw(st.integers(0, 3)) == 0 else train
    return train, test, draw(st.sampled_from([None, 8, 16, 300]))


@pytest.mark.filterwarnings("ignore")
def test_a_few(tmp_path: Path) -> None:
    fuzz(lambda given: check(tmp_path / "data", *given), folders(), 30)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.filterwarnings("ignore")
def test_many(tmp_path: Path) -> None:
    fuzz(lambda given: check(tmp_path / "data", *given), folders(), MANY // 10)
