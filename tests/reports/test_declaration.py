"""What an analysis differs in from its declaration, as the page says it; cases by hand."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import failed, make_suite, plan, record

from reports.analysis.analysis import analyse
from reports.build import build_report
from reports.declared import (
    Declaration,
    Design,
    Footing,
    design_of,
    differences,
    footing,
    words,
)
from reports.page.page import render
from reports.records import Record
from suites.fidelity import FidelitySuite
from suites.schema import Suite

DATE = "2026-03-01T10:20:30.000+00:00"
SMALL: dict[str, Any] = {
    "models": ["m1", "m2"],
    "methods": ["l1", "random", {"criterion": "taylor", "matched": ["l1"]}],
    "budgets": {"macs": [0.5]},
    "recoveries": ["none"],
    "bases": 2,
}


def small(**changes: Any) -> Suite:
    return make_suite(**SMALL | changes)


def stamp(suite: Suite, finished: int = 0, trials: int = 16, date: str = DATE) -> Declaration:
    design = design_of(suite, plan(suite))
    return Declaration(design=design, date=date, finished=finished, trials=trials)


def records_of(suite: Suite) -> list[Record]:
    return [record(one, 0.7 + 0.01 * one.base) for one in plan(suite)]


def stood_on(suite: Suite, *declared: Declaration) -> Footing:
    return footing(suite, records_of(suite), plan(suite), declared)


def page_of(suite: Suite, records: list[Record], *declared: Declaration) -> str:
    page = render(analyse(suite, records, plan(suite), declared), [], {})
    return " ".join(html.unescape(page).replace("\N{NO-BREAK SPACE}", " ").split())


def test_a_plan_that_ran_as_declared_has_a_line_and_no_notice() -> None:
    suite = small()
    assert stood_on(suite, stamp(suite)).notices == []
    page = page_of(suite, records_of(suite), stamp(suite))
    assert (
        "Declared on 2026-03-01 10:20 UTC, before any trial had finished: control l1, level 0.05, "
        "ROPE ± 0.2 points, 3 methods, 2 problems, 2 bases." in page
    )
    assert "Exploratory" not in page
    assert "Interim" not in page


def test_without_a_declaration_the_page_says_that_it_is_not_known() -> None:
    page = page_of(small(), records_of(small()))
    assert "Not known: whether this was declared before its results" in page
    assert "Declared on" not in page
    assert stood_on(small()).date is None


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "control": (
        {"analysis": {"control": "random"}},
        "another control after 16 of 16 trials had finished: random instead of l1",
    ),
    "level": (
        {"analysis": {"control": "l1", "alpha": 0.1}},
        "another level after 16 of 16 trials had finished: 0.1 instead of 0.05",
    ),
    "rope": (
        {"analysis": {"control": "l1", "rope": 2.0}},
        "another ROPE (points) after 16 of 16 trials had finished: 2.0 instead of 0.2",
    ),
    "failing": (
        {"analysis": {"control": "l1", "failures": "drop"}},
        "another meaning of failing after 16 of 16 trials had finished: drop instead of worst",
    ),
    "methods added": (
        {"methods": [*SMALL["methods"], "fisher", "obd"]},
        "methods added after 24 of 24 trials had finished: fisher, obd",
    ),
    "methods taken out": (
        {"methods": ["l1", "random"]},
        "methods taken out after 8 of 8 trials had finished: taylor; "
        "matched controls taken out after 8 of 8 trials had finished: l1~taylor",
    ),
    "problems added": (
        {"models": ["m1", "m2", "m3"]},
        "problems added after 24 of 24 trials had finished: m3 on digits",
    ),
    "problems taken out": (
        {"models": ["m2"]},
        "problems taken out after 8 of 8 trials had finished: m1 on digits",
    ),
    "more bases": (
        {"bases": 5},
        "another number of bases after 40 of 40 trials had finished: 5 instead of 2",
    ),
    "fewer bases": (
        {"bases": 1},
        "another number of bases after 8 of 8 trials had finished: 1 instead of 2",
    ),
    "other bases": (
        {"first_base": 2},
        "another first base after 16 of 16 trials had finished: 2 instead of 0",
    ),
    "repeats": (
        {"repeats": 3},
        "another number of repeats after 48 of 48 trials had finished: 3 instead of 1",
    ),
    "budgets": (
        {"budgets": {"macs": [0.5, 0.3]}},
        "budgets added after 32 of 32 trials had finished: 30 % of macs",
    ),
    "recoveries": (
        {"recoveries": ["none", "bn"]},
        "recoveries added after 32 of 32 trials had finished: bn",
    ),
}


@pytest.mark.parametrize(("changes", "said"), CHANGES.values(), ids=CHANGES)
def test_what_differs_from_the_declaration_is_said_on_the_page(
    changes: dict[str, Any], said: str
) -> None:
    suite = small(**changes)
    page = page_of(suite, records_of(suite), stamp(small()))
    assert "<b>Exploratory:</b>" in page
    for one in said.split("; "):
        assert f"<li>{one}</li>" in page
    assert "finds a “better” in 23 % of cases" in page
    assert "level 0.05, ROPE ± 0.2 points, 3 methods" in page  # as declared, not as changed


RECIPE = {"epochs": 2, "learning_rate": 0.1}
SET: dict[str, Any] = {
    "models": ["m1", {"name": "m2", "budgets": {"macs": [0.5, 0.3]}}],
    "methods": ["l1", {"criterion": "taylor", "as": "t", "options": {"power": 1}}],
    "budgets": {"macs": [0.5]},
    "recoveries": ["none", {"finetune": "ft"}],
    "recipes": {"ft": RECIPE, "other": RECIPE},
    "calibration": {"images": 512},
}
SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "learning rate": ({"recipes": {"ft": RECIPE | {"learning_rate": 0.3}}}, "recipe ft"),
    "calibration": ({"calibration": {"images": 32}}, "calibration"),
    "options": (
        {"methods": ["l1", {"criterion": "taylor", "as": "t", "options": {"power": 2}}]},
        "method t",
    ),
    "criterion": ({"methods": ["l1", {"criterion": "hessian", "as": "t"}]}, "method t"),
    "network": ({"models": [{"name": "vgg", "label": "m1"}, SET["models"][1]]}, "model m1"),
    "weights": ({"models": [{"name": "m1", "weights": "W"}, SET["models"][1]]}, "model m1"),
    "a model's own selection": (
        {"models": [{"name": "m1", "selection": {"scope": "global"}}, SET["models"][1]]},
        "model m1",
    ),
    "training of bases": ({"base_recipe": "base-step"}, "model m1, model m2"),
    "dataset": ({"datasets": [{"name": "digits", "test_images": 60}]}, "dataset digits"),
    "selection": ({"selection": {"scope": "local"}}, "selection"),
    "splits": ({"splits": "fixed"}, "splits"),
    "budgets moved": (
        {"models": [{"name": "m1", "budgets": {"macs": [0.5, 0.3]}}, "m2"]},
        "budgets of m1, budgets of m2",
    ),
}


@pytest.mark.parametrize(("changes", "which"), SETTINGS.values(), ids=SETTINGS)
def test_trials_that_are_made_otherwise_under_the_same_names_are_said(
    changes: dict[str, Any], which: str
) -> None:
    first, suite = make_suite(**SET), make_suite(**SET | changes)
    (said,) = stood_on(suite, stamp(first)).exploratory
    n = len(plan(suite))
    assert said == f"other settings after {n} of {n} trials had finished: {which}"


UNCHANGED: dict[str, dict[str, Any]] = {
    "all": {},
    "defaults written out": {"calibration": {"images": 512, "batch_size": 64}},
    "names written out": {"datasets": [{"name": "digits", "label": "digits"}]},
    "a recipe that nothing follows": {"recipes": {"ft": RECIPE, "other": {**RECIPE, "epochs": 9}}},
    "order": {"budgets": {"macs": [0.5]}, "models": SET["models"][::-1]},
}


@pytest.mark.parametrize("changes", UNCHANGED.values(), ids=UNCHANGED)
def test_the_same_settings_said_otherwise_are_no_difference(changes: dict[str, Any]) -> None:
    assert stood_on(make_suite(**SET | changes), stamp(make_suite(**SET))).exploratory == []


def test_settings_of_what_was_added_or_taken_out_are_said_by_the_lists_alone() -> None:
    suite = make_suite(**SET | {"methods": ["l1", "obd"], "recoveries": ["none"]})
    kinds = [
        one.partition(" after")[0] for one in stood_on(suite, stamp(make_suite(**SET))).exploratory
    ]
    assert kinds == ["methods added", "methods taken out", "recoveries taken out"]


def test_a_declaration_of_old_is_silent_about_settings() -> None:
    old, suite = stamp(make_suite(**SET)), make_suite(**SET | {"splits": "fixed"})
    bare = {name: value for name, value in old.design.items() if name != "settings"}
    assert stood_on(suite, old.model_copy(update={"design": bare})).exploratory == []


def test_the_axis_of_a_figure_is_no_difference() -> None:
    suite = small(analysis={"control": "l1", "cost": "params_ratio"})
    assert stood_on(suite, stamp(small())).notices == []


def test_a_change_bears_the_count_of_when_it_came_in() -> None:
    first, second = stamp(small()), small(methods=[*SMALL["methods"], "fisher"])
    third = small(methods=[*SMALL["methods"], "fisher", "obd"], bases=3)
    history = [first, stamp(second, 4, 20), stamp(third, 18, 36)]
    assert stood_on(third, *history).exploratory == [
        "methods added after 4 of 20 trials had finished: fisher",
        "methods added after 18 of 36 trials had finished: obd",
        "another number of bases after 18 of 36 trials had finished: 3 instead of 2",
    ]
    assert stood_on(small(), *history).exploratory == []  # what was taken back is none any more


def test_a_declaration_that_came_late_is_none() -> None:
    late = stood_on(small(), stamp(small(), 5))
    assert ", after 5 of 16 trials had finished: control l1" in late.declared
    assert late.notices == ["Exploratory: the declaration came after 5 of 16 trials had finished."]


def test_results_that_were_there_before_the_declaration_are_counted() -> None:
    suite = small()
    times = ["2026-02-01T00:00:00.000+00:00"] * 3 + ["2026-03-02T00:00:00.000+00:00"] * 13
    found = [
        one.model_copy(update={"provenance": {**one.provenance, "started": time}})
        for one, time in zip(records_of(suite), times, strict=True)
    ]
    said = footing(suite, found, plan(suite), [stamp(suite)]).exploratory
    assert said == ["3 of 16 trials had been started before that declaration"]


def test_an_unfinished_plan_is_an_interim_look() -> None:
    suite = small()
    first, second, *rest = records_of(suite)
    page = page_of(suite, rest[:7], stamp(suite))
    assert "<b>Interim:</b> 7 of 16 trials have run." in page
    assert "likelier than the level says" in page
    # A trial that failed has run; a record of another plan is none of this one's.
    stray = record(first.labels.model_copy(update={"method": "unheard-of"}), 0.5)
    assert analyse(suite, [*rest, stray], plan(suite)).footing.interim.startswith("14 of 16")
    ran = [first, failed(second.labels, "out of memory"), *rest]
    assert footing(suite, ran, plan(suite), [stamp(suite)]).notices == []
    missing = footing(suite, ran[1:], plan(suite), [stamp(suite)])
    assert missing.interim == "15 of 16 trials have run"


def test_a_rehearsal_says_that_its_numbers_mean_nothing_and_what_it_ran() -> None:
    suite = small(scales={"smoke": {"bases": 2}}, at_scale="smoke")
    page = page_of(suite, records_of(suite), stamp(suite))
    assert "<b>Rehearsal:</b> this run shows that everything works, and its numbers mean" in page
    assert "It ran m1 on digits, m2 on digits at scale smoke." in page
    assert "<b>A rehearsal.</b> Nothing is concluded." in page
    assert "highest mean" not in page.split("<script")[0]
    assert stood_on(suite, stamp(suite)).notices == [
        "Rehearsal: this run shows that everything works, and its numbers mean nothing."
    ]
    reduced = small(scales={"reduced": {"bases": 2}}, at_scale="reduced")
    assert stood_on(reduced, stamp(reduced)).notices == []


def test_a_field_younger_than_the_declaration_counts_only_where_it_was_set() -> None:
    suite, old = small(), stamp(small())
    rules = {name: value for name, value in old.design.items() if name != "failures"}
    old = old.model_copy(update={"design": rules})
    assert stood_on(suite, old).exploratory == []
    dropped = small(analysis={"control": "l1", "failures": "drop"})
    assert len(stood_on(dropped, old).exploratory) == 1


names = st.lists(st.sampled_from("abcd"), unique=True)
designs = st.fixed_dictionaries(
    {"control": st.sampled_from("ab"), "methods": names, "problems": names}
    | {"rope": st.sampled_from([0.2, 2.0]), "bases": st.integers(1, 3)}
)


@given(designs, designs)
def test_there_is_a_difference_exactly_where_designs_differ(one: Design, other: Design) -> None:
    def unordered(design: Design) -> Design:
        return {k: sorted(v) if isinstance(v, list) else v for k, v in design.items()}

    assert list(differences(one, one)) == []
    assert bool(list(differences(one, other))) == (unordered(one) != unordered(other))
    added = {which for what, which in differences(one, other) if what == "methods added"}
    gone = {which for what, which in differences(other, one) if what == "methods taken out"}
    assert added == gone == set(other["methods"]) - set(one["methods"])


@pytest.mark.usefixtures("inkless")
def test_the_headline_file_bears_it(tmp_path: Path) -> None:
    suite = small(analysis={"control": "random"})
    found = records_of(suite)
    for declared, date, said in (
        ([stamp(small())], DATE, [f"Exploratory: {CHANGES['control'][1]}."]),
        ([stamp(suite)], DATE, []),
        ([], None, []),
    ):
        build_report(
            suite,
            found,
            plan(suite),
            tmp_path,
            declarations=declared,
            formats=[],
            figures=["score_cost"],
        )
        numbers = json.loads((tmp_path / "headline.json").read_text())
        assert (numbers["declared"], numbers["notices"]) == (date, said)
        assert numbers["none"]["compared"] == 2


def test_a_fidelity_suite_is_declared_too(tmp_path: Path) -> None:
    suite = FidelitySuite.model_validate(
        {
            "suite": "probe",
            "kind": "fidelity",
            "datasets": ["digits"],
            "models": ["m1"],
            "methods": ["l1", "taylor"],
            "base_recipe": "base-digits",
        }
    )
    labels = [
        one.model_copy(update={"cost": None, "budget": None})
        for one in plan(small(models=["m1"]))
        if one.matched_to is None and one.method != "random"
    ]
    first = design_of(suite, labels)
    assert words(first) == "level 0.05, 2 methods, 1 problem, 3 bases"
    fewer = first | {"methods": ["l1"]}
    declared = [Declaration(design=fewer, date=DATE, finished=0, trials=3)]
    page = build_report(suite, [], labels, tmp_path, declarations=declared).read_text()
    assert "Declared on 2026-03-01 10:20 UTC" in page
    assert "0 of 4 trials have run" in page
    assert "methods added after 0 of 4 trials had finished: taylor" in page
    said = json.loads((tmp_path / "headline.json").read_text())
    assert said["declared"] == DATE
    assert said["answer"] == ["m1 on digits: No criterion has all its trials yet."]
    changes = {"fidelity": {"units": 8}, "calibration": {"images": 32}}
    other = FidelitySuite.model_validate(suite.model_dump(by_alias=True) | changes)
    assert list(differences(first, design_of(suite, labels))) == []
    assert list(differences(first, design_of(other, labels))) == [
        ("other settings", "calibration"),
        ("other settings", "fidelity"),
    ]
