"""What used to pass in silence: constant scores, one method twice, dense networks that guess."""

from __future__ import annotations

from typing import Any

import pytest
from synthetic import make_suite, plan, record

from reports.analysis.analysis import analyse
from reports.chance import guessing, near_chance
from reports.page.answer import board
from reports.page.findings import headline, headline_numbers
from reports.page.page import render
from reports.page.record_warnings import record_warnings, twins
from reports.records import Labels, Record
from suites.schema import Suite

UNITS = {"l1": "a", "l2": "a", "random": "b"}  # which digests methods have


def small(**changes: Any) -> Suite:
    return make_suite(
        **{
            "methods": ["l1", "l2", "random"],
            "models": ["m1", "m2"],
            "budgets": {"macs": [0.5]},
            "recoveries": ["none"],
        }
        | changes
    )


def made(one: Labels, top1: float = 0.8, dense: float = 0.9, **changes: Any) -> Record:
    """A trial with fields that the made-up ones of all tests do not have."""
    found = record(one, top1, dense, widths={"conv1": (8, 16)})
    assert found.measurements is not None
    kept = {"kept_sha256": UNITS[one.method], "classes": 10}
    measured = found.measurements.model_copy(update=kept | changes)
    return found.model_copy(update={"measurements": measured})


def spread(one: Labels) -> float:
    """Of a base, other for each method."""
    return one.base * (1 + 0.1 * list(UNITS).index(one.method))


def test_methods_that_left_the_same_units_in_every_trial_are_one() -> None:
    records = [made(one) for one in plan(small())]
    assert twins(records) == [["l1", "l2"]]
    said = [one for one in record_warnings(records) if "several names" in one]
    assert said == [
        "One method under several names: l1, l2 left the same units in every trial. "
        "Count them once."
    ]
    # One trial apart, and they are two; so are they where one has a trial more.
    apart = made(records[0].labels, kept_sha256="c")
    assert twins([apart, *records[1:]]) == []
    assert twins(records[1:]) == []


@pytest.mark.parametrize("phases", [{}, {"procedure": 100}])
def test_equal_units_that_were_trained_otherwise_are_told_by_their_accuracy(
    phases: dict[str, int],
) -> None:
    """On the way, or only after the cut: two ways of finetuning are two methods."""

    def trained(right: dict[str, float]) -> list[Record]:
        return [made(one, right.get(one.method, 0.7), phases=phases) for one in plan(small())]

    assert twins(trained({"l1": 0.81})) == []
    assert twins(trained({"l1": 0.8, "l2": 0.8})) == [["l1", "l2"]]


def test_records_that_do_not_tell_units_have_no_twins() -> None:
    assert twins([made(one, 0.8, kept_sha256="") for one in plan(small())]) == []


def test_constant_scores_are_counted_by_method() -> None:
    records = [made(one, constant=["conv1"] if one.method == "l2" else []) for one in plan(small())]
    said = [one for one in record_warnings(records) if one.startswith("Constant scores")]
    assert len(said) == 1
    assert said[0] == (
        "Constant scores: l2 (on 6 of 6 paths). All units of some layer had one score there, so "
        "the first indices were removed, whatever they do."
    )  # two problems, three bases
    assert not [one for one in record_warnings(records[:1]) if "Constant" in one]


@pytest.mark.parametrize(
    ("top1", "classes", "images", "guesses"),
    [
        (0.10, 10, 10_000, True),
        (0.19, 10, 360, True),  # twice guessing is 20 %
        (0.21, 10, 10_000, False),
        (0.55, 2, 10_000, True),  # of two classes, a fifth of the way up: 60 %
        (0.61, 2, 10_000, False),
        (0.61, 2, 100, True),  # luck reaches 65 % on a hundred images
        (0.0019, 1000, 50_000, True),
        (0.01, 1000, 50_000, False),
        (0.025, 100, 100, True),
    ],
)
def test_what_counts_as_guessing(top1: float, classes: int, images: int, guesses: bool) -> None:
    assert near_chance(top1, classes, images) == guesses


