"""What is known before anything runs."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import toy

from bench.errors import DataError, ModelError
from bench.plan.plan import make_plan
from bench.pruning.selection import InfeasibleBudget
from bench.run.preflight import preflight
from bench.steps.workspace import Settings
from bench.store.sealed import read_json, write_json
from bench.store.store import Store
from criteria import StructureError


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


USERS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_classes, width=8):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, width, 3), nn.Conv2d(width, width, 3)
        self.head = nn.Linear(width, num_classes)

    def features(self, x):
        return self.two(self.one(x).relu()).relu()

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


class Shuffled(Net):
    def features(self, x):
        x = self.one(x).relu()
        n, c, h, w = x.shape
        return self.two(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)).relu()


class NonLocal(Net):
    def features(self, x):
        x = super().features(x)
        flat = x.flatten(2)
        return (flat @ (flat.transpose(1, 2) @ flat).softmax(-1)).view_as(x)


class Draws(Net):
    def features(self, x):
        return nn.functional.dropout(super().features(x), 0.5, training=True)
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Shuffled", r"on digits: removing channels does not equal zeroing.* groups of one; put"),
        ("NonLocal", r"macs after the cut, .* by arithmetic.*: its own forward \(NonLocal\)"),
        ("Draws", "on digits: the network gives other outputs each time"),
    ],
)
def test_a_network_that_is_cut_wrongly_is_refused_before_it_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str
) -> None:
    (tmp_path / "users15.py").write_text(USERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def check(network: str) -> None:
        suite = toy.suite(
            datasets=[{"name": "digits", "train_images": 100}],
            models=[f"users15:{network}"],
            calibration={"images": 32, "batch_size": 32},
        )
        preflight(make_plan(suite).trials, Settings(tmp_path, tmp_path))

    check("Net")
    with pytest.raises(StructureError, match=said):
        check(name)
    sys.modules.pop("users15")


def test_a_budget_out_of_reach_names_what_is_kept_whole(tmp_path: Path) -> None:
    suite = toy.suite(models=["vgg_small"], budgets={"macs": [1e-5]})
    with pytest.raises(InfeasibleBudget, match=r"1e-05 is out of reach.*kept whole: classifier"):
        preflight(make_plan(suite).trials, Settings(tmp_path, tmp_path))


def test_other_data_than_bases_were_trained_on_are_refused_beforehand(
    session: Path, tmp_path: Path
) -> None:
    results = Path(shutil.copytree(toy.finished(session), tmp_path / "results"))
    trials, settings = make_plan(toy.suite()).trials, Settings(results, tmp_path)
    preflight(trials, settings)
    file = Store(results).path("bases", trials[0].at.base.key, ".json")
    meta = read_json(file)
    assert meta is not None
    write_json(file, meta | {"dataset_digest": "of others"})
    with pytest.raises(DataError, match="not those that"):
        preflight(trials, settings)
