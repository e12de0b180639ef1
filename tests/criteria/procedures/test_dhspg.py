"""DHSPG: the vectors, each step by its definition, and budgets met on whole networks."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
import toy
from conftest import build, groups_of, labelled
from decaying import Ride, assert_resumes, difference_of_cut, prepared
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from bench.pruning.network import Removed
from criteria import find_structure
from criteria.errors import CriteriaError, NotApplicable
from criteria.gather import score_alone
from criteria.network.units import Units
from criteria.procedures.dhspg import Dhspg, DhspgProcedureOptions, penalty
from criteria.procedures.procedure import Ground
from criteria.registry import create
from criteria.saliency.dhspg import redundancy
from criteria.training import Training

VECTORS = json.loads((toy.VECTORS / "dpm.json").read_text())


def tensor(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# --- the score ------------------------------------------------------------------------------------


def test_redundancy_follows_the_vectors() -> None:
    given = VECTORS["redundancy"]
    x, g = tensor(given["weights"]), tensor(given["gradients"])
    found = redundancy(torch.cosine_similarity(x, g), x.norm(dim=1) / 2)
    torch.testing.assert_close(found, tensor(given["scores"]), rtol=0, atol=5e-5)  # four decimals


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_scores_are_the_formula_on_all_that_makes_a_unit(decay: float) -> None:
    """Beside plain autograd, of the mean loss over two batches of unequal size."""
    model = build("residual")
    groups = groups_of(model)
    one = create("dhspg_saliency", groups, {"weight_decay": decay}, torch.Generator())
    batches = [labelled(8, 0), labelled(4, 1)]
    found, _ = score_alone(model, one, batches)
    images, labels = (torch.cat(both) for both in zip(*batches, strict=True))
    functional.cross_entropy(model(images), labels).backward()
    cosines, sizes = [], []
    for group in groups:
        units = Units(model, group)
        x, g = units.rows(units.tensors()), units.rows(units.gradients())
        g = g + decay * x
        cosines += [(a @ b / a.norm() / b.norm()).item() for a, b in zip(x, g, strict=True)]
        sizes += [(a.norm() / len(a) + 1e-6).item() for a in x]
    c, m = tensor(cosines), 1 / tensor(sizes)
    expected = -(0.5 * c / c.norm() + 0.5 * m / m.norm())
    torch.testing.assert_close(torch.cat(list(found)), expected, rtol=1e-9, atol=1e-12)


def test_no_gradient_and_no_weights_give_finite_scores() -> None:
    found = redundancy(torch.zeros(3), torch.tensor([0.0, 1.0, 2.0]))
    assert torch.isfinite(found).all()
    assert found.argmax() == 0


def test_a_group_that_nothing_makes_is_refused() -> None:
    model = build("residual")
    group = groups_of(model)[0]
    readers = replace(group, members=tuple(one for one in group.members if one.side == "in"))
    one = create("dhspg_saliency", [readers], {}, torch.Generator())
    with pytest.raises(NotApplicable, match=f"nothing that makes the group of {group.root}"):
        score_alone(model, one, [labelled()])


# --- one step -------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", VECTORS["penalty"]["cases"])
def test_the_penalty_follows_the_vectors(case: dict[str, Any]) -> None:
    x, g = tensor(case["weights"]), tensor(case["gradient"])
    rules = DhspgProcedureOptions(
        penalty=float(case["floor"]),
        amplification=float(VECTORS["penalty"]["amplification"]),
        ceiling=float(VECTORS["penalty"]["ceiling"]),
    )
    found = penalty(x.norm()[None], (x @ g)[None], (g @ g)[None], rules)
    assert found.item() == pytest.approx(case["penalty"], abs=1e-7)


class Rows:
    """DHSPG on a linear layer, a row a unit, all of them redundant; steps with given gradients."""

    def __init__(
        self,
        weights: Tensor,
        budget: float = 0.0,
        momentum: float = 0.0,
        **options: Any,
    ) -> None:
        units, inputs = weights.shape
        self.model = nn.Sequential(
            nn.Linear(inputs, units, bias=False), nn.ReLU(), nn.Linear(units, 2)
        ).double()
        self.x = self.model.get_parameter("0.weight")
        self.x.data.copy_(weights)
        (group,) = find(self.model, inputs)

        def share(gone: Removed) -> float:
            return 1 - len(gone[0]) / units

        ground = Ground(
            groups=[group],
            budget=budget,
            doomed=None,
            score=lambda model, gone: [torch.zeros(units)],
            select=lambda scores, share: [
                scores[0].argsort(stable=True)[: units - int(share * units)].sort().values
            ],
            share=share,
            generator=torch.Generator(),
        )
        chosen = DhspgProcedureOptions(start=0.0, tolerance=0.99, **options)
        self.dhspg, self.rate, self.step = Dhspg(chosen, ground), 0.1, 0
        self.optimizer = torch.optim.SGD([self.x], self.rate, momentum)
        self.dhspg.attach(Training(self.model, self.optimizer, 10, 20))

    def push(self, gradients: Tensor) -> None:
        self.dhspg.rate(self.step)
        self.x.grad = gradients.clone()
        self.dhspg.after_backward(self.step)
        self.optimizer.step()
        self.dhspg.after_step(self.step)
        self.step += 1

    @property
    def zero(self) -> list[int]:
        return (self.x == 0).all(1).nonzero()[:, 0].tolist()


def find(model: nn.Module, inputs: int) -> tuple[Any, ...]:
    return find_structure(model, torch.randn(1, inputs).double()).groups


def half_space(**options: Any) -> Rows:
    """After the vectors' step, without a penalty."""
    given = VECTORS["half_space"]
    x, moved = tensor(given["weights"]), tensor(given["moved"])
    rows = Rows(x, penalty=0.0, epsilon=given["epsilon"], **options)
    rows.push((x - moved) / rows.rate)
    return rows


