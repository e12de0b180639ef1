"""The conformance kit: all registered criteria pass it, and it catches those that should not."""

from __future__ import annotations

import ast
import importlib
import random
import re
import signal
import sys
import tarfile
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy
from PIL import Image
from real_models import build as load
from torch import Tensor

from bench.command import cli
from bench.conformance import CHECKS, FAMILIES, Finding, check, check_on, fails
from bench.conformance.behaviour import attempt, case
from bench.conformance.networks import permute_
from bench.conformance.trained import (
    Likeness,
    TrainedCase,
    check_trained,
    group_scores,
    likeness,
    seeds_agree,
    similarities,
)
from criteria import (
    Batch,
    Criterion,
    Group,
    Member,
    Need,
    NotApplicable,
    criteria,
    find_structure,
    register,
)
from criteria.selector import Selector

registry = importlib.import_module("criteria.registry")
DATA = toy.CHECKOUT.parent / "shared" / "data"
REGISTERED = [entry.name for entry in criteria()]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    before = dict(registry.CATALOG.by_name)
    yield
    registry.CATALOG.by_name.clear()
    registry.CATALOG.by_name.update(before)


@cache
def findings(family: str) -> dict[tuple[str, str], Finding]:
    """Of all registered criteria, by (criterion, check); one pass over the evidence for all."""
    return {(one.criterion, one.check): one for one in check_on(family, REGISTERED)}


# --- what is registered ---------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_registered_criteria_conform(family: str) -> None:
    found = findings(family)
    assert list(found) == [(criterion, asked) for criterion in REGISTERED for asked in CHECKS]
    assert [one for one in found.values() if one.verdict == "fail"] == []


def test_every_criterion_can_be_checked_on_some_family() -> None:
    for name in REGISTERED:
        verdicts = {findings(family)[name, "deterministic"].verdict for family in FAMILIES}
        assert "pass" in verdicts, name


def test_what_cannot_apply_is_said_with_its_reason() -> None:
    found = findings("vit")["bn_scale", "permutation-equivariant"]
    assert found.verdict == "not applicable"
    assert "nothing to score in the group of" in found.reason
    found = findings("chain")["random", "permutation-equivariant"]
    assert found.verdict == "not applicable"
    assert "random numbers" in found.reason
    assert findings("chain")["l1", "batch order"].reason == "sees no data"
    assert findings("chain")["ensemble", "batch order"].verdict == "pass"  # of l1, taylor, fpgm
    assert findings("chain")["hessian_diag_tp", "batch order"] == Finding(
        "hessian_diag_tp", "batch order", "chain", "information", "depends on batch order"
    )


def test_what_does_not_count_is_listed() -> None:
    counted = findings("chain")["bn_scale", "counts its members"]
    assert counted.reason.endswith(" conv in, conv out, linear in")
    assert findings("chain")["group_norm", "counts its members"].reason == "every member counts"
    assert findings("chain")["thinet", "counts its members"].reason == "has scores() of its own"


# --- the networks and their twins -----------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_the_permuted_twin_computes_the_same(family: str) -> None:
    at = case(family)
    assert any(not torch.equal(order, order.sort().values) for order in at.orders)
    moved = {
        name
        for (name, one), other in zip(
            at.model.named_parameters(), at.twin.parameters(), strict=True
        )
        if not torch.equal(one, other)
    }
    for group, order in zip(at.groups, at.orders, strict=True):
        if not torch.equal(order, order.sort().values):
            assert any(name.startswith(member.name) for member in group.members for name in moved)
    for images, _ in at.batches:
        # The same sums in another order: some ulps of numbers around 1.
        torch.testing.assert_close(at.twin(images), at.model(images), rtol=0, atol=1e-12)


