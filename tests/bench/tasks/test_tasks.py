"""What each task measures, by hand; the record and its report in the task's own words."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from inline_runs import go
from PIL import Image
from torch.nn import functional

from bench import Task, register_task
from bench.errors import PlanError
from bench.plan.plan import make_plan
from bench.plan.refusals import shared_metric
from bench.store.store import Store
from bench.tasks.classification import CORRUPTIONS
from bench.tasks.known import TASKS, find_task
from bench.tracking.fields import metrics
from reports.build import build_report
from reports.metric import TOP1, Metric, speaking_of, spoken
from reports.records import Record
from suites import Suite
from suites.section import Chosen


def task(name: str, **options: object) -> Task:
    return find_task(Chosen(name=name, options=options))


def test_the_worst_class_and_the_calibration_error_by_hand() -> None:
    chances = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    labels = torch.tensor([0, 0, 1, 1])
    found = task("classification").tally(iter([(chances.log(), labels)]))
    assert found.primary == 0.75
    assert found.others["worst_class_percent"] == 50
    # Four bins of one image each: |0.9 - 1|, |0.8 - 1|, |0.7 - 1|, |0.6 - 0|, a quarter each.
    assert found.others["calibration_error_percent"] == pytest.approx(100 * 1.2 / 4, rel=1e-5)


def test_batches_of_a_split_add_up() -> None:
    draw = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(40, 6, generator=draw), torch.randint(6, (40,), generator=draw)
    whole, parts = (
        task("classification").tally(iter(zip(logits.split(n), labels.split(n), strict=True)))
        for n in (40, 7)
    )
    assert whole.primary == parts.primary
    assert whole.others == pytest.approx(parts.others)
    assert whole.loss == pytest.approx(parts.loss, rel=1e-5)


def test_a_language_model_is_measured_in_nats_a_token() -> None:
    of = task("language-model")
    logits = torch.randn(3, 5, 8)  # [n, length, vocabulary], as networks give it
    targets = torch.randint(8, (3, 5))
    loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    assert of.loss(logits, targets) == pytest.approx(float(loss), rel=1e-5)
    assert of.loss({"logits": logits}, targets) == of.loss(logits, targets)
    found = of.tally(iter([(logits, targets)]))
    assert found.primary == -found.loss == pytest.approx(-float(loss), rel=1e-5)
    assert found.others["perplexity"] == pytest.approx(math.exp(loss), rel=1e-4)
    each = of.losses(logits, targets)
    assert each.shape == (3,)
    assert float(each.mean()) == pytest.approx(float(loss), rel=1e-5)


def test_mean_intersection_over_union_by_hand() -> None:
    of = task("segmentation")
    masks = torch.tensor([[[0, 0], [1, 255]]])
    guess = torch.tensor([[[0, 1], [1, 2]]])  # the last pixel does not count
    logits = 9.0 * functional.one_hot(guess, 3).permute(0, 3, 1, 2)
    found = of.tally(iter([({"out": logits}, masks)]))
    assert found.primary == pytest.approx((1 / 2 + 1 / 2) / 2)  # class 2 occurs nowhere
    assert found.others["pixel_accuracy_percent"] == pytest.approx(200 / 3)
    counted = functional.cross_entropy(logits[..., :1].flatten(2), masks[..., :1].flatten(1))
    assert of.loss(logits[..., :1], masks[..., :1]) == pytest.approx(float(counted))
    assert float(of.losses(logits, masks)[0]) == pytest.approx(float(of.loss(logits, masks)))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruptions_grow_with_their_severity_and_repeat(name: str) -> None:
    images = torch.randn(4, 3, 8, 8)
    apart = [(CORRUPTIONS[name](images, one) - images).norm() for one in (1, 3, 5)]
    assert 0 < apart[0] < apart[1] < apart[2]
    assert torch.equal(CORRUPTIONS[name](images, 2), CORRUPTIONS[name](images, 2))


def test_accuracy_under_corruptions_is_an_option() -> None:
    asked = task("classification", corruptions={"noise": [1, 5]}).alterations()
    assert list(asked) == ["top1_noise1_percent", "top1_noise5_percent"]
    assert not task("classification").alterations()
    with pytest.raises(PlanError, match=r"task: classification.*'rain'"):
        task("classification", corruptions={"rain": [1]})


def test_a_task_of_ones_own() -> None:
    class Odd(Task):
        """Parities."""

    try:
        register_task("odd")(Odd)
        assert task("odd").name == "odd"
    finally:
        TASKS.by_name.pop("odd")
    with pytest.raises(PlanError, match=r"no task 'langage-model'.*language-model"):
        task("langage-model")


def suite(**changes: object) -> Suite:
    given: dict[str, object] = {
        "suite": "tiny",
        "datasets": [{"name": "text", "root": "a.txt"}],
        "models": ["torch.nn:Identity"],
        "methods": ["l1", "random"],
        "base_recipe": "mine",
        "recipes": {"mine": {"epochs": 1, "learning_rate": 0.1}},
        "budgets": {"macs": [0.5]},
        "analysis": {"control": "l1", "rope": 0.01},
    }
    return Suite.model_validate({**given, **changes})


def test_what_means_nothing_for_a_task_is_refused_before_anything_runs() -> None:
    assert make_plan(suite()).trials
    mixed = {"mine": {"epochs": 1, "learning_rate": 0.1, "mixup": 0.2}}
    with pytest.raises(PlanError, match=r"recipe mine on text .language-model.: mixup = 0\.2"):
        make_plan(suite(recipes=mixed))
    with pytest.raises(PlanError, match=r"analysis\.rope: .* in nats"):
        shared_metric(suite(analysis={"control": "l1"}))
    said = "text is for language-model, digits is for classification"
    with pytest.raises(PlanError, match=said):
        shared_metric(suite(datasets=[{"name": "text", "root": "a.txt"}, "digits"]))


def test_naming_a_task_is_in_the_key_and_the_default_is_not() -> None:
    plain = suite(datasets=[{"name": "text", "root": "a.txt"}]).datasets[0]
    named = suite(datasets=[{"name": "text", "root": "a.txt", "task": "language-model"}])
    assert "task" not in plain.identity
    assert named.datasets[0].identity["task"] == {"name": "language-model", "options": {}}


def test_what_is_spoken_of_ends_with_its_block() -> None:
    nats = Metric(name="likelihood", point="nat", digits=3)
    with speaking_of(nats):
        assert spoken().named("retained_top1") == "retained_likelihood"
    assert spoken() == TOP1
    assert spoken().named("retained_top1") == "retained_top1"


NETS = """
from torch import nn


