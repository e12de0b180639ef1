"""What a paper prints: numbers of the analysis, marks where they are tested, LaTeX that holds."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import failed, latency, make_suite, plan, record, synthetic_records, tiny, told_apart

from criteria.registry import CATALOG
from reports.analysis.analysis import analyse
from reports.analysis.best import OVER, against_best
from reports.build import build_report
from reports.formats import points, tex
from reports.paper.choice import chosen, display_name
from reports.paper.paper import COLUMN, PAGE
from reports.records import Record
from suites import library, load_suite
from suites.fidelity import FidelitySuite
from suites.method import named_presets
from suites.schema import Suite

BARE = re.compile(r"(?<!\\)[&%$#_{}]")  # characters that LaTeX reads as commands
TEMPLATES = (r"\documentclass[conference]{IEEEtran}", r"\documentclass[sigconf,nonacm]{acmart}")


def write(suite: Suite, records: Sequence[Record], out: Path, *given: str) -> dict[str, str]:
    """The LaTeX files of a paper, by name."""
    build_report(suite, records, plan(suite), out, paper=given or ["width=column"])
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(out.glob("*.tex"))}


def made(changes: dict[str, Any], **of_records: Any) -> tuple[Suite, list[Record]]:
    suite = make_suite(**changes)
    if not of_records:
        return suite, synthetic_records(suite, plan(suite))
    return suite, [record(one, 0.8 + 0.02 * one.base, **of_records) for one in plan(suite)]


def rows(table: str) -> list[list[str]]:
    """Cells of every row below the head, without the headings of groups."""
    lines = table.split(r"\midrule")[1:]
    cells = [line for part in lines for line in part.splitlines() if line.endswith(r" \\")]
    return [
        [cell.strip() for cell in line.removesuffix(r" \\").split(" & ")]
        for line in cells
        if "multicolumn" not in line
    ]


def by_method(table: str) -> dict[str, list[str]]:
    return {name: cells for name, *cells in rows(table)}


def caption(table: str) -> str:
    found = re.search(r"\\caption\{%?(.*?)\}\\label", table, re.DOTALL)
    assert found is not None
    return " ".join(found[1].split())


# --- the numbers ----------------------------------------------------------------------------------


def test_a_table_of_one_problem_by_hand(tmp_path: Path) -> None:
    # Bases of 70, 72 and 74 % against dense 90 %: mean 72, SD 2. MACs 0.5 of a million.
    suite = make_suite(
        models=["m"], methods=["l1", "taylor"], budgets={"macs": [0.5]}, recoveries=["none"]
    )
    top = {"l1": 0.70, "taylor": 0.60}
    records = [record(one, top[one.method] + 0.02 * one.base) for one in plan(suite)]
    files = write(suite, records, tmp_path)
    assert set(files) == {"paper", "table_none_m-on-digits", "figure_none_m-on-digits"}
    costs = ["0.50", "50.0", "50", "50.0", "75.0"]
    assert rows(files["table_none_m-on-digits"]) == [
        ["Dense", r"90.00\,$\pm$\,0.00", "", "1.00", "100", "100", "100", "100"],
        ["L1", r"\textbf{72.00\,$\pm$\,2.00}", r"\textbf{$-$18.00}", *costs],
        ["Taylor", r"62.00\,$\pm$\,2.00", "$-$28.00", *costs],
    ]
    head = r" & \multicolumn{2}{c}{Accuracy (\%)} & \multicolumn{2}{c}{MACs}"
    head += r" & \multicolumn{2}{c}{Params} & \multicolumn{1}{c}{Latency} \\"
    assert head in files["table_none_m-on-digits"]
    assert r"Method & top-1 & change & M & \% & k & \% & \% \\" in files["table_none_m-on-digits"]


def test_every_number_of_a_table_is_one_of_the_analysis(tmp_path: Path) -> None:
    suite, records = made({})
    results = analyse(suite, records, plan(suite))
    files = write(suite, records, tmp_path, "methods=taylor,l1,jacobian")
    shown = ["taylor", "l1", "jacobian"]
    for recovery in results.recoveries:
        cells = results.cells[results.cells["recovery"] == recovery]
        own = cells.set_index(["problem", "budget", "method"]).to_dict("index")
        standing = results.standing.set_index(["recovery", "problem", "method"])["mean"]
        for problem in results.problems:
            table = files[f"table_{recovery}_{problem.replace(' ', '-')}"]
            found = rows(table)[1:]
            assert [one[0] for one in found] == [display_name(name) for name in shown] * 4
            for at, budget in enumerate((0.7, 0.5, 0.3)):
                for name, row in zip(shown, found[3 * at : 3 * at + 3], strict=True):
                    cell = own[problem, budget, name]
                    text = f"{cell['top1']:.2f} {cell['top1_sd']:.2f}"
                    assert text in row[1].replace(r"\,$\pm$\,", " ")
                    assert tex(points(cell["retained_top1"])) in row[2]
                    assert row[4] == f"{cell['macs_percent']:.1f}"
                    assert row[6] == f"{cell['params_percent']:.1f}"
                    assert row[3] == f"{cell['macs'] / 1e6:.2f}"
            for name, row in zip(shown, found[9:], strict=True):
                assert tex(points(standing[recovery, problem, name])) in row[2]
        last = rows(files[f"table_{recovery}"])[-3:]
        for name, row in zip(shown, last, strict=True):
            assert tex(points(standing[recovery, OVER, name])) in row[-1]


def test_the_mean_over_problems_at_one_budget_is_that_of_the_standing(tmp_path: Path) -> None:
    suite, records = made({"budgets": {"macs": [0.5]}, "recoveries": ["none"]})
    standing = analyse(suite, records, plan(suite)).standing
    means = standing[standing["problem"] == OVER].set_index("method")["mean"]
    found = by_method(write(suite, records, tmp_path)["table_none"])
    for name, mean in means.items():
        assert tex(points(mean)) in found[display_name(str(name))][-1]


def test_the_highest_mean_of_a_budget_is_bold_also_where_two_are(tmp_path: Path) -> None:
    suite = make_suite(
        models=["m"], methods=["l1", "l2", "taylor"], budgets={"macs": [0.5]}, recoveries=["none"]
    )
    top = {"l1": 0.7, "l2": 0.7, "taylor": 0.6}
    records = [record(one, top[one.method] + 0.001 * one.base) for one in plan(suite)]
    found = by_method(write(suite, records, tmp_path)["table_none_m-on-digits"])
    bold = {name for name, cells in found.items() if "textbf" in cells[0]}
    assert bold == {"L1", "L2"}


# --- the marks ------------------------------------------------------------------------------------


def test_a_dagger_stands_where_the_standing_does_not_tell(tmp_path: Path) -> None:
    suite, records = told_apart()
    names = ["names.a=First", "names.b_1=Second"]
    table = write(suite, records, tmp_path, *names)["table_none"]
    found = by_method(table)
    assert found["First"][-1].startswith(r"\textbf{")
    assert found["Second"][-1].endswith(r"$^{\dagger}$")
    assert "dagger" not in found["L1"][-1]
    assert (
        r"$\dagger$ (all problems): not shown to differ from it (Welch's t-test paired by base, "
        "Holm over all pairs of the suite's 3 methods, level 0.05)." in caption(table)
    )
    assert r"\begin{table*}" in table  # nine problems beside one another


def test_marks_are_of_the_methods_that_are_shown_and_tests_of_all(tmp_path: Path) -> None:
    # Without the best, the second is the best shown; the last is told from both.
    suite, records = told_apart()
    table = write(suite, records, tmp_path, "methods=l1,b_1")["table_none"]
    found = by_method(table)
    assert found["b_1".replace("_", r"\_")][-1].startswith(r"\textbf{")
    assert "dagger" not in found["L1"][-1]
    assert "3 methods" in caption(table)


def test_the_standing_among_all_methods_is_the_standing() -> None:
    for suite, records in (made({}), told_apart(), tiny()):
        results = analyse(suite, records, plan(suite))
        again = against_best(results, results.ranking, suite.method_names)
        assert again.equals(results.standing)
        for recovery, ranks in results.ranking.items():
            of = again[(again["recovery"] == recovery) & (again["problem"] == OVER)]
            for row in of.to_dict("records"):
                if row["standing"] == "near":  # as the ranks that remain possible say
                    assert ranks.low[ranks.methods.index(row["method"])] == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bases": 1}, "Bold: the highest mean, no more: 1 base, and a test takes 3."),
        ({"bases": 2}, "Bold: the highest mean, no more: 2 bases, and a test takes 3."),
        ({"bases": 3}, "no more: a single problem of several is not tested."),
    ],
)
def test_what_is_not_tested_has_no_dagger_and_says_why(
    tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    suite, records = made({**changes, "recoveries": ["none"]})
    table = write(suite, records, tmp_path)["table_none_resnet20-on-digits"]
    assert said in caption(table)
    assert "dagger" not in table
    spread = f"one standard deviation over {suite.bases} bases"
    assert (spread in caption(table)) == (suite.bases > 1)
    assert (r"\pm" in table) == (suite.bases > 1)


def test_repeats_are_said() -> None:
    suite, records = tiny()
    results = analyse(suite, records, plan(suite))
    assert results.cells["top1_sd"].notna().all()


def test_one_method_is_held_against_none(tmp_path: Path) -> None:
    suite, records = made({"models": ["m"], "recoveries": ["none"]})
    assert "Bold" not in caption(
        write(suite, records, tmp_path, "methods=l1")["table_none_m-on-digits"]
    )


# --- what has not finished, and suites of other kinds ---------------------------------------------


def test_what_failed_is_a_dash_with_its_reason(tmp_path: Path) -> None:
    suite, records = made({"recoveries": ["none"]})
    records = [
        failed(one.labels, "x")
        if (one.labels.method, one.labels.model, one.labels.base) == ("taylor", "resnet20", 1)
        and one.labels.budget == 0.5
        else one
        for one in records
    ]
    files = write(suite, records, tmp_path, "methods=l1,taylor")
    table = files["table_none_resnet20-on-digits"]
    assert rows(table)[4][:3] == ["Taylor", "--", "--"]
    assert rows(table)[4][3:] == ["--"] * 5
    assert rows(table)[-1] == ["Taylor", "", "--", "", "", "", "", ""]
    assert r"--\enspace Taylor: 1 trial failed at 50 \%." in table
    assert r"--\enspace Taylor (resnet20 on digits): 1 trial failed" in files["table_none"]
    assert "enspace" not in files["table_none_vgg-small-on-digits"]


def test_a_recovery_that_has_not_run_has_no_figure(tmp_path: Path) -> None:
    suite, records = made({})
    files = write(suite, [one for one in records if one.labels.recovery == "none"], tmp_path)
    assert [name for name in files if name.startswith("figure")] == [
        "figure_none_resnet20-on-digits",
        "figure_none_vgg-small-on-digits",
    ]
    table = files["table_finetune-short_resnet20-on-digits"]
    assert {cell for row in rows(table)[1:] for cell in row[1:]} == {"--", ""}
    assert "not run" in table


def test_masks_have_weights_and_theoretical_macs(tmp_path: Path) -> None:
    budgets = {"weights": [0.5, 0.1]}
    suite, records = made(
        {"budgets": budgets, "models": ["m"], "methods": ["l1", "taylor"]},
        weights={"conv": (50, 100)},
        latency=[],
    )
    table = write(suite, records, tmp_path)["table_none_m-on-digits"]
    head = r"\multicolumn{1}{c}{Weights} & \multicolumn{2}{c}{MACs} \\"
    assert head in table
    assert "Params" not in table
    assert r"50 \% of weights kept" in table
    assert "MACs are theoretical" in caption(table)


def test_thresholds_are_called_thresholds(tmp_path: Path) -> None:
    suite, records = made({"budgets": {"threshold": [0.7, 0.3]}, "models": ["m"]})
    table = write(suite, records, tmp_path)["table_none_m-on-digits"]
    assert r"{\itshape Threshold 0.7} \\" in table
    assert r"{\itshape Averaged over 2 thresholds} \\" in table


def test_a_latency_that_was_not_measured_has_no_column(tmp_path: Path) -> None:
    changes = {"models": ["m"], "recoveries": ["none"], "methods": ["l1", "taylor"]}
    for timed in ([], [latency(0.75)]):
        suite, records = made(changes, latency=timed)
        table = write(suite, records, tmp_path)["table_none_m-on-digits"]
        assert ("Latency" in table) == bool(timed)


def test_problems_with_budgets_of_their_own(tmp_path: Path) -> None:
    models = ["m", {"name": "n", "budgets": {"macs": [0.5, 0.2]}}]
    suite, records = made({"models": models, "methods": ["l1", "taylor"], "recoveries": ["none"]})
    files = write(suite, records, tmp_path)
    found = rows(files["table_none"])
    assert found[1][3:5] == ["", ""]  # n has no budget of 0.7
    assert found[1][-1] == ""
    assert not any("--" in cell for row in found for cell in row)
    assert r"70 \% of MACs kept" not in files["table_none_n-on-digits"]


def test_problems_whose_files_would_be_called_alike_are_numbered(tmp_path: Path) -> None:
    suite, records = made({"models": ["m.1", "m-1"], "methods": ["l1"], "recoveries": ["none"]})
    files = write(suite, records, tmp_path)
    each = {"table_none_m-1-on-digits-1", "table_none_m-1-on-digits-2"}
    assert each < set(files)
    assert all(rf"\input{{{name}" in files["paper"] for name in each)


def test_matched_controls_stand_beside_and_take_no_part_in_the_test(tmp_path: Path) -> None:
    suite, records = made({"models": ["m"], "recoveries": ["none"]})
    table = write(suite, records, tmp_path, "methods=jacobian,l1~jacobian,l1")
    found = [row[0] for row in rows(table["table_none_m-on-digits"])]
    assert found.count("L1 matched to Jacobian") == 3  # budgets
    assert found.count("Jacobian") == 4  # and all of them


# --- the choice -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("methods=l1,taylr", r"no method 'taylr' \(did you mean taylor\?\)"),
        ("problems=m", "there is no problem 'm'"),
        ("budgets=0.4", "there are 0.7, 0.5, 0.3"),
        ("recoveries=finetune", "did you mean finetune-short"),
        ("width=2", "there are column, page"),
        ("method=l1", "no key 'method' .did you mean methods"),
        ("names.snip=S", "no method 'snip'"),
        ("l1,taylor", "write KEY=VALUE, as in methods=l1,taylor"),
        ("methods=", "write KEY=VALUE"),
        ("names.l1=Taylor", "l1 and taylor would all be called Taylor; name them apart"),
    ],
)
def test_faults_of_the_choice(given: str, said: str) -> None:
    suite, records = made({})
    results = analyse(suite, records, plan(suite))
    with pytest.raises(ValueError, match=said):
        chosen([given], results)


def test_a_key_is_given_once() -> None:
    suite, records = made({})
    with pytest.raises(ValueError, match="methods is given twice"):
        chosen(["methods=l1", "methods=l2"], analyse(suite, records, plan(suite)))


def test_the_choice_keeps_its_order_and_its_names(tmp_path: Path) -> None:
    suite, records = made({"models": ["m"], "recoveries": ["none"]})
    given = ["methods=taylor,l1", "budgets=0.3", "names.taylor=A & B = 100 % #1"]
    files = write(suite, records, tmp_path, *given)
    found = [row[0] for row in rows(files["table_none_m-on-digits"])]
    names = ["A ", "L1"]  # the name's own ampersand is escaped, and splits the row of this reader
    assert [one[:2] for one in found] == ["De", *names, *names]
    assert r"A \& B = 100 \% \#1 & " in files["table_none_m-on-digits"]
    drawn = (tmp_path / "figure_none_m-on-digits.csv").read_text(encoding="utf-8")
    assert "0.5" not in {line.split(",")[4] for line in drawn.splitlines()[1:]}
    assert r"at 30 \% of MACs" in caption(files["figure_none_m-on-digits"])


def test_nothing_finished_is_said(tmp_path: Path) -> None:
    suite, records = made({})
    records = [one for one in records if one.labels.method == "l1"]
    with pytest.raises(ValueError, match="nothing of these methods, problems"):
        write(suite, records, tmp_path, "methods=taylor")


def test_a_fidelity_suite_has_no_paper(tmp_path: Path) -> None:
    suite = load_suite("fidelity")
    assert isinstance(suite, FidelitySuite)
    with pytest.raises(ValueError, match="of kind fidelity"):
        build_report(suite, [], plan(make_suite()), tmp_path, paper=["width=page"])


# --- names ----------------------------------------------------------------------------------------


def test_every_criterion_and_preset_has_a_name_of_papers() -> None:
    CATALOG.load()
    every = CATALOG.by_name.items()
    own = [name for name, one in every if one.type.__module__.startswith("criteria.")]
    assert len(own) > 40
    for name in (*own, *named_presets()):
        assert display_name(name) != name


@pytest.mark.parametrize("name", library())
def test_names_tell_the_methods_of_every_suite_apart(name: str) -> None:
    suite = load_suite(name)
    if isinstance(suite, Suite):
        names = [display_name(method) for method in suite.method_names]
        assert len(set(names)) == len(names)


# --- LaTeX ----------------------------------------------------------------------------------------


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"]), max_size=30))
def test_a_name_of_any_characters_is_no_command(name: str) -> None:
    left = "".join(re.split(r"(?<!\\)\$[^$]*\$|\\[a-z]+\{\}|\{\[\}", tex(name)))
    assert BARE.search(left) is None
    assert not re.search(r"\\(?![&%$#_{}a-z,])", tex(name))


@pytest.mark.parametrize("given", [(), ("width=page",), ("methods=l1,taylor", "budgets=0.5")])
def test_tables_are_whole(tmp_path: Path, given: tuple[str, ...]) -> None:
    suite, records = made({"models": ["a_1", "b", "c"]})
    files = write(suite, records, tmp_path, *given)
    for name, text in files.items():
        bare = re.sub(r"\\[{}%]|(?<!\\)%.*", "", text)
        assert bare.count("{") == bare.count("}"), name
        begun, ended = (re.findall(rf"\\{which}\{{(.*?)\}}", bare) for which in ("begin", "end"))
        assert begun == ended[::-1], name
        if name.startswith("table"):
            columns = re.search(r"@\{\}(l(r+))@\{\}", text)
            assert columns is not None
            assert {len(row) for row in rows(text)} == {len(columns[1])}
            over = [int(n) for n in re.findall(r"multicolumn\{(\d+)\}\{c\}", text)]
            assert sum(over) == len(columns[2])
            wide = "width=page" in given or not name.count("-on-")
            assert (r"\begin{table*}" in text) == wide
    parts = re.findall(r"\\input\{(.*?)\}", files["paper"])
    assert sorted([*parts, "paper"]) == sorted(files)
    assert all((tmp_path / f"{one}.pdf").exists() for one in parts if one.startswith("figure"))


def test_figures_have_the_width_of_the_paper_and_embedded_fonts(tmp_path: Path) -> None:
    suite, records = made({"recoveries": ["none"]})
    for width, name, inches in (
        ("width=column", "figure_none_resnet20-on-digits", COLUMN),
        ("width=page", "figure_none", PAGE),
    ):
        write(suite, records, tmp_path, "methods=l1,taylor", width)
        drawn = (tmp_path / f"{name}.pdf").read_bytes()
        box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", drawn)
        assert box is not None
        assert float(box[1]) == pytest.approx(72 * inches, abs=0.1)
        assert b"/FontFile2" in drawn
        assert b"/Type3" not in drawn


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    suite, records = made({"recoveries": ["none"]})
    for out, order in ((tmp_path / "a", records), (tmp_path / "b", records[::-1])):
        write(suite, order, out, "methods=l1,taylor")
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


class Typeset(NamedTuple):
    ok: bool
    log: str


def typeset(folder: Path, document: str) -> Typeset:
    """With what there is."""
    command = next((one for one in ("pdflatex", "tectonic") if shutil.which(one)), None)
    if command is None:
        pytest.skip("neither pdflatex nor tectonic is on the PATH")
    halting = ["-interaction=nonstopmode", "-halt-on-error"] if command == "pdflatex" else ["-p"]
    done = subprocess.run(
        [command, *halting, document], cwd=folder, capture_output=True, text=True, timeout=300
    )
    return Typeset(done.returncode == 0, done.stdout + done.stderr)


@pytest.mark.slow
@pytest.mark.parametrize("given", ["width=column", "width=page"])
def test_the_document_compiles_and_nothing_is_too_wide(tmp_path: Path, given: str) -> None:
    suite, records = made({"models": ["a_1", "b"]})
    name = r"names.l1=A \ & % $ # _ { } ~ ^ < > [x] | −"
    write(suite, records, tmp_path, "methods=l1,taylor,l1~jacobian,fpgm", given, name)
    done = typeset(tmp_path, "paper.tex")
    assert done.ok, done.log
    assert "Overfull" not in done.log
    assert (tmp_path / "paper.pdf").stat().st_size > 10_000


@pytest.mark.slow
def test_a_table_that_must_shrink_is_warned_of(tmp_path: Path) -> None:
    suite, records = made({"models": ["a", "b", "c", "d", "e", "f"]})
    write(suite, records, tmp_path, "methods=l1,taylor", "width=page")
    done = typeset(tmp_path, "paper.tex")
    assert done.ok, done.log
    log = "".join(done.log.split())  # lines break anywhere
    assert "pruning-benchWarning:Tabletable_noneis" in log
    assert "Showfewerproblems:problems=." in log
    assert "Tabletable_none_a-on-digitsis" not in log


@pytest.mark.slow
@pytest.mark.parametrize("template", TEMPLATES)
def test_the_parts_compile_in_the_templates_of_conferences(tmp_path: Path, template: str) -> None:
    empty = rf"{template}\begin{{document}}\title{{T}}\maketitle text\end{{document}}"
    (tmp_path / "empty.tex").write_text(empty, encoding="utf-8")
    if not typeset(tmp_path, "empty.tex").ok:
        pytest.skip("this template, or a font of it, is not installed")
    suite, records = made({"recoveries": ["none"]})
    document = write(suite, records, tmp_path, "methods=l1,taylor,fpgm")["paper"]
    body = document[document.index(r"\begin{document}") :]
    text = template + r"\usepackage{booktabs}\usepackage{graphicx}" + body
    (tmp_path / "other.tex").write_text(text, encoding="utf-8")
    done = typeset(tmp_path, "other.tex")
    assert done.ok, done.log
    assert "Overfull" not in done.log