def test_a_permutation_by_hand() -> None:
    """Filters 0, 1, 2 become 2, 0, 1, each with its bias, and the reader's columns with them."""
    member = {"indices": torch.arange(3), "units": torch.arange(3), "blocks": 1}
    rest = {"transposed": False, "width": 3, "prune": None}
    out = Member(name="a", kind="linear", side="out", **member, **rest)
    into = Member(name="b", kind="linear", side="in", **member, **rest)
    tensors = {
        "a.weight": torch.tensor([[1, 2], [3, 4], [5, 6]]),
        "a.bias": torch.tensor([7, 8, 9]),
        "b.weight": torch.tensor([[1, 2, 3], [4, 5, 6]]),
        "b.bias": torch.tensor([1, 2]),
    }
    permute_(tensors, [Group("a", 3, (out, into))], [torch.tensor([2, 0, 1])])
    assert tensors["a.weight"].tolist() == [[5, 6], [1, 2], [3, 4]]
    assert tensors["a.bias"].tolist() == [9, 7, 8]
    assert tensors["b.weight"].tolist() == [[3, 1, 2], [6, 4, 5]]
    assert tensors["b.bias"].tolist() == [1, 2]


# --- offenders ------------------------------------------------------------------------------------


class Good(Criterion):
    """Absolute gradients: what the offenders spoil."""

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            self.add(member, member.view(batch.gradients).abs().sum(1))


class WrongShape(Good):
    def scores(self) -> list[Tensor]:
        return [values[:, None] for values in super().scores()]


class TooFew(Good):
    def scores(self) -> list[Tensor]:
        return super().scores()[1:]


class NoTensor(Good):
    def scores(self) -> Any:
        return [values.tolist() for values in super().scores()]


class NotANumber(Good):
    def scores(self) -> list[Tensor]:
        first, *rest = super().scores()
        return [torch.where(torch.arange(len(first)) == 2, torch.nan, first), *rest]


class ChangesWeights(Good):
    def observe(self, batch: Batch) -> None:
        next(iter(batch.weights.values())).mul_(2)
        super().observe(batch)


class ChangesWeightsUnseen(Good):
    """`.data` escapes autograd's count of changes."""

    def observe(self, batch: Batch) -> None:
        next(iter(batch.weights.values())).data.mul_(2)
        super().observe(batch)


class ChangesGradients(Good):
    def observe(self, batch: Batch) -> None:
        super().observe(batch)
        next(iter(batch.gradients.values())).zero_()


class LeavesGrad(Good):
    def observe(self, batch: Batch) -> None:
        with torch.enable_grad():
            batch.model(batch.images).sum().backward()
        super().observe(batch)


class LeavesHook(Good):
    def observe(self, batch: Batch) -> None:
        batch.model[0].register_forward_hook(lambda *_: None)
        super().observe(batch)


class LeavesStatistics(Good):
    def observe(self, batch: Batch) -> None:
        super().observe(batch)
        batch.model.train()
        batch.model(batch.images)
        batch.model.eval()


class DrawsFromTorch(Good):
    def observe(self, batch: Batch) -> None:
        torch.rand(1)
        super().observe(batch)


class DrawsFromNumpy(Good):
    def observe(self, batch: Batch) -> None:
        np.random.rand()
        super().observe(batch)


class DrawsFromPython(Good):
    def observe(self, batch: Batch) -> None:
        random.random()
        super().observe(batch)


class LooksAtPlaces(Good):
    """The first channels of a layer get a little more."""

    def scores(self) -> list[Tensor]:
        return [
            values + 1e-6 * values.max() * torch.arange(len(values)) for values in super().scores()
        ]


class NeverTheSame(Good):
    calls = count(1)

    def scores(self) -> list[Tensor]:
        return [values * next(self.calls) for values in super().scores()]


class CountsInWordsOnly(Good):
    """Says that norms count, and adds nothing for them."""

    def observe(self, batch: Batch) -> None:
        for member in self.members:
            values = member.view(batch.gradients).abs().sum(1)
            self.add(member, 0 * values if member.kind == "batchnorm" else values)


class AddsInSinglePrecision(Good):
    def add(self, member: Member, values: Tensor) -> None:
        sums = self._sums.get(member, torch.zeros(len(values)))
        self._sums[member] = sums + values.float()


