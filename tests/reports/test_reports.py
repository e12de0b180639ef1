"""The report: figures, tables and page from synthetic records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import toy
from pages import text_of
from synthetic import failed, make_suite, plan, record, synthetic_records, tiny

from reports.analysis.analysis import analyse
from reports.build import build_report
from reports.formats import spanned
from reports.page.findings import headline, headline_numbers
from reports.page.method_tables import difference_table, factor_table
from reports.page.page import render
from reports.page.warnings import warnings
from reports.records import (
    Record,
    frame,
)
from reports.seal import unseal
from suites.schema import Suite


@pytest.fixture(scope="module")
def suite() -> Suite:
    return make_suite()


@pytest.fixture(scope="module")
def records(suite: Suite) -> list[Record]:
    return synthetic_records(suite, plan(suite))


@pytest.fixture(scope="module")
def report(suite: Suite, records: list[Record], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    assert build_report(suite, records, plan(suite), out) == out / "index.html"
    return out


def _bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_same_records_in_any_order_and_processes_give_the_same_bytes(
    suite: Suite, records: list[Record], report: Path, tmp_path: Path
) -> None:
    build_report(suite, records[::-1], plan(suite), tmp_path, processes=2)
    assert _bytes(tmp_path) == _bytes(report)


def test_every_figure_has_its_formats_and_its_numbers(report: Path) -> None:
    names = ["accuracy_cost", "accuracy_cost_matched", "paired_differences"]
    names += ["paired_differences_matched", "score_cost", "rank_diagram"]
    names += ["accuracy_latency"]
    assert sorted(path.name for path in (report / "figures").iterdir()) == sorted(
        f"{name}.{kind}" for name in names for kind in ("csv", "pdf", "png", "svg")
    )
    drawn = pd.read_csv(report / "figures" / "accuracy_cost.csv")
    # 10 methods x 3 budgets and the dense network, on 2 problems under 2 recoveries.
    assert len(drawn) == (10 * 3 + 1) * 4
    assert not drawn["method"].str.contains("~").any()


def test_page_needs_no_network_and_names_its_parts(report: Path, suite: Suite) -> None:
    page = (report / "index.html").read_text()
    assert page.count("<img ") == page.count('data-packed="packed-') == 7
    assert page.count('alt="') == 7
    assert not [
        part for part in ("http://", "https://", "<link", "@import", "url(") if part in page
    ]
    assert '<th scope="col"' in page
    assert '<th scope="row"' in page
    for name in suite.method_names:
        assert name in page
    assert "base SDs is found with 80" in page
    assert "432 of 432 finished" in page


def test_raw_table_is_the_frame(report: Path, records: list[Record]) -> None:
    written = pd.read_csv(report / "tables" / "trials.csv")
    assert list(written["key"]) == list(frame(records)["key"])


def test_the_page_says_what_one_test_image_is_worth(records: list[Record]) -> None:
    """0.28 points of 360 images lie above a ROPE of 0.2 and below one of 0.3."""
    said = []
    for rope in (0.2, 0.3):
        suite = make_suite(analysis={"control": "l1", "rope": rope})
        results = analyse(suite, records, plan(suite))
        page = text_of(render(results, [], {}))
        assert "One test image of digits (360 images) is worth 0.28 points. Another" in page
        said.append("more than the ROPE of 0.2 points. Smaller" in page)
    assert said == [True, False]


def test_records_of_old_do_not_tell_what_an_image_is_worth(suite: Suite) -> None:
    old = [record(one, 0.8, test_images=None) for one in plan(suite)]
    content = json.loads(unseal(old[0].to_json()))
    del content["measurements"]["test_images"]
    assert Record.model_validate(content) == old[0]
    assert "One test image" not in render(analyse(suite, old, plan(suite)), [], {})


@pytest.mark.usefixtures("inkless")
def test_missing_and_failed_trials_are_told(
    suite: Suite, records: list[Record], tmp_path: Path
) -> None:
    place = ("taylor", "resnet20", "none")
    lost = next(
        one
        for one in records
        if (one.labels.method, one.labels.model, one.labels.recovery) == place
    )
    broken = next(one for one in records if one.labels.method == "fpgm")
    kept = [one for one in records if one not in (lost, broken)]
    kept.append(failed(broken.labels, "<script>alert(1)</script> & more"))
    build_report(suite, kept, plan(suite), tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert "2 of 432 trials are missing: 1 failed, 1 not run" in text_of(page)
    assert "taylor: 1 trial not run at" in page
    assert "fpgm: 1 trial failed at" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in page
    assert "<script>alert(1)" not in page
    pairs = pd.read_csv(tmp_path / "tables" / "paired.csv")
    gone = pairs[pairs["verdict"] == "not compared"]
    assert set(gone["method"]) == {"taylor", "fpgm"}
    assert gone["mean"].isna().all()
    drawn = pd.read_csv(tmp_path / "figures" / "accuracy_cost.csv")
    assert len(drawn) == (10 * 3 + 1) * 4 - 2


@pytest.mark.usefixtures("inkless")
def test_half_a_suite_is_a_report(suite: Suite, records: list[Record], tmp_path: Path) -> None:
    """One recovery is not begun, and one problem has no control yet."""
    half = [
        one
        for one in records
        if one.labels.recovery == "none"
        and (one.labels.model == "resnet20" or one.labels.method != "l1")
    ]
    build_report(suite, half, plan(suite), tmp_path)
    forest = pd.read_csv(tmp_path / "figures" / "paired_differences.csv")
    assert set(forest["panel"]) == {"resnet20 on digits"}
    assert set(forest["recovery"]) == {"none"}


def test_report_of_nothing_is_a_report(suite: Suite, tmp_path: Path) -> None:
    page = text_of(build_report(suite, [], plan(suite), tmp_path).read_text())
    assert "432 of 432 trials are missing" in page
    assert "Nothing is compared yet" in page


def test_paired_table_by_hand() -> None:
    suite, found = tiny()
    results = analyse(suite, found, plan(suite))
    # Base differences 3, 1 and -2, 0: two bases have no interval.
    rows = difference_table(results, "none").markdown.splitlines()[4:]
    assert rows == [
        "| a | l1 | m1 on digits | +2.00 | – | 2 | 2/0/0 | undecided |",
        "| a | l1 | m2 on digits | −1.00 | – | 2 | 0/1/1 | undecided |",
    ]


def test_budgets_bases_and_repeats_are_no_blocks() -> None:
    suite, found = tiny()
    results = analyse(suite, found, plan(suite))
    assert list(results.paired["n_bases"]) == [2, 2]
    assert list(results.overall["n_problems"]) == [2]


def test_enough_bases_are_tested_and_named() -> None:
    suite = make_suite(
        models=[f"m{i}" for i in range(9)],
        methods=["l1", "taylor", "random", "obd"],
        recoveries=["none"],
    )
    rng = np.random.default_rng(3)
    better = {"l1": 0.0, "taylor": 0.05, "random": -0.08, "obd": 0.0}
    noise = {one: rng.normal(0, 0.004) for one in plan(suite)}
    found = [record(one, 0.7 + better[one.method] + noise[one]) for one in plan(suite)]
    results = analyse(suite, found, plan(suite))
    over = results.overall.set_index("method")
    assert over["word"].to_dict() == {"taylor": "better", "random": "worse", "obd": "undecided"}
    assert over["p_adjusted"].to_numpy() == pytest.approx(np.minimum(3 * over["p"], 1))
    for row in over.to_dict("records"):
        assert row["joint_low"] < row["low"] < row["mean"] < row["high"] < row["joint_high"]
    numbers = headline_numbers(results)["none"]
    assert (numbers["best"], numbers["better"], numbers["worse"]) == ("taylor", 1, 1)
    sentence = headline(results, "none")
    assert sentence.startswith("On the mean of these 9 problems better than l1: taylor (+")
    assert "Worse than l1: random (−" in sentence
    assert "No difference is shown for obd" in sentence


def test_by_dataset_and_by_model_are_means_of_their_problems() -> None:
    suite = make_suite(datasets=["digits", "cifar10"])
    results = analyse(suite, synthetic_records(suite, plan(suite)), plan(suite))
    paired = results.paired.set_index(["recovery", "method", "reference", "problem"])["mean"]
    keys = ["factor", "level", "recovery", "method", "reference"]
    found = results.by_factor.set_index(keys)
    for recovery in results.recoveries:
        table = factor_table(results, recovery)
        assert table is not None
        heads = [column.head for column in table.columns]
        shown = {tuple(cell.text for cell in row[:2]): row for row in table.rows}
        for factor, level, problems in (
            ("dataset", "cifar10", ["resnet20 on cifar10", "vgg-small on cifar10"]),
            ("model", "vgg-small", ["vgg-small on digits", "vgg-small on cifar10"]),
        ):
            by_hand = np.mean([paired[recovery, "taylor", "l1", one] for one in problems])
            row = found.loc[(factor, level, recovery, "taylor", "l1")]
            assert row["mean"] == pytest.approx(by_hand)
            assert row["low"] < row["mean"] < row["high"]
            cell = shown["taylor", "l1"][heads.index(f"{factor} {level}")]
            assert cell.text == spanned(row["mean"], row["low"], row["high"])


def test_a_suite_of_one_dataset_and_one_model_has_no_table_by_them() -> None:
    suite = make_suite(models=["resnet20"])
    results = analyse(suite, synthetic_records(suite, plan(suite)), plan(suite))
    assert results.by_factor.empty
    assert factor_table(results, results.recoveries[0]) is None


def test_what_one_model_carries_is_said_with_what_is_left_without_it() -> None:
    """+12 points on one of three models, +1 on the others: a mean of 4.67, and 1 without it."""
    models = ["resnet20", "vgg-small", "vit-small"]
    suite = make_suite(models=models, methods=["l1", "taylor", "obd"], recoveries=["none"])
    gain = {"l1": dict.fromkeys(models, 0.0), "obd": dict.fromkeys(models, 0.02)}
    gain["taylor"] = {"resnet20": 0.01, "vgg-small": 0.01, "vit-small": 0.12}
    noise = np.random.default_rng(5)
    found = [
        record(one, 0.7 + gain[one.method][one.model] + noise.normal(0, 1e-4))
        for one in plan(suite)
    ]
    results = analyse(suite, found, plan(suite))
    of = results.by_factor.query("method == 'taylor' and level == 'vit-small'").iloc[0]
    assert of["mean"] == pytest.approx(12, abs=0.1)
    assert of["without"] == pytest.approx(1, abs=0.1)
    (said,) = [one for one in warnings(results) if "carries" in one]
    assert "without vit-small taylor +1.0" in said
    assert " (not +4.6" in said
    assert "obd" not in said


def test_headline_claims_nothing_that_is_not_there(suite: Suite) -> None:
    same = [record(one, 0.7 + 0.01 * (one.base - 1)) for one in plan(suite)]
    results = analyse(suite, same, plan(suite))
    assert "no method is shown to differ from l1" in headline(results, "none")
    # Equal to the last image on every base: no width, so no claim of equivalence either.
    assert set(results.paired["verdict"]) == {"undecided"}


@pytest.mark.usefixtures("inkless")
def test_one_base_has_no_interval(tmp_path: Path) -> None:
    suite = make_suite(bases=1)
    results = analyse(suite, synthetic_records(suite, plan(suite)), plan(suite))
    assert "the uncertainty is not known" in headline(results, "none")
    page = text_of(build_report(suite, results.records, plan(suite), tmp_path).read_text())
    assert "Only 1 base per problem: there are no intervals" in page


def test_weak_tests_are_said_beside_the_answer() -> None:
    def said(bases: int) -> str:
        suite = make_suite(bases=bases, models=["m1"])
        results = analyse(suite, synthetic_records(suite, plan(suite)), plan(suite))
        return "\n".join(warnings(results))

    assert "With 3 bases per problem only a difference of" in said(3)
    assert "80 % power; with 6 bases per problem, one of" in said(3)
    assert "80 % power" not in said(8)


def test_a_family_keeps_the_place_of_a_comparison_that_could_not_be_made() -> None:
    suite = make_suite(models=[f"m{i}" for i in range(3)], methods=["l1", "taylor", "obd"])
    rng = np.random.default_rng(1)
    found = [record(one, 0.7 + rng.normal(0, 0.01)) for one in plan(suite) if one.method != "obd"]
    over = analyse(suite, found, plan(suite)).overall.set_index("method")
    smallest = over.loc["taylor", "p"].min()
    # Two methods under two recoveries are a family of four, whatever has run.
    assert over.loc["taylor", "p_adjusted"].min() == pytest.approx(min(4 * smallest, 1))
    assert over.loc["obd", "p_adjusted"].isna().all()


def test_warnings_tell_what_a_reader_must_know(suite: Suite, records: list[Record]) -> None:
    first, second, *rest = records
    assert second.measurements is not None
    off_budget = second.measurements.model_copy(update={"macs": 900_000})
    odd = [
        first.model_copy(update={"provenance": {**first.provenance, "device": "cuda"}}),
        second.model_copy(update={"measurements": off_budget}),
    ]
    stray = record(first.labels.model_copy(update={"method": "unheard-of"}), 0.5)
    said = "\n".join(warnings(analyse(suite, [*odd, *rest, stray], plan(suite))))
    assert "differ in device: cpu, cuda" in said
    assert "1 % of the dense MACs: 1 trial." in said
    assert "no trial of the plan: 1." in said
    assert "Equal MACs, unequal parameters" in said
    poor = [record(one, 0.2, dense=0.3) for one in plan(suite)]
    told = [one for one in warnings(analyse(suite, poor, plan(suite))) if "poorly" in one]
    assert len(told) == len({one.problem for one in plan(suite)})
    assert all(
        "Bases 0, 1, 2 of " in one and "dense top-1 30.0 %, below 50 %" in one for one in told
    )


def test_thin_layers_and_trimmed_channels_are_told(suite: Suite, records: list[Record]) -> None:
    plain = "\n".join(warnings(analyse(suite, records, plan(suite))))
    assert "channels" not in plain
    first, second, *rest = records
    assert first.measurements is not None
    assert second.measurements is not None
    widths = {"conv1": (16, 16), "conv2": (1, 64), "conv3": (2, 64), "conv4": (5, 100)}
    found = [
        first.model_copy(
            update={"measurements": first.measurements.model_copy(update={"widths": widths})}
        ),
        second.model_copy(
            update={"measurements": second.measurements.model_copy(update={"trimmed": 3})}
        ),
    ]
    said = "\n".join(warnings(analyse(suite, [*found, *rest], plan(suite))))
    assert "5 % of their channels: 2," in said
    assert f"keeps 1 of 64 in conv2 ({first.labels.method}, {first.labels.at})" in said
    assert "in 1 trial no threshold met the budget" in said
    assert "at most 3 in one" in said


@pytest.mark.usefixtures("inkless")
def test_thresholds_are_no_shares_of_a_cost(tmp_path: Path) -> None:
    suite = make_suite(
        methods=[{"criterion": "rgd", "matched": ["l1"]}],
        budgets={"threshold": [0.8, 0.7]},
        models=["resnet20"],
        analysis={"control": "l1~rgd", "cost": "latency_ratio"},
    )
    labels = plan(suite)
    found = [record(one, 0.8, macs=round(1e6 * one.budget**2), latency=[]) for one in labels]
    page = build_report(suite, found[1:], labels, tmp_path).read_text().replace("\u00a0", " ")
    assert "at threshold 0.8" in page
    assert "so MACs kept differ: from 49 % to 64 %" in page
    assert "Off budget" not in page
    assert '"threshold 0.8"' in page
    assert '"80 %"' not in page
    drawn = pd.read_csv(tmp_path / "figures" / "accuracy_cost_matched.csv")
    assert set(drawn["cost_percent"].dropna().round(6)) == {49.0, 64.0}


@pytest.mark.usefixtures("inkless")
def test_a_suite_of_the_control_alone(tmp_path: Path) -> None:
    suite = make_suite(methods=["l1"])
    found = synthetic_records(suite, plan(suite))
    page = build_report(suite, found, plan(suite), tmp_path).read_text()
    assert "holds l1 alone" in page
    assert not (tmp_path / "figures" / "paired_differences.csv").exists()


def test_two_records_of_one_trial_are_refused(suite: Suite, records: list[Record]) -> None:
    with pytest.raises(ValueError, match="two records"):
        analyse(suite, [*records, records[0]], plan(suite))
    with pytest.raises(ValueError, match="no trials"):
        analyse(suite, records, [])


@pytest.mark.usefixtures("inkless")
def test_cost_axis_of_the_suite_and_of_the_budget_may_differ(tmp_path: Path) -> None:
    suite = make_suite(
        budgets={"speedup": [1.5, 2, 4, 12]},
        analysis={"control": "l1", "cost": "params_ratio"},
        models=["resnet20"],
        recoveries=["none"],
    )
    build_report(suite, synthetic_records(suite, plan(suite)), plan(suite), tmp_path)
    drawn = pd.read_csv(tmp_path / "figures" / "accuracy_cost.csv")
    lines = drawn[drawn["method"] != "dense"]
    assert lines["cost_percent"].nunique() > 4  # of equal MACs, parameters differ


@pytest.mark.usefixtures("inkless")
def test_a_cost_that_was_not_measured_is_told(tmp_path: Path) -> None:
    suite = make_suite(
        models=["resnet20"],
        methods=["l1", "taylor"],
        recoveries=["none"],
        measure={"deployed": []},
        analysis={"control": "l1", "cost": "latency_ratio"},
    )
    found = [record(one, 0.6 + 0.01 * one.base, latency=[]) for one in plan(suite)]
    page = build_report(suite, found, plan(suite), tmp_path).read_text()
    assert "Latency was not measured" in page


MASKED: dict[str, Any] = {"features.0": (5, 10), "classifier": (15, 30)}
WIDTHS: dict[str, Any] = {"features.0": (4, 8), "features.3": (6, 8)}


@pytest.mark.parametrize(
    ("axis", "found", "share", "said", "unsaid"),
    [
        (
            "weights",
            {"weights": MASKED, "latency": [], "torch_pruning_macs": None},
            0.5,
            ["weights", "MACs are theoretical", "no latency is measured"],
            ["Latency %", "of a group stay"],
        ),
        (
            "channels",
            {"widths": WIDTHS},
            0.625,
            ["channels", "Latency %", "of a group stay"],
            ["MACs are theoretical"],
        ),
    ],
)
@pytest.mark.usefixtures("inkless")
def test_the_page_names_what_a_budget_keeps(
    tmp_path: Path,
    axis: str,
    found: dict[str, Any],
    share: float,
    said: list[str],
    unsaid: list[str],
) -> None:
    suite = make_suite(
        models=["resnet20"],
        methods=["l1", {"criterion": "taylor", "matched": ["l1"]}],
        recoveries=["none"],
        budgets={axis: [share, 0.4]},
        analysis={"control": "l1", "cost": f"{axis}_ratio"},
    )
    records = [
        record(one, 0.6 + 0.01 * one.base, **found, macs=900_000 if one.method == "l1" else 500_000)
        for one in plan(suite)
    ]
    page = text_of(build_report(suite, records, plan(suite), tmp_path).read_text())
    for part in said:
        assert part in page
    for part in unsaid:
        assert part not in page
    assert f"Equal {axis}, unequal MACs" in page
    drawn = pd.read_csv(tmp_path / "figures" / "accuracy_cost.csv")
    assert set(drawn["cost_percent"].dropna()) == {100 * share}  # as measured, whatever was asked
    assert f"Off their budget by more than 1 % of the dense {axis}: 9 trials." in page


def test_importing_reports_is_cheap() -> None:
    code = "import reports, sys, json; print(json.dumps(sorted(sys.modules)))"
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, env=toy.environment(), capture_output=True, check=True)
    assert not {"matplotlib", "pandas", "scipy", "jinja2"} & set(json.loads(ran.stdout))
