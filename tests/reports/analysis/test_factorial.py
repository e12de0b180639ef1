"""Effects of crossed factors: by hand, by least squares, and where nothing has an effect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import compress, product
from typing import Any

import crossed
import numpy as np
import pandas as pd
import pytest
from synthetic import failed

from reports.analysis.analysis import analyse
from reports.analysis.cells import Scores, scores
from reports.analysis.factorial import effects, factorial
from reports.build import build_report
from reports.declared import Declaration, design_of, footing
from reports.page.answer import answers
from reports.page.tables import typeset
from reports.statistics import Floats
from suites.schema import Suite

PAIR: dict[str, Any] = {"recoveries": ["none"], "analysis": {"factors": ["criterion", "schedule"]}}
BY_HAND = {("l2", "one-shot"): -1.0, ("l2", "iterative"): -2.0,
           ("taylor", "one-shot"): -3.0, ("taylor", "iterative"): -8.0}  # fmt: skip


def world(suite: Suite, cube: Floats) -> Scores:
    """Scores of a suite whose combinations have these points: [*levels, problems, bases]."""
    scored = scores(suite, [], crossed.labels(suite))
    of = suite.crossing(suite.methods)
    levels = [list(dict.fromkeys(one)) for one in zip(*of, strict=True)]
    by_base = {}
    for at, combination in zip(np.ndindex(*map(len, levels)), product(*levels), strict=True):
        (cell,) = of[combination]
        for problem, over_bases in zip(scored.problems, cube[at], strict=True):
            by_base[problem, *cell] = over_bases[~np.isnan(over_bases)]
    return replace(scored, by_base=by_base)


def by_levels(table: pd.DataFrame, column: str = "mean") -> Mapping[Any, float]:
    return table.set_index("levels")[column].to_dict()


def test_two_by_two_by_hand() -> None:
    suite = crossed.make(**PAIR)
    # What a base adds to all of its combinations is no effect of any factor.
    found = crossed.records(suite, lambda levels, one: BY_HAND[levels[0], levels[1]] - one.base)
    table = analyse(suite, found, crossed.labels(suite)).factorial
    # The mean of all is -3.5, of l2 -1.5, of one-shot -2.
    assert by_levels(table) == pytest.approx({
        "l2": 2, "taylor": -2, "one-shot": 1.5, "iterative": -1.5, "l2 × one-shot": -1,
        "l2 × iterative": 1, "taylor × one-shot": 1, "taylor × iterative": -1,
    })  # fmt: skip
    # Squares 4, 2.25 and 1 of 7.25.
    assert list(table["term"].unique()) == ["criterion", "schedule", "criterion × schedule"]
    shares = table.groupby("term", sort=False)["share"].first()
    assert list(shares) == pytest.approx([400 / 7.25, 225 / 7.25, 100 / 7.25])
    assert set(table["n_bases"]) == {3}
    assert set(table["n_problems"]) == {1}


def least_squares(cells: Floats) -> dict[tuple[bool, ...], Floats]:
    """Effects by regression on sum-to-zero codes: the last level is minus the sum of the others."""
    shape = cells.shape
    codes = [np.vstack([np.eye(k - 1), -np.ones(k - 1)]) for k in shape]
    terms = list(product((False, True), repeat=len(shape)))
    designs = []
    for acts in terms:
        design = np.ones((1, 1))
        for k, code, acting in zip(shape, codes, acts, strict=True):
            design = np.kron(design, code if acting else np.ones((k, 1)))
        designs.append(design)
    solution = np.linalg.lstsq(np.hstack(designs), cells.ravel(), rcond=None)[0]
    ends = np.cumsum([0, *(one.shape[1] for one in designs)])
    return {
        acts: (design @ solution[start:end]).reshape(shape)
        for acts, design, start, end in zip(terms, designs, ends[:-1], ends[1:], strict=True)
    }


@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (2, 3, 2), (4, 3, 3)])
def test_effects_are_those_of_least_squares(shape: tuple[int, ...]) -> None:
    cells = np.random.default_rng(1).integers(-90, 10, shape).astype(float)
    expected = least_squares(cells)
    found = dict(effects(cells, len(shape)))
    assert len(found) == 2 ** len(shape) - 1
    whole = np.full(shape, cells.mean())
    for acts, effect in found.items():
        assert effect.shape == tuple(k if on else 1 for k, on in zip(shape, acts, strict=True))
        assert np.broadcast_to(effect, shape) == pytest.approx(expected[acts], abs=1e-8)
        for axis in compress(range(len(shape)), acts):
            assert effect.sum(axis=axis) == pytest.approx(0, abs=1e-7)
        whole = whole + effect
    assert whole == pytest.approx(cells, abs=1e-7)


def test_two_by_three_by_two_and_shares_of_each_problem() -> None:
    suite = crossed.make(schedules=["one-shot", "iterative", "decay"], models=["m1", "m2"])
    means = np.random.default_rng(2).integers(-60, 0, (2, 3, 2, 2)).astype(float)
    table = factorial(world(suite, np.repeat(means[..., None], 3, axis=-1)))
    assert len(table) == 2 + 3 + 2 + 6 + 4 + 6 + 12
    names = ["criterion", "schedule", "recovery"]
    shares = table.groupby("term")["share"].first()
    assert shares.sum() == pytest.approx(100)
    of = [least_squares(means[..., problem]) for problem in range(2)]
    for acts in of[0]:
        if not any(acts):
            continue
        name = " × ".join(compress(names, acts))
        rows = table[table["term"] == name]
        both = np.mean([one[acts] for one in of], axis=0)
        levels = [values for values, on in zip(
            (["l2", "taylor"], ["one-shot", "iterative", "decay"], ["finetune", "equivalent"]),
            acts, strict=True) if on]  # fmt: skip
        first = both[tuple(slice(None) if on else 0 for on in acts)]
        expected = dict(zip(map(" × ".join, product(*levels)), first.ravel(), strict=True))
        assert by_levels(rows) == pytest.approx(expected)
        squares = [[(one[each] ** 2).sum() for each in one if any(each)] for one in of]
        own = [(one[acts] ** 2).sum() / sum(all_) for one, all_ in zip(of, squares, strict=True)]
        assert shares[name] == pytest.approx(100 * np.mean(own))


def test_effects_that_add_up_leave_no_interaction() -> None:
    suite = crossed.make(["l2", "taylor", "oba"], models=["m1", "m2"])
    by = {"l2": -3.0, "taylor": 1.0, "oba": 2.0, "one-shot": 0.5, "iterative": -0.5}
    by |= {"finetune": -4.0, "equivalent": 4.0}
    found = crossed.records(suite, lambda levels, one: -20 + sum(by[each] for each in levels))
    table = analyse(suite, found, crossed.labels(suite)).factorial
    together = table["term"].str.contains("×")
    assert by_levels(table[~together]) == pytest.approx(by)
    assert (table.loc[together, "mean"].abs() < 1e-6).all()
    assert (table.loc[together, "share"] < 1e-6).all()


def test_a_base_without_a_combination_is_left_out_with_all_of_its_combinations() -> None:
    suite = crossed.make(**PAIR, models=["m1", "m2"], bases=5)
    rng = np.random.default_rng(3)
    cube = rng.normal(size=(2, 2, 2, 5))
    fewer = cube.copy()
    fewer[1, 1, 0, 3:] = np.nan  # m1 lacks a combination on its last two bases
    found = factorial(world(suite, fewer))
    assert set(found["n_bases"]) == {8}
    kept = cube[..., 0, :3].mean(axis=-1), cube[..., 1, :].mean(axis=-1)
    expected = np.mean([one[1].mean() - one.mean() for one in kept])
    assert by_levels(found)["taylor"] == pytest.approx(expected)


def test_a_combination_that_failed_leaves_its_problem_out_and_the_caption_counts() -> None:
    suite = crossed.make(**PAIR, models=["m1", "m2"])
    records = crossed.plausible(suite)
    records[0] = failed(records[0].labels, "out of memory")
    results = analyse(suite, records, crossed.labels(suite))
    assert set(results.factorial["n_problems"]) == {1}
    (table,) = (one for one in typeset(results)["Whole suite"] if one.name == "factorial")
    assert "n = 3 bases of 1 problem; 3 bases left out" in table.caption
    every = [failed(one, "out of memory") for one in crossed.labels(suite)]
    nothing = analyse(suite, every, crossed.labels(suite))
    assert nothing.factorial.empty
    assert answers(nothing)["Factors"].startswith("Nothing is said: on no base")


def test_words_are_what_intervals_of_all_at_once_show() -> None:
    suite = crossed.make(**PAIR | {"bases": 6, "analysis": PAIR["analysis"] | {"rope": 0.5}})
    cells = np.array([[-1.0, -3.0], [-3.0, -5.0]])[..., None, None]
    table = factorial(
        world(suite, cells + 0.01 * np.random.default_rng(4).normal(size=(2, 2, 1, 6)))
    )
    said = by_levels(table, "word")
    assert (said["l2"], said["taylor"]) == ("raises", "lowers")
    assert said["taylor × iterative"] == "negligible"
    # Two levels mirror each other, so three tests are made, and not eight.
    assert table["p_adjusted"].to_numpy() == pytest.approx(np.minimum(3 * table["p"], 1))
    inside = (table["joint_low"] <= table["low"]) & (table["high"] <= table["joint_high"])
    assert inside.all()
    two = factorial(world(suite, cells + np.zeros((2, 2, 1, 2))))
    assert set(two["word"]) == {"undecided"}


def test_where_no_factor_acts_few_are_said_to() -> None:
    """At a level of 20 % a false word anywhere in the table, in at most about so many of 150."""
    rules = {"alpha": 0.2, "rope": 0.0}
    suite = crossed.make(schedules=["one-shot", "iterative", "decay"], models=["m1", "m2"],
                         bases=4, analysis=rules)  # fmt: skip
    rng = np.random.default_rng(5)
    scored = world(suite, np.zeros((2, 3, 2, 2, 4)))
    false = missed = 0
    for _ in range(150):
        common = rng.normal(size=(2, 4))
        null = {
            key: common[int(key[0].startswith("m2"))] + rng.normal(size=4) for key in scored.by_base
        }
        said = factorial(replace(scored, by_base=null))["word"]
        false += said.isin(["raises", "lowers"]).any()
        real = {key: values + 20.0 * key[2].startswith("taylor") for key, values in null.items()}
        missed += by_levels(factorial(replace(scored, by_base=real)), "word")["taylor"] != "raises"
    assert 1 <= false <= 40
    assert missed == 0


def test_the_report_says_which_term_explains_most_and_what_is_shown(tmp_path: Any) -> None:
    suite = crossed.make(models=["m1", "m2"], bases=6)
    records = crossed.plausible(suite, noise=0.05)
    plan = crossed.labels(suite)
    results = analyse(suite, records, plan)
    said = answers(results)["Factors"]
    first = results.factorial.iloc[0]
    share = f"{first['share']:.0f} % of the variation between combinations is the effect of "
    assert said.startswith(f"{share}{first['term']}. Shown to raise accuracy, in points: ")
    assert "taylor (+1." in said
    assert ". Shown to lower it: " in said
    page = build_report(suite, records, plan, tmp_path, figures=["factorial"]).read_text("utf-8")
    assert said.split(".")[1] in page
    assert "tables/factorial.csv" in page
    assert len(pd.read_csv(tmp_path / "tables" / "factorial.csv")) == len(results.factorial)
    for kind in ("pdf", "svg", "png", "csv"):
        assert (tmp_path / "figures" / f"factorial.{kind}").stat().st_size > 0
    assert "| recovery |" in (tmp_path / "tables" / "factorial.md").read_text("utf-8")


def test_what_guesses_shows_nothing() -> None:
    suite = crossed.make(scales={"smoke": {"bases": 3}}, at_scale="smoke")
    results = analyse(suite, crossed.plausible(suite, noise=0.01), crossed.labels(suite))
    assert set(results.factorial["word"]) == {"undecided"}
    assert "Factors" not in answers(results)


def test_a_suite_without_factors_has_no_table_of_them() -> None:
    suite = crossed.make(analysis={"factors": []})
    results = analyse(suite, crossed.plausible(suite), crossed.labels(suite))
    assert results.factorial.empty
    assert "Factors" not in answers(results)
    assert "factorial" not in [one.name for several in typeset(results).values() for one in several]


def test_factors_declared_after_the_results_are_exploratory() -> None:
    before, after = crossed.make(analysis={"factors": []}), crossed.make()
    design = design_of(before, crossed.labels(before))
    declared = Declaration(
        design=design, date="2026-03-01T10:20:30.000+00:00", finished=0, trials=24
    )
    records = crossed.plausible(after)
    (said,) = footing(after, records, crossed.labels(after), [declared]).exploratory
    assert said == "factors added after 24 of 24 trials had finished: criterion, schedule, recovery"
    # A declaration from before there were factors has none.
    older = {name: rule for name, rule in design.items() if name != "factors"}
    declared = declared.model_copy(update={"design": older})
    assert footing(before, records, crossed.labels(before), [declared]).exploratory == []
