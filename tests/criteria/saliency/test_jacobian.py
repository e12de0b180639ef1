"""The Jacobian criterion and WHC: formulas, identities, vectors (Optimal Brain Connection)."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
import toy
from conftest import build, group_at, groups_of, images, labelled, lively, parameters_of
from torch import Tensor, nn
from torch.nn import functional as F

from criteria import Criterion, Member, Need, OptionError, score
from criteria.evidence.batch import Batch
from criteria.gather import gather
from criteria.registry import create

EXACT = {"rtol": 1e-9, "atol": 1e-14}  # float64; sums in another order
VECTORS = json.loads((toy.VECTORS / "obc.json").read_text())


def scores_of(model: nn.Module, name: str, batches: Any, **options: Any) -> dict[str, Tensor]:
    return {one.root: one.values for one in score(model, images(1), name, batches, **options)}


class Published(nn.Module):
    """The network on which the authors' code was compared: sum, flatten, biases here and there."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5)
        self.conv3, self.bn3 = nn.Conv2d(5, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv4 = nn.Conv2d(6, 4, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(64, 7), nn.Linear(7, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(x + self.bn3(self.conv3(F.relu(self.bn2(self.conv2(x))))))
        return self.fc2(F.relu(self.fc1(F.relu(self.conv4(F.max_pool2d(x, 2))).flatten(1))))


def rows_of(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> list[dict[str, Tensor]]:
    """Gradient of every batch's mean loss, by plain autograd."""
    names = [name for name, _ in model.named_parameters()]
    return [
        dict(
            zip(
                names,
                torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters())),
                strict=True,
            )
        )
        for x, y in batches
    ]


def dense(member: Member, model: nn.Module, rows: list[dict[str, Tensor]]) -> Tensor:
    """w'(J'J)w of every entry, with J and J'J written out."""
    weights = member.rows(parameters_of(model), bias=True)
    jacobian = torch.stack([member.rows(row, bias=True) for row in rows])  # [batches, entries, n]
    squared = torch.einsum("bei,bej->eij", jacobian, jacobian)
    entries = torch.einsum("ei,eij,ej->e", weights, squared, weights)
    return torch.zeros(member.unit_count).double().index_add(0, member.units, entries)


def test_the_streaming_form_is_the_dense_one_on_the_published_network() -> None:
    model = lively(Published())
    batches = [labelled(16, seed) for seed in range(7)]
    found = scores_of(model, "jacobian", batches)
    rows = rows_of(model, batches)
    for group in groups_of(model):
        expected = torch.stack([dense(m, model, rows) for m in group.members if m.scored]).sum(0)
        torch.testing.assert_close(found[group.root], expected, **EXACT)
        assert torch.equal(found[group.root].argsort(), expected.argsort())


def test_scores_of_given_gradients_are_those_by_hand() -> None:
    case = VECTORS["jacobian_rows"]
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 5)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor(case["weights"]))
    gradients = torch.tensor(case["gradients_by_batch"]).double()

    class Given(nn.Module):
        """A network whose loss has the given gradients at its first layer."""

        def forward(self, outputs: Tensor, batch: Tensor) -> Tensor:
            return (model[0].weight * gradients[int(batch)]).sum() + 0 * outputs.sum()

    (group,) = groups_at(model)
    for name, key in (("jacobian", "scores"), ("jacobian_diag", "diagonal")):
        one = create(name, [group], {"reduction": "first"}, torch.Generator())
        batches = [(torch.zeros(1, 2).double(), torch.tensor(at)) for at in range(2)]
        (cost,) = gather(model, [one], batches, loss=Given())
        assert cost.failure is None
        assert one.scores()[0].tolist() == case[key]
        assert case["scores"] != case["scores_if_summed_first"]


def groups_at(model: nn.Module) -> Any:
    from criteria import find_structure

    return find_structure(model, torch.zeros(1, 2).double()).groups


