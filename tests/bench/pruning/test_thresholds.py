"""Selectors under budgets and at thresholds: bisection, limits, both ablations, the command."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import toy
from conftest import Chain, build, images, labelled, lively, trace
from inline_runs import go, measured
from pages import text_of
from rich.console import Console
from torch import Tensor

from bench.command.listing import listing
from bench.errors import BenchError, PlanError
from bench.models.resnet import resnet
from bench.plan.plan import make_plan
from bench.pruning.choose import matched, one_shot
from bench.pruning.cost import count_macs
from bench.pruning.network import Network, Rules
from bench.pruning.prune import prune
from bench.pruning.selection import InfeasibleBudget, Limits
from bench.pruning.thresholds import Choice, Choices, at_thresholds, meet_budgets
from bench.run.reporting import write_report
from bench.store.store import Store
from criteria import CriteriaError, Selector, score
from criteria.gather import score_alone
from criteria.registry import create
from criteria.selectors.rgd import RGD
from reports.records import Record

TOLERANCE = 0.01  # of the dense cost: the house's


class Least(Selector):
    """A staircase by hand: of the worth on the diagonal, what lies below the knob leaves."""

    name = "least"
    knob = (10.0, 0.0)

    @staticmethod
    def removed(evidence: Tensor, knob: float) -> Tensor:
        return (evidence.diagonal() < knob).nonzero()[:, 0]

    @staticmethod
    def worth(evidence: Tensor) -> Tensor:
        return evidence.diagonal()


class Uneven(Least):
    """The same, but between 4 and 5 it removes nothing."""

    @staticmethod
    def removed(evidence: Tensor, knob: float) -> Tensor:
        return Least.removed(evidence, 0 if 4 < knob < 5 else knob)


def met(found: Choice | InfeasibleBudget) -> Choice:
    assert isinstance(found, Choice), found
    return found


def chain(*worth: list[float], selector: type[Selector] = Least, **rules: Any) -> Choices:
    """A chain of convolutions whose units have this worth."""
    network = trace(lively(Chain(*(len(one) for one in worth))))
    by_root = {str(3 * at): torch.diag(torch.tensor(one)) for at, one in enumerate(worth)}
    evidence = [by_root[group.root].double() for group in network.structure.groups]
    rules = {"limits": Limits(protect=0), **rules}
    return Choices(network, selector, evidence, Rules(**rules))


def left(choices: Choices, choice: Choice) -> dict[str, list[int]]:
    return choices.network.kept(choice.removed)


# --- a staircase by hand --------------------------------------------------------------------------


def test_settings_give_what_they_give() -> None:
    choices = chain([1, 2, 3, 4], [1, 1, 5, 6])
    found = {knob: met(one) for knob, one in at_thresholds(choices, [0, 1.5, 4]).items()}
    kept = {knob: left(choices, one) for knob, one in found.items()}
    assert kept == {
        0: {"0": [0, 1, 2, 3], "3": [0, 1, 2, 3]},
        1.5: {"0": [1, 2, 3], "3": [2, 3]},
        4: {"0": [3], "3": [2, 3]},
    }
    assert found[1.5].thresholds == [1.5, 1.5]


@pytest.mark.parametrize("selector", [Least, Uneven])
@pytest.mark.parametrize("budget", [1.0, 0.8, 0.5, 0.3])
def test_a_fine_staircase_is_met_without_trimming(selector: type[Selector], budget: float) -> None:
    """40 units, each a step of its own: at most 4 % of the cost."""
    worth = [[10 * (2 * at + one + 0.5) / 40 for at in range(20)] for one in (0, 1)]
    choices = chain(*worth, selector=selector, tolerance=0.04)
    choice = met(meet_budgets(choices, [budget])[budget])
    assert budget - 0.04 <= choices.cost(choice.removed) <= budget
    assert choice.trimmed == 0
    assert len(set(choice.thresholds)) == 1
    again = choices.at(choice.thresholds[0]) if choice.thresholds[0] is not None else None
    assert again is not None
    assert all(map(torch.equal, choice.removed, again))


def test_between_two_stairs_the_least_of_the_next_leave() -> None:
    """One stair is 15 of the 16 units of a group: the budget lies on it, no setting does."""
    choices = chain([9, *(1 + at / 1e6 for at in range(15))], [9] * 16, tolerance=0.07)
    choice = met(meet_budgets(choices, [0.5])[0.5])
    assert 0.43 <= choices.cost(choice.removed) <= 0.5
    kept = left(choices, choice)
    assert kept["3"] == list(range(16))
    assert kept["0"] == [0, *range(17 - len(kept["0"]), 16)]  # those of most worth
    (knob,) = set(choice.thresholds)
    assert knob is not None
    assert choice.trimmed == 16 - len(kept["0"]) - sum(len(one) for one in choices.at(knob)) > 0


def test_where_single_units_of_a_stair_overshoot_finer_ones_of_the_next_leave() -> None:
    choices = chain([9.0] + [1.0] * 15, [9.0] * 16, tolerance=0.04)
    choice = met(meet_budgets(choices, [0.5])[0.5])
    assert 0.46 <= choices.cost(choice.removed) <= 0.5
    assert len(left(choices, choice)["3"]) < 16


def test_where_even_the_weakest_setting_removes_too_much_it_starts_from_the_whole() -> None:
    choices = chain([-1.0] * 15 + [5], [5] * 16, tolerance=0.04)
    choice = met(meet_budgets(choices, [0.9])[0.9])
    assert choice.thresholds == [None, None]
    assert choice.trimmed == sum(len(one) for one in choice.removed) > 0


def test_out_of_reach_is_refused_with_what_is_left_and_what_is_never_touched() -> None:
    choices = chain([1, 1, 1, 1], [99, 99, 99, 99])
    reason = meet_budgets(choices, [0.05])[0.05]
    assert isinstance(reason, InfeasibleBudget)
    assert re.search(
        r"the budget is 5.0% .*strongest setting, 10, least leaves \d+\.\d% and keeps 3 whole",
        str(reason),
    )


def test_too_coarse_is_refused_with_where_it_stopped() -> None:
    choices = chain([1, 1], [99, 99], tolerance=0.01)
    reason = meet_budgets(choices, [0.7])[0.7]
    assert isinstance(reason, InfeasibleBudget)
    assert "between 69.0% and 70.0% of the network: from 100.0%" in str(reason)


def test_the_floor_of_a_group_keeps_those_of_most_worth() -> None:
    worth: list[float] = [1, 4, 2, 5, 3, 1, 1, 1, 1, 1]
    choices = chain(worth, worth, limits=Limits(protect=0.25))
    found = left(choices, met(at_thresholds(choices, [10])[10]))
    assert found == {"0": [1, 3, 4], "3": [1, 3, 4]}
    choices = chain(worth, worth, limits=Limits(protect=0, round_to=5))
    found = left(choices, met(at_thresholds(choices, [3])[3]))  # 7 would leave
    assert found == {"0": [1, 2, 3, 4, 9], "3": [1, 2, 3, 4, 9]}


@pytest.mark.parametrize("scope", ["global", "local"])
def test_round_to_holds_at_every_budget(scope: str) -> None:
    draw = torch.Generator().manual_seed(0)
    worth = [(9 * torch.rand(16, generator=draw)).tolist() for _ in range(2)]
    rules = {"limits": Limits(protect=0, round_to=4), "tolerance": 0.3, "scope": scope}
    choices = chain(*worth, **rules)
    for budget, one in meet_budgets(choices, [0.8, 0.5, 0.3]).items():
        choice = met(one)
        assert budget - 0.3 <= choices.cost(choice.removed) <= budget
        assert all(len(gone) % 4 == 0 for gone in choice.removed)


def test_each_setting_is_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, float]] = []

    class Counting(Least):
        @staticmethod
        def removed(evidence: Tensor, knob: float) -> Tensor:
            asked.append((id(evidence), knob))
            return Least.removed(evidence, knob)

    choices = chain([1, 2, 3, 4], [1, 2, 5, 6], selector=Counting, tolerance=0.5)
    meet_budgets(choices, [0.9, 0.6, 0.3])
    assert len(asked) == len(set(asked))


# --- RGD on a residual network --------------------------------------------------------------------


@pytest.fixture(scope="module")
def network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = resnet(20, 5, 3, 8, shortcut="B").eval()
    return Network.trace(model, torch.randn(1, 3, 8, 8))


@pytest.fixture(scope="module")
def evidence(network: Network) -> list[Tensor]:
    rgd = create("rgd", network.structure.groups, {}, torch.Generator())
    inputs, targets = labelled(40)
    values, _ = score_alone(network.model, rgd, [(inputs.float(), targets)])
    return values


@pytest.mark.parametrize("scope", ["global", "local"])
@pytest.mark.parametrize("cost", ["macs", "params"])
def test_rgd_meets_its_budgets(
    network: Network, evidence: list[Tensor], scope: str, cost: str
) -> None:
    rules = Rules(cost, scope)  # type: ignore[arg-type]
    choices = Choices(network, RGD, evidence, rules)
    for budget, one in meet_budgets(choices, [0.8, 0.6, 0.4]).items():
        choice = met(one)
        assert budget - TOLERANCE <= choices.cost(choice.removed) <= budget
        if cost == "macs":
            dense = network.cost.macs(torch.zeros(len(evidence)))
            macs = count_macs(network.cut(choice.removed), network.inputs)
            assert budget - TOLERANCE <= macs / dense <= budget
        if not choice.trimmed and scope == "global":
            (knob,) = set(choice.thresholds or ())
            assert knob is not None
            assert all(map(torch.equal, choice.removed, choices.at(knob)))


def test_of_two_alike_filters_the_larger_stays(network: Network, evidence: list[Tensor]) -> None:
    choices = Choices(network, RGD, evidence, Rules(limits=Limits(protect=0)))
    (choice,) = at_thresholds(choices, [0.7]).values()
    for one, gone in zip(evidence, met(choice).removed, strict=True):
        kept = [at for at in range(len(one)) if at not in gone.tolist()]
        among = one[kept][:, kept].fill_diagonal_(0)
        assert float(among.max()) < 0.7
        assert int(one.diagonal().argmax()) in kept


def test_uniform_widths_are_those_of_every_local_method(
    network: Network, evidence: list[Tensor]
) -> None:
    """Ablation: the allocation of all others, the selection of RGD."""
    rules = Rules(scope="local")
    l1 = [one.diagonal() for one in evidence]
    choices = Choices(network, RGD, evidence, rules)
    budgets = [0.8, 0.6, 0.4]
    theirs, ours = one_shot(network, l1, budgets, rules), meet_budgets(choices, budgets)
    for budget in budgets:
        other = theirs[budget]
        assert not isinstance(other, InfeasibleBudget)
        mine = met(ours[budget])
        assert [len(one) for one in mine.removed] == [len(one) for one in other]
        assert not all(map(torch.equal, mine.removed, other))


def test_its_widths_serve_another_criterion(network: Network, evidence: list[Tensor]) -> None:
    """Ablation: the allocation of RGD, the selection of L1."""
    choices = Choices(network, RGD, evidence, Rules())
    mine = met(meet_budgets(choices, [0.5])[0.5])
    other = matched([one.diagonal() for one in evidence], {0.5: mine.removed})[0.5]
    assert not isinstance(other, InfeasibleBudget)
    assert choices.cost(other) == choices.cost(mine.removed)
    assert not all(map(torch.equal, mine.removed, other))


# --- the public calls -----------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [{"macs": 0.6}, {"params": 0.5}, {"threshold": 0.7}])
def test_prune_by_a_selector(network: Network, budget: dict[str, float]) -> None:
    inputs, targets = labelled(16)
    batches = [(inputs.float(), targets)]
    found = prune(network.model, inputs.float(), "rgd", budget, batches, images=16)
    ((axis, share),) = budget.items()
    if axis == "threshold":
        assert found.macs < found.dense_macs
    else:
        ratio = (
            found.macs / found.dense_macs if axis == "macs" else found.params / found.dense_params
        )
        assert share - TOLERANCE <= ratio <= share


@pytest.mark.parametrize(
    ("criterion", "arguments", "says"),
    [
        ("rgd", {"steps": 3}, "rgd picks all its sets"),
        ("rgd", {"scope": "isomorphic"}, "rgd knows the scopes global"),
        ("rgd", {"limits": Limits(emptied="skip")}, "rgd empties no group by a ranking"),
        ("rgd", {"budget": {"threshold": 0.1}}, "from 0.3 to 1, not 0.1"),
        ("rgd", {"budget": {"threshold": 0.7}, "scope": "local"}, "one threshold for all groups"),
        ("l1", {"budget": {"threshold": 0.7}}, "l1 .* no threshold"),
    ],
)
def test_prune_refuses_what_a_selector_cannot(
    criterion: str, arguments: dict[str, Any], says: str
) -> None:
    model = build("chain")
    with pytest.raises(BenchError, match=says):
        prune(model, images(2), criterion, **{"budget": {"macs": 0.5}, **arguments})


def test_a_selector_has_no_scores_to_give() -> None:
    model = build("chain")
    with pytest.raises(CriteriaError, match=r"rgd .* no scores; use bench\.prune"):
        score(model, images(2), "rgd")
    with pytest.raises(CriteriaError, match=r"rgd .* no scores"):
        score(model, images(2), "inverse", of="rgd")


# --- suites ---------------------------------------------------------------------------------------

THRESHOLDS = {"threshold": [0.75, 0.6]}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"methods": ["l1"], "budgets": THRESHOLDS}, "method l1: budgets.threshold"),
        ({"methods": [{"criterion": "l1", "matched": ["rgd"]}]}, "rgd .* cannot rank"),
        (
            {"methods": ["l1", {"criterion": "rgd", "iterative": {"steps": 2}}]},
            "method rgd-2: rgd picks all its sets",
        ),
        ({"methods": ["l1", {"criterion": "rgd", "scope": "isomorphic"}]}, "knows the scopes"),
        (
            {
                "methods": [{"criterion": "rgd", "scope": "local", "matched": ["l1"]}],
                "budgets": THRESHOLDS,
                "analysis": {"control": "l1~rgd"},
            },
            "one threshold for all groups",
        ),
        (
            {
                "methods": [{"criterion": "rgd", "matched": ["l1"]}],
                "budgets": {"threshold": [0.2]},
                "analysis": {"control": "l1~rgd"},
            },
            "from 0.3 to 1, not 0.2",
        ),
    ],
)
def test_what_no_selector_can_do_is_refused_at_planning(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(PlanError, match=says):
        make_plan(toy.suite(**changes))


def test_a_threshold_is_an_axis_of_its_own_in_the_key() -> None:
    changes = {"methods": [{"criterion": "rgd", "matched": ["l1"]}], "analysis": {"control": "rgd"}}
    plans = [
        make_plan(toy.suite(budgets={axis: [0.7]}, **changes)) for axis in ("macs", "threshold")
    ]
    keys = [{trial.key for trial in plan.trials} for plan in plans]
    assert not keys[0] & keys[1]
    assert {trial.labels.at for trial in plans[1].trials} == {"threshold 0.7"}
    assert {trial.labels.at for trial in plans[0].trials} == {"70 %"}


def by_method(results: Path) -> Mapping[tuple[str, float], Record]:
    return {(one.labels.method, one.labels.budget): one for one in toy.records(results)}


def ratio(record: Record) -> float:
    return measured(record).macs / measured(record).dense_macs


def test_a_suite_with_both_ablations(tmp_path: Path) -> None:
    suite = toy.suite(
        methods=[
            {"criterion": "rgd", "matched": ["l1"]},
            {"criterion": "rgd", "scope": "local", "as": "rgd-uniform"},
            {"criterion": "l1", "scope": "local", "as": "l1-uniform"},
        ],
        budgets={"macs": [0.5]},
        recoveries=["none"],
        analysis={"control": "l1~rgd"},
    )
    assert go(tmp_path, make_plan(suite)) == {"done": 4}
    found = {name: measured(record) for (name, _), record in by_method(tmp_path).items()}
    assert len(found) == 4
    for one in found.values():
        assert 0.5 - TOLERANCE <= one.macs / one.dense_macs <= 0.5
    rgd, uniform = found["rgd"], found["rgd-uniform"]
    assert rgd.widths == found["l1~rgd"].widths
    assert uniform.widths == found["l1-uniform"].widths != rgd.widths
    assert rgd.knobs.keys() == uniform.knobs.keys() == rgd.widths.keys()
    assert len(set(rgd.knobs.values())) == 1 < len(set(uniform.knobs.values()))
    assert found["l1~rgd"].knobs == found["l1-uniform"].knobs == {}
    assert rgd.images_scored == 32


@pytest.mark.usefixtures("inkless")
def test_a_suite_at_thresholds(tmp_path: Path) -> None:
    plan = make_plan(
        toy.suite(
            methods=[{"criterion": "rgd", "matched": ["l1"]}],
            budgets=THRESHOLDS,
            recoveries=["none"],
            selection={"protect": 0.0},
            analysis={"control": "l1~rgd"},
        )
    )
    assert go(tmp_path, plan) == {"done": 4}
    found = by_method(tmp_path)
    assert {record.labels.cost for record in found.values()} == {"threshold"}
    for theta in (0.75, 0.6):
        rgd = measured(found["rgd", theta])
        assert set(rgd.knobs.values()) == {theta}
        assert rgd.trimmed == 0
        assert ratio(found["l1~rgd", theta]) == ratio(found["rgd", theta]) < 1
    assert ratio(found["rgd", 0.6]) < ratio(found["rgd", 0.75])
    page = text_of(write_report(plan, Store(tmp_path), tmp_path / "page").read_text())
    for part in (
        "threshold 0.75",
        "Settings of the methods' own threshold: 0.75, 0.6. The MACs kept follow from it.",
        "own threshold, so MACs kept differ: from ",
        "Only a method and its matched controls keep equal MACs.",
    ):
        assert part in page


def test_selectors_are_listed_as_such() -> None:
    console = Console(record=True, quiet=False, file=io.StringIO())
    listing(console, "criteria", ())
    lines = console.export_text().splitlines()
    assert [line.split()[0] for line in lines if line.split()[1:2] == ["sets"]] == ["rgd"]
    assert any("sets: picks sets of channels" in line for line in lines)