class Words(nn.Module):
    def __init__(self, vocabulary, width=96):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, 8)
        self.body = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, vocabulary))

    def forward(self, tokens):
        return self.body(self.tokens(tokens))


class Pixels(nn.Sequential):
    def __init__(self, num_classes, in_channels, width=24):
        first, last = nn.Conv2d(in_channels, width, 3, padding=1), nn.Conv2d(width, num_classes, 1)
        super().__init__(first, nn.BatchNorm2d(width), nn.ReLU(), last)

    def forward(self, images):
        return {"out": super().forward(images), "aux": images}
"""


@pytest.mark.usefixtures("inkless")
def test_a_language_model_from_text_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record has the metric's name, and so have page and tables; what needs classes says so."""
    (tmp_path / "a.txt").write_text("the quick brown fox jumps over the lazy dog. " * 90)
    (tmp_path / "wordnets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    asked = suite(
        models=["wordnets:Words"],
        datasets=[{"name": "text", "root": "a.txt", "options": {"length": 8}}],
        methods=["l2", "taylor", "wanda", "hap"],
        analysis={"control": "l2", "rope": 0.01},
        budgets={"params": [0.9]},
        calibration={"images": 32, "batch_size": 16},
        bases=1,
        measure={"deployed": []},
    )
    records, page = ran(asked, tmp_path)
    assert {one.labels.method: one.status for one in records} == {
        **dict.fromkeys(("l2", "taylor", "wanda"), "done"), "hap": "infeasible"
    }  # fmt: skip
    assert "log-likelihood change (nats)" in page
    assert "perplexity is the exponential of the loss" in page
    text = re.sub(r"<(script|style|svg).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    assert not re.findall("top-1|accuracy|image|in points", text, re.IGNORECASE)
    assert "multiply-adds of one passage" in text
    with speaking_of(records[0].metric):
        names = {name for name, *_ in metrics(next(one for one in records if one.status == "done"))}
    assert "work/passages_scored" in names
    assert not [one for one in names if "images" in one or "top1" in one]
    head = (tmp_path / "report" / "tables" / "cells.csv").read_text().splitlines()[0]
    assert "retained_log_likelihood" in head
    assert head.endswith("perplexity")
    written = json.loads(Store(tmp_path).record_path(records[0].key).read_bytes())
    assert written["task"] == "language-model"
    assert -6 < written["measurements"]["pruned"]["log_likelihood"] < 0


def ran(asked: Suite, folder: Path) -> tuple[list[Record], str]:
    """The records of a suite that was run in a folder, and the page of its report."""
    plan = make_plan(asked)
    go(folder, plan)
    records = plan.records(Store(folder))
    return records, build_report(asked, records, plan.expected, folder / "report").read_text()


def test_a_segmenting_network_from_pictures_to_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs in a mapping are no hindrance to criteria that look at them, as GraSP does."""
    draw = np.random.default_rng(0)
    for split in ("train", "test"):
        for kind in ("images", "masks"):
            (tmp_path / "shapes" / split / kind).mkdir(parents=True)
        for at in range(20):
            mask = (np.indices((8, 8)).sum(0) > draw.integers(4, 10)).astype(np.uint8)
            noisy = 100 * mask[..., None] + draw.integers(0, 90, (8, 8, 3))
            for kind, picture in (("images", noisy.astype(np.uint8)), ("masks", mask)):
                Image.fromarray(picture).save(tmp_path / "shapes" / split / kind / f"{at}.png")
    (tmp_path / "pixelnets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    asked = suite(
        models=["pixelnets:Pixels"],
        datasets=[{"name": "segmentation-folder", "root": "shapes", "image_size": 8}],
        methods=["l2", "grasp", "jacobian"],
        analysis={"control": "l2"},
        calibration={"images": 16, "batch_size": 8},
        bases=1,
        measure={"deployed": []},
    )
    records, page = ran(asked, tmp_path)
    assert [one.status for one in records] == ["done"] * 3
    assert "mIoU change (points)" in page
    assert "top-1" not in page
    assert "MIoU" not in page
    written = json.loads(Store(tmp_path).record_path(records[0].key).read_bytes())["measurements"]
    assert 0 <= written["pruned"]["miou"] <= 1
    assert written["macs"] <= 0.5 * written["dense_macs"]


@pytest.mark.parametrize("name", sorted(CORRUPTIONS))
def test_what_corrupts_an_image_hangs_on_no_other(name: str) -> None:
    images = torch.randn(6, 3, 12, 12)
    whole = CORRUPTIONS[name](images, severity=3)
    alone = torch.cat([CORRUPTIONS[name](one, severity=3) for one in images.split(2)])
    torch.testing.assert_close(whole, alone)
    assert not torch.equal(whole, images)
