"""The first screen: its sentences, its rows, and what the script of the page draws."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import figure_records
import numpy as np
import pandas as pd
import pytest
from synthetic import make_suite, plan, record, synthetic_records, tiny, told_apart

from reports.analysis.analysis import analyse
from reports.analysis.best import OVER
from reports.analysis.results import Results
from reports.build import build_report
from reports.page.answer import ROWS, answers, board
from reports.page.chart_data import Board
from reports.page.page import render
from reports.page.warnings import warnings
from reports.records import Record
from suites.schema import Suite

WORDS_OF_A_SENTENCE = 25


@pytest.fixture(scope="module")
def suite() -> Suite:
    return make_suite()


@pytest.fixture(scope="module")
def results(suite: Suite) -> Results:
    return analyse(suite, synthetic_records(suite, plan(suite)), plan(suite))


def view(results: Results, recovery: str = "none", problem: str = OVER, budget: float = np.nan):
    """Method -> row of `changes`."""
    table = results.changes
    same = table["budget"].isna() if np.isnan(budget) else table["budget"] == budget
    rows = table[(table["recovery"] == recovery) & (table["problem"] == problem) & same]
    return rows.set_index("method")


def drawn(found: Board) -> dict[str, Any]:
    """What the script reads."""
    return json.loads(str(found.script))


def test_what_is_tested_stands_on_the_first_screen_as_in_its_own_table(results: Results) -> None:
    names = ["mean", "joint_low", "joint_high", "word"]
    over = results.overall[results.overall["family"] == "control"]
    for recovery, rows in over.groupby("recovery"):
        shown = view(results, str(recovery)).loc[rows["method"]]
        ours = shown[["against", "against_low", "against_high", "verdict"]]
        assert ours.to_numpy().tolist() == rows[names].to_numpy().tolist()
        apart = shown["change"] - view(results, str(recovery)).loc["l1", "change"]
        assert apart.to_numpy(dtype=float) == pytest.approx(rows["mean"].to_numpy(dtype=float))
    each = results.paired.set_index(["recovery", "problem", "method", "reference"])
    row = each.loc["none", "resnet20 on digits", "taylor", "l1"]
    mine = view(results, problem="resnet20 on digits").loc["taylor"]
    assert (mine["against"], mine["verdict"]) == (row["mean"], row["verdict"])


def test_a_budget_of_a_problem_is_its_cell(results: Results) -> None:
    keys = ["recovery", "problem", "budget", "method"]
    columns = ["top1", "macs_percent", "params_percent", "score_s"]
    cells = results.cells.set_index(keys).sort_index()
    single = results.changes[results.changes["problem"] != OVER].dropna(subset=["budget"])
    ours = single.set_index(keys).sort_index()
    assert len(ours) == len(cells)
    for mine, theirs in [("change", "retained_top1"), *zip(columns, columns, strict=True)]:
        assert ours[mine].to_numpy(dtype=float) == pytest.approx(cells[theirs].to_numpy(float))
    means = results.cells[results.cells["budget"] == 0.5].groupby(["recovery", "method"])
    there = view(results, budget=0.5)["change"]
    expected = means["retained_top1"].mean()["none"]
    assert there.to_dict() == pytest.approx(expected.to_dict())


def test_changes_by_hand() -> None:
    """Against l1: m1 gains 4 and 2 points (base 0, by budget), 1 and 1; m2 loses 2, 2, 0, 0."""
    suite, found = tiny()
    results = analyse(suite, found, plan(suite))
    assert view(results, budget=0.5).loc["a", "against"] == pytest.approx((2.5 - 1) / 2)
    assert view(results, budget=0.25).loc["a", "against"] == pytest.approx((1.5 - 1) / 2)
    assert view(results, problem="m1 on digits").loc["a", "change"] == pytest.approx(-18)
    assert view(results).loc["l1", ["top1", "change"]].tolist() == pytest.approx([70, -20])
    assert view(results)[["low", "against_low"]].isna().all(axis=None)  # two bases


def test_who_lacks_a_problem_has_no_number_over_all(suite: Suite) -> None:
    lacking = ("taylor", "vgg-small")
    found = [
        one
        for one in synthetic_records(suite, plan(suite))
        if (one.labels.method, one.labels.model) != lacking
    ]
    results = analyse(suite, found, plan(suite))
    assert np.isnan(view(results).loc["taylor", "change"])
    assert np.isfinite(view(results, problem="resnet20 on digits").loc["taylor", "change"])
    assert set(view(results)["n_problems"]) == {2}
    assert "taylor" not in board(results).first.shown


def test_it_is_said_how_many_problems_a_mean_stands_on(suite: Suite) -> None:
    there = [
        one
        for one in synthetic_records(suite, plan(suite))
        if (one.labels.method, one.labels.model) != ("l1", "vgg-small")
    ]
    lacking = analyse(suite, there, plan(suite))
    assert {view.over for key, view in board(lacking).views.items() if key[-1] == OVER} == {
        "mean over 1 of 2 problems",
        "mean over 1 of 2 problems; no test is of one budget alone",
    }
    page = html.unescape(render(lacking, [], {})).split("<script")[0]
    assert "mean over 3 budgets · mean over 1 of 2 problems</b>" in page
    assert "mean over 2 problems" not in page
    whole = analyse(suite, synthetic_records(suite, plan(suite)), plan(suite))
    assert {view.over for key, view in board(whole).views.items() if key[1] == "mean"} == {""}


def test_problems_with_budgets_of_their_own_have_views_of_their_own() -> None:
    models = ["m1", {"name": "m2", "budgets": {"macs": [0.9, 0.5]}}]
    suite = make_suite(models=models, recoveries=["none"])
    results = analyse(suite, synthetic_records(suite, plan(suite)), plan(suite))
    over = results.changes[results.changes["problem"] == OVER]
    assert sorted(over["budget"].dropna().unique()) == [0.5]
    found = board(results)
    budgets = [name for name, _ in found.switches[1].options]
    assert budgets == ["mean", "0.9", "0.7", "0.5", "0.3"]
    assert ("none", "0.9", OVER) not in found.views  # 90 % is no budget of all problems
    assert ("none", "0.9", "m2 on digits") in found.views
    means = results.cells.groupby(["method", "problem"])[["top1", "macs_percent"]].mean()
    by_hand = means.groupby("method").mean()  # a problem counts once, whatever its budgets
    dense = results.dense.groupby("problem")["dense_top1"].mean().mean()
    shown = over[over["budget"].isna()].set_index("method").loc[by_hand.index]
    assert np.allclose(shown["macs_percent"], by_hand["macs_percent"])
    assert np.allclose(shown["top1"] - shown["change"], dense)


def test_a_view_of_nothing_finished_has_no_numbers() -> None:
    suite = make_suite(models=["m1", "m2"], methods=["l1", "taylor"], recoveries=["none"])
    records = [record(one, 0.8) for one in plan(suite) if one.model == "m1"]
    found = drawn(board(analyse(suite, records, plan(suite))))
    assert "nan" not in json.dumps(found)


def test_the_script_reads_the_numbers_of_the_frame(results: Results) -> None:
    content = drawn(board(results))
    keys = [[name for name, _ in one["options"]] for one in content["switches"]]
    assert keys == [
        ["none", "finetune-short"],
        ["mean", "0.7", "0.5", "0.3"],
        [OVER, "resnet20 on digits", "vgg-small on digits"],
    ]
    assert len(content["views"]) == 2 * 4 * 3
    for key, found in content["views"].items():
        recovery, budget, problem = key.split("|")
        rows = view(results, recovery, problem, np.nan if budget == "mean" else float(budget))
        assert len(found["marks"]) == len(rows)
        for name, value, low, high, tone, texts, costs in found["marks"]:
            row = rows.loc[content["names"][name]]
            numbers = row[["change", "low", "high", "macs_percent", "params_percent", "score_s"]]
            assert [value, low, high, *costs] == pytest.approx(
                numbers.to_numpy(dtype=float), rel=1e-3, abs=5e-5
            )
            assert texts[0] == f"{row['top1']:.2f}"
            assert texts[1].startswith(f"{row['change']:+.2f}".replace("-", "−"))
            apart = row["against_low"] > 0 or row["against_high"] < 0
            if budget == "mean":
                assert (texts[-1] == row["verdict"]) or pd.isna(row["verdict"])
                assert tone in ((row["verdict"], "") if apart else ("control", ""))
            else:
                assert (texts[-1], tone) in (("–", ""), ("control", "control"))
        values = [one[1] for one in found["marks"]]
        assert values == sorted(values, reverse=True)


def test_few_methods_are_all_shown(results: Results) -> None:
    shown = board(results).first.shown
    assert len(shown) == len(results.suite.methods) == ROWS + 1
    assert not [name for name in shown if "~" in name]  # matched controls: only when asked for


def test_of_many_the_best_the_control_and_those_told_worse_are_shown() -> None:
    names = [f"m{place:02}" for place in range(20)]
    methods: list[Any] = [{"criterion": "taylor", "as": name} for name in names]
    suite = make_suite(
        models=["a", "b"],
        methods=[*methods, "random", "l1"],
        budgets={"macs": [0.5]},
        recoveries=["none"],
    )
    level = {name: 0.6 + 0.01 * place for place, name in enumerate(names)}
    level |= {"random": 0.4, "l1": 0.595}
    rng = np.random.default_rng(2)
    found = [record(one, level[one.method] + rng.normal(0, 0.0005)) for one in plan(suite)]
    first = board(analyse(suite, found, plan(suite))).first
    assert first.shown == [*names[:-7:-1], "m13", "l1", "random"]
    assert len(first.rows) == ROWS + 1  # with the dense network
    assert first.rows[0].texts[0] == "90.00"


def test_a_criterion_of_the_readers_own_is_shown_wherever_it_stands() -> None:
    """Below all others, and not told from the control."""
    names = [f"m{place:02}" for place in range(20)]
    methods: list[Any] = [{"criterion": "taylor", "as": name} for name in names]
    methods += ["l1", {"criterion": "my_criterion", "as": "mine"}]
    suite = make_suite(models=["a", "b"], methods=methods, recoveries=["none"])
    level = {name: 0.6 + 0.01 * place for place, name in enumerate(names)}
    level |= {"l1": 0.595, "mine": 0.59}
    rng = np.random.default_rng(2)
    found = [record(one, level[one.method] + rng.normal(0, 0.02)) for one in plan(suite)]
    assert "mine" in board(analyse(suite, found, plan(suite))).first.shown
    others = [one.model_copy(update={"criterion": "l2"}) for one in suite.methods[-1:]]
    known = suite.model_copy(update={"methods": [*suite.methods[:-1], *others]})
    assert "mine" not in board(analyse(known, found, plan(known))).first.shown


def test_a_mark_is_filled_only_where_its_own_interval_leaves_out_zero() -> None:
    """taylor is far better at one budget, and not told apart at the other."""
    suite = make_suite(
        models=["m"], methods=["l1", "taylor"], budgets={"macs": [0.7, 0.3]}, recoveries=["none"]
    )
    wide, narrow = {0: -0.04, 1: 0.01, 2: 0.05}, {0: -0.001, 1: 0.0, 2: 0.001}

    def top1(method: str, budget: float, base: int) -> float:
        if method == "l1":
            return 0.5
        return 0.5 + wide[base] / 9 if budget == 0.7 else 0.8 + narrow[base]

    found = [record(one, top1(one.method, one.budget, one.base)) for one in plan(suite)]
    views = board(analyse(suite, found, plan(suite))).views
    tones = {
        budget: {one.name: one.tone for one in view.marks}["taylor"]
        for (_, budget, _), view in views.items()
    }
    assert tones == {"mean": "better", "0.7": "", "0.3": ""}  # tests are of the mean over budgets
    words = {key[1]: {one.texts[-1] for one in view.marks} for key, view in views.items()}
    assert words == {
        "mean": {"better", "control"},
        "0.7": {"–", "control"},
        "0.3": {"–", "control"},
    }


def test_whom_the_answer_names_stands_in_the_table() -> None:
    """Five are better, eight equal, eight worse: of each the table has those that are named."""
    level = {f"up{i}": 0.70 + 0.01 * i for i in range(5)}
    level |= {f"even{i}": 0.5 for i in range(8)} | {f"down{i}": 0.3 - 0.01 * i for i in range(8)}
    methods: list[Any] = [{"criterion": "taylor", "as": name} for name in level]
    suite = make_suite(
        models=["a", "b"],
        methods=[*methods, "l1"],
        budgets={"macs": [0.5]},
        recoveries=["none"],
        analysis={"control": "l1", "rope": 1.0},
    )
    rng = np.random.default_rng(0)
    found = [record(one, level.get(one.method, 0.5) + rng.normal(0, 0.0005)) for one in plan(suite)]
    results = analyse(suite, found, plan(suite))
    said = answers(results)["Without recovery"]
    assert "(within 1 point)" in said
    named = set(re.findall(r"(?:up|even|down)\d", said))
    assert len(named) == ROWS - 1
    assert set(board(results).first.shown) == {*named, "l1"}


def test_toys_are_called_so_first(results: Results) -> None:
    said = "These are small networks on digits: nothing here is said of other networks or data."
    assert next(iter(warnings(results))) == said
    page = render(results, [], {})
    assert page.count(said) == 2
    assert '<b id="view" role="status">Without recovery · mean over 3 budgets' in page
    alone = make_suite(datasets=["cifar10"], models=["m"], methods=["l1", "taylor"])
    of_one = analyse(alone, [record(one, 0.8) for one in plan(alone)], plan(alone))
    assert next(iter(warnings(of_one))).startswith("These problems are no sample of others")


@pytest.mark.parametrize("methods", [2, 14, 45])
def test_sentences_are_short(methods: int) -> None:
    suite = figure_records.make(methods, 2, 2)
    results = analyse(suite, figure_records.records(suite), plan(suite))
    for answer in answers(results).values():
        for sentence in re.split(r"(?<=\D)\. ", answer):
            assert len(re.sub(r"\[.*?\]", "", sentence).split()) <= WORDS_OF_A_SENTENCE, sentence


def test_the_answer_names_what_is_told_first_and_its_size() -> None:
    suite, found = told_apart()
    results = analyse(suite, found, plan(suite))
    row = results.overall.set_index("method").loc["a"]
    size = f"+{row['mean']:.2f} points, [+{row['joint_low']:.2f}, +{row['joint_high']:.2f}]"
    assert answers(results) == {"Without recovery": f"a ({size}) and b_1 are better than l1."}
    plain = re.sub(r"</?a\b[^>]*>", "", render(results, [], {}))
    page = " ".join(html.unescape(plain).replace("\N{NO-BREAK SPACE}", " ").split())
    assert (
        "Accuracy change, mean over problems. In brackets: 95 % intervals that hold for all "
        "2 comparisons at once; on single problems, for all of those."
    ) in " ".join(page.split())


def answer_to(top1: Any, **changes: Any) -> str:
    """The short answer where method and base give an accuracy."""
    suite = make_suite(**{"models": ["m"], "recoveries": ["none"], **changes})
    found = [record(one, top1(one)) for one in plan(suite)]
    return answers(analyse(suite, found, plan(suite)))["Without recovery"]


def test_answers_where_little_can_be_said(suite: Suite) -> None:
    spread = {0: -0.02, 1: 0.0, 2: 0.02}
    rng = np.random.default_rng(0)
    noise = {(one.method, one.base): rng.normal(0, 0.02) for one in plan(suite)}
    two = ["l1", "taylor"]
    same = answer_to(lambda one: 0.7 + noise[one.method, one.base], methods=two)
    assert same.startswith(
        "No method is shown to differ from l1. The control l1 has the highest mean"
    )
    assert answer_to(lambda one: 0.7, methods=["l1"]) == (
        "The suite holds l1 alone: nothing is compared."
    )
    one = answer_to(lambda one: 0.7 + 0.01 * (one.method == "taylor"), methods=two, bases=1)
    assert one == (
        "The highest mean is that of taylor (+1.00 points, against l1). "
        "With 1 base per problem that may be chance: it takes 3."
    )
    worse = answer_to(
        lambda one: (
            0.7 + spread[one.base] - (0.3 + noise["l1", one.base] / 9) * (one.method != "l1")
        ),
        methods=two,
    )
    assert worse.startswith("No method is shown to be better than l1; taylor (−")
    assert worse.endswith("is worse.")
    for said in answers(analyse(suite, [], plan(suite))).values():
        assert said.startswith("Nothing is compared yet")


def test_nothing_finished_is_a_page_without_a_board(suite: Suite) -> None:
    page = render(analyse(suite, [], plan(suite)), [], {})
    assert 'id="forest"' not in page
    assert 'data-chart="' not in page.split("<script")[0]


def test_thresholds_are_no_shares() -> None:
    suite = make_suite(
        methods=[{"criterion": "rgd", "matched": ["l1"]}],
        budgets={"threshold": [0.8, 0.7]},
        models=["resnet20"],
        analysis={"control": "l1~rgd"},
    )
    found = [record(one, 0.8 + 0.01 * one.base) for one in plan(suite)]
    shown = board(analyse(suite, found, plan(suite)))
    words = [words for _, words in shown.switches[1].options]
    assert words == ["mean over 2 thresholds", "threshold 0.8", "threshold 0.7"]
    assert set(shown.first.shown) == {"rgd", "l1~rgd"}
    assert len(shown.switches[2].options) == 1


def test_what_people_write_is_text(suite: Suite) -> None:
    hostile = "</script><img src=x onerror=alert(1)>&"
    bad = make_suite(description=hostile)
    found: list[Record] = []
    for one in synthetic_records(bad, plan(bad)):
        labels = one.labels.model_copy(update={"model": hostile + one.labels.model})
        found.append(one.model_copy(update={"labels": labels}))
    page = render(analyse(bad, found, [one.labels for one in found]), [], {})
    assert "<img src=x" not in page
    assert "</script><" not in page.replace("</script>\n<", "")
    data = re.search(r'id="board-data">(.*?)</script>', page)
    assert data is not None
    assert hostile in json.loads(data[1])["switches"][2]["options"][1][1]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of 45 methods, with its largest figure alone."""
    suite = figure_records.make(45, 3, 2)
    out = tmp_path_factory.mktemp("many")
    found = figure_records.records(suite)
    return build_report(suite, found, plan(suite), out, figures=["paired_differences"]).parent


