"""Criteria: by hand, by plain loops, and by torch-pruning where it is right."""

from __future__ import annotations

import copy
from itertools import product
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch_pruning as tp
from conftest import (
    CLASSES,
    Chain,
    about,
    build,
    conv,
    group_at,
    groups_of,
    images,
    labelled,
    left_as_found,
    lively,
    marked,
    parameters_of,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scoring import EXACT, PLAIN, SINGLE, assert_same, scores_of, upstream
from torch import Tensor, nn

from criteria import (
    Batch,
    CriteriaError,
    Criterion,
    Group,
    Need,
    NotApplicable,
    OptionError,
    ScoreError,
    criteria,
    find,
    score,
)
from criteria.criterion import checked_scores
from criteria.gather import gather
from criteria.reduce import Normalizer, Reduction, lamp, normalize, reduce_members
from criteria.registry import create

ALL = [entry.name for entry in criteria() if entry.selector is None]
DRAWING = {"random", "hap"}  # from their generator or by the batch, another number every time


# --- by hand --------------------------------------------------------------------------------------


def by_hand() -> nn.Module:
    """One group: filters (1, -2), (3, 4), (0, 0); gammas 1, -2, 3; readers (1, 0), (0, 1), (2, 2).

    Squared norms by member: 5, 25, 0; 1, 4, 9; 1, 1, 8. Their sums: 7, 30, 17.
    """
    model = nn.Sequential(
        nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2),
    ).double()  # fmt: skip
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1, -2], [3, 4], [0, 0]])[:, :, None, None])
        model[0].bias.fill_(100)  # must not count
        model[1].weight.copy_(torch.tensor([1, -2, 3]))
        model[1].bias.fill_(100)
        model[5].weight.copy_(torch.tensor([[1, 0, 2], [0, 1, 2]]))
    return model


@pytest.mark.parametrize(
    ("criterion", "options", "expected"),
    [
        ("l1", {}, [3, 7, 0]),
        ("l1", {"reduction": "sum"}, [3 + 1 + 1, 7 + 2 + 1, 0 + 3 + 4]),
        ("l1", {"reduction": "max"}, [3, 7, 4]),
        ("l1", {"reduction": "prod"}, [3, 14, 0]),
        ("l2", {}, [5**0.5, 5, 0]),
        ("fpgm", {}, [40**0.5 + 5**0.5, 40**0.5 + 5, 5**0.5 + 5]),
        ("bn_scale", {}, [1, 2, 3]),
        ("group_norm", {"normalizer": "none"}, [7 / 3, 10, 17 / 3]),
        ("group_norm", {}, [7 / 18, 30 / 18, 17 / 18]),
        ("lamp", {}, [7 / 54, 30 / 30, 17 / 47]),
        ("inverse", {"of": "l1"}, [-3, -7, 0]),
    ],
)
def test_scores_are_those_computed_by_hand(
    criterion: str, options: dict[str, Any], expected: list[float]
) -> None:
    (found,) = score(by_hand(), torch.zeros(1, 2, 4, 4).double(), criterion, **options)
    assert found.root == "0"
    assert found.values.dtype == torch.float64
    torch.testing.assert_close(found.values, torch.tensor(expected, dtype=torch.float64), **EXACT)


def test_in_a_residual_group_the_first_filter_counts() -> None:
    model = build("residual")
    expected = model.left2.weight.detach().abs().flatten(1).sum(1)
    torch.testing.assert_close(scores_of(model, "l1")["left2"], expected, **EXACT)


def test_bn_scale_averages_the_norms_of_a_sum() -> None:
    model = build("residual")
    found = score(model, images(1), "bn_scale", ignored=[model.stem])  # which has no norm
    scores = {one.root: one.values for one in found}
    both = (model.norm2.weight.abs() + model.norm3.weight.abs()).detach() / 2
    assert scores.keys() == {"left1", "left2"}
    torch.testing.assert_close(scores["left2"], both, **EXACT)


