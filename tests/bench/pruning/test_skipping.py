"""`emptied: skip` against torch-pruning's own global iterative pruner, step by step."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import pytest
import torch
import torch_pruning as tp
from conftest import lively
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.models.registry import build_model
from bench.models.resnet import ChannelPad, ChannelPadPruner
from bench.pruning.choose import iterative, one_shot
from bench.pruning.cost import ChannelCost
from bench.pruning.network import Network, Rules, Schedule
from bench.pruning.selection import InfeasibleBudget, Limits, rank
from criteria.gather import score_alone
from criteria.registry import create
from suites.problem import ModelSpec

STEPS, LEFT = 18, 0.1  # as in OBC's benchmark: 5 % of the channels a step
IMAGE = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def widths(model: nn.Module) -> dict[str, int]:
    return {
        name: len(module.weight)
        for name, module in model.named_modules()
        if isinstance(module, (nn.Conv2d, nn.Linear))
    }


def _unrounded(ratio: float, steps: int) -> list[float]:
    """The library's linear scheduler, a hair early: to it, 0.45 of 1,120 channels are 503.9999."""
    return [ratio * step / steps - 1e-9 for step in range(steps + 1)]


def theirs(model: nn.Module, importance: Any) -> list[dict[str, int]]:
    """Widths after each step of the library's pruner, which may prune all but the classifier."""
    model = copy.deepcopy(model)
    (*_, last) = [one for one in model.modules() if isinstance(one, nn.Linear)]
    pruner = tp.pruner.BasePruner(
        model,
        (IMAGE,),
        importance=importance,
        global_pruning=True,
        pruning_ratio=1 - LEFT,
        iterative_steps=STEPS,
        iterative_pruning_ratio_scheduler=_unrounded,
        ignored_layers=[last],
        in_channel_groups={},
        out_channel_groups={},
        num_heads={},
        customized_pruners={ChannelPad: ChannelPadPruner()},
    )
    found = []
    for _ in range(STEPS):
        pruner.step()
        found.append(widths(model))
    return found


def ours(
    model: nn.Module,
    criterion: str,
    options: Mapping[str, Any],
    emptied: Literal["floor", "skip"] = "skip",
) -> list[dict[str, int]]:
    network = Network.trace(model, IMAGE)

    def scorer(now: Network) -> list[Tensor]:
        made = create(criterion, now.structure.groups, dict(options), torch.Generator())
        return score_alone(now.model, made, [], cross_entropy)[0]

    budgets = [1 - (1 - LEFT) * step / STEPS for step in range(1, STEPS + 1)]
    rules = Rules(cost="channels", limits=Limits(protect=0, emptied=emptied))
    removed = iterative(network, scorer, budgets, rules, Schedule(STEPS))
    return [widths(network.cut(removed[budget])) for budget in budgets]


MAGNITUDE, SCALE = tp.importance.MagnitudeImportance, tp.importance.BNScaleImportance
FPGM = tp.importance.FPGMImportance
SUMMED = {"group_reduction": "sum", "normalizer": None}
CRITERIA = {  # the library's score, and ours
    "l1": (MAGNITUDE(p=1, **SUMMED), "l1", {"reduction": "sum"}),
    "fpgm": (FPGM(**SUMMED), "fpgm_tp", {"reduction": "sum", "normalizer": "none"}),
    "bn-scale": (SCALE(**SUMMED), "bn_scale", {"reduction": "sum"}),
    "norm-sum": (
        MAGNITUDE(p=2, **SUMMED), "group_norm", {"reduction": "sum", "normalizer": "none"},
    ),
    "norm-mean": (MAGNITUDE(p=2), "group_norm", {}),
}  # fmt: skip
NETWORKS: list[tuple[str, dict[str, Any]]] = [
    ("resnet20", {"shortcut": "A", "width": 8}),
    ("resnet20", {"shortcut": "B", "width": 8}),
    ("resnet20", {"shortcut": "A"}),
    ("resnet20", {"shortcut": "B"}),
    ("resnet56", {"shortcut": "A"}),
    ("resnet56", {"shortcut": "B"}),
    ("vgg19_bn", {}),
    ("densenet40", {}),
]
# Each criterion once, and each kind of shortcut; the others are slow.
AT_ONCE = [("l1", 0), ("fpgm", 1), ("bn-scale", 0), ("norm-sum", 1), ("norm-mean", 0)]
CASES = [
    pytest.param(*network, criterion, marks=[] if (criterion, at) in AT_ONCE else pytest.mark.slow)
    for at, network in enumerate(NETWORKS)
    for criterion in CRITERIA
]