class Raises(Good):
    def observe(self, batch: Batch) -> None:
        raise KeyError("no such layer")


class RaisesAtTheEnd(Good):
    def scores(self) -> list[Tensor]:
        raise RuntimeError("nothing to give")


ALONE = "leaves the model alone"
OFFENDERS: dict[type[Criterion], dict[str, str]] = {
    WrongShape: {"shape": r"group 3: shape \(4, 1\) instead of \(4,\)"},
    TooFew: {"shape": "a list of 2 tensors, one a group: 1"},
    NoTensor: {"shape": "group 3: list instead of a tensor"},
    NotANumber: {"finite": "group 3: 1 of 4 values are NaN or infinite"},
    ChangesWeights: {
        ALONE: r"the value of 0\.weight changed while it scored",
        "runs": "changed weights or gradients in place",
    },
    ChangesWeightsUnseen: {ALONE: r"the value of 0\.weight changed"},
    ChangesGradients: {"runs": "changed weights or gradients in place.*change a clone"},
    LeavesGrad: {ALONE: r"\.grad of 0\.weight, \.grad of 0\.bias, .* and 7 more changed"},
    LeavesHook: {ALONE: "hooks on 0 changed"},
    LeavesStatistics: {ALONE: r"the value of 1\.running_mean"},
    DrawsFromTorch: {ALONE: "the global random state of torch changed"},
    DrawsFromNumpy: {ALONE: "the global random state of numpy changed"},
    DrawsFromPython: {ALONE: "the global random state of random changed"},
    LooksAtPlaces: {
        "permutation-equivariant": r"do not follow permuted channels: group 0, by 3e-06"
    },
    NeverTheSame: {"deterministic": "a second run with the same seed differs by .* of the largest"},
    CountsInWordsOnly: {"counts its members": r"1 \(batchnorm both\).* do not depend on it"},
    AddsInSinglePrecision: {"batch order": "single precision; add up in float64"},
    Raises: {"runs": r"KeyError: 'no such layer' \(test_conformance.py, line \d+\)"},
    RaisesAtTheEnd: {"runs": "RuntimeError: nothing to give"},
}


def offend(kind: type[Criterion], needs: Need = Need.GRADIENTS, **more: Any) -> str:
    register("offender", cite="x", faithful="x", needs=needs, **more)(kind)
    return "offender"


@pytest.mark.parametrize("kind", OFFENDERS, ids=lambda kind: kind.__name__)
def test_offenders_fail_the_right_check_with_the_right_words(kind: type[Criterion]) -> None:
    found = check_on("chain", [offend(kind)])
    failed = {one.check: one.reason for one in found if one.verdict == "fail"}
    # What is never the same does not follow permuted channels or reordered batches either.
    also = {"permutation-equivariant"} if kind is NeverTheSame else set()
    assert failed.keys() - also == OFFENDERS[kind].keys()
    for asked, words in OFFENDERS[kind].items():
        assert re.search(words, failed[asked]), failed[asked]
    assert fails(found)


def test_what_the_offenders_spoil_is_good_without_them() -> None:
    found = check_on("chain", [offend(Good)])
    assert not fails(found)
    assert {one.check for one in found if one.verdict == "pass"} >= set(CHECKS) - {
        "weights as units"
    }


def test_single_weights_are_checked_as_channels_are() -> None:
    class LooksAtPlacesOfWeights(Good):
        def scores(self) -> list[Tensor]:
            single = len(self.groups) == 3  # layers of the chain, which has two groups
            return [
                values + single * 0.1 * values.max() * torch.arange(len(values))
                for values in super().scores()
            ]

    found = check_on("chain", [offend(LooksAtPlacesOfWeights, unstructured=True)])
    failed = {one.check: one.reason for one in found if one.verdict == "fail"}
    assert set(failed) == {"weights as units"}
    assert "0.weight" in failed["weights as units"]
    assert "permuted" in failed["weights as units"]


