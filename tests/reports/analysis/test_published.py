"""Published numbers: every file is read whole, meets the suites' own names, and is held to ours."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
from synthetic import make_suite, plan, record

from reports.analysis import published as source
from reports.analysis.analysis import analyse
from reports.analysis.published import FOLDER, Published, read_published
from reports.analysis.results import Results
from reports.build import build_report
from reports.figures.accuracy_cost import published_points
from reports.page.tables import summary
from suites import SuiteError, load_suite
from suites.schema import Suite

FILES = sorted(path.stem for path in FOLDER.glob("*.csv"))
HEAD = ",".join(Published.model_fields)
LINE = "s,digits,resnet20,l1,L1,,finetune,2,,,,top1,80,90,10,0.5,3,Table 1,"


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_read_whole(name: str) -> None:
    lines = (FOLDER / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    rows = read_published(FOLDER / f"{name}.csv")
    assert len(rows) == len(lines) - 1 > 0
    assert len(set(rows)) == len(rows)  # no row twice


@pytest.mark.parametrize("name", FILES)
def test_every_row_agrees_with_itself(name: str) -> None:
    for row in read_published(FOLDER / f"{name}.csv"):
        assert row.value is not None or row.drop is not None, row
        assert row.metric == "loss" or row.value is None or row.value <= 100, row
        assert row.speedup is None or row.macs_kept is None, row  # one thing, as the source has it
        if None not in (row.value, row.dense, row.drop):  # printed with two decimals
            assert row.dense - row.value == pytest.approx(row.drop, abs=0.006), row


def test_every_row_of_the_papers_is_there() -> None:
    counts = {name: len(read_published(FOLDER / f"{name}.csv")) for name in FILES}
    assert counts == {
        "dense": 13,
        "dpm": 27,
        "obc": 128,
        "pruningbench": 339,  # 21 tables; a method is in each where it could be run
        "rgd": 30,
        "torch_pruning": 23,
        "tpp": 82,
    }
    tables = Counter(row.source for row in read_published(FOLDER / "pruningbench.csv"))
    assert len(tables) == 21
    assert Counter(tables.values()) == {17: 15, 12: 3, 16: 3}


@pytest.mark.parametrize(
    ("name", "place", "words"),
    [
        ("rgd", ("cifar100", "densenet40", "threshold 0.65"), "paste error"),
        ("rgd", ("cub200", "vgg19_bn", "threshold 0.85"), "labelled VGG16-BN"),
        ("pruningbench", ("imagenet", "vit_s_16", ""), "wrong order"),
        ("dpm", ("cifar10", "resnet56", "without sparse learning"), "rerun"),
        ("obc", ("cifar100", "vgg19_bn", ""), "read off a picture"),
    ],
)
def test_doubtful_rows_keep_their_mark(name: str, place: tuple[str, ...], words: str) -> None:
    rows = read_published(FOLDER / f"{name}.csv")
    found = [row for row in rows if (row.dataset, row.model, row.setting) == place]
    assert any(words in row.mark for row in found)


def test_the_copied_row_is_marked_and_its_original_is_not() -> None:
    same = [
        row
        for row in read_published(FOLDER / "rgd.csv")
        if (row.dataset, row.macs_kept, row.params_kept) == ("cifar100", 0.3292, 0.5322)
    ]
    marked = {row.model: "paste error" in row.mark for row in same}
    assert marked == {"resnet110": False, "densenet40": True}


@pytest.mark.parametrize(("name", "source"), [("tpp", "Table 1"), ("rgd", "README")])
def test_rows_of_the_best_epoch_on_test_say_so(name: str, source: str) -> None:
    """Ours are of the last epoch; the authors' code of both papers reports the best one."""
    rows = [row for row in read_published(FOLDER / f"{name}.csv") if source in row.source]
    assert rows
    assert all("best epoch" in row.mark for row in rows)


@pytest.mark.parametrize("name", sorted({one for row in source.published() for one in row.suites}))
def test_rows_name_what_their_suite_holds(name: str) -> None:
    suite = load_suite(name)
    assert isinstance(suite, Suite)
    datasets = {one.title for one in suite.datasets}
    models = {one.title for one in suite.models}
    recoveries = {word for one in suite.recoveries for word in (one.name, one.kind)}
    for row in (one for one in source.published() if name in one.suites):
        assert row.dataset in datasets, row
        assert row.model in models, row
        assert not row.method or row.method in suite.method_names, row
        assert not row.method or row.recovery in recoveries, row