def test_bn_scale_without_norms_is_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="bn_scale finds nothing to score in the group of 4"):
        score(build("flat"), images(1), "bn_scale")


# --- torch-pruning's own scores, where they are right ---------------------------------------------


REDUCTIONS = ("sum", "mean", "first", "prod", "max")


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(("criterion", "p"), [("l1", 1), ("group_norm", 2)])
def test_magnitudes_are_torch_prunings(name: str, criterion: str, p: int) -> None:
    model = build(name)
    # torch-pruning takes the entries of a flattened channel for members.
    left_out = ("max", "prod") if name == "flat" else ()
    normalizers: list[Normalizer] = ["none", "sum", "mean", "max"]
    for reduction, normalizer in product(REDUCTIONS, normalizers):
        if reduction in left_out:
            continue
        importance = tp.importance.GroupMagnitudeImportance(
            p=p, group_reduction=reduction, normalizer=None if normalizer == "none" else normalizer
        )
        found = scores_of(model, criterion, reduction=reduction, normalizer=normalizer)
        with about(f"{reduction}, {normalizer}"):
            assert_same(found, upstream(model, importance), **SINGLE)


def test_depthwise_filters_count_here_and_not_in_torch_pruning() -> None:
    model = build("depthwise")
    importance = tp.importance.GroupMagnitudeImportance(p=2, group_reduction="sum", normalizer=None)
    ours = scores_of(model, "group_norm", reduction="sum", normalizer="none")
    depthwise = model.depthwise.weight.detach().square().flatten(1).sum(1)
    expected = upstream(model, importance)["expand"].double() + depthwise
    torch.testing.assert_close(ours["expand"], expected, **SINGLE)


@pytest.mark.parametrize("name", PLAIN)
def test_lamp_is_torch_prunings(name: str) -> None:
    model = build(name)
    importance = tp.importance.LAMPImportance(p=2, group_reduction="mean")
    assert_same(scores_of(model, "lamp"), upstream(model, importance), **SINGLE)


@pytest.mark.parametrize("name", ["chain", "concat"])
def test_bn_scale_is_torch_prunings(name: str) -> None:
    model = build(name)
    importance = tp.importance.BNScaleImportance(group_reduction="mean", normalizer=None)
    ignored = [model.conv1, model.conv2] if name == "concat" else []
    found = score(model, images(1), "bn_scale", ignored=ignored)
    expected = upstream(model, importance, [one.group for one in found])
    assert_same({one.root: one.values for one in found}, expected, **SINGLE)


@pytest.mark.parametrize(
    ("name", "variant", "multivariable"),
    [  # Without batch norm, which torch-pruning leaves out.
        ("flat", "elementwise", False),
        ("one_channel", "elementwise", False),
        ("one_channel", "signed", True),
    ],
)
def test_taylor_is_torch_prunings(name: str, variant: str, multivariable: bool) -> None:
    model = build(name)
    x, y = labelled(6)
    found = scores_of(model, "taylor", [(x, y)], variant=variant)
    F.cross_entropy(model(x), y).backward()
    importance = tp.importance.GroupTaylorImportance(
        group_reduction="sum", normalizer=None, multivariable=multivariable
    )
    assert_same(found, upstream(model, importance), **SINGLE)


@pytest.mark.parametrize("name", ["chain", "flat", "residual"])
def test_hessian_diag_tp_has_torch_prunings_defect(name: str) -> None:
    """Their accumulation keeps the last sample; so does this variant, the right one does not."""
    model = build(name)
    batches = [labelled(3, seed=0), labelled(2, seed=1)]
    found = scores_of(model, "hessian_diag_tp", batches)
    right = scores_of(model, "hessian_diag", batches, reduction="mean", normalizer="mean")
    importance = tp.importance.GroupHessianImportance(group_reduction="mean", normalizer="mean")
    for x, y in batches:
        for one in range(len(y)):
            model.zero_grad()
            F.cross_entropy(model(x[one : one + 1]), y[one : one + 1]).backward()
            importance.accumulate_grad(model)
    expected = upstream(model, importance)
    assert_same(found, expected, **SINGLE)
    assert any(not torch.allclose(right[key], expected[key].double()) for key in right)