def built(name: str, options: Mapping[str, Any]) -> nn.Module:
    spec = ModelSpec(name=name, options=dict(options))
    model = lively(build_model(spec, classes=10, channels=3, image_size=32, seed=0)).float()
    if name != "vgg19_bn":
        return model
    network = Network.trace(model, IMAGE)  # an eighth of its 5,504 channels
    groups = network.structure.groups
    return network.cut([torch.arange(one.units // 8, one.units) for one in groups])


@cache
def chain() -> Network:
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 6, 3, padding=1), nn.Conv2d(6, 12, 3)]
    end = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 5)]
    return Network.trace(nn.Sequential(*layers, *end), IMAGE[:, :, :8, :8])


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.9, 0.7, 0.5, 0.3, 0.1]),
    st.sampled_from(["macs", "params"]),
    st.sampled_from([0, 0.1, 0.3]),
    st.sampled_from([1, 2]),
)
def test_a_budget_is_met_wherever_a_prefix_meets_it(
    seed: int, budget: float, cost: ChannelCost, protect: float, round_to: int
) -> None:
    """All prefixes of the ranking, one by one, against the search."""
    network, draw = chain(), torch.Generator().manual_seed(seed)
    groups = network.structure.groups
    scores = [torch.rand(one.units, generator=draw) for one in groups]
    limits = Limits(protect=protect, round_to=round_to, emptied="skip")
    units, price = torch.tensor([one.units for one in groups]), network.cost.of(cost)
    floors = torch.tensor([limits.floor(one) for one in groups])
    steps = torch.tensor([limits.steps(one) for one in groups])
    ranked = rank(groups, scores, "global").groups.tolist()
    order = [one for one in ranked if floors[one] < units[one]]
    whole, target = price(torch.zeros_like(units)), network.cost.target(cost, budget)

    def prefix(length: int) -> float:
        gone = torch.bincount(torch.tensor(order[:length]).long(), minlength=len(groups))
        gone -= gone % steps
        return price(gone.masked_fill(units - gone < floors, 0))

    prices = [prefix(length) for length in range(len(order) + 1)]
    found = one_shot(network, scores, [budget], Rules(cost, limits=limits))[budget]
    assume(not isinstance(found, InfeasibleBudget))
    left = price(torch.tensor([len(one) for one in found]))
    if any(target - 0.01 * whole <= one <= target for one in prices):
        assert target - 0.01 * whole <= left <= target
    elif min(prices) > target:
        assert left <= min(prices) + 1e-6


@pytest.mark.parametrize(("name", "options", "criterion"), CASES)
def test_widths_after_every_step_are_the_librarys(
    name: str, options: Mapping[str, Any], criterion: str
) -> None:
    model = built(name, options)
    importance, own, how = CRITERIA[criterion]
    assert ours(model, own, how) == theirs(model, importance)


def test_floors_are_another_rule() -> None:
    """From the first step that would empty a group on; the oracle above would tell."""
    model = built("resnet20", {"shortcut": "A", "width": 8})
    importance, own, how = CRITERIA["fpgm"]
    skipped, floored = theirs(model, importance), ours(model, own, how, "floor")
    assert skipped[0] == floored[0]
    assert skipped[-1] != floored[-1]
    assert sum(skipped[-1].values()) > sum(floored[-1].values())