def test_what_scores_weights_alone_is_checked_on_them() -> None:
    class OfWeights(Good):
        def scores(self) -> list[Tensor]:
            assert len(self.groups) == 3, "it was shown channels"
            return super().scores()

    found = check_on("chain", [offend(OfWeights, structured=False, unstructured=True)])
    verdicts = {one.check: one.verdict for one in found}
    assert verdicts.pop("permutation-equivariant") == "not applicable"
    assert verdicts.pop("counts its members") == "not applicable"
    assert set(verdicts.values()) == {"pass"}


class Pairs(Selector):
    """Removes what has a stronger partner, by what `strength` makes of absolute gradients."""

    knob = (0.0, 1.0)

    def observe(self, batch: Batch) -> None:
        for group in self.groups:
            self.add(group.members[0], group.members[0].view(batch.gradients).abs().sum(1))

    def scores(self) -> list[Tensor]:
        sums = [self.member_scores(group.members[0]) for group in self.groups]
        return [torch.outer(values, values.sqrt()) for values in sums]

    @staticmethod
    def removed(evidence: Tensor, knob: float) -> Tensor:
        return (evidence < (1 - knob) * evidence.max()).all(1).nonzero()[:, 0]

    @staticmethod
    def worth(evidence: Tensor) -> Tensor:
        return evidence.diagonal()


class PairsInPlaces(Pairs):
    def scores(self) -> list[Tensor]:
        return [values.tril() for values in super().scores()]


class RemovesTheFirst(Pairs):
    @staticmethod
    def removed(evidence: Tensor, knob: float) -> Tensor:
        return torch.arange(round((1 - knob) * (len(evidence) - 1)))


def test_selectors_are_checked_by_their_evidence_and_by_what_they_remove(results: Path) -> None:
    found = {one.check: one for one in check(offend(Pairs), results)}
    assert not fails(found.values()), found
    assert "evidence and removed sets" in found["permutation-equivariant"].reason
    assert found["ranks like"].verdict == "not applicable"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (PairsInPlaces, "permuted channels: group"),
        (RemovesTheFirst, "other channels leave"),
    ],
)
def test_selectors_that_look_at_places_are_caught(kind: type[Criterion], said: str) -> None:
    found = {one.check: one for one in check_on("chain", [offend(kind)])}
    assert found["permutation-equivariant"].verdict == "fail"
    assert said in found["permutation-equivariant"].reason


def test_what_indexes_by_itself_is_asked_what_members_add() -> None:
    class Indexes(Criterion):
        def counts(self, member: Member) -> bool:
            return member.side == "out"

        def observe(self, batch: Batch) -> None:
            for member in self.members:
                rows = batch.weights[f"{member.name}.weight"].flatten(1)[member.indices]
                self.add(member, rows.abs().sum(1))

    found = {one.check: one for one in check_on("chain", [offend(Indexes, Need.WEIGHTS)])}
    assert found["counts its members"].verdict == "pass"
    assert found["counts its members"].reason.endswith(" batchnorm, conv in, linear in")


def test_an_offender_does_not_spoil_its_company() -> None:
    found = check_on("chain", ["taylor", offend(ChangesWeightsUnseen), "l1"])
    assert {one.criterion for one in found if one.verdict == "fail"} == {"offender"}
    assert case("chain").model[0].weight.grad is None


def test_after_a_failure_what_builds_on_it_is_not_looked_at() -> None:
    found = {one.check: one for one in check_on("chain", [offend(WrongShape)])}
    assert found["deterministic"].verdict == "not applicable"
    assert found["deterministic"].reason.endswith("'shape' fails")


def test_not_applicable_is_no_failure() -> None:
    class Elsewhere(Good):
        def observe(self, batch: Batch) -> None:
            raise NotApplicable("only for pyramids")

    found = check_on("chain", [offend(Elsewhere)])
    assert not fails(found)
    assert {one.reason for one in found if one.check not in (ALONE, "weights as units")} == {
        "only for pyramids"
    }