def test_the_half_space_test_follows_the_vectors() -> None:
    given = VECTORS["half_space"]
    rows = half_space()
    assert rows.zero == given["zeroed"]
    torch.testing.assert_close(rows.x[0].data, tensor(given["moved"][0]))
    assert rows.dhspg.removed()[0].tolist() == given["zeroed"]


def test_several_at_once_do_not_overshoot_the_budget() -> None:
    """Of three that fail the test, the two of lowest ratio; the third is trained on."""
    rows = half_space(budget=0.5)
    assert rows.zero == [1, 3]
    torch.testing.assert_close(rows.x[2].data, tensor(VECTORS["half_space"]["moved"][2]))


def test_nothing_is_pushed_once_the_budget_is_met() -> None:
    rows = half_space(budget=0.5)
    before = rows.x.data.clone()
    rows.push(-before)
    assert rows.zero == [1, 3]
    torch.testing.assert_close(rows.x.data, 1.1 * before)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 999),
    momentum=st.sampled_from([0.0, 0.9]),
    floor=st.sampled_from([0.0, 1e-3, 1.0]),
)
def test_steps_are_those_of_the_definition(seed: int, momentum: float, floor: float) -> None:
    """Brute force, unit by unit; g is what the optimizer has moved, over the learning rate."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(6, 3, generator=draw, dtype=torch.float64)
    rows = Rows(x, penalty=floor, epsilon=0.8, momentum=momentum)
    velocity, gone = torch.zeros_like(x), set[int]()
    for _ in range(3):
        gradients = torch.randn(6, 3, generator=draw, dtype=torch.float64)
        rows.push(gradients)
        velocity = momentum * velocity + gradients
        for one in set(range(6)) - gone:
            old, g = x[one].clone(), velocity[one]
            dot, lam = old @ g, floor
            if dot < 0:
                low, high = -dot / old.norm(), -(g @ g) * old.norm() / dot
                lam = min(max(2 * low, floor), 10 * floor)
                if lam >= high:
                    lam = (low + high) / 2
            new = old - 0.1 * g - 0.1 * lam * old / old.norm()
            if new @ old < 0.8 * (old @ old):
                new, velocity[one] = torch.zeros(3), torch.zeros(3)
                gone.add(one)
            x[one] = new
        # float64; g is recovered from the step, whose rounding is relative to x
        torch.testing.assert_close(rows.x.data, x, rtol=1e-9, atol=1e-12)
        assert rows.zero == sorted(gone)


def test_with_decay_units_shrink_from_the_length_before_the_step() -> None:
    rows = half_space(decay={"steps": 4})
    given = VECTORS["half_space"]
    x = tensor(given["weights"])
    shrunk = rows.x.data[given["zeroed"]]
    assert shrunk.norm(dim=1).tolist() == pytest.approx(x[given["zeroed"]].norm(dim=1) * 3 / 4)
    moved = tensor(given["moved"])[given["zeroed"]]  # without the penalty's part
    assert torch.cosine_similarity(shrunk, moved).tolist() == pytest.approx([1, 1, 1])
    assert rows.dhspg.removed()[0].tolist() == []  # only what is zero counts
    for _ in range(3):
        rows.push(torch.zeros_like(x))
    assert rows.dhspg.removed()[0].tolist() == given["zeroed"]


def test_decay_in_one_step_is_the_host() -> None:
    for at in range(2):
        model, ground = prepared("residual")
        options: dict[str, Any] = {} if at else {"decay": {"steps": 1}}
        Ride(model, ground, "dhspg", length=30, **HARD, **options).run()
        if at == 0:
            state = {name: one.clone() for name, one in model.state_dict().items()}
    assert all(torch.equal(one, state[name]) for name, one in model.state_dict().items())


# --- whole networks -------------------------------------------------------------------------------

HARD = {"penalty": 0.5, "epsilon": 0.95}  # few steps: pushed harder than by the recipes
RECTIFY = {"rate": -0.5, "length": 0.2, "window": 2, "max_releases": 1}


@pytest.mark.parametrize("name", ["chain", "residual", "concat", "depthwise", "option_a"])
@pytest.mark.parametrize(
    "more", [{}, {"decay": {"steps": 4}}, {"decay": {"steps": 4, "rectify": RECTIFY}}]
)
def test_the_budget_is_met_and_removal_changes_nothing(name: str, more: dict[str, Any]) -> None:
    model, ground = prepared(name, criterion="dhspg_saliency")
    ride = Ride(model, ground, "dhspg", length=40, **HARD, **more).run()
    removed = ride.procedure.removed()
    assert ride.step == 40  # it goes on training when the budget is met
    assert ground.budget - 0.2 <= ground.share(removed) <= ground.budget
    # float64: the same numbers in another order
    assert difference_of_cut(model, ground, removed, labelled()[0]) < 1e-12


def test_projection_does_it_where_it_has_time() -> None:
    model, ground = prepared("residual")
    ride = Ride(model, ground, "dhspg", length=60, penalty=2.0, epsilon=0.95).run()
    assert ride.procedure.notes()["forced"] == 0


def test_what_is_left_over_is_zeroed_at_the_end_and_counted() -> None:
    model, ground = prepared("residual")
    ride = Ride(model, ground, "dhspg", length=10, penalty=0.0, epsilon=0.0).run()
    removed = ride.procedure.removed()
    assert ride.procedure.notes()["forced"] == sum(map(len, removed)) > 0
    assert ground.budget - 0.2 <= ground.share(removed) <= ground.budget
    for group, gone in zip(ground.groups, removed, strict=True):
        units = Units(model, group)
        assert not units.rows(units.tensors())[gone].any()


def test_units_that_decay_are_the_first_to_be_zeroed_at_the_end() -> None:
    rows = half_space(budget=0.25, decay={"steps": 20})
    rows.x.data[0] = 1e-9  # tiny, but not on its way
    rows.dhspg.at_end()
    assert rows.dhspg.removed()[0].tolist() == VECTORS["half_space"]["zeroed"]
    assert rows.dhspg.notes()["forced"] == 3


def test_before_its_start_it_is_a_plain_training() -> None:
    plain, _ = prepared("residual")
    model, ground = prepared("residual")
    ride = Ride(model, ground, "dhspg", length=20, start=0.5, **HARD).run(until=10)
    optimizer = torch.optim.SGD(plain.train().parameters(), 0.05, 0.9, weight_decay=1e-3)
    for seed in range(10):
        images, labels = labelled(8, seed)
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(plain(images), labels).backward()
        optimizer.step()
    for name, value in model.state_dict().items():
        assert torch.equal(value, plain.state_dict()[name]), name
    ride.run(until=11)
    assert ride.procedure.notes()["redundant"] > 0


def test_a_decay_that_does_not_fit_is_refused() -> None:
    model, ground = prepared("chain")
    with pytest.raises(CriteriaError, match=r"decay.steps = 16 do not fit behind the start at"):
        Ride(model, ground, "dhspg", length=20, start=0.25, decay={"steps": 16})


@pytest.mark.parametrize("stop", [1, 6, 12])
def test_a_resumed_ride_is_bit_equal(stop: int) -> None:
    decay = {"steps": 5, "rectify": RECTIFY}
    assert_resumes("option_a", "dhspg", stop, 20, decay=decay, **HARD)
