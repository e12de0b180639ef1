"""What papers claim against records made by hand: each verdict, and what it is made from."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture
from made_claims import CLAIM, claim, over_bases, trial
from synthetic import failed

from reports.claims.claim_file import known_claims
from reports.claims.claims import Judgement, decide, judge
from reports.claims.claims_page import claims_page, verdicts
from reports.claims.differences import suite_under
from reports.records import Failure, Record
from reports.statistics import holm, on_these_problems
from suites import SuiteError, library, load_suite
from suites.schema import Suite


def only(found: list[Judgement]) -> Judgement:
    (one,) = found
    return one


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ([2.0, 2.5, 3.0], "reproduced"),  # 2.5 ± 4.303 * 0.5 / sqrt(3) = [1.26, 3.74]
        ([-2.0, -2.5, -3.0], "not reproduced"),
        ([0.0, 2.5, 5.0], "undecided"),
        ([2.5, 2.6], "undecided"),  # two bases may agree by chance
        ([2.5, 2.5, 2.5], "undecided"),  # no width: the spread is unknown, not zero
        ([2.5], "undecided"),
    ],
)
def test_the_interval_decides(differences: list[float], said: str) -> None:
    one = only(judge([claim()], over_bases(differences)))
    assert one.verdict == said
    assert one.scale == "paper"
    assert len(one.trials) == 2 * len(differences)


def test_the_interval_is_students_over_bases() -> None:
    one = only(judge([claim()], over_bases([2.0, 2.5, 3.0])))
    assert one.interval is not None
    assert one.interval.mean == pytest.approx(2.5)
    assert one.interval.low == pytest.approx(2.5 - 4.302653 * 0.5 / 3**0.5, abs=1e-5)
    assert one.on == "this problem, 3 bases"
    assert one.p == pytest.approx(0.0131, abs=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        {"suite": "another"}, {"suite": "s-smoke"}, {"recovery": "bn"}, {"budget": 0.1},
        {"cost": "params"}, {"dataset": "elsewhere"},
    ],
)  # fmt: skip
def test_what_has_not_been_run_is_said_so(changes: dict[str, Any]) -> None:
    one = only(judge([claim()], over_bases([1.0, 2.0], **changes)))
    assert one.verdict == "not run"
    assert not one.trials


def test_other_suites_speak_to_a_claim_by_their_own_names_and_elsewhere() -> None:
    also = [{"suite": "t", "recovery": "bn", "budgets": {"params": [0.1, 0.3]}, "against": ["c"]}]
    there = {"suite": "t", "recovery": "bn", "cost": "params", "budget": 0.2, "dataset": "x"}
    records = [
        trial(name, top1, base=base, **there)
        for base, gap in enumerate([2.0, 2.5, 3.0])
        for name, top1 in [("a", 80 + gap), ("c", 80.0)]
    ]
    one = only(judge([claim(also=also)], records))
    assert (one.verdict, one.compared, one.elsewhere) == ("reproduced", "a − c", True)
    assert one.scale == "another dataset"
    own = over_bases([-2.0, -2.5, -3.0])
    found = judge([claim(also=also)], [*own, *records])
    assert [each.verdict for each in found] == ["not reproduced", "reproduced"]
    page = claims_page(found, [*own, *records])
    assert "1 claim in 2 rows: 0 reproduced, 1 not reproduced" in page
    assert "elsewhere 1 reproduced" in page


def test_every_scale_of_a_librarys_suite_but_smoke_speaks_to_its_claims() -> None:
    asked = claim(suite="obc-criteria-cifar")
    for scale, said in {"published": "published", "smoke": "–"}.items():
        records = over_bases([2.0, 2.5, 3.0], suite=f"obc-criteria-cifar-{scale}")
        assert only(judge([asked], records)).scale.partition(",")[0] == said


def test_one_of_the_two_methods_alone_is_not_run() -> None:
    assert only(judge([claim()], [trial("a", 85)])).verdict == "not run"
    assert only(judge([claim()], [])).verdict == "not run"


@pytest.mark.parametrize(("bases", "why"), [(1, "one base"), (2, "two bases")])
def test_fewer_than_three_bases_decide_nothing_however_many_repeats(bases: int, why: str) -> None:
    """`b` has nothing random in it: its one repeat stands beside all of `a`."""
    records = [
        trial("a", 80 + gap, base=base, repeat=at)
        for base in range(bases)
        for at, gap in enumerate([2.0, 2.5, 3.0])
    ] + [trial("b", 80, base=base) for base in range(bases)]
    findings = judge([claim()], records)
    one = only(findings)
    assert (one.verdict, one.why, len(one.trials)) == ("undecided", why, 4 * bases)
    page = claims_page(findings, records)
    on = f"this problem, {bases} base{'s' if bases > 1 else ''}"
    assert f"| a − b: +2.50 on {on} | undecided ({why}) |" in page  # no interval
    assert f"**undecided ({why})**, on {on}." in page
    assert "None of them could be tested: that takes three bases on each problem" in page


def test_bases_pair_by_their_weights_not_by_their_number() -> None:
    mine = trial("a", 85, weights="one training")
    theirs = trial("b", 80, weights="another training")
    assert only(judge([claim()], [mine, theirs])).verdict == "not run"


def test_budgets_become_the_area_and_one_that_is_unfinished_is_left_out() -> None:
    records = [
        *over_bases([1.0, 2.0, 3.0], budget=0.5),
        *over_bases([3.0, 4.0, 5.0], budget=0.25),
        *over_bases([9.0], budget=0.35)[:1],  # `a` alone
    ]
    one = only(judge([claim()], records))
    assert len(one.budgets) == 2
    assert one.interval is not None
    assert one.interval.mean == pytest.approx(3.0)  # two budgets weigh one half each


PROBLEMS = ["net on data", "net2 on data", "net3 on data"]


def test_all_problems_of_a_claim_are_one_interval_on_these_problems() -> None:
    """2.5 with SE .5 / sqrt(3) on one, 4 with 1 / sqrt(3) on the other: mean 3.25; by Welch and
    Satterthwaite SE sqrt(1 / 12 + 1 / 3) / 2 = .3227 on 2.94 degrees of freedom."""
    two = [*over_bases([2.0, 2.5, 3.0]), *over_bases([3.0, 4.0, 5.0], model="net2")]
    one = only(judge([claim(problems=PROBLEMS)], two))
    assert one.problems == ("net on data", "net2 on data")
    assert one.on == "these 2 problems, 3 bases each"
    assert one.interval is not None
    assert one.interval.mean == pytest.approx(3.25)
    assert one.interval.high - 3.25 == pytest.approx(0.32275 * 3.2174, abs=1e-3)
    uneven = [*two, *over_bases([2.0] * 3 + [2.2, 2.4], model="net3")]
    assert (
        only(judge([claim(problems=PROBLEMS)], uneven)).on == "these 3 problems, 3 to 5 bases each"
    )


def test_problems_that_disagree_without_a_spread_over_them_decide_by_their_mean() -> None:
    """Problems are no sample: far above on one and a little below on another is above on both."""
    records = [*over_bases([9.0, 9.1, 9.2]), *over_bases([-1.0, -1.1, -1.2], model="net2")]
    assert only(judge([claim(problems=PROBLEMS)], records)).verdict == "reproduced"


def test_one_problem_with_too_few_bases_leaves_the_claim_undecided() -> None:
    records = [*over_bases([2.0, 2.1, 2.2, 2.3]), *over_bases([2.0], model="net2")]
    one = only(judge([claim(problems=PROBLEMS)], records))
    assert (one.verdict, one.why) == ("undecided", "one base")
    assert one.on == "these 2 problems, 1 to 4 bases each"


def test_another_model_on_the_dataset_stands_in_and_the_scale_says_so() -> None:
    near = over_bases([2.0, 2.5, 3.0], model="net2", dataset="data-jpeg")
    assert only(judge([claim()], near)).scale == "another model, another dataset"
    assert only(judge([claim()], over_bases([1.0], model="net2"))).scale == "another model"
    assert only(judge([claim()], over_bases([1.0], dataset="data-x"))).scale == "another dataset"
    page = claims_page(judge([claim()], near), near)
    assert "1 claim: 0 reproduced, 0 not reproduced, 0 undecided, 0 not run; elsewhere 1" in page
    assert "| reproduced, elsewhere |" in page
    reduced = over_bases([2.0, 2.5, 3.0], suite="s-reduced")
    assert only(judge([claim()], reduced)).scale == "reduced"
    both = judge([claim()], [*reduced, *over_bases([-2.0, -2.5, -3.0])])
    assert {one.scale: one.verdict for one in both} == {
        "paper": "not reproduced",
        "reduced": "reproduced",
    }


def test_a_threshold_asks_for_as_good_as() -> None:
    close = over_bases([-0.3, -0.25, -0.2])
    assert only(judge([claim()], close)).verdict == "not reproduced"
    assert only(judge([claim(above=-1)], close)).verdict == "reproduced"


def test_a_method_may_be_held_against_its_dense_network() -> None:
    records = [trial("a", top1, base=at) for at, top1 in enumerate([89.6, 89.7, 89.8])]
    asked = claim(against=["dense"], above=-1)
    assert only(judge([asked], records)).verdict == "reproduced"
    assert only(judge([claim(against=["dense"])], records)).verdict == "not reproduced"


def test_a_gain_that_grows_is_a_difference_of_differences() -> None:
    records = [*over_bases([1.0, 1.1, 1.2]), *over_bases([5.0, 5.2, 5.4], budget=0.1)]
    asked = claim(budgets={"macs": [0.05, 0.1]}, beyond=[0.3, 0.6])
    one = only(judge([asked], records))
    assert one.verdict == "reproduced"
    assert one.interval is not None
    assert one.interval.mean == pytest.approx(4.1)
    shrinks = claim(budgets={"macs": [0.3, 0.6]}, beyond=[0.05, 0.1])
    assert only(judge([shrinks], records)).verdict == "not reproduced"


GROWS = {"budgets": {"macs": [0.05, 0.1]}, "beyond": [0.3, 0.6]}


def test_a_gain_that_grows_is_one_of_the_same_bases() -> None:
    """Bases 1 and 2 are at both budgets: 5.2 - 1.1 and 5.4 - 1.2; by position it would be less."""
    lacks_the_last = [*over_bases([1.0, 1.1, 1.2, 1.3])[:6]]
    lacks_the_first = [*over_bases([5.0, 5.2, 5.4], budget=0.1)[2:]]
    one = only(judge([claim(**GROWS)], [*lacks_the_last, *lacks_the_first]))
    assert one.interval is not None
    assert one.interval.mean == pytest.approx((4.1 + 4.2) / 2)
    assert one.on == "this problem, 2 bases"


def without_result(record: Record, kind: str, infeasible: bool = False) -> Record:
    """The same trial, had it not finished; as in real records, it bears no hash of its base."""
    failure = Failure(kind=kind, message="", traceback="", infeasible=infeasible)
    ended = failed(record.labels, "").model_copy(update={"failure": failure})
    return ended.model_copy(update={"status": "infeasible"}) if infeasible else ended


def test_what_failed_was_infeasible_timed_out_or_has_not_run_is_told_apart() -> None:
    records = [
        *over_bases([2.0, 2.5, 3.0]),
        trial("b", 80, base=3),
        without_result(trial("a", 0, base=3), "RuntimeError"),
        trial("b", 80, base=4),
        without_result(trial("a", 0, base=4), "timeout"),
        trial("b", 80, base=5),
        without_result(trial("a", 0, base=5), "Infeasible", infeasible=True),
        trial("b", 80, base=6),
        trial("a", 20, budget=0.25),
    ]
    findings = judge([claim()], records)
    one = only(findings)
    assert len(one.trials) == 6
    assert one.note == (
        "a: 1 trial failed (budgets 0.5); a: 1 trial infeasible (budgets 0.5); a: 7 trials not run "
        "(budgets 0.25, 0.5); a: 1 trial timed out (budgets 0.5); "
        "b: 7 trials not run (budgets 0.25)"
    )
    assert one.note in claims_page(findings, records)


def test_a_trial_that_failed_once_and_finished_later_or_earlier_is_done() -> None:
    records = over_bases([2.0, 2.5, 3.0])
    records.append(without_result(records[0], "RuntimeError"))
    assert only(judge([claim()], records)).note == ""


def test_a_method_that_only_failed_is_not_said_not_to_have_run() -> None:
    records = over_bases([2.0, 2.5, 3.0])
    crashed = [
        without_result(one, "RuntimeError") if one.labels.method == "a" else one for one in records
    ]
    findings = judge([claim()], crashed)
    assert only(findings).note == "a: 3 trials failed (budgets 0.5)"
    page = claims_page(findings, crashed)
    assert "| a: 3 trials failed (budgets 0.5) | undecided (nothing to compare) |" in page


def test_a_problem_on_which_a_method_failed_is_named_by_its_absence() -> None:
    elsewhere = over_bases([2.0, 2.5, 3.0], model="net2")
    crashed = [
        without_result(one, "crashed") if one.labels.method == "a" else one for one in elsewhere
    ]
    one = only(judge([claim(problems=PROBLEMS)], [*over_bases([2.0, 2.5, 3.0]), *crashed]))
    assert (one.verdict, one.why) == ("undecided", "trials of a failed on 1 of 2 problems")
    assert one.on == "this problem, 3 bases"
    assert one.problems == ("net on data",)
    assert one.note == "a: 3 trials failed (budgets 0.5)"


CLEAR = [2.0, 2.4, 2.8, 3.0]
ENDS = [("crashed", False, "failed"), ("timeout", False, "timed out"), ("X", True, "infeasible")]


def falling(records: list[Record], kind: str, infeasible: bool, **where: Any) -> list[Record]:
    """The same, but that the trials of these labels have come to no result."""
    return [
        without_result(one, kind, infeasible)
        if where.items() <= one.labels.model_dump().items()
        else one
        for one in records
    ]


@pytest.mark.parametrize("method", ["a", "b"])
@pytest.mark.parametrize(("kind", "infeasible", "outcome"), ENDS)
@pytest.mark.parametrize(
    ("where", "on"),
    [
        ({"model": "net", "base": 3}, "on 1 of 3 problems"),
        ({"model": "net3"}, "on 1 of 3 problems"),
        ({"budget": 0.25}, "on 3 of 3 problems"),
    ],
    ids=["base", "problem", "budget"],
)
def test_what_survives_of_a_method_that_failed_reproduces_nothing(
    method: str, kind: str, infeasible: bool, outcome: str, where: dict[str, Any], on: str
) -> None:
    records = [
        one
        for model, budget in product(("net", "net2", "net3"), (0.25, 0.5))
        for one in over_bases(CLEAR, model=model, budget=budget)
    ]
    asked = claim(problems=PROBLEMS)
    assert only(judge([asked], records)).verdict == "reproduced"
    fallen = falling(records, kind, infeasible, method=method, **where)
    findings = judge([asked], fallen)
    one = only(findings)
    assert (one.verdict, one.why) == ("undecided", f"trials of {method} {outcome} {on}")
    assert one.interval is not None
    assert one.interval.low > 0  # what is left, which the note counts
    assert f"{method}: " in one.note
    page = claims_page(findings, fallen)
    assert f"| undecided (trials of {method} {outcome} {on}) |" in page
    assert "of the 1 that could be tested" in page
    # What has not run is no failure.
    gone = [one for one in fallen if one.status == "done"]
    assert only(judge([asked], gone)).verdict == "reproduced"


def test_below_is_below_where_the_claims_method_failed_but_not_where_the_other_did() -> None:
    records = over_bases([-one for one in CLEAR])
    for method, said in (("a", "not reproduced"), ("b", "undecided")):
        one = only(judge([claim()], falling(records, "crashed", False, method=method, base=3)))
        assert one.verdict == said
        assert one.why == ("trials of b failed" if method == "b" else "")


def test_a_failure_outside_of_the_claims_range_or_of_another_method_is_none() -> None:
    others = [*over_bases(CLEAR, budget=0.1), *over_bases(CLEAR, recovery="bn")]
    records = [*over_bases(CLEAR), *falling(others, "crashed", False)]
    records.append(without_result(trial("c", 80), "crashed"))
    assert only(judge([claim()], records)).verdict == "reproduced"


def test_a_method_that_failed_is_no_better_one_where_nobody_wins() -> None:
    low, high = [70.0, 71.0, 72.1, 71.5], [80.0, 81.2, 82.0, 81.5]
    records = [
        trial(method, top1, budget=budget, base=base)
        for method, budget, several in (
            ("a", 0.5, high), ("b", 0.5, low), ("a", 0.25, low), ("b", 0.25, high),
        )
        for base, top1 in enumerate(several)
    ]  # fmt: skip
    asked = claim(method=None, against=[], nobody_wins=True)
    assert only(judge([asked], records)).verdict == "reproduced"
    fallen = falling(records, "crashed", False, method="b", budget=0.25, base=0)
    one = only(judge([asked], fallen))
    assert one.verdict == "undecided"
    assert "never shown to be worse than another: a" in one.note


def test_methods_that_recovered_by_different_recipes_are_not_compared() -> None:
    """`--set` leaves labels as they are; what was recovered by the newest recipe counts."""
    short, long = ({"recovery": "finetune-x", "recipe": {"epochs": one}} for one in (1, 100))
    old = over_bases([-2.0, -2.5, -3.0], ended="2025-01-01T00:00:00+00:00", **short)
    new = over_bases([2.0, 2.5, 3.0], **long)
    asked = claim(recovery="finetune")
    assert only(judge([asked], [*old, *new])).verdict == "reproduced"
    alone = [one for one in new if one.labels.method == "a"]
    assert only(judge([asked], [*old, *alone])).verdict == "not run"


def test_a_claim_tried_in_two_ways_is_one_claim_and_its_rows_say_how() -> None:
    records = [
        *over_bases([2.0, 2.5, 3.0], recovery="finetune-x"),
        *over_bases([-2.0, -2.5, -3.0], recovery="finetune-x-108"),
    ]
    page = claims_page(judge([claim(recovery="finetune")], records), records)
    assert "1 claim in 2 rows: 1 reproduced, 1 not reproduced" in page
    assert "| `s`, paper, finetune-x |" in page
    assert "| `s`, paper, finetune-x-108 |" in page


def nobody(*rows: tuple[str, float, list[float]]) -> Judgement:
    """Of (method, budget, top-1 by base)."""
    asked = claim(method=None, against=[], nobody_wins=True)
    records = [
        trial(method, top1, budget=budget, base=base)
        for method, budget, several in rows
        for base, top1 in enumerate(several)
    ]
    return only(judge([asked], records))


def test_nobody_wins_where_each_is_told_from_a_better_one_somewhere() -> None:
    low, high = [70.0, 71.0, 72.1], [80.0, 81.2, 82.0]
    turns = nobody(("a", 0.5, high), ("b", 0.5, low), ("a", 0.25, low), ("b", 0.25, high))
    assert turns.verdict == "reproduced"
    always = nobody(("a", 0.5, high), ("b", 0.5, low), ("a", 0.25, high), ("b", 0.25, low))
    assert always.verdict == "not reproduced"
    assert "a" in always.note
    noisy = [60.0, 81.0, 99.0]
    unsure = nobody(("a", 0.5, high), ("b", 0.5, low), ("a", 0.25, low), ("b", 0.25, noisy))
    assert unsure.verdict == "undecided"
    assert unsure.note.endswith(": a")
    assert unsure.on == "this problem, 3 bases"
    few = nobody(*(("ab"[at % 2], (0.5, 0.25)[at // 2], [70.0, 71.0]) for at in range(4)))
    assert (few.verdict, few.why) == ("undecided", "two bases")
    assert nobody(("a", 0.5, high), ("b", 0.5, low)).verdict == "not run"  # one place is not many


def test_who_failed_where_nobody_wins_is_named_and_never_wins() -> None:
    """`a` is best wherever it ran, on one of two problems; `c` failed everywhere."""
    asked = claim(method=None, against=[], nobody_wins=True, problems=PROBLEMS)
    records = [
        trial(method, top1 + base * top1 / 100, budget=budget, base=base, model=model)
        for method, top1 in (("a", 90), ("b", 80), ("c", 70))
        for budget, base, model in product((0.5, 0.25), range(3), ("net", "net2"))
    ]
    wins = only(judge([asked], records))
    assert (wins.verdict, wins.note) == ("not reproduced", "better than all others everywhere: a")
    crashed = [
        without_result(one, "crashed")
        if one.labels.method == "c" or (one.labels.method, one.labels.model) == ("a", "net2")
        else one
        for one in records
    ]
    one = only(judge([asked], crashed))
    assert one.verdict == "undecided"
    assert one.note == (
        "never shown to be worse than another: a, c; a: 6 trials failed (budgets 0.25, 0.5); "
        "c: 12 trials failed (budgets 0.25, 0.5)"
    )
    nothing = only(judge([asked], [without_result(one, "crashed") for one in records]))
    assert (nothing.verdict, nothing.why) == ("undecided", "nothing to compare")


def test_of_two_records_of_one_trial_the_newer_counts() -> None:
    old = over_bases([-2.0, -2.5, -3.0], ended="2025-01-01T00:00:00+00:00")
    assert only(judge([claim()], [*over_bases([2.0, 2.5, 3.0]), *old])).verdict == "reproduced"


def test_a_claim_against_several_holds_if_all_do() -> None:
    asked = claim(against=["b", "c"])
    records = over_bases([2.0, 2.5, 3.0])
    ((_, said, rows),) = verdicts(judge([asked], records))
    assert said == "undecided"  # c has not been run
    assert [one.verdict for one in rows] == ["reproduced", "not run"]
    worse = [trial("c", top1, base=base) for base, top1 in enumerate([98, 99, 99])]
    ((_, said, _),) = verdicts(judge([asked], [*records, *worse]))
    assert said == "not reproduced"


def test_the_comparisons_of_a_claim_are_one_family() -> None:
    """2.5 ± .5 over three bases has p = .013: told alone, and with four that have not run beside
    it not; its interval is then one of 1 - .05 / 5."""
    several = claim(against=list("bcdef"))
    alone, first = (judge([one], over_bases([2.0, 2.5, 3.0]))[0] for one in (claim(), several))
    assert (alone.verdict, first.verdict) == ("reproduced", "undecided")
    assert first.p == pytest.approx(5 * alone.p)
    assert first.interval is not None
    assert first.interval.low == pytest.approx(2.5 - 9.9248 * 0.5 / 3**0.5, abs=1e-3)


def test_a_claim_is_decided_from_records_as_from_its_numbers() -> None:
    """Two problems, two budgets, two repeats, four bases, a threshold: Welch's test of the cube
    that the records were made from, and Bonferroni's correction."""
    rng = np.random.default_rng(3)
    places = [(model, base) for model in ("net", "net2") for base in range(4)]
    top1 = {
        (method, *place): 60 + 5 * ("abc".index(method)) + rng.normal(0, 2, (2, 2)).round(3)
        for method in "abc"
        for place in places
    }
    records = [
        trial(method, values[at, repeat], model=model, base=base, budget=budget, repeat=repeat)
        for (method, model, base), values in top1.items()
        for at, budget in enumerate((0.5, 0.25))
        for repeat in range(2)
    ]
    gaps = [
        [top1["c", *place].mean() - top1[ref, *place].mean() for place in places] for ref in "ab"
    ]
    cube = np.reshape(gaps, (2, 2, 4))
    asked = claim(method="c", against=["a", "b"], problems=PROBLEMS, above=4)
    found = judge([asked], records)
    p = np.minimum(2 * on_these_problems(cube - 4).p_values, 1)
    assert [one.p for one in found] == pytest.approx(p.tolist())
    assert [one.verdict for one in found] == [one.verdict for one in decide(cube, 4)]
    assert [one.verdict for one in found] == ["reproduced", "undecided"]


