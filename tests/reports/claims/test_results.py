"""Questions of ours: pairs, relations between places, and the page of answers."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import yaml
from made_claims import claim, over_bases, trial
from scipy.stats import spearmanr
from synthetic import failed

from reports.claims.claim_file import Claim, Relation, asked
from reports.claims.claims import judge
from reports.claims.claims_page import percents
from reports.claims.relations import related
from reports.claims.results_page import answers, bases_needed, results_page
from reports.formats import interval
from reports.records import Record
from suites import Suite, SuiteError

PLACES = [{"suite": "s", "recovery": "none"}, {"suite": "s", "recovery": "finetune"}]
ORDER = Relation.model_validate({"claim": "Does the order hold?", "places": PLACES})
TOP1 = {"a": (80, 88), "b": (70, 87), "c": (60, 89), "d": (50, 84), "e": (40, 85), "f": (30, 80)}


def orders(**more: tuple[float, float]) -> list[Record]:
    """Each method without and with finetuning, on two problems and two bases, a point apart."""
    return [
        trial(name, value + base - 2 * at, base=base, model=model, recovery=recovery)
        for name, both in {**TOP1, **more}.items()
        for value, recovery in zip(both, ("none", "finetune-short"), strict=True)
        for base in range(2)
        for at, model in enumerate(("net", "other"))
    ]


def test_pairs_are_one_family_with_a_row_each() -> None:
    asked_so = claim(method=None, against=[], pairs=[["a", "b"], ["b", "a"]])
    there, back = judge([asked_so], over_bases([2.0, 2.5, 3.0]))
    assert (there.compared, back.compared) == ("a − b", "b − a")
    assert (there.verdict, back.verdict) == ("reproduced", "not reproduced")
    both = judge([claim(against=["b", "c"])], over_bases([2.0, 2.5, 3.0]))
    assert there.p == pytest.approx(both[0].p), "a family of two, one of which is not there"


def test_a_relation_is_the_rank_correlation_of_methods_over_problems_that_both_have() -> None:
    found = related(ORDER, orders())
    rho = spearmanr(*zip(*TOP1.values(), strict=True)).statistic
    assert found.rho == pytest.approx(rho)
    assert (found.methods, found.problems) == (6, 2)
    half = 1.959964 * math.sqrt((1 + rho**2 / 2) / 3)
    assert math.atanh(found.low) == pytest.approx(math.atanh(rho) - half, abs=1e-6)
    assert math.atanh(found.high) == pytest.approx(math.atanh(rho) + half, abs=1e-6)


def test_budgets_weigh_in_an_order_as_in_a_difference() -> None:
    """1/6, 1/2, 1/3: `a` comes to 2 points, below `b`; its plain mean would be 4."""
    means = {"a": (12, 0, 0), "b": (3, 3, 3), "c": (1, 1, 1), "d": (0, 0, 0), "e": (-9, -9, -9)}
    after = {name: (5 - at,) * 3 for at, name in enumerate("bacde")}
    records = [
        trial(name, 70 + value, budget=budget, recovery=recovery)
        for recovery, of in (("none", means), ("finetune-short", after))
        for name, values in of.items()
        for budget, value in zip((0.5, 0.25, 0.0625), values, strict=True)
    ]
    assert related(ORDER, records).rho == pytest.approx(1)


def test_an_order_may_be_of_some_problems_alone() -> None:
    """On one problem the order is kept by finetuning, on the other it is turned around."""
    gain = dict(zip("abcdef", range(6), strict=True))
    records = [
        trial(name, 70 + turn * value, model=model, recovery=recovery)
        for model, after in (("net", 1), ("other", -2))
        for recovery, turn in (("none", 1), ("finetune-short", after))
        for name, value in gain.items()
    ]
    of_net = [ORDER.places[0].model_copy(update={"problems": ["net on data"]}), ORDER.places[1]]
    assert related(ORDER, records).rho == pytest.approx(-1)
    found = related(ORDER.model_copy(update={"places": of_net}), records)
    assert (found.rho, found.problems) == (pytest.approx(1), 1)


def test_differences_without_a_number_stand_last_and_the_head_is_of_those_with_one() -> None:
    """`x` failed wherever it ran, and `a` lies behind: its row has no interval, and no budgets."""
    records = over_bases([-2.0, -2.5, -3.0])
    records += [
        failed(trial("x", 0, base=base).labels, "it broke").model_copy(
            update={"provenance": trial("x", 0, base=base).provenance}
        )
        for base in range(3)
    ]
    question = claim(
        paper="", size="", source="", method=None, against=[], pairs=[["x", "b"], ["a", "b"]]
    )
    (answer,) = answers([question], records)
    assert [row.interval is None for row in answer.rows] == [False, True]
    page = results_page([answer], {})
    assert "% of the MACs, on this problem, 3 bases.\n" in page
    assert "| – |" in page


def test_methods_that_lack_a_trial_or_only_fill_widths_take_no_part() -> None:
    records = orders(g=(5, 95), h=(95, 5))  # which would turn the order around
    left = [
        one.model_copy(update={"labels": one.labels.model_copy(update={"matched_to": "a"})})
        if one.labels.method == "h"
        else one
        for one in records
        if (one.labels.method, one.labels.base, one.labels.recovery) != ("g", 1, "none")
    ]
    assert related(ORDER, records).rho < related(ORDER, orders()).rho
    assert related(ORDER, left) == related(ORDER, orders())
    assert math.isnan(related(ORDER, [one for one in orders() if one.labels.method in "abcd"]).rho)
    assert math.isnan(related(ORDER, []).rho)


def test_it_says_how_many_bases_a_difference_as_large_as_the_one_found_would_take() -> None:
    (row,) = judge([claim()], over_bases([0.0, 2.5, 5.0]))
    assert row.interval is not None
    half = (row.interval.high - row.interval.low) / 2
    assert bases_needed(row) == int(3 * (half / 2.5) ** 2) + 1
    (told,) = judge([claim()], over_bases([2.0, 2.5, 3.0]))
    assert bases_needed(told) is None
    (nearly,) = judge([claim()], over_bases([-2.5, 0.001, 2.5]))
    assert bases_needed(nearly) is None, "of the order of millions"


@pytest.mark.parametrize("gaps", [[0.0, 2.5, 5.0], [-0.2, 0.0, 0.2]])
def test_neither_more_bases_nor_a_narrow_interval_make_up_for_trials_that_failed(
    gaps: list[float],
) -> None:
    records = over_bases(gaps)
    fell = over_bases(gaps, budget=0.4)
    fell[0] = failed(fell[0].labels, "it broke").model_copy(
        update={"provenance": fell[0].provenance}
    )
    (row,) = judge([claim()], [*records, *fell])
    assert (row.verdict, bases_needed(row)) == ("undecided", None)
    page = results_page(answers([claim(paper="", size="", source="")], [*records, *fell]), {})
    assert "| undecided | trials of a failed |" in page
    assert "within ± 1 point" not in page
    assert not re.search(r"undecided \| (\d|over)", page)


def test_the_page_tells_answers_from_what_stays_open(tmp_path: Path) -> None:
    ours = {"paper": "", "size": "", "source": "", "problems": ["net on data", "other on data"]}
    pairs = [["a", "b"], ["b", "a"], ["a", "x"]]
    question = claim(**ours, claim="Which?", method=None, against=[], pairs=pairs)
    records = over_bases([2.0, 2.5, 3.0])
    records += [trial("x", 79 + 3 * base, base=base) for base in range(3)]
    page = results_page(answers([question, ORDER], records), {})
    assert "1. **Which?** Of 3, 1 ahead: `a − b` +2.50 [" in page
    assert "; 1 behind: `b − a` −2.50 [" in page
    assert "; 1 undecided.\n" in page
    assert "`bench results results-published/s.pack --questions " in page
    assert re.search(r"\| `a − x` \| .* \| undecided \| ", page)
    assert "**Does the order hold?** No answer yet" in page  # nothing was finetuned
    assert "**Does the order hold?** Rank correlation 0." in results_page(
        answers([ORDER], orders()), {}
    )


def test_the_page_says_what_is_near_and_where_costs_are_unequal() -> None:
    question = claim(paper="", size="", source="", claim="Which?", above=0)
    records = over_bases([-0.1, 0.0, 0.1])
    page = results_page(answers([question], records), {})
    assert "Which?** All 1 undecided, 1 of them within ± 1 point.\n" in page
    found = records[0].measurements
    assert found is not None
    wide = found.model_copy(update={"macs": round(0.53 * found.dense_macs)})
    records[0] = records[0].model_copy(update={"measurements": wide})
    page = results_page(answers([question], records), {})
    method = records[0].labels.method
    assert f"point. At unequal cost: {method} 53 % where 50 % is asked.\n" in page


def test_further_questions_stand_after_the_others() -> None:
    first = claim(paper="", size="", source="", claim="Which?")
    last = ORDER.model_copy(update={"further": True})
    page = results_page(answers([last, first], orders()), {})
    places = ["## Findings", "Which?", "## Further questions", "Does the order hold?", "## Suites"]
    assert sorted(places, key=page.index) == places


def test_the_table_of_suites_tells_given_weights_and_hours() -> None:
    about = {"trials": {"done": 3}, "made_by": {"git_sha": ["1234567"]}}
    for weights, hours, said in (
        ({}, 1, "| 3 | 1.0 |"),
        ({"checkpoint": "x.pt"}, 0.002, "| 3 of given weights | under 0.1 |"),
    ):
        suite = Suite(
            suite="s", datasets=["digits"], models=[{"name": "resnet20", **weights}],
            methods=["l1", "taylor"], base_recipe="base-digits", budgets={"macs": [0.5]},
            recoveries=["none"], bases=3, analysis={"control": "l1"},
        )  # fmt: skip
        page = results_page([], {"s": (suite, about | {"hours": hours}, ["It is better."])})
        assert f"{said} 1234567 | It is better. |" in page


def test_one_budget_is_no_range_and_a_page_names_those_that_have_run() -> None:
    assert (percents((0.1, 0.4)), percents((0.35,))) == ("10 to 40 %", "35 %")
    question = claim(paper="", size="", source="", claim="Which?", budgets={"macs": [0.1, 0.9]})
    records = over_bases([2.0, 2.5, 3.0], budget=0.5)
    assert ", 50 % of the MACs, on this" in results_page(answers([question], records), {})
    records += over_bases([2.0, 2.5, 3.0], budget=0.25)
    assert ", 25 to 50 % of the MACs (2 budgets), on" in results_page(
        answers([question], records), {}
    )


def test_an_end_that_decides_does_not_look_like_zero() -> None:
    assert interval(-0.353, -0.002) == "[−0.35, −0.002]"
    assert interval(0.0, 1.0) == "[0.00, +1.00]"


def test_a_file_of_questions_is_read_and_its_faults_are_placed(tmp_path: Path) -> None:
    file = tmp_path / "questions.yaml"
    entry = {"claim": "Which?", "suite": "s", "problems": ["net on data"], "recovery": "none",
             "budgets": {"macs": [0.2, 0.9]}, "pairs": [["a", "b"]]}  # fmt: skip
    file.write_text(yaml.safe_dump([entry, ORDER.model_dump()]))
    first, second = asked(file)
    assert isinstance(first, Claim)
    assert second == ORDER
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump([entry, {"claim": "x", "places": PLACES[:1]}]))
    with pytest.raises(SuiteError, match=r"1\.places: List should have at least 2"):
        asked(file)


def test_the_published_questions_ask_of_methods_that_their_suites_have() -> None:
    from reports.claims.differences import suite_under
    from suites.problem import problem_name

    questions = asked(Path(__file__).parents[3] / "results-published" / "questions.yaml")
    assert sum(not one.further for one in questions) <= 10, "findings are at most ten"
    for one in questions:
        for place in [one] if isinstance(one, Claim) else one.places:
            if place.problems:
                suite = suite_under(place.suite)
                assert suite is not None
                assert set(place.problems) <= {problem_name(*each) for each in suite.problems}
        if isinstance(one, Claim):
            assert suite is not None
            assert {name for pair in one.compared for name in pair} <= set(suite.method_names)