def test_a_headline_over_networks_that_guess_concludes_nothing() -> None:
    suite = small()
    labels = plan(suite)
    records = [made(one, 0.1, 0.12 if one.model == "m1" else 0.9) for one in labels]
    assert guessing(records) == {"m1 on digits": "12.0 % of 10 classes"}
    some = analyse(suite, records, labels)
    assert "Beware: dense networks do hardly more than guess on m1" in headline(some, "none")
    everywhere = [made(one, 0.1, 0.12) for one in labels]
    all_ = analyse(suite, everywhere, labels)
    assert headline(all_, "none") == (
        "Nothing is concluded: dense networks do hardly more than guess on m1 on digits "
        "(12.0 % of 10 classes), m2 on digits (12.0 % of 10 classes)."
    )
    assert all_.footing.notices == [
        "Near chance: dense networks do hardly more than guess on m1 on digits (12.0 % of 10 "
        "classes), m2 on digits (12.0 % of 10 classes)."
    ]
    assert "<b>Near chance:</b>" in render(all_, [], {})
    learned = analyse(suite, [made(one) for one in labels], labels)
    assert learned.footing.notices == []


@pytest.mark.parametrize("how", ["guessing", "rehearsal"])
def test_where_nothing_is_concluded_nothing_bears_a_verdict(how: str) -> None:
    """Of clear differences, which stay in the tables as numbers."""
    changes: dict[str, Any] = {"scales": {"smoke": {"bases": 3}}, "at_scale": "smoke"}
    suite = small(**changes if how == "rehearsal" else {})
    dense, steps = (0.12, 0.001) if how == "guessing" else (0.9, 0.01)
    level = {"l1": 0.1, "l2": 0.11, "random": 0.05} if how == "guessing" else {"l1": 0.8}
    records = [
        made(one, level.get(one.method, 0.6) + steps * spread(one), dense) for one in plan(suite)
    ]
    results = analyse(suite, records, plan(suite))
    assert headline(results, "none").startswith("Nothing is concluded: ")
    assert headline_numbers(results) == {}
    for view in board(results).views.values():
        assert {one.texts[-1] for one in view.marks} == {"control", "–"}
        assert {one.tone for one in view.marks} == {"control", ""}
    assert set(results.overall["word"]) == set(results.paired["verdict"]) == {"undecided"}
    ranks = results.ranking["none"]
    assert not any(ranks.apart(one, two) for one in ranks.methods for two in ranks.methods)
    assert set(results.standing["standing"]) == {"best", "untold"}
    assert results.overall["p"].notna().all()
    # The same of networks that learned, in a run that counts, has its words.
    top = {"l1": 0.8, "l2": 0.6, "random": 0.6}
    learned = [made(one, top[one.method] + 0.01 * spread(one)) for one in plan(small())]
    counts = analyse(small(), learned, plan(small()))
    assert "worse" in set(counts.overall["word"])
    assert headline_numbers(counts)["none"]["worse"] == 2


def test_a_problem_on_which_all_guess_has_no_verdict_and_the_other_has() -> None:
    suite = small()
    top = {"l1": 0.8, "l2": 0.6, "random": 0.5}
    records = [
        made(one, top[one.method] + 0.01 * spread(one), 0.9)
        if one.model == "m2"
        else made(one, 0.12 - 0.1 * (one.method != "l1") + 0.001 * spread(one), 0.12)
        for one in plan(suite)
    ]
    results = analyse(suite, records, plan(suite))
    words = results.paired.groupby("problem")["verdict"].agg(set).to_dict()
    assert words == {"m1 on digits": {"undecided"}, "m2 on digits": {"worse"}}
    views = board(results).views
    said = {key[-1]: {one.texts[-1] for one in view.marks} for key, view in views.items()}
    assert said["m1 on digits"] == {"control", "–"}
    assert said["m2 on digits"] == {"control", "worse"}


def test_with_two_bases_the_table_concludes_as_little_as_the_answer() -> None:
    suite = small(bases=2)
    results = analyse(suite, [made(one, 0.7 + 0.01 * one.base) for one in plan(suite)], plan(suite))
    assert {one.texts[-1] for one in board(results).first.marks} == {"control", "–"}