def test_no_verdict_goes_beyond_its_interval() -> None:
    """Of ten comparisons a step-down test would show one more, whose interval holds 0."""
    rng = np.random.default_rng(3)
    cube = rng.normal(0, 1, (10, 1, 5)) + np.linspace(0, 3, 10)[:, None, None]
    found = decide(cube, 0)
    ends = [(one.interval.low, one.interval.high) for one in found if one.interval]
    told = [one.verdict != "undecided" for one in found]
    assert told == [low > 0 or high < 0 for low, high in ends]
    stepped = holm(on_these_problems(cube).p_values) <= 0.05
    assert sum(stepped) > sum(told) > 0, "else the case tells nothing"


def test_intervals_end_where_accuracies_do() -> None:
    """A difference of accuracies lies within 100 points, one of two such within 200."""
    wild = over_bases([-70.0, 10.0, -40.0])
    one = only(judge([claim()], wild))
    assert one.interval is not None
    assert one.interval.low == -100
    assert one.interval.high == pytest.approx(67.06, abs=0.01)
    grows = only(judge([claim(**GROWS)], [*wild, *over_bases([9.0, -80.0, 9.5], budget=0.1)]))
    assert grows.interval is not None
    assert -200 <= grows.interval.low < -100


def test_the_page_says_from_which_records_and_is_the_same_in_any_order() -> None:
    records = over_bases([2.0, 2.5, 3.0])
    asked = [claim(), claim(suite="t", claim="It does there.")]
    findings = judge(asked, records)
    page = claims_page(findings, records)
    assert page == claims_page(judge(asked, records[::-1]), records[::-1])
    assert (
        "| P | A beats B. | `s`, paper | a − b: +2.50 [+1.26, +3.74] on this problem, 3 bases |"
        in page
    )
    assert "| P | It does there. | `t` | – | not run |" in page
    assert "- `s`: 6 trials, 2026-01-02, commit unknown" in page
    assert "2 claims: 1 reproduced, 0 not reproduced, 0 undecided, 1 not run." in page
    assert (
        "Each verdict is wrong with a chance of at most 5 %: of the 1 that could be tested, up to "
        "0.05 are to be expected to be wrong by chance." in page
    )
    assert "**reproduced**, on this problem, 3 bases." in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": None}, "method and against, or pairs, or nobody_wins"),
        ({"budgets": {"macs": [0.5, 0.2]}}, "0 < low <= high <= 1"),
        ({"budgets": {"flops": [0.2, 0.5]}}, "0.budgets"),
        ({"against": "b"}, "0.against"),
        ({"expected": "up"}, "0.expected"),
    ],
)
def test_a_faulty_claim_is_refused_by_its_place(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(json.dumps([CLAIM | changes]), encoding="utf-8")
    with pytest.raises(SuiteError) as error:
        known_claims(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("name", sorted({one.suite for one in known_claims()}))
def test_claims_name_what_their_suite_holds(name: str) -> None:
    if name not in library():
        pytest.skip(f"the library has no {name}")
    suite = load_suite(name)
    assert isinstance(suite, Suite)
    problems = {
        f"{model.title} on {dataset.title}" for dataset in suite.datasets for model in suite.models
    }
    recoveries = {word for one in suite.recoveries for word in (one.name, one.kind)}
    for one in (each for each in known_claims() if each.suite == name):
        named = {*filter(None, [one.method, *one.against])} - {"dense"}
        assert named <= set(suite.method_names), one.claim
        assert set(one.problems) <= problems, one.claim
        assert one.recovery in recoveries, one.claim
        assert one.axis == suite.budgets.cost, one.claim


def test_other_suites_hold_what_claims_ask_of_them() -> None:
    moved = [at for one in known_claims() for at in one.moved]
    for at in moved:
        suite = suite_under(at.suite)
        assert suite is not None
        assert {name for pair in at.compared for name in pair} <= set(suite.method_names)
        assert any(at.recovery in (each.name, each.kind) for each in suite.recoveries)
        kept = getattr(suite.budgets, at.axis)
        assert any(at.span[0] <= share <= at.span[1] for share in kept)


@pytest.mark.parametrize(
    "wrong", [{"budgets": {"macs": [0.9, 0.2]}}, {"recovery": None}, {"of": "x"}]
)
def test_other_suites_are_checked_like_claims(wrong: dict[str, Any]) -> None:
    also = {"suite": "t", "recovery": "none", "budgets": {"macs": [0.2, 0.9]}} | wrong
    with pytest.raises(ValueError, match=next(iter(wrong)) if "budgets" not in wrong else "0 <"):
        claim(also=[also])


def test_every_paper_has_claims() -> None:
    assert {one.paper for one in known_claims()} == {
        "OBA", "OBC", "RGD", "TPP", "DPM", "PruningBench",
    }  # fmt: skip


def test_the_page_in_docs_is_of_these_claims_and_this_rule() -> None:
    page = (toy.CHECKOUT / "docs" / "claims.md").read_text(encoding="utf-8")
    stale = "docs/claims.md is stale: write it anew with bench claims --out docs/claims.md"
    rule = toy.CHECKOUT / "reports" / "templates" / "claims_rule.md"
    assert rule.read_text(encoding="utf-8") in page, stale
    assert all(f"### {one.paper}: {one.claim}" in page for one in known_claims()), stale


def test_the_command_writes_the_page(bench: Command, tmp_path: Path) -> None:
    empty = bench("claims")
    assert empty.code == 2
    assert "there are no records" in empty.err
    for at, name in enumerate(("here", "there")):
        folder = tmp_path / name / "records"
        folder.mkdir(parents=True)
        for one in (
            trial(method, top1, suite="obc-criteria-cifar", model="resnet56", dataset="cifar10",
                  cost="channels", budget=0.7, base=at)
            for method, top1 in (("jacobian", 80.0 + at), ("l1", 70.0))
        ):  # fmt: skip
            (folder / f"{one.key}.json").write_bytes(one.to_json())
    (tmp_path / "here" / "records" / "torn.json").write_text("{", encoding="utf-8")
    done = bench("claims", "--results", "here", "--results", "there", "--out", "docs/claims.md")
    assert done.code == 0
    assert "here: 1 files" in done.out
    assert "None of them could be tested" in done.out
    page = (tmp_path / "docs" / "claims.md").read_text(encoding="utf-8")
    assert "- `obc-criteria-cifar`: 4 trials" in page
    assert page.count("not run |") > 20