@pytest.mark.parametrize("name", ["chain", "residual", "concat", "grouped", "flat", "vit"])
def test_rows_by_sample_are_batches_of_one(name: str) -> None:
    model = build(name)
    x, y = labelled(6)
    single = [(x[n : n + 1], y[n : n + 1]) for n in range(6)]
    expected = scores_of(model, "jacobian", single)
    found = scores_of(model, "jacobian", [(x[:4], y[:4]), (x[4:], y[4:])], rows="sample")
    for root, values in expected.items():
        torch.testing.assert_close(found[root], values, **EXACT)


@pytest.mark.parametrize("rows", ["batch", "sample"])
def test_a_flattened_channel_is_one_block_or_one_block_a_feature(rows: str) -> None:
    model = build("flat")
    batch = labelled(5)
    both = {
        flatten: scores_of(model, "jacobian", [batch], flatten=flatten, rows=rows)["0"]
        for flatten in ("feature", "block")
    }
    (group,) = [one for one in groups_of(model) if one.root == "0"]
    out, into = (member for member in group.members if member.scored)
    x, y = batch
    data = [batch] if rows == "batch" else [(x[n : n + 1], y[n : n + 1]) for n in range(5)]
    weights = parameters_of(model)
    gradients = rows_of(model, data)
    first = sum((out.rows(weights, bias=True) * out.rows(g, bias=True)).sum(1) ** 2
                for g in gradients)  # fmt: skip
    dots = torch.stack([(into.rows(weights) * into.rows(g)).sum(1) for g in gradients])
    slab = dots.reshape(len(gradients), 4, 4)  # a channel's features follow each other
    expected = {"feature": slab.square().sum((0, 2)), "block": slab.sum(2).square().sum(0)}
    for flatten, values in both.items():
        torch.testing.assert_close(values, first + expected[flatten], **EXACT)
    assert not torch.allclose(both["feature"], both["block"])


def test_inputs_of_a_grouped_convolution_meet_their_own_outputs() -> None:
    model = build("grouped")
    batch = labelled(4)
    found = scores_of(model, "jacobian", [batch])["0"]
    pooled = scores_of(model, "jacobian", [batch], grouped="pooled")["0"]
    gradient = rows_of(model, [batch])[0]
    weights = parameters_of(model)

    def product(name: str) -> Tensor:
        return weights[name] * gradient[name]

    out = product("0.weight").flatten(1).sum(1) + product("0.bias")
    norm = product("1.weight") + product("1.bias")
    grouped = product("3.weight")  # [8 outputs, 3 of 6 inputs, 3, 3], 2 groups
    into = torch.cat([grouped[:4].sum((0, 2, 3)), grouped[4:].sum((0, 2, 3))])
    units = torch.arange(6) % 3  # one position of both blocks

    def per_unit(values: Tensor) -> Tensor:
        return torch.zeros(3).double().index_add(0, units, values)

    squares = per_unit(out**2 + norm**2)
    torch.testing.assert_close(found, squares + per_unit(into**2), **EXACT)
    torch.testing.assert_close(pooled, squares + 2 * per_unit(into) ** 2, **EXACT)


def test_depthwise_filters_count_when_asked_for() -> None:
    model = build("depthwise")
    batch = labelled(4)
    without = scores_of(model, "jacobian", [batch])["expand"]
    counted = scores_of(model, "jacobian", [batch], depthwise=True)["expand"]
    gradient = rows_of(model, [batch])[0]
    own = (model.depthwise.weight * gradient["depthwise.weight"]).flatten(1).sum(1)
    own = own + model.depthwise.bias * gradient["depthwise.bias"]
    torch.testing.assert_close(counted - without, own.detach().square(), **EXACT)


def test_joint_squares_the_sum_of_the_members() -> None:
    model = build("residual")
    batches = [labelled(4, seed) for seed in range(2)]
    found = scores_of(model, "jacobian", batches, combine="joint", flatten="block")
    weights, rows = parameters_of(model), rows_of(model, batches)
    for group in groups_of(model):
        expected = sum(
            sum(
                (m.view(weights, bias=True) * m.view(row, bias=True)).sum(1)
                for m in group.members
                if m.scored
            )
            ** 2
            for row in rows
        )
        torch.testing.assert_close(found[group.root], expected, **EXACT)
    with pytest.raises(OptionError, match="joint adds whole blocks up"):
        scores_of(model, "jacobian", batches, combine="joint")