# --- on the trained network -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conformance")


def test_a_known_ranking_is_recognised(results: Path) -> None:
    class Squared(Criterion):
        """L1, squared: another number, the same ranking."""

        def counts(self, member: Member) -> bool:
            return member.side == "out"

        def observe(self, batch: Batch) -> None:
            for member in self.members:
                self.add(member, member.view(batch.weights).abs().sum(1).square())

    found = check(offend(Squared, Need.WEIGHTS), results)
    said = [(one.check, one.reason) for one in found if one.family == "trained"]
    assert all(one.verdict == "information" for one in found if one.family == "trained")
    assert ("hint", "same ranking as l1") in said
    assert re.fullmatch(r"[\d.e+-]+ times forward and backward \([\d.]+ ms\)", dict(said)["cost"])
    assert dict(said)["ranks like"].startswith("l1 1.00 / 1.00, ")
    assert not fails(found)
    (base,) = (results / "bases").glob("*.pt")
    written = base.stat().st_mtime_ns
    check("l2", results)
    assert base.stat().st_mtime_ns == written, "the trained network is kept"


def test_weights_are_compared_with_weights(results: Path) -> None:
    class Size(Criterion):
        """Of single weights: L1 and L2 are the same there."""

        def observe(self, batch: Batch) -> None:
            for member in self.members:
                self.add(member, member.view(batch.weights).abs().sum(1))

    name = offend(Size, Need.WEIGHTS, structured=False, unstructured=True)
    hints = [one.reason for one in check(name, results) if one.check == "hint"]
    assert {"same ranking as l1", "same ranking as l2"} <= set(hints)


def test_what_breaks_on_the_trained_network_alone_is_a_failure(results: Path) -> None:
    class Overflows(Good):
        def scores(self) -> list[Tensor]:
            large = len(self.groups) > 5  # the trained network's
            return [values * (torch.inf if large else 1) for values in super().scores()]

    found = check(offend(Overflows), results)
    (failed,) = [one for one in found if one.verdict == "fail"]
    assert (failed.check, failed.family) == ("finite", "trained")


class Drawn(Good):
    """Absolute gradients, times noise: as much of it as `spread` says."""

    spread = 20.0

    def scores(self) -> list[Tensor]:
        return [
            values * torch.exp(self.spread * torch.rand(len(values), generator=self.generator))
            for values in super().scores()
        ]


class HardlyDrawn(Drawn):
    spread = 1e-3


def seeds_of(found: list[Finding]) -> list[Finding]:
    return [one for one in found if one.check == "seeds agree"]


def correlation(found: Finding) -> float:
    said = re.match(r"rank correlation of two seeds (-?[\d.]+) within groups", found.reason)
    assert said, found.reason
    return float(said[1])


@pytest.mark.parametrize("kind", [Drawn, HardlyDrawn, Good])
def test_what_draws_noise_fails_and_what_hardly_draws_passes(
    kind: type[Criterion], results: Path
) -> None:
    (*found,) = seeds_of(check_trained(offend(kind), results))
    if kind is Good:
        assert not found, "it draws nothing"
        return
    (one,) = found
    if kind is Drawn:
        assert one.verdict == "fail"
        assert correlation(one) < 0.5
        assert "at least 0.9 within groups is asked: draw more, or register" in one.reason
    else:
        assert one.verdict == "pass"
        assert correlation(one) > 0.99


def test_what_says_that_chance_is_its_nature_passes_and_is_told_its_correlation(
    bench: Command, tmp_path: Path, results: Path
) -> None:
    bench("new-criterion", "dice")
    path = tmp_path / "dice.py"
    noisy = ".sum(1) * torch.rand(member.unit_count, generator=self.generator)"
    text = path.read_text().replace(".sum(1)", noisy)
    path.write_text(text.replace("from criteria", "import torch\nfrom criteria", 1))
    code, said, _ = bench("check", "--plugin", path, "--results", results)
    assert code == 1
    assert "dice does not keep its promises: seeds agree" in said
    path.write_text(path.read_text().replace("faithful=", "chance=True, faithful=", 1))
    code, said, _ = bench("check", "--plugin", path, "--results", results)
    assert code == 0
    assert re.search(
        r"rank correlation of two seeds [-\d.]+ within groups .* chance is meant", said
    )


