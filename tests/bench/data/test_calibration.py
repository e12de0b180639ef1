"""Calibration images: equal for all methods, augmented only where a suite asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import toy
from torch import Tensor

from bench.plan.jobs import Standpoint
from bench.plan.plan import make_plan
from bench.steps.workspace import Settings, Workspace
from suites.protocol import Calibration


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(Settings(tmp_path, tmp_path))


def standpoint(repeat: int = 0, **calibration: object) -> Standpoint:
    base = make_plan(toy.suite()).trials[0].at.base
    wanted = Calibration.model_validate({"images": 30, "batch_size": 12, **calibration})
    return Standpoint(base, repeat, wanted)


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


def test_augmentation_is_in_the_key() -> None:
    plain, augmented = standpoint(), standpoint(augment=True)
    assert plain.identity["calibration"] == {"images": 30, "batch_size": 12, "augment": False}
    assert augmented.identity["calibration"] == {"images": 30, "batch_size": 12, "augment": True}
