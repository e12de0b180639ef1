"""Tables for papers, who stands where, the methods section, two methods compared."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy
from rich.console import Console
from synthetic import make_suite, plan, record, tiny, told_apart

from bench.command.compare import show_difference
from reports.analysis.analysis import analyse
from reports.analysis.compare import compare_methods
from reports.build import build_report
from reports.formats import Cell, Column, Table
from reports.page.method_tables import standing_table
from reports.page.page import render
from reports.page.tables import typeset
from reports.page.warnings import saturated, warnings
from reports.page.wording import recipe_words
from suites import Recipe
from suites.schema import Suite

GOLDEN_MARKDOWN = """\
| Method | m1 on digits | m2 on digits | All problems |
|---|---:|---:|---:|
| a | **−18.00 ± 1.41** | −21.00 ± 1.41 | **−19.50 ± 2.12** |
| l1 | −20.00 ± 0.00 | **−20.00 ± 0.00** | −20.00 ± 0.00 |
"""


def test_golden_table_of_who_stands_where() -> None:
    # By hand from `tiny`: over bases m1 gives a 3 and 1 (mean 2, SD 1.41), m2 gives -2 and 0; the
    # control loses 20 points everywhere. Two bases tell nobody from the best, and mark nobody.
    suite, found = tiny()
    table = standing_table(analyse(suite, found, plan(suite)), "none")
    assert table.markdown.split("\n\n", 1)[1] == GOLDEN_MARKDOWN
    assert table.caption.startswith(
        "Accuracy change without recovery, in points against the dense network, mean over 2 "
        "budgets. Mean ± one standard deviation over 2 bases. Of all "
        "problems: mean ± one standard deviation over the 2. Bold: the highest mean of a column"
    )


def test_only_what_a_test_tells_from_the_best_is_behind() -> None:
    suite, found = told_apart()
    where = analyse(suite, found, plan(suite)).standing.set_index(["problem", "method"])["standing"]
    assert list(where["all problems"][["a", "b_1", "l1"]]) == ["best", "near", "behind"]
    # A single problem of several is not tested: the highest mean, and no more.
    for problem in {one.labels.problem for one in found}:
        assert sorted(where[problem]) == ["best", "untold", "untold"]


def test_where_no_data_could_tell_nothing_is_marked() -> None:
    suite = make_suite(models=["m1"], methods=["l1", "taylor"], bases=1, recoveries=["none"])
    results = analyse(suite, [record(one, 0.7) for one in plan(suite)], plan(suite))
    assert sorted(results.standing["standing"].unique()) == ["best", "untold"]
    table = standing_table(results, "none")
    assert "†" not in table.markdown
    assert "which no test tells from the others" in table.caption


def test_saturated_budgets_are_named_and_stay_in() -> None:
    suite = make_suite(
        models=["m1"], methods=["l1", "taylor"], bases=2, recoveries=["none"],
        analysis={"control": "l1", "rope": 0.2},
    )  # fmt: skip
    top1 = {  # dense: 90 %
        (0.7, "l1"): 0.899, (0.7, "taylor"): 0.900,  # 0.1 points apart
        (0.5, "l1"): 0.600, (0.5, "taylor"): 0.700,
        (0.3, "l1"): 0.110, (0.3, "taylor"): 0.200,  # below a quarter of 90 %
    }  # fmt: skip
    found = [record(one, top1[one.budget, one.method]) for one in plan(suite)]
    results = analyse(suite, found, plan(suite))
    rows = saturated(results.cells, 0.2).set_index("budget")["why"].to_dict()
    assert rows == {0.7: "alike", 0.3: "lost"}
    said = [one for one in warnings(results) if one.startswith("Budgets at which")]
    assert ["70 %" in one for one in said] == [True, False]
    assert all("stay in, as they were declared" in one for one in said)
    # Log compression: 0.7 and 0.3 weigh half of the stretch that they bound.
    gaps = np.diff(-np.log([0.7, 0.5, 0.3]))
    weights = np.array([gaps[0], gaps.sum(), gaps[1]]) / (2 * gaps.sum())
    assert results.paired["mean"].iloc[0] == pytest.approx(weights @ [0.1, 10, 9])


def test_a_method_without_all_its_trials_is_missing_and_not_ranked() -> None:
    suite, found = told_apart()
    kept = [one for one in found if (one.labels.method, one.labels.model) != ("a", "m0")]
    where = analyse(suite, kept, plan(suite)).standing.set_index(["problem", "method"])["standing"]
    assert where["m0 on digits", "a"] == "missing"
    # All that a mean over problems may be of is what every method has: eight of nine.
    over = analyse(suite, kept, plan(suite)).standing.set_index(["problem", "method"])
    assert set(over.loc["all problems", "n"]) == {8}
    assert where["all problems", "a"] == "best"


def test_every_table_is_whole_in_every_form() -> None:
    suite, found = told_apart()
    tables = [one for each in typeset(analyse(suite, found, plan(suite))).values() for one in each]
    assert len({one.name for one in tables}) == len(tables) >= 5
    for one in tables:
        assert all(len(row) == len(one.columns) for row in one.rows)
        assert len(one.markdown.strip().splitlines()) == len(one.rows) + 4


def test_formats_and_figures_by_name(tmp_path: Path) -> None:
    suite, found = tiny()
    labels = plan(suite)
    assert build_report(
        suite, found, labels, tmp_path, formats=["markdown"], figures=["score_cost"]
    )
    suffixes = {path.suffix for path in (tmp_path / "tables").iterdir()}
    assert suffixes == {".md"}
    assert not (tmp_path / "index.html").exists()
    assert {path.stem for path in tmp_path.glob("figures/*")} <= {"score_cost"}
    with pytest.raises(ValueError, match="there are accuracy_cost"):
        build_report(suite, found, labels, tmp_path, figures=["acuracy"])


WRITE = """
import sys
from pathlib import Path
from synthetic import plan, told_apart
from reports.build import build_report
suite, found = told_apart()
figures = ["accuracy_cost", "score_cost"]
build_report(suite, found[:: int(sys.argv[2])], plan(suite), Path(sys.argv[1]), figures=figures)
"""


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    for at, (order, seed) in enumerate([("1", "1"), ("-1", "2")]):
        command = [sys.executable, "-c", WRITE, str(tmp_path / str(at)), order]
        subprocess.run(command, env=toy.environment(PYTHONHASHSEED=seed), check=True)
    first, second = (
        {
            path.relative_to(tmp_path / at): path.read_bytes()
            for path in tmp_path.glob(f"{at}/**/*.*")
        }
        for at in "01"
    )
    assert first == second
    assert Path("index.html") in first


def methods(suite: Suite) -> dict[str, list[str]]:
    """What the settings of the page say, by heading."""
    page = html.unescape(render(analyse(suite, [], plan(suite)), [], {}))
    page = page.replace("\N{NO-BREAK SPACE}", " ")
    section = page.partition('id="compared">')[2].partition('<details class="section"')[0]
    parts = [part.partition("</h3>") for part in section.split("<h3>")[1:]]
    return {
        heading: [" ".join(one.split()) for one in re.findall(r"<(?:p|li)>(.*?)</", text, re.S)]
        for heading, _, text in parts
    }


def test_methods_section_tells_of_every_phase() -> None:
    suite = make_suite(
        models=["resnet20"],
        methods=[
            "l1",
            {
                "criterion": "taylor",
                "prepare": {"name": "dense", "recipe": "short"},
                "procedure": {"name": "decay", "recipe": "short", "options": {"rectify": {}}},
                "finetuning": "equivalent",
                "as": "all",
            },
            {"criterion": "l2", "iterative": {"steps": 3, "recover": "short"}, "as": "some"},
        ],
        recoveries=["none", {"finetune": "short", "total_epochs": 20}],
    )
    parts = methods(suite)
    assert parts["Methods"] == [
        "l1",
        "all (criterion taylor; before it, the network trains on: dense, by the recipe short; "
        "channels leave in a training: decay with rectify, by the recipe short; finetuned by "
        "equivalent)",
        "some (criterion l2; scored anew in 3 linear steps, trained by the recipe short after "
        "each)",
    ]
    assert "what is left of 20 epochs" in parts["Recovery"][1]
    assert any(one.startswith("short: 2 epochs, batches of 64, SGD") for one in parts["Recipes"])


def test_methods_section_tells_what_is_otherwise_in_a_suite() -> None:
    plain = methods(make_suite())
    assert plain["Budgets and selection"][0] == (
        "Every method keeps 70 %, 50 %, 30 % of the dense network's MACs, within 1 % of them."
    )
    assert plain["Models and data"][1].startswith("resnet20: fresh weights, trained by the recipe")
    given = {"name": "resnet20", "weights": "DEFAULT", "recipe": False, "ignored": ["fc"]}
    changed = methods(make_suite(models=[given], bases=1, repeats=2))
    assert changed["Models and data"][1] == (
        "resnet20: torchvision's weights DEFAULT, as they are. Of its own: all outputs of fc stay."
    )
    assert "everything is repeated 2 times" in changed["Bases"][0]


OTHER: dict[str, Any] = {  # of each option of a recipe, something else than its default
    **{"color_jitter": [0.25, 0, 0, 0], "drop_last": True, "accumulate": 3},
    **{"optimizer": "adamw", "momentum": 0.5, "nesterov": True, "weight_decay": 0.25},
    **{"schedule": "constant", "warmup_epochs": 3, "label_smoothing": 0.25, "mixup": 0.25},
    **{"augment": "trivial", "distill": {"weight": 0.25}, "random_erasing": 0.25, "cutmix": 0.25},
    **{"ema": {"decay": 0.25}, "grad_clip": 0.25, "amp": "bf16", "batch_size": 3},
    **{"channels_last": True, "compile": True, "from_epoch": 3, "drop_last": True},
    **{"accumulate": 3, "color_jitter": [0.25] * 4},
}
WITHIN: dict[str, dict[str, Any]] = {  # those that mean something beside another
    "milestones": {"schedule": "step"},
    "gamma": {"schedule": "triangle"},
    "warmup_factor": {"warmup_epochs": 3},
}


@pytest.mark.parametrize("name", sorted({*Recipe.model_fields} - {"epochs", "learning_rate"}))
def test_every_option_of_a_recipe_is_told(name: str) -> None:
    rest = {"epochs": 9, "learning_rate": 0.5, **WITHIN.get(name, {})}
    other = OTHER.get(name, [0.25] if name == "milestones" else 0.25)
    plain, changed = (
        recipe_words(Recipe.model_validate(one)) for one in (rest, {**rest, name: other})
    )
    assert plain != changed


@pytest.mark.parametrize("augment", [False, True])
def test_whether_criteria_see_augmented_images_is_told(augment: bool) -> None:
    suite = make_suite(calibration={"images": 64, "batch_size": 32, "augment": augment})
    parts = methods(suite)
    told = next(one for part in parts.values() for one in part if one.startswith("Criteria see 64"))
    assert ("without augmentation" in told) != augment


def test_the_recipe_whose_images_criteria_see_is_told() -> None:
    parts = methods(make_suite(calibration={"images": 64, "like": "obc-imagenet-vit"}))
    told = next(one for part in parts.values() for one in part if one.startswith("Criteria see 64"))
    assert "altered as the recipe obc-imagenet-vit does" in told
    assert any("mixup with alpha 0.8" in one for one in parts["Recipes"])


def test_unequal_training_and_weak_baselines_are_told() -> None:
    suite = make_suite(datasets=["cifar10"], models=["resnet20"], methods=["l1", "taylor"])
    images: dict[str, Any] = {"l1": 0, "taylor": 9000}
    found = [
        record(one, 0.8, 0.90, images_trained=images[one.method] + 1000 * (one.recovery != "none"))
        for one in plan(suite)
    ]
    said = "\n".join(warnings(analyse(suite, found, plan(suite))))
    assert "without recovery: 1 of 2 methods train on no image" in said
    assert "finetune-short: from 1" in said
    assert "reach 90.00 % top-1, below the 91.25 % of He et al. 2016" in said


def test_two_methods_of_one_suite() -> None:
    suite, found = told_apart()
    declared = compare_methods(suite, found, plan(suite), "a", "l1")
    assert declared.declared
    assert declared.words[0].startswith(
        "Without recovery, on these problems: a minus l1 is +29.99 points, 95 % interval [+29."
    )
    assert declared.words[0].endswith("Verdict: better.")
    assert "allow for 2 comparisons: all that the suite has declared" in declared.words[1]
    other = compare_methods(suite, found, plan(suite), "a", "b_1")
    assert not other.declared
    assert "has not declared this comparison" in other.words[1]
    swapped = compare_methods(suite, found, plan(suite), "b_1", "a")
    for name in ("mean", "typical"):
        assert swapped.overall[name].iloc[0] == pytest.approx(-other.overall[name].iloc[0])
    assert swapped.overall["p"].iloc[0] == pytest.approx(other.overall["p"].iloc[0])


def test_two_methods_on_one_problem_speak_for_it_alone() -> None:
    suite, found = told_apart()
    one = make_suite(**{**suite.model_dump(by_alias=True), "models": ["m0"]})
    of_one = [each for each in found if each.labels.model == "m0"]
    said = compare_methods(one, of_one, plan(one), "a", "l1")
    assert "on m0 on digits: a minus l1 is +29.91 points" in said.words[0]
    assert said.words[2].endswith("for no other problems.")
    nothing = compare_methods(one, [], plan(one), "a", "l1")
    assert "a: 3 trials not run at 50 %" in nothing.words[0]


def test_two_methods_in_a_terminal_of_eighty_columns() -> None:
    suite, found = told_apart()
    gone = [one for one in found if (one.labels.model, one.labels.method) != ("m3", "a")]
    console = Console(width=80, record=True, file=StringIO())
    show_difference(console, compare_methods(suite, gone, plan(suite), "a", "l1"))
    lines = [line.rstrip() for line in console.export_text().splitlines()]
    heads = "none difference 95 % alone bases won/tied/lost all at once"
    assert heads in [" ".join(line.split()) for line in lines]
    table = lines[: next(i for i, line in enumerate(lines) if line.startswith("Without"))]
    assert max(map(len, table)) <= 80
    assert "m3 on digits – – – – not compared" in [" ".join(line.split()) for line in table]
    assert "Left out, m3 on digits, none: a: 3 trials not run at 50 %." in lines
    assert "None" not in "".join(table)


def test_nothing_in_a_table_is_html_of_its_own() -> None:
    cell = Cell("<script>alert(1)</script> a|b")
    table = Table("notes", "Notes", "What it says", [Column("note")], [[cell]])
    assert "<script" not in table.markdown
    assert "&lt;script>alert(1)&lt;/script> a\\|b" in table.markdown
