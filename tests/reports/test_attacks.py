"""Records made to mislead, and the sentence that the page prints of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from synthetic import failed, make_suite, plan, record

from reports.analysis.analysis import analyse
from reports.analysis.compare import compare_methods
from reports.analysis.results import Results
from reports.page.answer import like_these
from reports.page.findings import headline
from reports.page.warnings import warnings
from reports.records import Failure, Labels, Record
from suites.schema import Suite


def grid(problems: int, **changes: Any) -> Suite:
    return make_suite(
        **{
            "models": [f"m{i}" for i in range(problems)],
            "methods": ["l1", {"criterion": "taylor", "as": "a"}, "l2"],
            "budgets": {"macs": [0.5]},
            "recoveries": ["none"],
            "bases": 3,
        }
        | changes
    )


def noise(one: Labels) -> float:
    """Up to a tenth of a point, another for each trial."""
    seed = [ord(letter) for letter in f"{one.problem}{one.method}"]
    return float(np.random.default_rng([*seed, one.base]).uniform(-0.001, 0.001))


def made(suite: Suite, outcome: Callable[[Labels], Record | float | None]) -> Results:
    found = []
    for one in plan(suite):
        given = outcome(one)
        if isinstance(given, float):
            given = record(one, 0.6 + given / 100 + noise(one))
        if given is not None:
            found.append(given)
    return analyse(suite, found, plan(suite))


def lost(one: Labels, how: str) -> Record:
    found = failed(one, f"{how} it was")
    kinds = {"timed out": "timeout", "infeasible": "InfeasibleBudget"}
    failure = Failure(kind=kinds.get(how, "RuntimeError"), message=how, traceback="")
    status = "infeasible" if how == "infeasible" else "failed"
    return found.model_copy(update={"failure": failure, "status": status})


def word(results: Results, method: str) -> str:
    return str(results.overall.set_index("method").loc[method, "word"])


def test_direction_and_mirror() -> None:
    """Half a point better on 15 of 16 problems, a collapse on one; and the other way round."""
    for sign, mean in ((1.0, "−1."), (-1.0, "+1.")):

        def outcome(one: Labels, sign: float = sign) -> float:
            if one.method != "a":
                return 0.0
            return sign * (-30.0 if one.model == "m3" else 0.5)

        results = made(grid(16), outcome)
        assert word(results, "a") == "mixed"
        said = headline(results, "none")
        assert "better than" not in said
        assert "orse than l1" not in said
        assert f"Mixed: a ({mean}" in said
        assert "the mean says one thing and most problems the other" in said
        assert ("Collapses: a lies 30 points behind l1 on m3" in said) == (sign > 0)


def test_two_bases_conclude_nothing() -> None:
    results = made(grid(4, bases=2), lambda one: 9.0 if one.method == "a" else 0.0)
    said = headline(results, "none")
    assert "With 2 bases per problem the uncertainty is not known" in said
    assert "The highest mean is that of a (+8.95 points, against l1)" in said
    assert set(results.overall["word"]) == {"undecided"}
    assert set(results.standing["standing"]) == {"best", "untold"}


def test_the_control_is_missing_on_one_problem() -> None:
    """Not run: the comparison is of the others, and says so; run and failed: likewise, by name."""
    for gap, words in (
        (None, "better than l1: a (+2.97 points"),
        ("failed", "No result: l1, the control, failed on 1 of 4 problems."),
        ("timed out", "No result: l1, the control, timed out on 1 of 4 problems."),
        ("infeasible", "No result: l1, the control, infeasible on 1 of 4 problems."),
    ):

        def outcome(one: Labels, gap: str | None = gap) -> Record | float | None:
            if one.method == "l1" and one.model == "m1":
                return lost(one, gap) if gap else None
            return 3.0 if one.method == "a" else 0.0

        results = made(grid(4), outcome)
        said = headline(results, "none")
        assert words in said
        assert "on 3 of 4 problems)" in said
        assert word(results, "a") == "better"
        missing = [one for one in warnings(results) if "trials are missing" in one]
        assert (gap or "not run") in missing[0]


def test_a_control_that_fails_on_most_problems_compares_nothing() -> None:
    def outcome(one: Labels) -> Record | float:
        if one.method == "l1" and one.model not in ("m0", "m1"):
            return lost(one, "failed")
        return 3.0 if one.method == "a" else 0.0

    results = made(grid(8), outcome)
    assert set(results.overall["word"]) == {"not compared"}
    said = headline(results, "none")
    assert "better than" not in said
    assert "l1, the control, failed on 6 of 8 problems" in said
    assert "Not compared, as too few problems have both results: a, l2." in said


def test_a_method_that_is_infeasible_everywhere_is_neither_worse_nor_waited_for() -> None:
    def outcome(one: Labels) -> Record | float:
        if one.method == "a":
            return lost(one, "infeasible")
        return -5.0 if one.method == "l2" else 0.0

    results = made(grid(4), outcome)
    assert word(results, "a") == "not compared"
    said = headline(results, "none")
    assert "worse than l1: l2 (−5." in said
    assert "No result: a infeasible on 4 of 4 problems." in said
    assert "yet" not in said


def test_a_method_that_fails_somewhere_is_not_called_better() -> None:
    def outcome(one: Labels) -> Record | float:
        if one.method == "a" and one.model == "m2":
            return lost(one, "failed")
        return 4.0 if one.method == "a" else 0.0

    results = made(grid(6), outcome)
    assert word(results, "a") == "mixed"
    assert "better where both ran, but a failed elsewhere" in headline(results, "none")
    dropped = grid(6, analysis={"control": "l1", "failures": "drop"})
    assert word(made(dropped, outcome), "a") == "better"


def test_methods_tied_to_the_last_image_are_not_called_equal() -> None:
    suite = grid(3)
    same = [record(one, 0.7) for one in plan(suite)]
    results = analyse(suite, same, plan(suite))
    assert set(results.overall["word"]) == {"undecided"}
    assert any("equal on all bases, to the last image" in one for one in warnings(results))
    assert headline(results, "none").startswith("On the mean of these 3 problems no method is")


def test_equivalence_is_said_only_of_what_lies_within_the_rope() -> None:
    suite = grid(6, bases=5, analysis={"control": "l1", "rope": 0.5})
    results = made(suite, lambda one: 2.0 if one.method == "a" else 0.0)
    assert word(results, "l2") == "equivalent"
    assert "quivalent to l1 (within 0.5 points): l2" in headline(results, "none")
    assert word(results, "a") == "better"


def test_a_saturated_budget_is_named() -> None:
    suite = grid(3, budgets={"macs": [0.7, 0.3]})
    results = made(suite, lambda one: record(one, 0.11 if one.budget == 0.3 else 0.8 + noise(one)))
    said = [one for one in warnings(results) if one.startswith("Budgets at which")]
    assert any("every method has lost 75 %" in one and "30 %" in one for one in said)


def test_few_datasets_say_nothing_of_problems_like_these() -> None:
    results = made(grid(6), lambda one: 5.0 if one.method == "a" else 0.0)
    said = like_these(results, "none")
    assert said.startswith(
        "For problems like these (all on digits). Typically better than l1: a (+4.97"
    )
    assert "may happen on up to 39 % of those like them" in said
    few = made(grid(4), lambda one: 5.0 if one.method == "a" else 0.0)
    assert like_these(few, "none") == (
        "For problems like these nothing is said: it takes 5 datasets or models that vary, not 4."
    )


def test_differences_on_a_grid_are_not_for_problems_like_these() -> None:
    """Six models on one of six datasets profit: better on these problems, no more."""
    suite = grid(6, datasets=["digits", "cifar10", "cifar100", "mnist", "svhn", "fashion"])
    results = made(suite, lambda one: 6.0 if one.method == "a" and one.dataset == "digits" else 0.0)
    row = results.overall.set_index("method").loc["a"]
    assert (row["mean"] > 0.9, row["like_word"]) == (True, "undecided")
    assert "no method is shown to differ from l1" in like_these(results, "none")


def test_a_pair_chosen_for_standing_out_pays_for_all_pairs() -> None:
    suite = grid(3, methods=["l1", *({"criterion": "taylor", "as": f"t{i}"} for i in range(9))])
    found = [record(one, 0.7 + noise(one)) for one in plan(suite)]
    chosen = compare_methods(suite, found, plan(suite), "t1", "t2")
    assert chosen.family == 45
    assert "allow for all 45 comparisons of two of its methods" in chosen.words[1]
    assert compare_methods(suite, found, plan(suite), "t1", "l1").family == 9


def test_bounded_numbers_have_bounded_intervals() -> None:
    suite = grid(1)
    top1 = {("a", 0): 0.99, ("a", 1): 0.2, ("a", 2): 0.95}
    results = made(suite, lambda one: record(one, top1.get((one.method, one.base), 0.1)))
    for name in ("low", "high", "joint_low", "joint_high"):
        for table in (results.overall, results.paired):
            assert table[name].dropna().between(-100, 100).all()
    assert results.cells["top1_high"].max() <= 100
    assert results.cells["top1_low"].min() >= 0
