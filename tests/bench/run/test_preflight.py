"""What is known before anything runs."""

from pathlib import Path
from typing import Any

import pytest
import toy

from bench.errors import ModelError
from bench.plan.plan import make_plan
from bench.run.preflight import preflight
from bench.steps.workspace import Settings


@pytest.mark.parametrize("where", ["base", "recovery"])
def test_a_last_batch_of_one_image_is_known_beforehand(tmp_path: Path, where: str) -> None:
    """81 images in batches of 40, on a network whose last maps are 1 x 1."""

    def check(batch: int, **recipe: Any) -> None:
        short = {"epochs": 1, "learning_rate": 0.1, "batch_size": batch, **recipe}
        even = {**short, "batch_size": 27}
        base, after = (short, even) if where == "base" else (even, short)
        suite = toy.suite(
            datasets=[{"name": "digits", "train_images": 90}],
            models=["mobilenet_v1"],
            recipes={"base": base, "after": after},
            base_recipe="base",
            recoveries=[{"finetune": "after"}],
        )
        preflight(make_plan(suite).trials, Settings(tmp_path, tmp_path))

    with pytest.raises(ModelError, match=r"batches of 40 leave one .*drop_last: true"):
        check(40)
    check(40, drop_last=True)
    check(41)
