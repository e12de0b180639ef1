"""Images, folders and functions that people really bring: read right, or named in one message."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bench.data.datasets import Dataset, load_dataset
from bench.data.images import Images
from bench.data.known import CATALOG, register_dataset
from bench.errors import DataError
from suites.problem import DatasetSpec

Load = Callable[..., Dataset]
SIDE = 8


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a dataset from the test's own folder, its pixels unchanged in 0..1."""

    def _load(name: str = "imagefolder", **given: object) -> Dataset:
        root = {"root": "pets"} if name == "imagefolder" else {}
        spec = {"name": name, "validation": 0, **root, **given}
        return load_dataset(DatasetSpec.model_validate(spec), tmp_path, tmp_path / "cache")

    return _load


@pytest.fixture
def register() -> Any:
    """`register_dataset`, whose datasets are gone after the test."""
    before = dict(CATALOG.by_name)
    yield register_dataset
    CATALOG.by_name.clear()
    CATALOG.by_name.update(before)


def save(file: Path, image: Image.Image, **how: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    image.save(file, **how)
    return file


def noise(seed: int, channels: int = 3) -> np.ndarray:
    shape = (SIDE, SIDE, channels) if channels > 1 else (SIDE, SIDE)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Two classes, of three images to train on and two to test on."""
    for split, count in (("train", 3), ("test", 2)):
        for at, name in enumerate(("cat", "dog")):
            for number in range(count):
                seed = 100 * count + 10 * at + number
                save(
                    tmp_path / "pets" / split / name / f"{number}.png", Image.fromarray(noise(seed))
                )
    return tmp_path / "pets"


def pixels(images: Images) -> Tensor:
    return torch.cat([batch for batch, _ in images.batches(64)])


def first_of_test(load: Load) -> np.ndarray:
    """The first test image, bytes [h, w, 3]."""
    found = pixels(load(normalize="none").test)[0] * 255
    return found.round().byte().permute(1, 2, 0).numpy()


# --- images -----------------------------------------------------------------------------------


def test_sixteen_bits_are_scaled_and_not_clipped(load: Load, pets: Path) -> None:
    gray = np.linspace(0, 65535, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint16)
    save(pets / "test" / "cat" / "0.png", Image.fromarray(gray))
    expected = np.round(gray / 257).astype(np.uint8)
    np.testing.assert_array_equal(first_of_test(load), np.stack([expected] * 3, -1))


@pytest.mark.parametrize("orientation", range(2, 9))
def test_photos_are_turned_as_their_exif_says(load: Load, pets: Path, orientation: int) -> None:
    drawn = np.kron(np.arange(16).reshape(4, 4) * 16, np.ones((2, 2))).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    save(pets / "test" / "cat" / "0.png", Image.fromarray(drawn), exif=exif)
    turns = {
        **{2: np.fliplr(drawn), 3: np.rot90(drawn, 2), 4: np.flipud(drawn), 5: drawn.T},
        **{6: np.rot90(drawn, -1), 7: np.rot90(drawn, 2).T, 8: np.rot90(drawn)},
    }
    np.testing.assert_array_equal(first_of_test(load)[..., 0], turns[orientation])


def test_what_is_transparent_is_white_and_not_what_lies_under_it(load: Load, pets: Path) -> None:
    painted = np.dstack([noise(1), np.full((SIDE, SIDE), 255, np.uint8)])
    painted[:4, :, 3] = 0
    save(pets / "test" / "cat" / "0.png", Image.fromarray(painted))
    found = first_of_test(load)
    assert (found[:4] == 255).all()
    np.testing.assert_array_equal(found[4:], painted[4:, :, :3])


def test_only_images_that_are_shown_otherwise_make_other_data(load: Load, pets: Path) -> None:
    """A digest stays what it was for plain images, whatever their mode."""
    victim = pets / "test" / "cat" / "0.png"
    plain = noise(5)
    save(victim, Image.fromarray(np.dstack([plain, np.full((SIDE, SIDE), 255, np.uint8)])))
    opaque = load().digest
    assert opaque == load().digest
    save(victim, Image.fromarray(plain))
    assert load().digest != opaque  # another file
    for mode in ("CMYK", "L", "P", "1"):
        name = "0.tif" if mode == "CMYK" else "0.png"
        victim.unlink(missing_ok=True)
        save(victim.with_name(name), Image.fromarray(plain).convert(mode))
        expected = Image.fromarray(plain).convert(mode).convert("RGB")
        np.testing.assert_array_equal(first_of_test(load), np.asarray(expected))
        victim.with_name(name).unlink()


def frames(file: Path) -> None:
    one, two = Image.fromarray(noise(1)), Image.fromarray(noise(2))
    one.save(file, save_all=True, append_images=[two])


def floats(file: Path) -> None:
    Image.fromarray(np.full((SIDE, SIDE), 0.5, np.float32)).save(file)


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("x.gif", frames, "it has 2 frames; keep one"),
        ("x.tif", floats, "no numbers of 8 or 16 bits"),
        ("x.png", lambda file: file.write_bytes(b""), r"no readable image \(it holds no image\)"),
        ("x.jpg", lambda file: file.write_bytes(b"<html>404</html>"), "it holds no image"),
    ],
)
@pytest.mark.parametrize("size", [SIDE, 100])  # held in memory, read when asked for
def test_other_images_are_named_before_anything_runs(
    load: Load, pets: Path, name: str, make: Callable[[Path], None], says: str, size: int
) -> None:
    make(pets / "train" / "dog" / name)
    with pytest.raises(DataError, match=says) as caught:
        load(image_size=size)
    assert str(pets / "train" / "dog" / name) in str(caught.value)


def test_all_broken_images_are_in_one_message(load: Load, pets: Path) -> None:
    for number in range(7):
        (pets / "train" / "cat" / f"broken{number}.jpg").write_bytes(b"\xff\xd8 cut")
    with pytest.raises(DataError, match=r"broken0.*broken4.*; 2 more") as caught:
        load()
    assert "broken5" not in str(caught.value)


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints", "__MACOSX", "@eaDir", ".cache"])
def test_hidden_folders_and_files_are_no_classes_and_no_images(
    load: Load, pets: Path, hidden: str
) -> None:
    before = load()
    for place in ("train", "test", "train/cat", "test/dog"):
        save(pets / place / hidden / "copy.png", Image.fromarray(noise(9)))
    (pets / "train" / "cat" / "._0.png").write_bytes(b"Mac OS X")
    after = load()
    assert (after.classes, after.digest) == (2, before.digest)


# --- class folders ----------------------------------------------------------------------------


def test_a_class_map_merges_folders_and_leaves_others_out(load: Load, pets: Path) -> None:
    for split in ("train", "test"):
        save(pets / split / "wolf" / "0.png", Image.fromarray(noise(7)))
        save(pets / split / "spoon" / "0.png", Image.fromarray(noise(8)))
    data = load(options={"classes": {"canine": ["wolf", "dog"], "feline": "cat"}})
    assert (data.classes, len(data.train), len(data.test)) == (2, 7, 5)
    assert data.prepared["classes"] == ["canine", "feline"]
    assert "RGB; shorter side to 8" in data.prepared["resized"]
    assert sorted(data.train.labels.tolist()) == [0, 0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"classes": {"a": "cta", "b": "dog"}}, r"no folder 'cta' \(did you mean cat\?\)"),
        ({"classes": {"a": ["cat", "dog"], "b": "dog"}}, "'dog' is in two classes"),
        ({"train": "training"}, "no folder .*training"),
        ({"splits": 3}, "unknown key 'splits'.*Allowed here: classes, train, test"),
        ({"test": 1.5}, "test"),
    ],
)
def test_wrong_options_say_what_is_allowed(
    load: Load, pets: Path, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        load(options=options)


def test_splits_may_have_other_names(load: Load, pets: Path) -> None:
    before = load()
    (pets / "train").rename(pets / "learn")
    (pets / "test").rename(pets / "held-out")
    after = load(options={"train": "learn", "test": "held-out"})
    assert (len(after.train), after.digest) == (len(before.train), before.digest)


def test_class_folders_without_splits_give_a_seeded_share_to_the_test(
    load: Load, tmp_path: Path, pets: Path
) -> None:
    (pets / "train").rename(tmp_path / "both")
    data = load(root="both", options={"train": ".", "test": 0.34})
    again = load(root="both", options={"train": ".", "test": 0.34})
    assert (len(data.train), len(data.test), data.digest) == (4, 2, again.digest)
    every = torch.cat([pixels(data.train), pixels(data.test)]).flatten(1)
    assert len(every.unique(dim=0)) == 6  # none is in both


def test_a_dataset_without_options_refuses_them(load: Load) -> None:
    with pytest.raises(DataError, match=r"datasets.digits.options: unknown key 'width'"):
        load("digits", options={"width": 3})


# --- what users register ----------------------------------------------------------------------


def test_arrays_are_normalised_by_their_own_mean(load: Load, register: Any) -> None:
    train = np.stack([noise(at, 1) for at in range(20)])

    @register("mine")
    def mine(root: Path, side: int = 1) -> Any:
        return {"train": (train, np.arange(20) % 4), "test": (train[:side], np.zeros(side, int))}

    data = load("mine", options={"side": 6})
    assert (data.classes, data.shape["channels"], data.shape["image_size"], len(data.test)) == (
        4,
        1,
        SIDE,
        6,
    )
    found = pixels(data.train)
    # Float32 against exact zero and one.
    assert float(found.mean()) == pytest.approx(0, abs=1e-5)
    assert float(found.std(correction=0)) == pytest.approx(1, abs=1e-2)
    with pytest.raises(DataError, match=r"unknown key 'sdie' \(did you mean side\?\)"):
        load("mine", options={"sdie": 6})
    with pytest.raises(DataError, match=r"side = 'six'"):
        load("mine", options={"side": "six"})


def test_floats_are_taken_as_they_are_and_not_changed(load: Load, register: Any) -> None:
    images = torch.randn(8, 5, SIDE, SIDE)
    before = images.clone()

    @register("spectra")
    def spectra(root: Path) -> Any:
        return {"train": (images, torch.arange(8) % 2), "test": (images, torch.arange(8) % 2)}

    for _ in range(2):
        torch.testing.assert_close(pixels(load("spectra").test), before, rtol=0, atol=0)
    draw = torch.Generator().manual_seed(0)
    changed = load("spectra").train.batches(4, generator=draw, augment="trivial")
    with pytest.raises(DataError, match="images of bytes"):
        next(changed)
    images[3, 0, 0, 0] = torch.nan
    with pytest.raises(DataError, match="train: image 3 is not finite"):
        load("spectra")


@pytest.mark.parametrize("kind", ["paths", "pictures", "arrays", "channels first"])
@pytest.mark.parametrize("size", [SIDE, 100])
def test_sequences_of_images_are_read_alike(
    load: Load, register: Any, pets: Path, kind: str, size: int
) -> None:
    """Whether a path, a PIL image or an array stands for an image changes no pixel."""

    def split(name: str) -> list[tuple[Any, int]]:
        files = sorted((pets / name).glob("*/*.png"))
        made: dict[str, Callable[[Path], Any]] = {
            "paths": lambda file: file,
            "pictures": Image.open,
            "arrays": lambda file: np.asarray(Image.open(file)),
            "channels first": lambda file: np.moveaxis(np.asarray(Image.open(file)), -1, 0),
        }
        return [(made[kind](file), int(file.parent.name == "dog")) for file in files]

    @register("listed")
    def listed(root: Path) -> Any:
        return {"train": split("train"), "test": split("test")}

    ours, theirs = load(image_size=size), load("listed", image_size=size)
    assert (theirs.classes, theirs.test.labels.tolist()) == (2, ours.test.labels.tolist())
    torch.testing.assert_close(pixels(theirs.test), pixels(ours.test), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (None, '"train": ..., "test": ...'),
        ({"train": [], "test": []}, "train is neither"),
        ({"train": (np.zeros((3, 8)), np.zeros(3)), "test": 0}, r"shape \[3, 8\]"),
        ({"train": (np.zeros((3, 8, 8), np.int64), [0, 1, 1]), "test": 0}, "int64"),
        ({"train": (np.zeros((2, 8, 8), np.uint8), [0, -1]), "test": 0}, "label 1 is -1"),
        ({"train": [(noise(1), "cat")], "test": [(noise(1), 0)]}, "label 0 is 'cat'"),
        ({"train": [(noise(1) / 255, 0)], "test": [(noise(1), 0)]}, "float64 of shape"),
    ],
)
def test_other_returns_are_refused_in_words(
    load: Load, register: Any, given: Any, says: str
) -> None:
    register("odd")(lambda root: given)
    with pytest.raises(DataError, match=says):
        load("odd")


def test_a_fault_in_a_users_function_names_its_line(load: Load, register: Any) -> None:
    @register("faulty")
    def faulty(root: Path) -> Any:
        raise KeyError("scans.csv")

    with pytest.raises(DataError, match=r"dataset faulty: .*test_brought\.py, line \d+: KeyError"):
        load("faulty")


def test_hugging_face_datasets_are_read_from_a_saved_folder(load: Load, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"img": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )

    def split(seeds: range) -> Any:
        rows = {"img": [Image.fromarray(noise(at)) for at in seeds], "label": [0, 1] * 3}
        return datasets.Dataset.from_dict(rows, features=features)

    both = datasets.DatasetDict({"train": split(range(6)), "valid": split(range(6, 12))})
    both.save_to_disk(str(tmp_path / "saved"))
    options = {"image": "img", "test": "valid"}
    data = load("hf:pets", root="saved", options=options, normalize="none")
    assert (data.classes, data.test.labels.tolist()) == (2, [0, 1] * 3)
    found = pixels(data.test)[0].mul(255).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(found, noise(6))
    with pytest.raises(DataError, match=r"hf:pets cannot be read .*'image'"):
        load("hf:pets", root="saved", options={"test": "valid"})
    with pytest.raises(DataError, match=r"hf:no-such-pets cannot be read .*bench fetch"):
        load("hf:no-such-pets")


@pytest.mark.parametrize(
    ("labels", "shape", "said"),
    [
        ([1, 2, 1, 2], (4, 3, 8, 8), r"no image of train has label 0; .* without gaps"),
        (["a", "b", "a", "b"], (4, 3, 8, 8), "labels are numbers from 0"),
        ([0, 1, 0, 1], (4, 8, 8, 3), r"8 x 3 pixels and 8 channels, read as \[n, channels, h, w\]"),
    ],
)
def test_arrays_of_another_meaning_are_refused(
    load: Load, register: Any, labels: list[Any], shape: tuple[int, ...], said: str
) -> None:
    split = np.zeros(shape, np.uint8), np.array(labels)

    @register("given16")
    def given16(folder: Path) -> dict[str, Any]:
        """Of arrays."""
        return {"train": split, "test": split}

    with pytest.raises(DataError, match=said):
        load("given16")


def test_labels_of_single_images_have_no_gaps_either(load: Load, register: Any) -> None:
    @register("given16")
    def given16(folder: Path) -> dict[str, Any]:
        """Of single images."""
        pairs = [(Image.fromarray(noise(at)), 1 + at % 2) for at in range(4)]
        return {"train": pairs, "test": pairs}

    with pytest.raises(DataError, match=r"no image of train has label 0; .* without gaps"):
        load("given16")
