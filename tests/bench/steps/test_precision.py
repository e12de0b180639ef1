"""Evaluation and calibration in bfloat16: declared, in keys and on the page, and how far off."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from conftest import CLASSES, CLASSIFICATION, conv, groups_of, labelled, lively
from inline_runs import go, measured
from pages import text_of
from real_models import build as real
from scipy.stats import spearmanr
from torch import Tensor, nn

from bench.data.datasets import load_dataset
from bench.plan.plan import Plan, make_plan
from bench.pruning.network import Network
from bench.run.reporting import write_report
from bench.steps.workspace import Settings, Workspace
from bench.store.store import Store
from bench.tasks.task import Tally
from bench.training.measure import evaluate
from criteria import criteria
from criteria.criterion import checked_scores
from criteria.gather import gather
from criteria.registry import create
from reports.page import wording
from suites.problem import DatasetSpec

FEW: dict[str, Any] = {"methods": ["l1", "taylor"], "budgets": {"macs": [0.5]}}
FEW["recoveries"] = ["none"]
HALF = {"precision": "bf16"}


def plan_of(**changes: Any) -> Plan:
    return make_plan(toy.suite(**{**FEW, **changes}))


def calibrated(**changes: Any) -> Plan:
    return plan_of(calibration={"images": 32, "batch_size": 16, **changes})


def test_what_is_declared_is_in_keys_and_nothing_else_is() -> None:
    plain, evaluated = plan_of().trials[0], plan_of(evaluation=HALF).trials[0]
    assert "evaluation" not in plain.at.base.identity
    assert evaluated.at.base.identity["evaluation"] == {**HALF, "compile": False}
    assert evaluated.at.base.key != plain.at.base.key
    assert plan_of(evaluation={}).trials[0].key == plain.key
    plain, seen = calibrated().trials[-1], calibrated(**HALF).trials[-1]  # taylor's
    assert seen.at.base.key == plain.at.base.key
    assert seen.key != plain.key
    assert "precision" not in plain.at.identity["calibration"]
    assert seen.at.identity["calibration"]["precision"] == "bf16"
    assert calibrated(**HALF).trials[0].key == calibrated().trials[0].key  # l1 looks at none


@pytest.mark.usefixtures("inkless")
def test_a_suite_evaluated_in_half_says_so_and_moves_by_few_images(tmp_path: Path) -> None:
    plans = {"full": plan_of(), "half": plan_of(evaluation=HALF)}
    found = {}
    for name, plan in plans.items():
        go(tmp_path / name, plan)
        records = Store(tmp_path / name).all_records()[0]
        found[name] = {one.labels.brief: measured(one) for one in records}
    assert found["full"].keys() == found["half"].keys()
    for name, full in found["full"].items():
        half = found["half"][name]
        assert half.pruned.loss != full.pruned.loss, name
        assert half.dense.loss != full.dense.loss
        assert half.pruned.loss == pytest.approx(full.pruned.loss, rel=0.02)
        assert full.test_images * abs(half.pruned.top1 - full.pruned.top1) <= 2.5
    page = page_of(plans["half"], tmp_path / "half")
    assert "Evaluation is in bfloat16, as the suite declares" in page
    assert "Networks are evaluated in bfloat16" in page
    assert not wording.halved(plans["full"].suite)


def page_of(plan: Plan, results: Path) -> str:
    page = write_report(plan, Store(results), results / "page")
    return text_of(page.read_text())


def test_an_evaluation_in_half_runs_in_half_and_measures_in_full(tmp_path: Path) -> None:

    data = Workspace(Settings(tmp_path, tmp_path)).dataset(
        plan_of(evaluation=HALF).trials[0].at.base
    )
    seen: list[torch.dtype] = []
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 10))
    model[0].register_forward_hook(lambda *given: seen.append(given[2].dtype))
    tally = evaluate(model, data.test, CLASSIFICATION)
    assert set(seen) == {torch.bfloat16}
    assert tally.loss == pytest.approx(
        evaluate(model, data.worked(precision=None).test, CLASSIFICATION).loss, rel=0.01
    )


# What is of sums with signs, or of maps that are compared bit by bit, is moved more.
LOOSE = {"gate_decorator": 0.9, "dhspg_saliency": 0.9, "taylor_so": 0.9, "inverse": 0.9}


@pytest.mark.parametrize("name", [one.name for one in criteria() if one.selector is None])
def test_scores_of_a_calibration_in_half_rank_as_in_full(name: str) -> None:
    layers = [conv(3, 8), nn.BatchNorm2d(8), nn.ReLU(inplace=True), conv(8, 8), nn.BatchNorm2d(8)]
    tail = [nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES)]
    model = lively(nn.Sequential(*layers, *tail))
    groups, (x, y) = groups_of(model), labelled(16)
    model.float()

    def scores(half: bool) -> Tensor:
        one = create(name, groups, {}, torch.Generator().manual_seed(0))
        (cost,) = gather(model, [one], [(x.float(), y)], half=half)
        if cost.failure is not None:
            raise cost.failure
        return torch.cat(checked_scores(one))

    full, half = scores(False), scores(True)
    assert half.dtype == torch.float64
    if full.unique().numel() > 1:
        assert spearmanr(full, half).statistic > LOOSE.get(name, 0.97)


# --- real data ------------------------------------------------------------------------------------

DATA = toy.CHECKOUT.parent / "shared" / "data"
RANKED = ["l1", "taylor", "jacobian", "fisher", "group_fisher", "hessian_diag", "c_obd", "wanda"]


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data")
@pytest.mark.parametrize("name", ["resnet20-12fca82f.th", "resnet56-4bfd9763.th"])
def test_trained_networks_move_by_so_much(name: str, tmp_path: Path) -> None:
    """By channels last a rounding; by bfloat16 an image in a hundred at most, and ranks hardly."""
    with tarfile.open(DATA / "cifar10_jpeg.tar.gz") as archive:
        few = [one for one in archive if one.name[-8:-4].isdigit() and int(one.name[-8:-4]) < 200]
        archive.extractall(tmp_path, few, filter="data")
    root = next(tmp_path.rglob("train")).parent
    spec = DatasetSpec(name="imagefolder", root=str(root), normalize="imagenet")
    data = load_dataset(spec, tmp_path, tmp_path / "cache")
    model = real(name.split("-")[0], checkpoint=str(DATA / name)).eval()
    groups = Network.trace(model, data.noise()).structure.groups
    hows: dict[str, dict[str, Any]] = {"plain": {}, "last": {"channels_last": True}}
    hows["half"] = {**hows["last"], **HALF}
    tallies, scores = dict[str, Tally](), dict[str, dict[str, Tensor]]()
    for how, given in hows.items():
        worked = data.worked(**given)
        tallies[how] = evaluate(model, worked.test, CLASSIFICATION)
        batches = list(worked.train.batches(64, indices=torch.arange(0, len(worked.train), 8)))
        every = [create(one, groups, {}, torch.Generator().manual_seed(0)) for one in RANKED]
        for cost in gather(model, every, batches, half=how == "half"):
            assert cost.failure is None
        scores[how] = {one.name: torch.cat(checked_scores(one)) for one in every}
    images, plain = len(data.test), tallies["plain"]
    for how, most, least in (("last", 1, 0.9999), ("half", images / 100, 0.99)):
        apart = round(images * abs(tallies[how].primary - plain.primary))
        ranks = {
            one: spearmanr(values, scores[how][one]).statistic
            for one, values in scores["plain"].items()
        }
        said = ", ".join(f"{one} {rank:.5f}" for one, rank in ranks.items())
        print(f"\n{name} {how}: {apart} of {images} images apart; ranks: {said}")
        assert apart <= most
        assert min(ranks.values()) > least