# --- per-sample gradients against a loop ----------------------------------------------------------


class Recorder(Criterion):
    """Keeps what it is shown."""

    name = "recorder"
    needs = Need.GRADIENTS | Need.SQUARES

    def __init__(self, needs: Need = needs) -> None:
        super().__init__((), None, torch.Generator())
        self.needs = needs
        self.seen: list[Batch] = []

    def observe(self, batch: Batch) -> None:
        if self.needs & Need.GRADIENTS:
            assert batch.gradients
        if self.needs & Need.SQUARES:
            assert batch.squared_gradients
        self.seen.append(batch)


class Twice(nn.Module):
    """A layer and a norm that are used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.loop, self.norm = conv(3, 4), conv(4, 4), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for _ in range(2):
            x = F.silu(self.norm(self.loop(x)))
        return self.fc(x.mean((2, 3)))


class Tokens(nn.Module):
    """Linear layers and layer norms over a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Linear(SIDE_PIXELS, 6), nn.LayerNorm(6)
        self.hidden, self.fc = nn.Linear(6, 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.gelu(self.hidden(self.norm(self.embed(x.flatten(2)))))).mean(1)


SIDE_PIXELS = 64


def head(width: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES)]


PER_SAMPLE: dict[str, Any] = {
    "conv": lambda: nn.Sequential(conv(3, 4), nn.SiLU(), *head(4)),
    "no bias": lambda: nn.Sequential(conv(3, 4, bias=False), nn.SiLU(), *head(4)),
    "grouped": lambda: nn.Sequential(conv(3, 6), nn.SiLU(), conv(6, 8, groups=2), *head(8)),
    "depthwise": lambda: nn.Sequential(conv(3, 6), nn.SiLU(), conv(6, 6, groups=6), *head(6)),
    "strided": lambda: nn.Sequential(nn.Conv2d(3, 4, (3, 2), (2, 3), (1, 0)), nn.SiLU(), *head(4)),
    "dilated": lambda: nn.Sequential(nn.Conv2d(3, 4, 3, dilation=2), nn.SiLU(), *head(4)),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.SiLU(), nn.Linear(4, 5)),
    "tokens": Tokens,
    "batch norm": lambda: Chain(4, 4),
    "in-place activation": lambda: nn.Sequential(
        conv(3, 4), nn.BatchNorm2d(4), nn.ReLU(inplace=True), conv(4, 4), *head(4)
    ),
    "used twice": Twice,
    "vit": lambda: build("vit"),
}


@pytest.mark.parametrize("kind", PER_SAMPLE)
def test_squares_are_those_of_a_loop_over_single_samples(kind: str) -> None:
    model = lively(PER_SAMPLE[kind]())
    x, y = labelled(4)
    recorder = Recorder()
    gather(model, [recorder], [(x, y)])
    (batch,) = recorder.seen
    squares = {key: torch.zeros_like(one) for key, one in model.named_parameters()}
    for at in range(len(y)):
        model.zero_grad()
        F.cross_entropy(model(x[at : at + 1]), y[at : at + 1]).backward()
        for key, one in model.named_parameters():
            squares[key] += one.grad.square() / len(y)
    last = {key: one.grad.square() for key, one in model.named_parameters()}
    model.zero_grad()
    F.cross_entropy(model(x), y).backward()
    bare = {"class_token", "encoder.pos_embedding"}  # belong to no layer; no criterion scores them
    assert batch.squared_gradients.keys() == squares.keys() - bare
    for key in batch.squared_gradients:
        torch.testing.assert_close(batch.squared_gradients[key], squares[key], **EXACT)
        torch.testing.assert_close(batch.last_squared_gradients[key], last[key], **EXACT)
    for key, one in model.named_parameters():
        torch.testing.assert_close(batch.gradients[key], one.grad, **EXACT)