def test_labels_that_are_drawn_for_all_criteria_are_drawn_anew_by_other_seeds(
    results: Path,
) -> None:
    class Sampled(Criterion):
        """Of one drawn label: too little for 128 images."""

        def observe(self, batch: Batch) -> None:
            for member in self.members:
                squares = member.view(batch.sampled.squared_gradients)
                self.add(member, squares.sum(1))

    class Expected(Criterion):
        def observe(self, batch: Batch) -> None:
            for member in self.members:
                for part in batch.expected(2):
                    self.add(member, member.view(part.squared_gradients).sum(1))

    (one,) = seeds_of(check_trained(offend(Sampled, Need.SQUARES), results))
    (other,) = seeds_of(check_trained(offend(Expected, Need.SQUARES), results))
    assert correlation(one) < correlation(other)
    assert other.verdict == "pass"


DRAWING = ("c_obd", "c_obs", "hap", "kron_obd", "kron_obs", "thinet")


@pytest.mark.parametrize("name", [*DRAWING, "random"])
def test_registered_criteria_that_draw_agree_over_seeds(name: str, results: Path) -> None:
    (found,) = seeds_of(check_trained(name, results))
    assert found.verdict == ("information" if name == "random" else "pass"), found.reason


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "resnet20-12fca82f.th").exists(), reason="needs ../shared/data")
@pytest.mark.parametrize("name", ["c_obd", "hap", "thinet"])
def test_what_draws_agrees_over_seeds_on_the_trained_resnet20_and_real_images(
    name: str, tmp_path: Path
) -> None:
    with tarfile.open(DATA / "cifar10_jpeg.tar.gz") as archive:
        some = [one for one in archive if re.search(r"train/\w+/00[01]\d\.jpg$", one.name)]
        archive.extractall(tmp_path, some, filter="data")
    paths = sorted(tmp_path.rglob("*.jpg"))
    classes = sorted({one.parent.name for one in paths})
    pixels = np.stack([np.asarray(Image.open(one).convert("RGB")) for one in paths])
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    images = torch.tensor((pixels / 255 - mean) / deviation).movedim(3, 1).float()
    labels = torch.tensor([classes.index(one.parent.name) for one in paths])
    order = torch.randperm(len(paths), generator=torch.Generator().manual_seed(0))
    batches = [(images[at], labels[at]) for at in order.split(50)]
    assert len(batches) == 4
    model = load("resnet20", checkpoint=str(DATA / "resnet20-12fca82f.th")).eval()
    with torch.no_grad():
        right = torch.cat([model(x).argmax(1) == y for x, y in batches])
    assert right.double().mean() > 0.75  # it has learned these
    groups = find_structure(model, images[:1], ignored=[list(model.modules())[-1]]).groups
    at = TrainedCase(model, groups, batches)
    scores = group_scores(attempt(model, {name: (name, groups)}, batches)[name], groups)
    assert scores is not None
    (found,) = seeds_agree(name, scores, at)
    assert found.verdict == "pass", found.reason
    assert correlation(found) > 0.93


def test_correlations_by_hand() -> None:
    rising, falling = np.array([1.0, 2.0, 5.0]), np.array([9.0, 4.0, 1.0])
    flat = np.zeros(4)
    found = likeness("x", [rising, flat], [falling, np.arange(4.0)])
    assert found.within == pytest.approx(-1)  # the flat group says nothing
    # Ranks over all units; equal values share the mean of their ranks.
    one = np.array([5, 6, 7, 2.5, 2.5, 2.5, 2.5])  # of 1 2 5 and 0 0 0 0
    other = np.array([7, 6, 2.5, 1, 2.5, 4, 5])  # of 9 4 1 and 0 1 2 3
    assert found.overall == pytest.approx(np.corrcoef(one, other)[0, 1])


