"""Datasets that come as folders of image files: class folders, ImageNet and CUB-200."""

import os
from collections.abc import Mapping
from pathlib import Path

import torch

from suites.faults import meant
from suites.protocol import Share

from ..errors import DataError, fault
from ..seeds import generator
from .known import Contents
from .pictures import Listing, read_pictures
from .reader import Source, Splits

FORMATS = ["jpg", "jpeg", "jfif", "png", "bmp", "ppm", "pgm", "tif", "tiff", "webp", "gif", "avif"]


def read_imagefolder(
    source: Source,
    *,
    classes: dict[str, str | list[str]] | None = None,
    train: str = "train",
    test: str | Share | None = None,
) -> Splits:
    """Any folder of class folders of images, at their own size or a given one.

    Options:
        classes: the folders that make up each class; others are left out. Default: each its own.
        train: the folder of the training split, `.` for the root itself.
        test: that of the test split, or the seeded share of train that is one. Default: `test`, or
            `val` where there is no such folder.
    """
    if not source.spec.root:
        raise DataError("imagefolder: give its root, a folder with train/ and test/ (or val/)")
    return _class_folders(source, source.folder(""), "it", classes, train, test)


def read_imagenet(source: Source) -> Splits:
    """ImageNet-1k (Russakovsky et al. 2015) as class folders; its val split is the test split."""
    how = "ILSVRC2012 (register at image-net.org), each archive unpacked into its class folder,"
    return _class_folders(source, source.folder("imagenet"), how)


def read_cub200(source: Source) -> Splits:
    """CUB-200-2011 (Wah et al. 2011), by its index files: 5994 training and 5794 test images."""
    folder = source.folder("CUB_200_2011")
    how = fault("no_cub200", folder=folder, index=folder / "images.txt")
    try:
        names, of_class, in_train = (
            dict(line.split() for line in (folder / name).read_text().splitlines())
            for name in ("images.txt", "image_class_labels.txt", "train_test_split.txt")
        )
        listings = [
            Listing(
                folder / "images",
                [names[image] for image in names if in_train[image] == flag],
                [int(of_class[image]) - 1 for image in names if in_train[image] == flag],
            )
            for flag in ("1", "0")
        ]
    except OSError as error:
        raise DataError(how) from error
    except (ValueError, KeyError) as error:
        raise DataError(f"the index files do not agree ({error!r}); {how}") from error
    return read_pictures(source, listings)


def count_images(root: Path, image_size: int) -> Contents | None:
    """The contents of class folders, by their files' names; None where there are no folders."""
    folders = root / "train", test_folder(root)
    if not all(folder.is_dir() for folder in folders):
        return None
    names = _class_names(folders[0])
    train, test = (sum(len(images_in(one, name)) for name in names) for one in folders)
    return Contents(train, test, len(names), 3, image_size)


def test_folder(root: Path) -> Path:
    """`val` serves where there is no `test`."""
    return root / ("test" if (root / "test").is_dir() else "val")


def _class_folders(
    source: Source,
    root: Path,
    how: str,
    classes: Mapping[str, str | list[str]] | None = None,
    train: str = "train",
    test: str | Share | None = None,
) -> Splits:
    """The splits of class folders; `how` says what a person has to put there."""
    there = _folder(source, root, train, how)
    merged, named = _merged(there, classes), list(classes or _class_names(there))
    if isinstance(test, float):
        both, draw = _listing(there, merged), generator("test-split", dataset="imagefolder")
        order = torch.randperm(len(both.labels), generator=draw)
        cut = max(1, round(test * len(order)))
        tested, trained = (part.sort().values.tolist() for part in order.tensor_split([cut]))
        return read_pictures(source, [both.part(trained), both.part(tested)], named)
    of_test = _folder(source, root, test or test_folder(root).name, how)
    names = _class_names(there)
    if classes is None and _class_names(of_test) != names:
        odd = sorted(set(names) ^ set(_class_names(of_test)))
        raise DataError(fault("other_classes", one=there, other=of_test, odd=", ".join(odd[:5])))
    return read_pictures(source, [_listing(one, merged) for one in (there, of_test)], named)


def _folder(source: Source, root: Path, name: str, how: str) -> Path:
    folder = root / name
    if not folder.is_dir():
        name = source.spec.name
        raise DataError(fault("no_folder", name=name, folder=folder, how=how, root=root))
    return folder


def _merged(folder: Path, classes: Mapping[str, str | list[str]] | None) -> list[list[str]]:
    """The folders of each class, as the map gives them; without one each folder is a class."""
    names = _class_names(folder)
    if classes is None:
        return [[name] for name in names]
    merged = [[of] if isinstance(of, str) else of for of in classes.values()]
    named = [name for of in merged for name in of]
    for name in named:
        if name not in names:
            raise DataError(f"options.classes: {folder} has no folder {name!r}{meant(name, names)}")
        if named.count(name) > 1:
            raise DataError(f"options.classes: the folder {name!r} is in two classes")
    return merged


def _class_names(folder: Path) -> list[str]:
    names = sorted(one.name for one in folder.iterdir() if one.is_dir() and not _hidden(one.name))
    if not names:
        raise DataError(f"{folder} has no class folders")
    return names


def _hidden(name: str) -> bool:
    """Whether notebooks, file managers or archivers put it there."""
    return name.startswith((".", "__MACOSX", "@eaDir"))


def images_in(folder: Path, name: str) -> list[str]:
    """Paths of the images in a class folder and in those inside it, relative to `folder`."""
    found = []
    for where, inner, files in os.walk(folder / name):
        inner[:] = [one for one in inner if not _hidden(one)]
        found += [
            (Path(where) / file).relative_to(folder).as_posix()
            for file in files
            if Path(file).suffix.lower()[1:] in FORMATS and not _hidden(file)
        ]
    return sorted(found)


def _listing(folder: Path, classes: list[list[str]]) -> Listing:
    names: list[str] = []
    labels: list[int] = []
    for label, of in enumerate(classes):
        if not (images := [image for name in of for image in images_in(folder, name)]):
            raise DataError(f"{folder / of[0]} has no images")
        names += images
        labels += [label] * len(images)
    return Listing(folder, names, labels)