@pytest.mark.parametrize("name", ["chain", "grouped", "residual", "vit"])
@pytest.mark.parametrize("bias", [False, True])
def test_hessian_diag_is_half_of_squared_weights_times_fisher(name: str, bias: bool) -> None:
    model = build(name)
    x, y = labelled(5)
    found = scores_of(model, "hessian_diag", [(x[:2], y[:2]), (x[2:], y[2:])], bias=bias)
    fisher = {key: torch.zeros_like(one) for key, one in model.named_parameters()}
    for at in range(5):
        model.zero_grad()
        F.cross_entropy(model(x[at : at + 1]), y[at : at + 1]).backward()
        for key, one in model.named_parameters():
            fisher[key] += one.grad.square() / 5
    share = {key: w.square() * fisher[key] / 2 for key, w in parameters_of(model).items()}
    expected = {
        group.root: sum(
            member.view(share, bias=bias).sum(1) for member in group.members if member.scored
        )
        for group in groups_of(model)
    }
    assert_same(found, expected, **EXACT)


def test_a_layer_without_a_formula_fails_by_itself() -> None:
    """What the outputs of a transposed convolution see is unknown; Taylor needs none."""
    model = build("transposed")
    groups = groups_of(model)
    every = [create(one, groups, {}, torch.Generator()) for one in ("kron_obd", "taylor", "l1")]
    kron, taylor, l1 = gather(model, every, [labelled()])
    assert isinstance(kron.failure, NotApplicable)
    assert "ConvTranspose2d" in str(kron.failure)
    assert taylor.failure is None
    assert l1.failure is None
    alone = scores_of(model, "taylor", [labelled()])
    for group, values in zip(groups, checked_scores(every[1]), strict=True):
        assert torch.equal(alone[group.root], values)
    with pytest.raises(NotApplicable):
        scores_of(model, "kron_obd", [labelled()])


# --- taylor ---------------------------------------------------------------------------------------


def gradients(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    copied = copy.deepcopy(model)
    F.cross_entropy(copied(x), y).backward()
    return {key: one.grad for key, one in copied.named_parameters()}


@pytest.mark.parametrize("name", ["residual", "grouped", "flat", "vit"])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("variant", ["squared", "absolute", "signed", "elementwise"])
def test_taylor_is_its_formula(name: str, bias: bool, variant: str) -> None:
    model = build(name)
    batches = [labelled(3, seed) for seed in range(3)]
    weights = parameters_of(model)
    by_batch = [gradients(model, x, y) for x, y in batches]
    expected = {}
    for group in groups_of(model):
        total = torch.zeros(group.units).double()
        for member in (one for one in group.members if one.scored):
            w = member.view(weights, bias=bias)
            p = torch.stack([w * member.view(g, bias=bias) for g in by_batch])  # [b, units, e]
            total += {
                "squared": p.sum(2).square().mean(0),
                "absolute": p.sum(2).abs().mean(0),
                "signed": p.sum(2).mean(0).abs(),
                "elementwise": p.mean(0).abs().sum(1),
            }[variant]
        expected[group.root] = total
    assert_same(scores_of(model, "taylor", batches, variant=variant, bias=bias), expected, **EXACT)


# --- evidence over batches ------------------------------------------------------------------------


def test_batches_add_up() -> None:
    """Two batches equal the one of both, or its mean over batches where squares are per batch."""
    model = build("residual")
    a, b = labelled(4, 0), labelled(4, 1)
    both = (torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]]))
    assert_same(
        scores_of(model, "hessian_diag", [a, b]), scores_of(model, "hessian_diag", [both]), **EXACT
    )
    for variant in ("signed", "elementwise"):  # linear in the gradient before the end
        assert_same(
            scores_of(model, "taylor", [a, b], variant=variant),
            scores_of(model, "taylor", [both], variant=variant),
            **EXACT,
        )
    for variant in ("squared", "absolute"):
        one, two = (scores_of(model, "taylor", [each], variant=variant) for each in (a, b))
        mean = {root: (one[root] + two[root]) / 2 for root in one}
        assert_same(scores_of(model, "taylor", [a, b], variant=variant), mean, **EXACT)