def test_behind_relu_the_norm_and_its_only_reader_score_the_same() -> None:
    """Positive homogeneity: y -> relu, pooling, flatten -> one dense consumer."""
    model = lively(
        nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64, 5),
        )
    )
    batches = [labelled(4, seed) for seed in range(3)]
    (group,) = groups_of(model)
    one = create("jacobian", [group], {"flatten": "block"}, torch.Generator())
    gather(model, [one], batches)
    by_name = {member.name: one.member_scores(member) for member in one.members}
    torch.testing.assert_close(by_name["1"], by_name["5"], **EXACT)
    assert not torch.allclose(by_name["0"], by_name["5"])


@pytest.mark.parametrize("scale", [0.2, 5.0])
def test_rescaling_a_channel_changes_l1_and_whc_but_not_the_jacobian(scale: float) -> None:
    def scaled(scale: float) -> nn.Module:
        model = lively(Published())
        with torch.no_grad():
            model.bn2.weight[1] *= scale
            model.bn2.bias[1] *= scale
            model.conv3.weight[:, 1] /= scale
        return model

    batches = [labelled(4, seed) for seed in range(2)]
    before = scores_of(scaled(1), "jacobian", batches)
    after = scores_of(scaled(scale), "jacobian", batches)
    for root, values in before.items():
        torch.testing.assert_close(after[root], values, **EXACT)
    for name in ("l1", "whc"):
        options = {"reduction": "sum"}
        plain = scores_of(scaled(1), name, batches, **options)["conv2"]
        assert not torch.allclose(
            scores_of(scaled(scale), name, batches, **options)["conv2"], plain
        )


def test_with_batch_statistics_a_filter_ahead_of_a_norm_would_score_nothing() -> None:
    """Why evidence is gathered in eval mode: such a filter's scale does not matter to the loss."""

    class Dots(Criterion):
        name = "dots"
        needs = Need.GRADIENTS

        def observe(self, batch: Batch) -> None:
            (member,) = [m for g in self.groups for m in g.members if m.name == "conv2"]
            self.found = [one.dots(member).abs().mean() for one in (batch, batch.batch_norm)]

    model = lively(Published())
    groups = [group for group in groups_of(model) if group.root == "conv2"]
    one = Dots(groups, None, torch.Generator())
    (cost,) = gather(model.train(), [one], [labelled(16)])
    assert cost.failure is None
    evaluated, batch = one.found
    assert batch < 1e-3 * evaluated  # not zero: the norm's epsilon


def test_state_does_not_grow_with_batches_and_scores_add_up() -> None:
    model = build("residual")
    batches = [labelled(4, seed) for seed in range(5)]
    sizes, found = [], []
    for count in (1, 5):
        one = create("jacobian", groups_of(model), {}, torch.Generator())
        gather(model, [one], batches[:count])
        sizes.append(sum(values.numel() for values in one._sums.values()))
        found.append(one.scores())
    assert sizes[0] == sizes[1]
    singles = [list(scores_of(model, "jacobian", [batch]).values()) for batch in batches]
    for at, values in enumerate(found[1]):
        torch.testing.assert_close(values, sum(one[at] for one in singles), **EXACT)


def test_heads_share_what_leaves_them_together() -> None:
    """q, k and v rows and the projection's column of one feature of every head are one unit."""
    model = build("vit")
    (group,) = [g for g in groups_of(model) if any(m.blocks > 1 for m in g.members)][:1]
    sides = {(member.name.split(".")[-1], member.side): member for member in group.members}
    heads, width = 2, 8
    assert group.units == width // heads
    for member in sides.values():
        assert len(member.indices) == width
        assert member.entries_per_unit == heads