# Rows of no suite, or of no method of it, are shown beside nothing of ours: these, and no others.
NO_METHOD_OF_OURS = {
    *("APIB", "EC", "Hinge", "ResRep", "SANP", "SCP"),
    *("CC", "CCP-AC", "CHEX", "DCP", "Factorized", "IncReg", "LFPC", "MetaPruning", "ProvableFP"),
    *("CP", "GReg", "L1 pruned-B"),
}


def test_every_row_of_a_method_of_ours_is_shown_beside_it() -> None:
    """A row without a suite and a method is of a method that is none, or on no network of ours."""
    for row in source.published():
        if row.method and row.suites:
            continue
        elsewhere = (
            row.model == "yolov8"
            or (row.source.startswith("Chen et al. 2025") and "figure of" in row.source)
            or "TIMM" in row.setting
        )
        assert elsewhere or row.method_in_paper in NO_METHOD_OF_OURS, row


def test_hosts_own_rows_are_shown_beside_ours() -> None:
    """OTOv2's runs had no method once, though a suite ran it."""
    own = [row for row in source.published() if "OTO's repository" in row.source]
    assert {(row.model, row.suites, row.method) for row in own} == {
        ("vgg16_bn", ("dpm-otov2",), "otov2"),
        ("resnet50", ("dpm-otov2",), "otov2"),
        ("resnet18", ("dpm-otov2",), "otov2"),
        ("resnet50", ("dpm-otov2-imagenet",), "otov2"),
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (LINE.replace("top1", "accuracy"), "metric = 'accuracy': Input should be 'top1', 'top5'"),
        (
            LINE.replace(",80,", ",eighty,"),
            "line 3: value = 'eighty': Input should be a valid number",
        ),
        (LINE.replace("digits", ""), "the key 'dataset' is missing"),
        (LINE + ",more", "as many cells as columns"),
        (LINE[:-1], "as many cells as columns"),
    ],
)
def test_a_faulty_cell_is_named(tmp_path: Path, line: str, words: str) -> None:
    path = tmp_path / "paper.csv"
    path.write_text(f"{HEAD}\n{LINE}\n{line}\n", encoding="utf-8")
    with pytest.raises(SuiteError) as error:
        read_published(path)
    assert words in str(error.value)
    assert "paper.csv, line 3" in str(error.value)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "paper.csv"
    path.write_text(f"{HEAD},colour\n{LINE},red\n", encoding="utf-8")
    with pytest.raises(SuiteError, match=r"line 2: .*colour"):
        read_published(path)
    path.write_text("dataset,model\ndigits,resnet20\n", encoding="utf-8")
    with pytest.raises(SuiteError, match=r"line 2: the key .* is missing"):
        read_published(path)


# Ours and theirs, by hand. Two methods, MACs 50 % and 25 %, two bases; `l1` has 88 and 90 % at one
# half (dense 92 %), so mean 89 and SD sqrt(2); at a quarter 80 and 84 %, mean 82, SD sqrt(8).
OURS = {("l1", 0.5): (88, 90), ("l1", 0.25): (80, 84), ("l2", 0.5): (85, 85), ("l2", 0.25): (7, 7)}


def row(**changes: object) -> Published:
    given = {
        "suites": "synthetic", "dataset": "digits", "model": "resnet20", "method": "l1",
        "method_in_paper": "L1", "recovery": "none", "metric": "top1", "source": "Table 1",
    }  # fmt: skip
    return Published.model_validate(given | changes)


def results(
    monkeypatch: pytest.MonkeyPatch, *rows: Published, name: str = "synthetic", bases: int = 2
) -> Results:
    suite = make_suite(
        suite=name, models=["resnet20"], methods=["l1", "l2"], budgets={"macs": [0.5, 0.25]},
        bases=bases,
    )  # fmt: skip
    monkeypatch.setattr(source, "published", lambda: rows)
    labels = plan(suite)
    records = [record(one, OURS[one.method, one.budget][one.base] / 100, 0.92) for one in labels]
    return analyse(suite, records, labels)


def held(found: Results) -> dict[str, object]:
    (one,) = found.published.to_dict("records")
    return one


def test_at_our_budget_the_distance_is_held_against_both_spreads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near = row(speedup=2, value=91.0, dense=93.0, drop=2.0, spread=2.0)
    one = held(results(monkeypatch, near))
    # sqrt(sqrt(2)^2 + 2^2) = sqrt(6) = 2.449; absolute 89 - 91, of the drop 3 - 2.
    assert one["ours"] == pytest.approx(89)
    assert one["n_trials"] == 2
    assert one["combined_spread"] == pytest.approx(math.sqrt(6))
    assert (one["difference"], one["verdict"]) == (pytest.approx(-2), "agree")
    assert (one["drop_difference"], one["drop_verdict"]) == (pytest.approx(1), "agree")