def test_the_order_of_batches_does_not_matter() -> None:
    model = build("chain")
    batches = [labelled(3, seed) for seed in range(4)]
    for criterion in sorted({*ALL} - DRAWING - {"hessian_diag_tp"}):
        # Labels are drawn by the batch's place in the order.
        drawn = "labels" in find(criterion).type.options_type.model_fields
        options = {"labels": "true"} if drawn else {}
        one = scores_of(model, criterion, batches[::-1], **options)
        with about(criterion):
            assert_same(one, scores_of(model, criterion, batches, **options), **EXACT)


def test_with_the_defect_the_order_of_batches_does_matter() -> None:
    model = build("chain")
    batches = [labelled(3, seed) for seed in range(4)]
    one, two = (scores_of(model, "hessian_diag_tp", each) for each in (batches, batches[::-1]))
    assert not torch.allclose(one["0"], two["0"])


def test_one_pass_for_all_gives_what_each_gets_alone() -> None:
    model = build("chain")
    groups = groups_of(model)
    batches = [labelled(3, seed) for seed in range(2)]
    names = [one for one in ALL if one != "random"]
    every = [create(one, groups, {}, torch.Generator().manual_seed(0)) for one in names]
    costs = gather(model, every, iter(batches))
    for one, cost in zip(every, costs, strict=True):
        assert cost.failure is None
        assert cost.seconds > 0
        assert cost.images == (6 if one.needs else 0)
        together = dict(zip((g.root for g in groups), checked_scores(one), strict=True))
        assert_same(together, scores_of(model, one.name, batches), rtol=0, atol=0)


def test_gradients_are_of_eval_mode() -> None:
    """In train mode, the product of weight and gradient ahead of a batch norm is zero."""
    model = build("chain").train()
    assert (scores_of(model, "taylor", [labelled()])["0"] > 1e-9).all()
    assert_same(
        scores_of(model, "taylor", [labelled()]),
        scores_of(model.eval(), "taylor", [labelled()]),
        rtol=0,
        atol=0,
    )


