"""Calibration images: equal for all methods, augmented only where a suite asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from pydantic import ValidationError
from torch import Tensor

from bench.plan.jobs import Standpoint
from bench.plan.plan import make_plan
from bench.steps.workspace import Settings, Workspace
from suites import Suite


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(Settings(tmp_path, tmp_path))


MIXED = {
    "epochs": 1,
    "learning_rate": 0.1,
    "augment": "randaugment",
    "random_erasing": 0.5,
    "mixup": 0.8,
    "cutmix": 1.0,
    "label_smoothing": 0.1,
}


def suite(recipe: dict[str, Any] = MIXED, **calibration: object) -> Suite:
    wanted = {"images": 30, "batch_size": 12, **calibration}
    return toy.suite(calibration=wanted, recipes={**toy.TOY["recipes"], "mixed": recipe}, repeats=2)


def standpoint(
    repeat: int = 0, recipe: dict[str, Any] = MIXED, **calibration: object
) -> Standpoint:
    trials = make_plan(suite(recipe, **calibration)).trials
    return next(one.at for one in trials if one.at.repeat == repeat)


def images(workspace: Workspace, at: Standpoint) -> tuple[Tensor, Tensor]:
    batches = workspace.calibration(at, workspace.dataset(at.base))
    assert [len(labels) for _, labels in batches] == [12, 12, 6]
    return torch.cat([x for x, _ in batches]), torch.cat([y for _, y in batches])


def test_augmented_images_are_other_images_of_the_same_labels(workspace: Workspace) -> None:
    plain, augmented = (images(workspace, standpoint(augment=one)) for one in (False, True))
    assert plain[1].sort().values.equal(augmented[1].sort().values)
    known = {one.numpy().tobytes() for one in plain[0]}
    changed = [one.numpy().tobytes() not in known for one in augmented[0]]
    assert sum(changed) > 15  # digits are shifted by up to a pixel: eight of nine move


def test_they_are_equal_whoever_asks_and_others_in_the_next_repeat(workspace: Workspace) -> None:
    first, same, other = (
        images(workspace, standpoint(repeat, augment=True))[0] for repeat in (0, 0, 1)
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_images_like_a_recipes_are_mixed_with_their_labels(workspace: Workspace) -> None:
    at = standpoint(like="mixed")
    plain, labels = images(workspace, standpoint())
    mixed, targets = images(workspace, at)
    assert targets.shape == (30, 10)
    torch.testing.assert_close(targets.sum(1), torch.ones(30))
    assert (targets.count_nonzero(1) <= 2).all()
    assert (targets.max(1).values < 1).sum() > 10  # no label is smoothed, most are mixed
    # Mixing moves shares of labels to the next image, so that a batch keeps its sums.
    counts = torch.nn.functional.one_hot(labels, 10).float()
    for part, given in zip(targets.split(12), counts.split(12), strict=True):
        assert part.sum() == pytest.approx(float(given.sum()))
    assert not any(torch.equal(one, other) for one, other in zip(mixed, plain, strict=True))
    again = images(workspace, standpoint(like="mixed"))
    assert torch.equal(mixed, again[0])
    assert torch.equal(targets, again[1])
    assert not torch.equal(mixed, images(workspace, standpoint(1, like="mixed"))[0])


def test_what_a_recipe_does_to_images_stands_in_the_key_and_nothing_else_of_it() -> None:
    first = standpoint(like="mixed")
    slower = standpoint(recipe={**MIXED, "learning_rate": 0.2, "epochs": 9}, like="mixed")
    milder = standpoint(recipe={**MIXED, "mixup": 0.2}, like="mixed")
    assert first.identity == slower.identity
    assert first.identity != milder.identity
    # What is done by name and what is spelled out are the same images.
    cropped = standpoint(recipe={"epochs": 1, "learning_rate": 0.1}, like="mixed")
    assert cropped.identity == standpoint(augment=True).identity
    assert cropped.identity != standpoint().identity


@pytest.mark.parametrize(
    ("calibration", "recipe", "says"),
    [
        ({"like": "mixd"}, MIXED, r"no recipe 'mixd' \(did you mean mixed"),
        ({"like": "mixed", "augment": True}, MIXED, r"beside like: mixed.*leave augment out"),
        ({"like": "mixed"}, {"epochs": 1, "learning_rate": 0.1, "augment": False}, "as they are"),
    ],
)
def test_calibration_that_cannot_be_is_refused(
    calibration: dict[str, Any], recipe: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        suite(recipe, **calibration)
