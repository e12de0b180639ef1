"""The default analysis over problems, from records: blocks, failures, gaps, noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from synthetic import failed, make_suite, plan, record

from reports import statistics
from reports.analysis.analysis import analyse
from reports.analysis.results import Results
from reports.page.warnings import warnings
from reports.records import Labels, Record
from suites.schema import Suite

GAIN = {"l1": 0.0, "taylor": 0.05, "obd": 0.02, "random": -0.06}


def suite_of(problems: int, **changes: Any) -> Suite:
    return make_suite(
        **{
            "models": [f"m{i}" for i in range(problems)],
            "methods": list(GAIN),
            "recoveries": ["none"],
            "bases": 2,
            "repeats": 2,
        }
        | changes
    )


def scored(one: Labels) -> float:
    """A share that differs by problem, base, repeat and budget, in ways that never cancel."""
    jitter = (hash_of(one) % 1009) / 1009 - 0.5
    return 0.6 + GAIN[one.method] + 0.1 * (one.budget or 0) + 0.01 * jitter


def hash_of(one: Labels) -> int:
    text = f"{one.problem}{one.method}{one.base}{one.repeat}{one.budget}"
    return sum((i + 7) * ord(letter) ** 2 for i, letter in enumerate(text))


def made(suite: Suite, outcome: Callable[[Labels], Record | None]) -> Results:
    found = [outcome(one) for one in plan(suite)]
    return analyse(suite, [one for one in found if one is not None], plan(suite))


def whole(one: Labels) -> Record:
    return record(one, scored(one))


def test_ranking_is_the_statistics_of_problem_scores() -> None:
    suite = suite_of(9)
    results = made(suite, whole)
    found = results.ranking["none"]
    assert found.methods == tuple(GAIN)
    assert found.scores.shape == (9, 4)  # of 9 x 4 x 3 budgets x 2 bases x 2 repeats trials
    kept = suite.budgets.kept
    weights = dict(zip(kept, statistics.budget_weights(kept), strict=True))
    trials = results.trials
    mine = trials[(trials["problem"] == "m3 on digits") & (trials["method"] == "obd")]
    by_hand = sum(weights[b] * rows["retained_top1"].mean() for b, rows in mine.groupby("budget"))
    assert found.scores[3, 2] == pytest.approx(by_hand)
    assert found.omnibus == statistics.friedman(found.scores)
    assert found.omnibus is not None
    assert found.omnibus.blocks == 9
    assert found.pairwise is not None
    assert (found.pairwise.p == statistics.pairwise(found.scores).p).all()
    assert found.cliques == ()  # every pair differs
    assert (found.left_out, found.waiting, found.failed) == ((), (), ())


def test_overall_and_ranking_agree_on_every_declared_pair() -> None:
    results = made(suite_of(8), whole)
    found = results.ranking["none"]
    assert found.pairwise is not None
    for row in results.overall.to_dict("records"):
        i, j = (found.methods.index(row[one]) for one in ("method", "reference"))
        assert row["p"] == found.pairwise.p[i, j]
        assert row["hodges_lehmann"] == pytest.approx(found.pairwise.shift[i, j])
        assert row["shift_low"] <= row["hodges_lehmann"] <= row["shift_high"]
        assert row["boot_low"] <= row["mean"] <= row["boot_high"]
        assert row["p_better"] + row["p_equal"] + row["p_worse"] == pytest.approx(1)
        assert row["rank_biserial"] == 2 * row["share_won"] - 1 == np.sign(row["mean"])


def test_more_trials_are_no_more_blocks() -> None:
    few = made(suite_of(5, bases=1, repeats=1, budgets={"macs": [0.5]}), whole)
    many = made(suite_of(5, bases=3, repeats=3, budgets={"macs": [0.9, 0.7, 0.5, 0.3]}), whole)
    for results in (few, many):
        omnibus = results.ranking["none"].omnibus
        assert omnibus is not None
        assert omnibus.blocks == 5
        assert set(results.overall["n_problems"]) == {5}
        assert results.overall["p"].min() >= statistics.smallest_p(5)


def test_a_failed_method_is_the_worst_of_its_problem() -> None:
    def outcome(one: Labels) -> Record:
        lost = one.method == "taylor" and one.model == "m0" and one.budget == 0.3
        return failed(one, "out of memory") if lost else whole(one)

    results = made(suite_of(8), outcome)
    found = results.ranking["none"]
    assert found.failed == (("m0 on digits", "taylor"),)
    assert statistics.ranks(found.scores)[0, 1] == 4
    row = results.overall.set_index("method").loc["taylor"]
    assert (row["n_problems"], row["n_failed"], row["wins"], row["losses"]) == (7, 1, 7, 1)
    # Seven wins and the largest loss: rank sums 28 and 8.
    assert row["p"] == statistics.wilcoxon([1, 2, 3, 4, 5, 6, 7, -8]).p_value
    assert row["mean"] > 3  # points, of the seven: the failure is no number
    assert row["p_holm"] > 0.05
    # Without that problem the same test rejects, and the report says so.
    told = results.disagreements.set_index("method").loc["taylor"]
    assert told["rejected"]
    assert told["p"] == 2**-6
    said = "\n".join(warnings(results))
    assert "taylor (1)" in said
    assert "the worst rank" in said
    assert "left out the test rejects (Holm p 0.0234)" in said


def test_budgets_are_families_of_their_own() -> None:
    def outcome(one: Labels) -> Record:
        lost = one.method == "taylor" and one.model == "m0" and one.budget == 0.3
        return failed(one, "infeasible") if lost else whole(one)

    results = made(suite_of(8), outcome)
    table = results.per_budget
    assert len(table) == 3 * 3  # budgets, comparisons
    for _, family in table.groupby("budget"):
        assert family["p_holm"].to_numpy() == pytest.approx(statistics.holm(family["p"]))
    taylor = table[table["method"] == "taylor"].set_index("budget")
    # It failed at one budget alone.
    assert list(taylor["n_problems"]) == [8, 8, 7]
    assert list(taylor["losses"]) == [0, 0, 1]
    assert taylor.loc[0.7, "p"] == 2**-7
    cells = results.cells.set_index(["problem", "method", "budget"])["retained_top1"]
    by_hand = [
        cells[f"m{i} on digits", "obd", 0.5] - cells[f"m{i} on digits", "l1", 0.5] for i in range(8)
    ]
    row = table[(table["method"] == "obd") & (table["budget"] == 0.5)].iloc[0]
    assert row["mean"] == pytest.approx(np.mean(by_hand))
    assert row["hodges_lehmann"] == pytest.approx(statistics.hodges_lehmann(by_hand))


def test_failures_can_be_dropped() -> None:
    def outcome(one: Labels) -> Record:
        lost = one.method == "taylor" and one.model == "m0"
        return failed(one, "infeasible") if lost else whole(one)

    suite = suite_of(8, analysis={"control": "l1", "failures": "drop"})
    results = made(suite, outcome)
    found = results.ranking["none"]
    assert found.left_out == (("m0 on digits", "taylor failed"),)
    assert len(found.problems) == 7
    over = results.overall.set_index("method")
    assert (over.loc["taylor", "p"], over.loc["obd", "p"]) == (2**-6, 2**-7)
    assert results.disagreements["method"].tolist() == ["taylor"]
    assert "the test does not reject" in "\n".join(warnings(results))


def test_what_has_not_run_is_no_failure() -> None:
    def outcome(one: Labels) -> Record | None:
        not_run = one.method == "random" or (one.method == "obd" and one.model in ("m1", "m2"))
        return None if not_run else whole(one)

    results = made(suite_of(6), outcome)
    found = results.ranking["none"]
    assert found.waiting == ("random",)
    assert found.methods == ("l1", "taylor", "obd")
    assert found.left_out == (
        ("m1 on digits", "not finished: obd"),
        ("m2 on digits", "not finished: obd"),
    )
    assert found.problems == tuple(f"m{i} on digits" for i in (0, 3, 4, 5))
    assert found.failed == ()
    over = results.overall.set_index("method")
    assert list(over["n_failed"]) == [0, 0, 0]
    assert over.loc["taylor", "n_problems"] == 6  # a pair waits for nobody else
    assert results.disagreements.empty


def test_one_problem_has_no_ranking_and_conditional_tests() -> None:
    results = made(suite_of(1, bases=6), whole)
    found = results.ranking["none"]
    assert (found.omnibus, found.pairwise, found.cliques) == (None, None, ())
    rows = results.paired.set_index("method")
    assert rows.loc["taylor", "p_sign_flip"] == statistics.smallest_p(6)
    raw = rows["p"].to_numpy()
    assert rows["p_holm"].to_numpy() == pytest.approx(statistics.holm(raw))
    # The test and the interval are one: p <= alpha where the interval leaves zero out.
    assert ((raw <= 0.05) == ((rows["low"] > 0) | (rows["high"] < 0))).all()
    assert "other models" in "\n".join(warnings(results))


def test_nothing_has_run() -> None:
    results = made(suite_of(3), lambda _: None)
    found = results.ranking["none"]
    assert (found.methods, found.waiting, found.omnibus) == ((), tuple(GAIN), None)
    assert results.noise.empty
    assert results.inflation.empty
    assert results.overall["p"].isna().all()


def test_noise_and_inflation_by_hand() -> None:
    suite = suite_of(1, methods=["l1", "taylor"], budgets={"macs": [0.5]})
    # Bases at 70 and 72 %, repeats one point around them.
    tops = {(0, 0): 0.69, (0, 1): 0.71, (1, 0): 0.71, (1, 1): 0.73}
    results = made(suite, lambda one: record(one, tops[one.base, one.repeat]))
    row = results.noise.set_index("method").loc["l1"]
    # Repeats: variance 2. Base means 70 and 72: 2 = base + 2 / 2.
    assert row["repeat_sd"] ** 2 == pytest.approx(2)
    assert row["base_sd"] ** 2 == pytest.approx(1)
    assert row["aa_sd"] == pytest.approx(np.sqrt(2 * 2 / 4))
    assert "from itself by 1.00 points" in "\n".join(warnings(results))
    inflated = results.inflation.set_index("method").loc["taylor"]
    assert (inflated["runs"], inflated["best_of_n"]) == (4, pytest.approx(2.0))
    assert np.isnan(inflated["best_epoch"])


def test_best_epoch_is_read_from_the_histories() -> None:
    suite = suite_of(1, methods=["l1", "taylor"], recoveries=[{"finetune": "short"}])
    history = [
        {"epoch": i, "train_loss": 1.0, "validation_top1": share}
        for i, share in enumerate((0.5, 0.9, 0.8))
    ]
    results = made(suite, lambda one: record(one, 0.7, history=history))
    assert results.inflation["best_epoch"].tolist() == pytest.approx([10, 10])
    assert set(results.inflation["epochs"]) == {3}


def test_thresholds_of_a_knob_are_averaged_plainly() -> None:
    suite = suite_of(2, methods=["l1", "rgd"], budgets={"threshold": [0.9, 0.5, 0.4]}, bases=1)
    level = {0.9: 0.9, 0.5: 0.6, 0.4: 0.0}
    found = [
        record(one, level[one.budget or 0], macs=500_000, params=50_000) for one in plan(suite)
    ]
    results = analyse(suite, found, plan(suite))
    assert results.ranking["none"].scores == pytest.approx(50.0 - 90.0)