def test_another_loss_gives_other_scores() -> None:
    model = build("chain")

    def squares(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs.square().mean()

    x, y = labelled()
    found = scores_of(model, "taylor", [(x, y)], loss=squares, variant="elementwise")
    squares(model(x), y).backward()
    products = {key: (one.grad * one).detach() for key, one in model.named_parameters()}
    members = group_at(groups_of(model), "3").members
    expected = sum(one.view(products).abs().sum(1) for one in members)
    torch.testing.assert_close(found["3"], expected, **EXACT)


# --- symmetry -------------------------------------------------------------------------------------


def test_inverse_reverses() -> None:
    model, batches = build("chain"), [labelled()]
    inner: list[Any] = [one for one in ALL if one not in ("random", "inverse")]
    for of in [*inner, {"criterion": "taylor", "options": {"variant": "absolute"}}]:
        name, options = (of, {}) if isinstance(of, str) else (of["criterion"], of["options"])
        plain = scores_of(model, name, batches, **options)
        negated = {root: -values for root, values in plain.items()}
        with about(of):
            assert_same(scores_of(model, "inverse", batches, of=of), negated, rtol=0, atol=0)


def test_inverse_refuses_what_its_inner_criterion_refuses() -> None:
    with pytest.raises(OptionError, match="no criterion 'l11'"):
        scores_of(build("chain"), "inverse", of="l11")
    with pytest.raises(OptionError, match="no option 'p'"):
        scores_of(build("chain"), "inverse", of={"criterion": "l1", "options": {"p": 3}})


def test_random_depends_on_its_generator_alone() -> None:
    def draw(seed: int) -> dict[str, Tensor]:
        return scores_of(build("chain"), "random", generator=torch.Generator().manual_seed(seed))

    torch.manual_seed(1)
    first = draw(7)
    torch.manual_seed(2)
    assert_same(draw(7), first, rtol=0, atol=0)
    assert not torch.equal(draw(8)["0"], first["0"])
    assert all(((one >= 0) & (one < 1)).all() for one in first.values())


# --- the model is left as found -------------------------------------------------------------------


@pytest.mark.parametrize("criterion", ["taylor", "hessian_diag"])
def test_a_failing_pass_leaves_the_model_as_found(criterion: str) -> None:
    model = marked(build("chain"))
    x, y = labelled()
    with left_as_found(model):
        with pytest.raises(CriteriaError, match="the loss does not take the network's outputs"):
            scores_of(model, criterion, [(x, y), (x, y + 100)])
        with pytest.raises(RuntimeError):
            scores_of(model, criterion, [(x[:, :2], y)])


def test_scores_are_the_same_under_no_grad_and_for_frozen_networks() -> None:
    expected = scores_of(build("chain"), "taylor", [labelled()])
    with torch.no_grad():
        assert_same(scores_of(build("chain"), "taylor", [labelled()]), expected, rtol=0, atol=0)
    frozen = build("chain").requires_grad_(False)
    assert_same(scores_of(frozen, "taylor", [labelled()]), expected, rtol=0, atol=0)


# --- what goes wrong ------------------------------------------------------------------------------


class Broken(Criterion):
    """Scores that are wrong in one way."""

    name = "broken"

    def __init__(self, groups: tuple[Group, ...], what: Any, needs: Need = Need.WEIGHTS) -> None:
        super().__init__(groups, None, torch.Generator())
        self.what, self.needs = what, needs

    def observe(self, batch: Batch) -> None:
        if isinstance(self.what, Exception):
            raise self.what

    def scores(self) -> list[Tensor]:
        return self.what(self.groups)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (lambda groups: [torch.full((one.units,), torch.nan) for one in groups], "4 values.*not f"),
        (lambda groups: [torch.full((one.units,), torch.inf) for one in groups], "group of 3 "),
        (lambda groups: [torch.ones(one.units + 1) for one in groups], r"\(5,\).*shape \(4,\)"),
        (lambda groups: [torch.ones(one.units, 1) for one in groups], r"\(4, 1\).*shape \(4,\)"),
        (lambda groups: [[0.0] * one.units for one in groups], "list.*expected a tensor"),
        (lambda groups: [torch.ones(groups[0].units)], "scored 1 groups, the network has 2"),
    ],
)
def test_wrong_scores_are_a_clear_error(what: Any, says: str) -> None:
    with pytest.raises(ScoreError, match=f"broken.*{says}"):
        checked_scores(Broken(groups_of(build("chain")), what))


def test_member_scores_of_a_wrong_shape_name_the_layer() -> None:
    class Wide(Criterion):
        name = "wide"

        def observe(self, batch: Batch) -> None:
            for member in self.members:
                self.add(member, member.view(batch.weights))

    groups = groups_of(build("chain"))
    wide = Wide(groups, create("l1", groups, {}, torch.Generator()).options, torch.Generator())
    gather(build("chain"), [wide], [])
    with pytest.raises(
        ScoreError, match=rf"wide has scores of shape .* for {groups[0].root}; .*4,"
    ):
        wide.scores()