def test_they_differ_beyond_it_and_the_drop_may_agree_where_bases_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    far = row(speedup=2, value=92.0, dense=95.0, drop=3.0, spread=2.0)
    one = held(results(monkeypatch, far))
    assert (one["difference"], one["verdict"]) == (pytest.approx(-3), "differ")
    assert (one["drop_difference"], one["drop_verdict"]) == (pytest.approx(0), "agree")
    assert summary(pd.DataFrame([one])).startswith("Of 2 published numbers")
    assert " 1 differ " in summary(pd.DataFrame([one]))


def test_between_budgets_ours_is_interpolated_over_log_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    middle = row(macs_kept=round(math.sqrt(0.5 * 0.25), 12), value=85.5)
    one = held(results(monkeypatch, middle))
    assert one["ours"] == pytest.approx((89 + 82) / 2)
    assert one["ours_spread"] == pytest.approx((math.sqrt(2) + math.sqrt(8)) / 2)
    assert one["note"] == "the paper prints no spread"


@pytest.mark.parametrize(
    ("kept", "verdict"), [(0.505, "agree"), (0.515, "beyond our range"), (0.2, "beyond our range")]
)
def test_beyond_our_budgets_nothing_is_extrapolated(
    monkeypatch: pytest.MonkeyPatch, kept: float, verdict: str
) -> None:
    one = held(results(monkeypatch, row(macs_kept=kept, value=89.0)))
    assert one["verdict"] == verdict


def test_without_any_spread_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    found = results(monkeypatch, row(speedup=2, value=50.0), bases=1)
    assert held(found)["verdict"] == "spread unknown"
    assert "prints no spread" in str(held(found)["note"])
    assert "one trial" in str(held(found)["note"])
    assert summary(found.published) == ""


def test_only_a_drop_is_held_against_our_drop(monkeypatch: pytest.MonkeyPatch) -> None:
    one = held(results(monkeypatch, row(speedup=2, drop=-4.0)))
    assert one["verdict"] == ""
    assert one["drop_difference"] == pytest.approx(7)  # ours loses 3, theirs gains 4
    assert one["drop_verdict"] == "differ"


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "l2-of-another"}, {"dataset": "cifar10"}, {"model": "resnet56"},
        {"suites": "another"}, {"recovery": "bn"},
    ],
)  # fmt: skip
def test_other_things_are_not_compared(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, str]
) -> None:
    assert results(monkeypatch, row(speedup=2, value=90, **changes)).published.empty


def test_a_smaller_scale_meets_the_paper_and_a_smoke_run_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = row(speedup=2, value=90)
    assert len(results(monkeypatch, one, name="synthetic-reduced").published) == 1
    assert results(monkeypatch, one, name="synthetic-smoke").published.empty


def test_hollow_markers_stand_where_the_paper_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    doubtful = row(speedup=3, value=88.5, spread=0.5, recovery="finetune", mark="paste error")
    found = results(monkeypatch, doubtful, row(params_kept=0.5, value=80))
    points = published_points(found, found.cells, "macs")
    assert points["cost_percent"].tolist() == [pytest.approx(100 / 3)]
    assert points[["top1", "low", "high"]].to_numpy().tolist() == [[88.5, 88.0, 89.0]]
    suite, labels = found.suite, found.expected
    build_report(suite, found.records, labels, tmp_path, figures=["accuracy_cost"])
    drawn = pd.read_csv(tmp_path / "figures" / "accuracy_cost.csv")
    theirs = drawn[drawn["published_in"].notna()]
    assert theirs[["method", "recovery", "top1", "mark"]].to_numpy().tolist() == [
        ["l1", "finetune-short", 88.5, "paste error"]
    ]
    assert "published" in (tmp_path / "figures" / "accuracy_cost.svg").read_text(encoding="utf-8")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "Ours and the published" in page
    assert "paste error" in page
    assert len(pd.read_csv(tmp_path / "tables" / "published.csv")) == 2


@pytest.mark.usefixtures("inkless")
def test_a_suite_of_no_paper_says_nothing_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = results(monkeypatch)
    build_report(found.suite, found.records, found.expected, tmp_path, figures=["accuracy_cost"])
    assert "published_in" not in pd.read_csv(tmp_path / "figures" / "accuracy_cost.csv")
    assert not (tmp_path / "tables" / "published.csv").exists()
