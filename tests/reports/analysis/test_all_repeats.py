"""One record that stands for all repeats says what as many equal records say, and no more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import make_suite, plan, record

from reports.analysis.analysis import analyse
from reports.analysis.compare import compare_methods
from reports.analysis.results import Results
from reports.claims.differences import claim_trials, differences
from reports.figures.similarity import similarity
from reports.page.record_warnings import twins
from reports.records import Labels, Record, parse_record
from reports.statistics import t_interval
from suites.schema import Suite

FIXED = ("l1", "l2")
Tops = dict[tuple[str, int, int, float], int]  # by method, base, repeat, budget: images right


def suite_of(bases: int, repeats: int) -> Suite:
    return make_suite(
        models=["m1"],
        methods=["l1", "l2", {"criterion": "taylor", "as": "a"}, {"criterion": "hvp", "as": "b"}],
        budgets={"macs": [0.5, 0.25]},
        bases=bases,
        repeats=repeats,
        recoveries=["none"],
    )


def records_of(suite: Suite, tops: Tops, *, one: bool) -> list[Record]:
    """Of the fixed methods one a base, or one a repeat; all else is the same."""
    found = []
    for labels in plan(suite):
        fixed = labels.method in FIXED
        if one and fixed and labels.repeat:
            continue
        named = labels.model_copy(update={"all_repeats": one and fixed})
        right = tops[labels.method, labels.base, 0 if fixed else labels.repeat, labels.budget or 0]
        found.append(record(named, right / 360, (300 + labels.base) / 360))
    return found


def analysed(suite: Suite, records: list[Record]) -> Results:
    return analyse(suite, records, [each.labels for each in records])


@st.composite
def designs(draw: st.DrawFn) -> tuple[Suite, Tops]:
    bases, repeats = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    suite = suite_of(bases, repeats)
    tops = {
        (one.method, one.base, one.repeat, one.budget or 0): draw(st.integers(0, 360))
        for one in plan(suite)
    }
    return suite, tops


def numbers(table: pd.DataFrame) -> pd.DataFrame:
    """What does not count trials."""
    return table.drop(columns=["expected", "done"], errors="ignore").reset_index(drop=True)


@settings(max_examples=4, deadline=None)
@given(designs())
def test_it_says_what_equal_records_say(design: tuple[Suite, Tops]) -> None:
    suite, tops = design
    one, many = (analysed(suite, records_of(suite, tops, one=each)) for each in (True, False))
    assert one.footing.interim == many.footing.interim == ""  # both are whole
    for name in ("cells", "paired", "overall", "changes", "equal_cost", "standing"):
        pd.testing.assert_frame_equal(numbers(getattr(one, name)), numbers(getattr(many, name)))
    for place, found in one.by_base.items():
        assert found.shape == (suite.bases,)
        np.testing.assert_allclose(found, many.by_base[place], atol=1e-9)
    if suite.repeats > 1:
        spreads = ["base_sd", "repeat_sd", "aa_sd"]
        pd.testing.assert_frame_equal(one.noise[spreads], many.noise[spreads], atol=1e-6)
    of_fixed = one.noise[one.noise["method"].isin(FIXED)]
    assert (of_fixed[["repeat_sd", "aa_sd"]] == 0).all(axis=None)
    for pair in [("a", "l2")]:
        told = [
            compare_methods(suite, list(each.records), list(each.expected), *pair).words
            for each in (one, many)
        ]
        assert told[0] == told[1]


def test_it_is_one_value_of_its_base_against_the_mean_of_the_others_repeats() -> None:
    suite = suite_of(bases=3, repeats=2)
    values = {"a": [[80, 90], [70, 72], [60, 50]], "l1": [[81], [73], [40]]}
    tops: Tops = {
        (one.method, one.base, one.repeat, one.budget or 0): values["l1"][one.base][0]
        if one.method != "a"
        else values["a"][one.base][one.repeat]
        for one in plan(suite)
    }
    found = analysed(suite, records_of(suite, tops, one=True))
    row = found.paired[found.paired["method"] == "a"].iloc[0]
    gaps = 100 * np.array([85 - 81, 71 - 73, 55 - 40]) / 360
    interval = t_interval(gaps)  # of three bases, not of six trials
    assert row["n_bases"] == 3
    assert row["mean"] == pytest.approx(gaps.mean())
    assert (row["low"], row["high"]) == pytest.approx((interval.low, interval.high))
    cells = found.cells.set_index(["method", "budget"])
    assert cells.loc[("l1", 0.5), "expected"] == 3
    assert cells.loc[("a", 0.5), "expected"] == 6


def test_a_missing_one_leaves_its_cell_incomplete() -> None:
    suite = suite_of(bases=3, repeats=2)
    tops = {(m.method, m.base, m.repeat, m.budget or 0): 200 for m in plan(suite)}
    records = records_of(suite, tops, one=True)
    rest = [one for one in records if (one.labels.method, one.labels.base) != ("l1", 2)]
    found = analyse(suite, rest, [one.labels for one in records])
    cells = found.cells.set_index("method")
    assert not cells.loc["l1", "complete"].any()
    assert cells.loc["a", "complete"].all()


def test_twins_are_found_whether_they_have_one_record_or_many() -> None:
    suite = suite_of(bases=2, repeats=2)
    tops = {(m.method, m.base, m.repeat, m.budget or 0): 200 + m.base for m in plan(suite)}
    cut = [
        replace_measured(one, kept_sha256=f"{one.labels.base} {one.labels.budget}")
        for one in records_of(suite, tops, one=True)
    ]
    assert twins(cut) == [["a", "b", "l1", "l2"]]


def replace_measured(one: Record, **changes: Any) -> Record:
    assert one.measurements is not None
    measured = one.measurements.model_copy(update={"widths": {"conv": (1, 2)}, **changes})
    return one.model_copy(update={"measurements": measured})


def test_claims_take_records_of_before_and_of_now_together() -> None:
    suite = suite_of(bases=3, repeats=2)
    tops = {(m.method, m.base, m.repeat, m.budget or 0): 200 + 9 * m.base for m in plan(suite)}
    tops |= {key: 250 + 7 * key[1] for key in tops if key[0] == "a"}
    old, new = (records_of(suite, tops, one=each) for each in (False, True))
    named = [
        one.model_copy(update={"provenance": {"base_sha256": f"w{one.labels.base}"}})
        for one in (*old, *new)
    ]
    both, alone = claim_trials(named), claim_trials(named[len(old) :])
    assert not both[both["method"] == "l1"].duplicated(["base", "repeat", "budget"]).any()
    gaps = [differences(rows, "a", "l1", (0.2, 0.6)) for rows in (both, alone)]
    assert gaps[0].missing == gaps[1].missing == []
    assert gaps[0].bases == pytest.approx(gaps[1].bases)


def test_similarity_pairs_it_with_every_repeat() -> None:
    draw = np.random.default_rng(0)
    fixed = {base: draw.normal(size=20) for base in range(2)}
    rows = [
        {"base": base, "repeat": repeat, "group": "conv", "unit": unit, "method": method,
         "score": fixed[base][unit] if method == "l1" else draw.normal(),
         "all_repeats": False}
        for base in range(2) for repeat in range(3) for method in ("a", "l1")
        for unit in range(20)
    ]  # fmt: skip
    many = pd.DataFrame(rows)
    once = many.assign(all_repeats=many["method"] == "l1")
    once = once[(once["repeat"] == 0) | ~once["all_repeats"]]
    pd.testing.assert_frame_equal(similarity(once), similarity(many))


def test_a_record_of_before_still_reads_and_has_its_bytes() -> None:
    labels = plan(suite_of(1, 2))[0]
    old = record(labels, 0.5)
    assert b"all_repeats" not in old.to_json()
    new = record(labels.model_copy(update={"all_repeats": True}), 0.5)
    for one in (old, new):
        assert parse_record(one.to_json(), "it", one.key) == one
    assert Labels.model_validate(labels.model_dump()) == labels