@pytest.mark.parametrize("needs", [Need.WEIGHTS, Need.GRADIENTS])
def test_a_criterion_that_raises_does_not_stop_the_others(needs: Need) -> None:
    model = build("chain")
    groups = groups_of(model)
    mine = ZeroDivisionError("mine")
    broken = Broken(groups, mine, needs)
    others = [create(one, groups, {}, torch.Generator()) for one in ("taylor", "l1")]
    batches = [labelled(3, seed) for seed in range(2)]
    failed, *fine = gather(model, [broken, *others], batches)
    assert failed.failure is mine
    assert broken.batches == 0
    for one, cost in zip(others, fine, strict=True):
        assert cost.failure is None
        alone = scores_of(model, one.name, batches)
        assert_same(
            dict(zip((g.root for g in groups), checked_scores(one), strict=True)),
            alone,
            rtol=0,
            atol=0,
        )


@pytest.mark.parametrize("criterion", ["taylor", "hessian_diag", "hessian_diag_tp"])
def test_missing_data_is_a_clear_error(criterion: str) -> None:
    with pytest.raises(CriteriaError, match=f"{criterion}: needs data; give batches"):
        scores_of(build("chain"), criterion)


def test_a_criterion_that_overrides_nothing_says_what_to_override() -> None:
    bare = Criterion(groups_of(build("chain")), None, torch.Generator())
    (cost,) = gather(build("chain"), [bare], ())
    assert isinstance(cost.failure, NotImplementedError)
    assert "must override observe or scores" in str(cost.failure)


# --- reductions and normalisers -------------------------------------------------------------------

STACKED = torch.tensor([[1.0, 4.0, 0.0], [3.0, 2.0, 5.0]]).double()


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("sum", [4, 6, 5]),
        ("mean", [2, 3, 2.5]),
        ("max", [3, 4, 5]),
        ("prod", [3, 8, 0]),
        ("first", [1, 4, 0]),
    ],
)
def test_reductions(how: Reduction, expected: list[float]) -> None:
    assert reduce_members(STACKED, how).tolist() == expected


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("none", [1, 3, 4]),
        ("sum", [1 / 8, 3 / 8, 4 / 8]),
        ("mean", [3 / 8, 9 / 8, 12 / 8]),
        ("max", [1 / 4, 3 / 4, 1]),
        ("l2", [one / 26**0.5 for one in (1, 3, 4)]),
        ("minmax", [0, 2 / 3, 1]),
        ("gaussian", [(one - 8 / 3) / (14 / 9) ** 0.5 for one in (1, 3, 4)]),
        ("lamp", [1 / 8, 3 / 7, 4 / 4]),
    ],
)
def test_normalisers(how: Normalizer, expected: list[float]) -> None:
    found = normalize(torch.tensor([1.0, 3.0, 4.0]).double(), how)
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=1e-14, atol=0
    )


HOWS: list[Normalizer] = ["none", "sum", "mean", "max", "l2", "minmax", "gaussian", "lamp"]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("scores", [[0.0, 0.0, 0.0], [2.0, 2.0], [5.0]])
def test_normalisers_never_divide_by_zero(how: Normalizer, scores: list[float]) -> None:
    found = normalize(torch.tensor(scores).double(), how)
    assert torch.isfinite(found).all()
    if not any(scores):
        assert not found.any()


@pytest.mark.parametrize("how", HOWS)
@given(drawn=arrays.arrays(float, st.integers(1, 9), elements=st.floats(0.01, 1e3), unique=True))
def test_normalisers_keep_the_order_within_a_group(how: Normalizer, drawn: Any) -> None:
    scores = torch.from_numpy(drawn)
    order = scores.argsort()
    kept = normalize(scores, how)[order]
    assert (kept.diff() >= -1e-12 * kept.abs().max()).all()


def test_equal_scores_share_lamp_in_order_of_index() -> None:
    assert lamp(torch.tensor([1.0, 1.0, 2.0]).double()).tolist() == [1 / 4, 1 / 3, 1]