def test_the_page_is_closed_but_for_its_answer(many: Path) -> None:
    page = (many / "index.html").read_text(encoding="utf-8")
    assert "<details open" not in page
    places = set(re.findall(r' id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= places
    order = [page.index(f'id="{name}"') for name in ("answer", "forest", "care", "found", "time")]
    assert order == sorted(order)
    table = page[page.index('id="forest"') : page.index('id="care"')]
    assert table.count('<th scope="row">') == ROWS + 1
    assert len(page) < 3_000_000


def test_a_figure_in_the_page_is_the_file_beside_it(many: Path) -> None:
    page = (many / "index.html").read_text(encoding="utf-8")
    data = re.search(r'id="packed-paired_differences">([^<]*)<', page)
    assert data is not None
    svg = gzip.decompress(base64.b64decode(data[1]))
    assert svg == (many / "figures" / "paired_differences.svg").read_bytes()


def test_the_headline_file_has_the_answer(many: Path) -> None:
    numbers = json.loads((many / "headline.json").read_text())
    assert [one.split(":")[0] for one in numbers["answer"]] == [
        "Without recovery",
        "After finetune-short",
    ]
    assert numbers["none"]["compared"] == 44


def contrast(one: str, other: str) -> float:
    """WCAG's contrast ratio of two colours `#rrggbb`."""

    def luminance(colour: str) -> float:
        colour = colour if len(colour) == 7 else "#" + "".join(2 * part for part in colour[1:])
        shares = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in shares]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_an_oracle() -> None:
    assert contrast("#fff", "#000000") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_stand_out_of_the_paper(many: Path, scheme: int) -> None:
    page = (many / "index.html").read_text(encoding="utf-8")
    colours = dict(
        re.findall(r"--([\w-]+): (#\w+)", page.split(":root {")[scheme + 1].split("}")[0])
    )
    texts = ["ink", "faint", "link", "met", "missed", *(f"c{place}" for place in range(12))]
    for name in texts:
        for paper in ("paper", "wash"):
            assert contrast(colours[name], colours[paper]) >= 4.5, (name, paper)
    for name in ("ink", "care", "link"):
        assert contrast(colours[name], colours["care-wash"]) >= 4.5, name
    assert contrast(colours["dot"], colours["paper"]) >= 3  # marks and borders


@pytest.mark.slow
def test_a_link_shows_what_was_chosen(many: Path) -> None:
    """The script draws what the address says: a recovery, a budget, two methods."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no chromium to open the page with")
    choice = "#recovery=finetune-short&budget=0.65&methods=l1,taylor"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    command += ["--virtual-time-budget=4000", f"file://{many / 'index.html'}{choice}"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    body = re.search(r'id="forest".*?<tbody>(.*?)</tbody>', ran.stdout, re.S)
    assert body is not None
    rows = re.findall(r'<th scope="row">(.*?)</th>', body[1])
    assert rows[0] == "dense network"
    assert sorted(rows[1:3]) == ["l1", "taylor"]
    assert rows[3:] == ["43 others"]
    assert body[1].count('class="dot') == 45
    plain = html.unescape(ran.stdout).replace("\N{NO-BREAK SPACE}", " ")
    assert "After finetune-short · 65 % of MACs" in plain
    assert 'src="blob:' in ran.stdout  # the figure is unpacked