def test_five_of_each_and_nobody_in_both() -> None:
    alike = [Likeness(f"c{at}", 1 - at / 10, 0.5) for at in range(1, 10)]
    said = dict(similarities(alike))
    assert said["ranks like"] == ", ".join(f"c{at} {1 - at / 10:.2f} / 0.50" for at in range(1, 6))
    assert said["ranks unlike"].split()[0] == "c9"
    assert len(said["ranks unlike"].split(", ")) == 4


def test_hints_tell_groups_from_the_whole() -> None:
    alike = [Likeness("a", 1.0, 1.0), Likeness("b", 0.9995, 0.4), Likeness("c", 0.99, 1.0)]
    hints = [reason for name, reason in similarities(alike) if name == "hint"]
    assert hints[0] == "same ranking as a"
    assert hints[1].startswith("same ranking as b inside every group; ")
    assert len(hints) == 2


# --- the commands ---------------------------------------------------------------------------------


@pytest.fixture
def bench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Command]:
    """The command in this process, in an empty folder: its exit code, what it said, its faults."""
    monkeypatch.chdir(tmp_path)
    for console in (cli.console, cli.complaints):  # of the width there was when they were made
        monkeypatch.setattr(console, "width", 200)
    threads, terminate = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)

    def command(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    yield command
    torch.set_num_threads(threads)
    signal.signal(signal.SIGTERM, terminate)


def test_a_new_criterion_passes_as_it_is(bench: Command, tmp_path: Path, results: Path) -> None:
    code, said, _ = bench("new-criterion", "edge_flow")
    assert code == 0
    assert said.endswith(" bench check --plugin edge_flow.py\n")
    text = (tmp_path / "edge_flow.py").read_text()
    assert "class EdgeFlow(Criterion)" in text
    assert "my_criterion" not in text
    assert ast.get_docstring(ast.parse(text)).startswith("edge_flow: ")
    code, said, _ = bench("check", "--plugin", "edge_flow.py", "--results", results)
    assert code == 0
    assert "edge_flow conforms" in said
    assert "times forward and backward" in said
    assert len(re.findall(r"  pass +all ", said)) >= 6


def test_check_ends_with_1_where_a_criterion_does_not_conform(
    bench: Command, tmp_path: Path
) -> None:
    path = tmp_path / "bad.py"
    bench("new-criterion", "bad", "--out", path)
    path.write_text(path.read_text().replace(".sum(1))", ".sum(1) * float('nan'))"))
    code, said, _ = bench("check", "bad", "--plugin", path)
    assert code == 1
    assert re.search(r"finite +fail +chain.* +group 3: 4 of 4 values are NaN or infinite", said)
    assert "promises: finite\n" in said
    assert not (tmp_path / "results").exists(), "what fails is not compared"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["new-criterion", "l1"], "criterion of that name"),
        (["new-criterion", "obd_diag"], "criterion of that name"),  # an alias
        (["new-criterion", "My-Idea"], "60 at most, such as my_idea"),
        (["new-criterion", "../x"], "letters, digits and _"),
        (["new-criterion", "mine", "--out", "taken.py"], "taken.py exists"),
        (["new-criterion", "mine", "--out", "no/mine.py"], "written: No such file"),
        (["check"], "--plugin FILE"),
        (["check", "tailor"], "Did you mean taylor"),
        (["check", "--plugin", "no.py"], "there is no such file"),
    ],
)
def test_faults_are_one_message(
    bench: Command, tmp_path: Path, arguments: list[str], said: str
) -> None:
    taken = tmp_path / "taken.py"
    taken.write_text("# mine\n")
    code, _, error = bench(*arguments)
    assert code == 2
    assert said in error
    assert "Traceback" not in error
    assert taken.read_text() == "# mine\n"
    assert list(tmp_path.iterdir()) == [taken]