# --- single weights -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chain", "grouped", "depthwise", "vit"])
def test_single_weights_are_scored_by_the_same_formula(name: str) -> None:
    from criteria import weight_structure

    model = build(name)
    batches = [labelled(4, seed) for seed in range(2)]
    groups = weight_structure(model).groups
    weights, rows = parameters_of(model), rows_of(model, batches)
    expected = {
        "l1": lambda key: weights[key].abs(),
        "taylor": lambda key: sum((weights[key] * row[key]) ** 2 for row in rows) / 2,
        "jacobian": lambda key: sum((weights[key] * row[key]) ** 2 for row in rows),
        "jacobian_diag": lambda key: sum((weights[key] * row[key]) ** 2 for row in rows),
    }
    for criterion, formula in expected.items():
        one = create(criterion, groups, {}, torch.Generator())
        (cost,) = gather(model, [one], batches)
        assert cost.failure is None
        for group, values in zip(groups, one.scores(), strict=True):
            key = f"{group.root}.weight"
            torch.testing.assert_close(values, formula(key).flatten().double(), **EXACT)


def test_lamp_over_single_weights_is_the_papers() -> None:
    from criteria import weight_structure

    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[3.0, 1.0], [-2.0, 0.0]]))
    one = create("lamp", weight_structure(model).groups, {}, torch.Generator())
    gather(model, [one], [])
    torch.testing.assert_close(
        one.scores()[0], torch.tensor([1.0, 1 / 14, 4 / 13, 0.0], dtype=torch.float64), **EXACT
    )


def test_a_single_weight_has_no_block_per_sample() -> None:
    from criteria import NotApplicable, weight_structure

    model = build("chain")
    groups = weight_structure(model).groups
    one = create("jacobian", groups, {"rows": "sample"}, torch.Generator())
    (cost,) = gather(model, [one], [labelled()])
    assert isinstance(cost.failure, NotApplicable)
    assert "hessian_diag" in str(cost.failure)


# --- WHC and ensembles ----------------------------------------------------------------------------


@pytest.mark.parametrize("case", VECTORS["whc"], ids=lambda case: case["why"])
def test_whc_by_hand(case: dict[str, Any]) -> None:
    filters = torch.tensor(case["filters"], dtype=torch.float64)
    model = nn.Sequential(nn.Linear(2, len(filters), bias=False), nn.Linear(len(filters), 2))
    model = model.double()
    with torch.no_grad():
        model[0].weight.copy_(filters)
    one = create("whc", groups_at(model), {"reduction": "first"}, torch.Generator())
    gather(model, [one], [])
    expected = torch.tensor(case["scores"]).double()
    torch.testing.assert_close(one.scores()[0], expected, rtol=1e-12, atol=1e-12)


def whc_of(filters: list[Tensor], of: int) -> float:
    """One filter's score, pair by pair."""
    mine, total = filters[of].flatten(), 0.0
    for at, other in enumerate(filters):
        if at != of:
            cosine = mine @ other.flatten() / (mine.norm() * other.norm())
            total += float(mine.norm() * other.norm() * (1 - cosine.abs()))
    return total


def test_whc_compares_all_columns_that_a_consumer_of_a_concatenation_reads() -> None:
    """DenseNet's: each convolution reads its own group's channels beside all earlier ones."""
    model = build("concat")
    found = scores_of(model, "whc", [], reduction="sum")
    places = {"stem": range(4), "conv1": range(4, 7), "conv2": range(7, 10)}
    for root, mine in places.items():
        filters = list(model.get_submodule(root).weight.detach())
        for unit, column in enumerate(mine):
            expected = whc_of(filters, unit)
            for reader in ("conv1", "conv2", "fc"):
                columns = list(model.get_submodule(reader).weight.detach().transpose(0, 1))
                if column < len(columns):
                    expected += whc_of(columns, column)
            assert found[root][unit].item() == pytest.approx(expected, rel=1e-9)


