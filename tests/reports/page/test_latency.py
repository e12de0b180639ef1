"""What the page says of latency: numbers with their spread, and whether they can be relied on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from synthetic import latency, make_suite, plan, record

from reports.analysis.analysis import analyse
from reports.analysis.results import Results
from reports.build import build_report
from reports.page import latency as latency_words
from reports.page.tables import cost_table
from reports.page.warnings import warnings
from reports.records import Record
from suites.schema import Suite

METHODS = {"l1": 0.75, "taylor": 0.5}  # latency kept


def suite_of(**changes: Any) -> Suite:
    return make_suite(models=["m1"], methods=list(METHODS), recoveries=["none"], bases=2, **changes)


def found_of(suite: Suite, **changes: Any) -> list[Record]:
    """Each method's latency with a spread of 4 % to either side; `changes` are of taylor's."""
    found = []
    for one in plan(suite):
        ratio = METHODS[one.method]
        ratios = [ratio * (1 + off / 100) for off in (-9, -4, 0, 0, 0, 0, 0, 4, 9)]
        given = {"batch_size": 64, "ratios": ratios, "aa_ratio": 1.01}
        given |= changes if one.method == "taylor" else {}
        small = latency(0.9, aa_ratio=3.0)  # batches of one are not what the page speaks of
        found.append(record(one, 0.8, latency=[small, latency(ratio, **given)]))
    return found


def results_of(**changes: Any) -> Results:
    suite = suite_of()
    return analyse(suite, found_of(suite, **changes), plan(suite))


def said(results: Results) -> list[str]:
    return [one for one in warnings(results) if one.startswith("Latency")]


def test_of_reliable_latency_there_is_no_warning() -> None:
    assert said(results_of(aa_ratio=0.98)) == []


@pytest.mark.parametrize(
    ("changes", "numbers", "alike"),
    [
        (
            {"aa_ratio": 1.2},  # twice that noise is more than what lies between the methods
            ["took 120.0 to 120.0 % of its time", "up to 4.0 % beyond it"],
            ["on m1 on digits at 30 %, m1 on digits at 50 %, m1 on digits at 70 %."],
        ),
        (
            {"ratios": [0.3, 0.4, *[0.5] * 5, 0.6, 0.7]},
            ["took 101.0 to 101.0 % of its time", "up to 20.0 % beyond it"],
            [],
        ),
    ],
)
@pytest.mark.usefixtures("inkless")
def test_unreliable_latency_is_said(
    tmp_path: Path, changes: dict[str, Any], numbers: list[str], alike: list[str]
) -> None:
    results = results_of(**changes)
    warning, *others = said(results)
    for number in ["unreliable for 1 of 2 shapes", "(allowed: 95 to 105 %)", *numbers]:
        assert number in warning
    assert [one.partition(" methods ")[2].partition(" They")[0] for one in others] == alike
    suite = suite_of()
    page = build_report(suite, found_of(suite, **changes), plan(suite), tmp_path).read_text()
    assert "Latency is unreliable" in page.replace("\u00a0", " ")


def test_costs_have_the_spread_and_the_worst_a_a() -> None:
    results = results_of(aa_ratio=0.96)
    table = cost_table(results, "none")
    heads = [column.head for column in table.columns]
    rows = {row[0].text: dict(zip(heads, row, strict=True)) for row in table.rows}
    assert rows["l1"]["Latency %"].text == "75 [72, 78]"
    assert rows["taylor"]["Latency %"].text == "50 [48, 52]"
    assert rows["taylor"]["Latency %"].value == pytest.approx(50)
    assert rows["taylor"]["A/A off by %"].text == "4"
    assert "95 % interval" in table.caption
    suite = suite_of(measure={"deployed": []})
    without = cost_table(analyse(suite, found_of(suite), plan(suite)), "none")
    assert "Latency %" not in [column.head for column in without.columns]


@pytest.mark.usefixtures("inkless")
def test_curves_draw_the_spread(tmp_path: Path) -> None:
    suite = suite_of(analysis={"control": "l1", "cost": "latency_ratio"})
    page = build_report(suite, found_of(suite), plan(suite), tmp_path).read_text()
    assert "95 % intervals over the rounds of timing" in page.replace("\u00a0", " ")
    curves = pd.read_csv(tmp_path / "figures" / "accuracy_cost.csv").set_index("method")
    for name, ratio in METHODS.items():
        assert curves.loc[name, "cost_low"].to_numpy() == pytest.approx(96 * ratio)
        assert curves.loc[name, "cost_high"].to_numpy() == pytest.approx(104 * ratio)


def test_equal_shapes_count_once() -> None:
    one = latency(0.5, aa_ratio=2.0)
    suite = suite_of()
    found = [record(labels, 0.8, latency=[one]) for labels in plan(suite)]
    results = analyse(suite, found, plan(suite))
    assert "for 1 of 1 shape timed" in said(results)[0]


@pytest.mark.parametrize(
    ("ratios", "aa_ratio", "places"),
    [
        ({"l1": 0.5, "taylor": 0.51}, 1.01, ["m1 on digits at 50 %"]),  # a copy is off by 1 %
        ({"l1": 0.5, "taylor": 0.51}, 1.001, []),
        ({"l1": 0.5, "taylor": 0.53}, 0.99, []),
        ({"l1": 0.5, "taylor": 0.5}, 1.01, []),  # one shape, timed once: nothing to tell apart
    ],
)
def test_methods_within_the_noise_of_the_clock(
    ratios: dict[str, float], aa_ratio: float, places: list[str]
) -> None:
    suite = suite_of(budgets={"macs": [0.5]})
    timed = {name: [latency(one, aa_ratio=aa_ratio)] for name, one in ratios.items()}
    found = [record(one, 0.8, latency=timed[one.method]) for one in plan(suite)]
    results = analyse(suite, found, plan(suite))
    assert latency_words.within_noise(results) == places
    assert bool([one for one in said(results) if "does not separate" in one]) == bool(places)
    assert latency_words.within_noise(analyse(suite, [], plan(suite))) == []
