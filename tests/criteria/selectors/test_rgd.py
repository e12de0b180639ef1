"""RGD as its authors' code does it: the vectors of that code, a networkx oracle, and properties."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import networkx
import numpy as np
import pytest
import torch
import toy
from conftest import CLASSES, build, conv, groups_of, labelled, parameters_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn
from torch import Tensor, nn

from bench.models.resnet import resnet
from criteria import Group, NotApplicable, OptionError, find_structure
from criteria.criterion import checked_scores
from criteria.gather import score_alone
from criteria.registry import create
from criteria.selectors.rgd import RGD, hash_bits, innermost_core, leaders, peel, similarities

VECTORS = json.loads((toy.VECTORS / "rgd.json").read_text())


def kept(evidence: Tensor, theta: float) -> list[int]:
    gone = RGD.removed(evidence, theta).tolist()
    return [unit for unit in range(len(evidence)) if unit not in gone]


def evidence_of(similarity: Sequence[float], norms: Sequence[float]) -> Tensor:
    """From an upper triangle, row by row."""
    found = torch.diag(torch.tensor(norms).double())
    pairs = itertools.combinations(range(len(norms)), 2)
    for (i, j), value in zip(pairs, similarity, strict=True):
        found[i, j] = found[j, i] = value
    return found


# --- the graph ------------------------------------------------------------------------------------

SIMILARITY = [value for row in VECTORS["graph"]["similarity"] for value in row]


@pytest.mark.parametrize(
    "case", VECTORS["graph"]["cases"], ids=lambda one: f"{one['norms'][3]:g} at {one['theta']:g}"
)
def test_what_the_authors_code_keeps_of_a_graph(case: dict[str, Any]) -> None:
    assert kept(evidence_of(SIMILARITY, case["norms"]), case["theta"]) == case["kept"]


def test_a_winner_of_one_round_may_leave_in_the_next() -> None:
    alike = (evidence_of(SIMILARITY, [0.0] * 8) >= 0.70).numpy()
    assert innermost_core(alike).tolist() == [0, 1, 2, 3]
    alike[:3] = alike[:, :3] = False
    assert innermost_core(alike).tolist() == [3, 4, 5, 6]
    assert peel(alike, np.array([3, 5, 4, 6, 2, 7, 1, 0.5])).tolist() == [3, 4, 6]


def oracle(evidence: Tensor, theta: float) -> list[int]:
    """The peeling as it is told, on networkx."""
    norms = evidence.diagonal().tolist()
    graph = networkx.Graph()
    graph.add_nodes_from(range(len(norms)))
    graph.add_edges_from(
        (i, j)
        for i, j in itertools.combinations(range(len(norms)), 2)
        if float(evidence[i, j]) >= theta
    )
    while graph.number_of_edges():
        core = networkx.k_core(graph)
        for piece in list(networkx.connected_components(core)):
            best = max(piece, key=lambda one: (norms[one], -one))
            graph.remove_nodes_from(piece - {best})
    return sorted(graph)


@st.composite
def evidences(draw: st.DrawFn, *, distinct: bool = False) -> Tensor:
    """Random similarities of few levels, so that thresholds meet them; norms tie or not."""
    count = draw(st.integers(2, 24))
    seed = draw(st.integers(0, 2**16))
    numbers = torch.Generator().manual_seed(seed)
    values = torch.randint(0, 11, (count, count), generator=numbers).double() / 10
    values = values.triu(1) + values.triu(1).T
    norms = torch.randperm(count, generator=numbers).double()
    return values.diagonal_scatter(norms if distinct else norms // 3)


THETAS = st.sampled_from([0.3, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0])


@settings(max_examples=300)
@given(evidences(), THETAS)
def test_networkx_keeps_the_same(evidence: Tensor, theta: float) -> None:
    assert kept(evidence, theta) == oracle(evidence, theta)


@given(evidences(), THETAS)
def test_what_is_kept_is_independent_ascending_and_not_empty(
    evidence: Tensor, theta: float
) -> None:
    left = kept(evidence, theta)
    assert left
    assert all(float(evidence[i, j]) < theta for i, j in itertools.combinations(left, 2))
    gone = RGD.removed(evidence, theta)
    assert gone.dtype == torch.long
    assert gone.tolist() == sorted(set(gone.tolist()))


@given(evidences(distinct=True), THETAS, st.randoms(use_true_random=False))
def test_the_order_of_the_filters_does_not_matter(
    evidence: Tensor, theta: float, draw: Any
) -> None:
    order = list(range(len(evidence)))
    draw.shuffle(order)
    shuffled = evidence[order][:, order]
    assert {order[one] for one in kept(shuffled, theta)} == set(kept(evidence, theta))


@given(evidences())
def test_above_one_all_are_kept(evidence: Tensor) -> None:
    assert kept(evidence, 1.0001) == list(range(len(evidence)))


def test_the_evidence_is_left_as_it_is() -> None:
    evidence = evidence_of(SIMILARITY, [3, 5, 4, 6, 2, 7, 1, 0.5])
    before = evidence.clone()
    RGD.removed(evidence, 0.7)
    assert torch.equal(evidence, before)


# --- hash and similarity --------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """Evidence of one batch, given."""

    weights: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]
    size: int
    batch_norm: Seen | None = field(default=None)

    def layer_output(self, name: str) -> Tensor:
        return self.outputs[name]


def maps_of(images: int, filters: int, side: int) -> Tensor:
    """`[images, filters, side, side]`, the formula of the vectors."""
    t, i, y, x = torch.meshgrid(
        *(torch.arange(size) for size in (images, filters, side, side)), indexing="ij"
    )
    return (((3 * i + 5 * t + 2) * (y + 1) * (x + 2) + 7 * i * y * x) % 11 - 5).double()


def one_group(filters: int, norms: Sequence[float]) -> tuple[nn.Module, tuple[Group, ...]]:
    """A network of one prunable convolution, whose filters have these L1 norms."""
    model = nn.Sequential(
        conv(3, filters, 1), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(filters, CLASSES),
    ).double()  # fmt: skip
    with torch.no_grad():
        model[0].weight.zero_()[:, 1, 0, 0] = torch.tensor(norms)
        model[0].weight[0] *= -1
    return model, groups_of(model)


def evidence_from(maps: Tensor, norms: Sequence[float], **options: Any) -> Tensor:
    model, groups = one_group(maps.shape[1], norms)
    rgd = create("rgd", groups, options, torch.Generator())
    rgd.see(Seen(parameters_of(model), {"0": maps}, len(maps)))  # type: ignore[arg-type]
    (found,) = checked_scores(rgd)
    return found


@pytest.mark.parametrize("case", VECTORS["maps"], ids=lambda one: f"side {one['side']}")
def test_what_the_authors_code_finds_in_maps(case: dict[str, Any]) -> None:
    maps = maps_of(case["images"], case["filters"], case["side"])
    evidence = evidence_from(maps, case["norms"])
    expected = [count / case["bits"] for count in case["agreements"]]
    assert torch.equal(evidence, evidence_of(expected, case["norms"]))
    for one in case["kept"]:
        assert kept(evidence, one["theta"]) == one["kept"]


def test_single_hashes_of_the_vectors() -> None:
    case = VECTORS["maps"][0]
    maps = maps_of(2, 5, 4)
    bits = hash_bits(maps[:, :, None]).reshape(5, 2, 4, 4).transpose(0, 1)
    for one in case["hashes"]:
        rows = [[bit == "1" for bit in row] for row in one["rows"]]
        assert bits[one["image"], one["filter"]].tolist() == rows
    first = dctn(maps[0, 0].numpy(), type=2)
    constant = case["constant_term"]
    assert first[0, 0] == pytest.approx(constant["value"])
    assert first.mean() == pytest.approx(constant["mean"], abs=5e-7)  # six decimals are given
    corners = dctn(maps.numpy(), type=2, axes=(-2, -1))
    margins = np.abs(corners - corners.mean((-2, -1), keepdims=True))
    assert margins.min() == pytest.approx(case["smallest_margin"], abs=5e-5)  # four are given


@pytest.mark.parametrize("shape", [(4, 4), (12, 12), (5, 9), (9, 5), (2, 2), (1, 4)])
def test_pairs_and_images_one_by_one_find_the_same(shape: tuple[int, int]) -> None:
    numbers = torch.Generator().manual_seed(0)
    maps = torch.randn(3, 6, *shape, generator=numbers).double() + 0.2
    height, width = (min(8, side) for side in shape)
    expected = torch.eye(6).double()
    for i, j in itertools.combinations(range(6), 2):
        different = 0
        for image in maps.numpy():
            one, other = (dctn(image[at], type=2)[:height, :width] for at in (i, j))
            different += int(((one >= one.mean()) != (other >= other.mean())).sum())
        expected[i, j] = expected[j, i] = 1 - different / (3 * height * width)
    found = evidence_from(maps, [1.0] * 6)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-15)  # 1 - a/b against (b - a)/b


def test_a_positive_factor_of_a_filter_changes_nothing_a_negative_one_does() -> None:
    maps = torch.randn(4, 5, 8, 8, generator=torch.Generator().manual_seed(1)).double()
    before = evidence_from(maps, [1.0] * 5)
    for factor, same in ((3.0, True), (-1.0, False)):
        scaled = maps.clone()
        scaled[:, 2] *= factor
        assert torch.equal(evidence_from(scaled, [1.0] * 5), before) == same


def test_an_exact_share_of_equal_bits_meets_its_threshold() -> None:
    """7 of 10 equal bits are 0.7, as a decimal is rounded: 1 - 0.3 would be below it."""
    bits = torch.zeros(2, 10, dtype=torch.bool)
    bits[1, :3] = True
    signs = 2 * bits.double() - 1
    assert float(similarities(signs @ signs.T, 10)[0, 1]) == 0.7


# --- what it looks at -----------------------------------------------------------------------------


def test_the_first_images_count_however_they_are_batched() -> None:
    maps = torch.randn(10, 4, 6, 6, generator=torch.Generator().manual_seed(2)).double()
    model, groups = one_group(4, [1, 2, 3, 4])

    def by(sizes: Sequence[int], images: int) -> Tensor:
        rgd = create("rgd", groups, {"images": images}, torch.Generator())
        for part in maps.split(list(sizes)):
            rgd.see(Seen(parameters_of(model), {"0": part}, len(part)))  # type: ignore[arg-type]
        return checked_scores(rgd)[0]

    seven = evidence_from(maps[:7], [1, 2, 3, 4])
    assert torch.equal(by([10], 7), seven)
    assert torch.equal(by([4, 4, 2], 7), seven)
    assert not torch.equal(by([10], 8), seven)
    assert torch.equal(by([5, 5], 100), by([10], 10))  # all, where there are fewer


def test_batch_statistics_are_asked_for_by_name() -> None:
    model, groups = one_group(3, [1, 2, 3])
    maps = torch.randn(2, 2, 3, 8, 8, generator=torch.Generator().manual_seed(3)).double()
    weights = parameters_of(model)
    seen = Seen(weights, {"0": maps[0]}, 2, Seen(weights, {"0": maps[1]}, 2))
    for at, mode in enumerate(("eval", "batch")):
        rgd = create("rgd", groups, {"bn_mode": mode}, torch.Generator())
        rgd.see(seen)  # type: ignore[arg-type]
        assert torch.equal(checked_scores(rgd)[0], evidence_from(maps[at], [1, 2, 3]))


def test_a_unit_of_several_channels_is_alike_by_all_of_them() -> None:
    """Two groups of a convolution: channels 0 and 4, 1 and 5, ... leave together."""
    model = build("grouped")
    groups = groups_of(model)
    group = next(one for one in groups if one.channels_per_unit == 2)
    outputs = {
        leader.name: torch.randn(3, leader.width, 8, 8, generator=torch.Generator().manual_seed(4))
        for leader in leaders(groups).values()
    }
    rgd = create("rgd", groups, {}, torch.Generator())
    rgd.see(Seen(parameters_of(model), outputs, 3))  # type: ignore[arg-type]
    found = checked_scores(rgd)[groups.index(group)]
    leader = leaders(groups)[group]
    bits = hash_bits(outputs[leader.name][:, :, None])
    half = group.units
    assert half * 2 == leader.width
    for i, j in itertools.combinations(range(group.units), 2):
        equal = [(bits[i + at] == bits[j + at]).double().mean() for at in (0, half)]
        assert float(found[i, j]) == pytest.approx(float(sum(equal)) / 2, abs=1e-12)


@pytest.mark.parametrize("positions", [(1, 1), (1, 3), (3, 1)])
def test_maps_too_small_to_hash_keep_their_group_whole(positions: tuple[int, int]) -> None:
    model, groups = one_group(4, [1, 2, 3, 4])
    rgd = create("rgd", groups, {}, torch.Generator())
    rgd.see(Seen(parameters_of(model), {"0": torch.randn(5, 4, *positions)}, 5))  # type: ignore[arg-type]
    with pytest.raises(NotApplicable, match="rgd can hash the maps of no group: 0: the maps of 0"):
        rgd.scores()


def test_a_group_without_a_convolution_is_kept_whole_and_the_others_are_not() -> None:
    model = build("flat")
    groups = groups_of(model)
    rgd = create("rgd", groups, {}, torch.Generator())
    values, _ = score_alone(model, rgd, [labelled()])
    assert isinstance(rgd, RGD)
    assert rgd.kept_whole == {"4": "no convolution makes its channels"}
    whole = {group.root: RGD.removed(one, 0.3) for group, one in zip(groups, values, strict=True)}
    assert len(whole["4"]) == 0
    assert len(whole["0"]) > 0


@pytest.mark.parametrize(
    ("options", "says"),
    [({"images": 0}, "images"), ({"bn_mode": "train"}, "bn_mode"), ({"theta": 0.7}, "theta")],
)
def test_options_are_checked(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        create("rgd", (), options, torch.Generator())


@pytest.mark.parametrize("mode", ["eval", "batch"])
def test_maps_are_the_leaders_outputs_ahead_of_its_norm(mode: str) -> None:
    model = build("residual")
    images, targets = labelled(6)
    groups = groups_of(model)
    rgd = create("rgd", groups, {"bn_mode": mode}, torch.Generator())
    values, _ = score_alone(model, rgd, [(images, targets)])
    outputs: dict[str, Tensor] = {}
    model.train(mode == "batch")
    for name, module in model.named_modules():
        module.register_forward_hook(
            lambda _, __, output, name=name: outputs.__setitem__(name, output.detach().clone())
        )
    model(images)
    plain = create("rgd", groups, {}, torch.Generator())
    plain.see(Seen(parameters_of(model), outputs, 6))  # type: ignore[arg-type]
    for one, other in zip(values, checked_scores(plain), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)  # norms: sums in any order


# --- leaders --------------------------------------------------------------------------------------


def led(model: nn.Module, side: int = 8) -> dict[str, str]:
    groups = find_structure(model, torch.randn(1, 3, side, side)).groups
    return {group.root: leader.name for group, leader in leaders(groups).items()}


def test_leaders_of_a_resnet_with_projections() -> None:
    """The stem for stage 1, the projections on the shortcuts for the others."""
    found = led(resnet(20, CLASSES, 3, 8, shortcut="B"))
    inner = {f"layer{stage}.{at}.conv1" for stage in (1, 2, 3) for at in range(3)}
    streams = {"conv1", "layer2.0.shortcut.0", "layer3.0.shortcut.0"}
    assert set(found.values()) == inner | streams
    assert len(found) == len(inner) + 3


def test_leaders_of_a_resnet_without_projections_come_earliest() -> None:
    found = led(resnet(20, CLASSES, 3, 8, shortcut="A"))
    inner = {f"layer{stage}.{at}.conv1" for stage in (1, 2, 3) for at in range(3)}
    assert set(found.values()) - inner == {"conv1", "layer2.0.conv2", "layer3.0.conv2"}


class Bottlenecks(nn.Module):
    """ResNet-50's block with its projection, then one without."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 4)
        self.first = nn.Sequential(conv(4, 4, 1), nn.ReLU(), conv(4, 4), nn.ReLU(), conv(4, 8, 1))
        self.second = nn.Sequential(conv(8, 4, 1), nn.ReLU(), conv(4, 4), nn.ReLU(), conv(4, 8, 1))
        self.downsample = conv(4, 8, 1)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.first(x) + self.downsample(x))
        x = torch.relu(self.second(x) + x)
        return self.fc(x.mean((2, 3)))


def test_leaders_of_bottlenecks() -> None:
    found = set(led(Bottlenecks()).values())
    inner = {f"{block}.{at}" for block in ("first", "second") for at in (0, 2)}
    assert found == {"stem", "downsample"} | inner


def test_leaders_of_chains_and_depthwise_blocks() -> None:
    assert set(led(build("chain").float()).values()) == {"0", "3"}
    assert set(led(build("depthwise").float()).values()) == {"stem", "expand"}
    assert set(led(build("concat").float()).values()) == {"stem", "conv1", "conv2"}
    assert set(led(build("residual").float()).values()) == {"stem", "left1", "right"}