def test_whc_behind_a_concatenation_by_hand() -> None:
    """Columns (3, 0) and (0, 2) of one group beside (0, 1) of another, which is like the second."""

    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.two, self.one = nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False)
            self.fc = nn.Linear(3, 2, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(torch.cat([self.two(x), self.one(x)], 1))

    model = Beside().double()
    with torch.no_grad():
        model.two.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        model.fc.weight.copy_(torch.tensor([[3.0, 0.0, 0.0], [0.0, 2.0, 1.0]]))
    found = {
        one.root: one.values.tolist()
        for one in score(model, torch.zeros(1, 2).double(), "whc", ignored=[model.fc])
    }
    # As filters: 1 for both of the first group, nothing to compare in the other.
    assert found == {"two": [1 + 3 * (2 + 1), 1 + 2 * 3], "one": [0 + 1 * 3]}


def test_whc_takes_features_and_tied_channels_one_by_one_and_leaves_depthwise_filters_out() -> None:
    flat = build("flat")
    found = scores_of(flat, "whc", [], reduction="sum")
    filters = list(flat[0].weight.detach())
    columns = list(flat[4].weight.detach().T)
    each = len(columns) // len(filters)
    for unit, value in enumerate(found["0"]):
        features = range(unit * each, (unit + 1) * each)
        expected = whc_of(filters, unit) + sum(whc_of(columns, at) for at in features)
        assert value.item() == pytest.approx(expected, rel=1e-9)
    grouped = build("grouped")
    group = group_at(groups_of(grouped), "3")
    (unit_values,) = (
        one.values for one in score(grouped, images(1), "whc", reduction="first") if one.root == "3"
    )
    filters = list(grouped[3].weight.detach())
    for unit, value in enumerate(unit_values):
        tied = group.members[0].indices[group.members[0].units == unit]
        assert len(tied) == 2
        expected = sum(whc_of(filters, int(at)) for at in tied)
        assert value.item() == pytest.approx(expected, rel=1e-9)
    mobile = build("depthwise")
    before = scores_of(mobile, "whc", [])["expand"]
    with torch.no_grad():
        mobile.depthwise.weight.mul_(torch.arange(1.0, 9)[:, None, None, None])
    assert torch.equal(scores_of(mobile, "whc", [])["expand"], before)


def test_whc_pools_the_inputs_of_a_grouped_convolution() -> None:
    model = build("grouped")
    weight = model[3].weight.detach()  # [out, in / 2, 3, 3]
    columns = list(weight.transpose(0, 1))
    found = scores_of(model, "whc", [], reduction="sum")["0"]
    filters = list(model[0].weight.detach())
    group = group_at(groups_of(model), "0")
    for unit, value in enumerate(found):
        tied = [int(one) for one in group.members[0].indices[group.members[0].units == unit]]
        expected = sum(whc_of(filters, at) + whc_of(columns, at % len(columns)) for at in tied)
        assert value.item() == pytest.approx(expected, rel=1e-9)


def test_an_ensemble_of_one_criterion_twice_ranks_as_it() -> None:
    model = build("residual")
    alone = torch.cat(list(scores_of(model, "l1", []).values()))
    twice = scores_of(model, "ensemble", [], of=["l1", "l1"])
    assert torch.equal(torch.cat(list(twice.values())).argsort(), alone.argsort())


def test_an_ensemble_is_the_weighted_mean_of_ranks() -> None:
    model = build("chain")
    batches = [labelled()]
    found = scores_of(model, "ensemble", batches, of=["l1", "taylor"], weights=[3.0, 1.0])

    def ranks(name: str) -> Tensor:
        values = torch.cat(list(scores_of(model, name, batches).values()))
        return (values.argsort().argsort().double() + 0.5) / len(values)

    expected = (3 * ranks("l1") + ranks("taylor")) / 4
    torch.testing.assert_close(torch.cat(list(found.values())), expected.double(), **EXACT)


def test_within_groups_every_group_has_the_same_ranks() -> None:
    model = build("residual")
    found = scores_of(model, "ensemble", [], of=["l1", "l1"], within="group")
    for values in found.values():
        expected = (torch.arange(len(values)).double() + 0.5) / len(values)
        torch.testing.assert_close(values.sort().values, expected.double(), **EXACT)


def test_an_ensemble_with_too_few_weights_is_refused() -> None:
    with pytest.raises(OptionError, match="1 weights for 2 criteria"):
        scores_of(build("chain"), "ensemble", [], of=["l1", "l2"], weights=[1.0])
