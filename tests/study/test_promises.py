"""The report's promises where the truth is known, through its whole way; docs/statistics.md."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import toy
from scipy.stats import friedmanchisquare, wilcoxon
from study.atlas import WORLDS
from study.known_truth import NUMBERS, POWER, broken, limited, summary
from study.pipeline import Pipeline
from study.power import DESIGNS, powers
from study.promises import INTERVALS, KINDS, Judge, Verdict, said_of
from study.tally import tally
from study.worlds import Experiment, Truth, World, draw

from reports.analysis.compare import compare_methods

EXPERIMENTS = 120
ERRORS = 3  # standard errors that simulations are allowed; the documented, larger ones two


def experiment(world: World, seed: int = 0) -> Experiment:
    return draw(world, np.random.default_rng(seed))


# What is simulated


def test_scores_have_the_declared_spread() -> None:
    world = World(
        methods=60, datasets=12, models=10, bases=3, repeats=2,
        by_dataset=2.0, by_model=1.0, by_problem=0.7, base_sd=0.5, repeat_sd=0.4,
    )  # fmt: skip
    made = experiment(world)
    assert made.scores.shape == (1, 60, 120, 3, 2)
    here = made.truth.here.reshape(60, 12, 10)
    variance = [4, 1, 0.49]
    assert here.var() == pytest.approx(sum(variance), rel=0.15)
    assert here.mean(axis=2).var() == pytest.approx(4 + 0.1 + 0.049, rel=0.15)
    assert here.mean(axis=1).var() == pytest.approx(1 + 4 / 12 + 0.49 / 12, rel=0.2)
    noise = made.scores - made.truth.here[..., None, None]
    assert noise.mean() == pytest.approx(0, abs=0.02)
    assert noise.mean(axis=-1).var() == pytest.approx(0.25 + 0.08, rel=0.05)
    assert (noise[..., 0] - noise[..., 1]).var() == pytest.approx(2 * 0.16, rel=0.05)


@pytest.mark.parametrize("shape", ["normal", "skewed", "heavy", "two levels", "images"])
@pytest.mark.parametrize("more", [{}, {"collapses": True}, {"ceiling": True, "shape": "skewed"}])
def test_the_truth_is_the_mean_of_what_is_drawn(shape: str, more: dict[str, object]) -> None:
    world = replace(World(4, 1, 2, bases=20_000, repeat_sd=0.1), **{"shape": shape} | more)
    made = experiment(world)
    means = made.scores.mean(axis=(-1, -2))
    off = 5 * made.scores.std(axis=(-1, -2)) / np.sqrt(20_000) + 0.01
    assert (np.abs(means - made.truth.here) < off).all()
    top1 = made.dense.mean(axis=1)
    assert np.abs(top1 - made.truth.dense).max() < 0.06


# The short way is the report's way


@pytest.mark.parametrize(
    "world",
    [
        World(5, 3, 2, by_dataset=1.0),
        World(4, 5, 5, by_problem=1.0, failing=0.1, missing=0.05),
        World(5, 1, 3, bases=4, repeats=3, recoveries=2, shape="images"),
        World(5, 1, 8, bases=6, looks=(3, 6), control_fails=0.4),
        World(4, 2, 2, bases=2),
    ],
)  # fmt: skip
def test_the_short_way_says_what_records_say(world: World) -> None:
    pipeline, made = Pipeline(world), experiment(world, 3)
    short, whole = pipeline.short(made), pipeline.through_records(made)
    for name in ("paired", "overall", "by_factor", "standing"):
        pd.testing.assert_frame_equal(getattr(short, name), getattr(whole, name), atol=1e-7)
    columns = ["problem", "recovery", "method", "expected", "done", "failed", "complete"]
    columns += ["top1_low", "top1_high"]
    pd.testing.assert_frame_equal(
        short.cells[columns], whole.cells[columns], check_dtype=False, atol=1e-7
    )
    for recovery, ranks in whole.ranking.items():
        mine = short.ranking[recovery]
        for name in ("scores", "low", "high"):
            np.testing.assert_allclose(getattr(mine, name), getattr(ranks, name), atol=1e-7)
        for name in ("planned", "methods", "problems", "left_out", "failed", "cliques"):
            assert getattr(mine, name) == getattr(ranks, name)
        assert (mine.pairwise is None) == (ranks.pairwise is None)
        if mine.pairwise is not None and ranks.pairwise is not None:
            np.testing.assert_allclose(mine.pairwise.adjusted, ranks.pairwise.adjusted, atol=1e-7)


def test_what_is_asked_for_is_what_compare_says() -> None:
    world = World(4, 1, 3, ladder=4.0, recoveries=2)
    pipeline, made = Pipeline(world), experiment(world)
    asked = pipeline.asked(pipeline.short(made)).set_index(["recovery", "method", "reference"])
    records = pipeline.records(made)
    for method, reference in (("m1", "m2"), ("m1", "m3"), ("m2", "m3")):
        said = compare_methods(pipeline.suite, records, pipeline.expected, method, reference)
        for sentence, recovery in zip(said.words, pipeline.whole.recoveries, strict=False):
            word = asked.loc[(recovery, method, reference), "word"]
            assert sentence.endswith(f": {word}.")
    assert set(asked["word"]) > {"worse"}  # a lower rung minus a higher one


# What is counted


def test_a_headline_is_read() -> None:
    text = (
        "On the mean of these 12 problems better than m9: m1 (+2.00 points, [+1.50, +2.50]), m12 "
        "(+1.00 points, [+0.50, +1.50]). Worse than m9: m3 (-1.0 points, [-2.0, -0.5] on 3 of 4 "
        "problems). As good as equal (within 0.2 points): m4. Mixed: m6 (-1.00 points on the "
        "mean, typically +0.10 points; it is better on most problems). No difference is shown for "
        "m5. Collapses: m3 loses 20 points to m9 on n0 on d1."
    )
    words = {"m1": "better", "m12": "better", "m3": "worse", "m4": "equivalent"}
    assert said_of(text) == words
    assert said_of("On n0 on d1 worse than m9: m2 (-1.00 points).") == {"m2": "worse"}
    like = "For problems like these (all on d1). Typically better than m9: m1 (+1.00 points). "
    assert said_of(f"{like}Typically worse: m2 (-1.00 points).") == {"m1": "better", "m2": "worse"}
    none = "On the mean of these 12 problems no method is shown to differ from m9. m1 is highest"
    assert said_of(none) == {}


def test_a_report_about_another_world_is_found_to_be_false() -> None:
    """Every kind of statement is false, and every interval misses, of a world turned over."""
    world = World(5, 5, 5, ladder=8.0, base_sd=0.3, repeat_sd=0.1)
    pipeline, made = Pipeline(world), experiment(world)
    results, judge = pipeline.short(made), Judge(pipeline)
    true = Verdict(judge, made, results)
    assert not any(true.false.values())
    assert min(true.covered.values()) > 0.85
    over = Truth(-made.truth.here, -made.truth.anywhere, 100 - made.truth.dense)
    false = Verdict(judge, replace(made, truth=over), results)
    assert {kind for kind, wrong in false.false.items() if wrong} == set(KINDS) - {"equivalent"}
    assert max(false.covered.values()) < 0.05
    alike = pipeline.short(experiment(replace(world, ladder=0.0, base_sd=0.02, repeat_sd=0.0)))
    assert Verdict(judge, made, alike).false["equivalent"]


# What is promised


def test_the_documented_tables_keep_the_promises() -> None:
    table = pd.read_csv(toy.CHECKOUT / NUMBERS)
    assert set(table["world"]) == set(WORLDS)
    assert broken(table, 2).empty
    assert summary(table) in (toy.CHECKOUT / "docs/statistics.md").read_text()
    plans = pd.read_csv(toy.CHECKOUT / POWER)
    assert set(plans["design"]) == set(DESIGNS)
    assert ((plans["found"] - plans["planned"]).abs() <= 5 + 2 * plans["error"]).all()


def test_what_breaks_a_promise_is_found() -> None:
    worlds = ["5 methods", "5 methods", "5 methods", "5 methods", "sacrifice of problems"]
    what = ["false", "false", "covered", "false", "false"]
    names = ["one problem", "one problem", "one problem", "any of these", "like these"]
    numbers = {"share": [9.0, 7.0, 92.0, 30.0, 9.0], "error": [1.0, 1.0, 0.4, 2.0, 1.0]}
    table = pd.DataFrame({"world": worlds, "what": what, "name": names} | numbers)
    table["experiments"] = 600
    assert broken(table, 2).index.tolist() == [0, 2]


@cache
def simulated(name: str) -> pd.DataFrame:
    return tally(name, WORLDS[name], EXPERIMENTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", WORLDS)
def test_a_world_keeps_the_promises(name: str) -> None:
    assert broken(simulated(name), ERRORS).empty


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_worlds_together_keep_them_closely() -> None:
    """Few experiments a world are many together."""
    table = pd.concat([simulated(name) for name in WORLDS], ignore_index=True)
    means = table[~limited(table)].groupby(["what", "name"])["share"].mean()
    assert set(KINDS) <= set(means["false"].index)
    assert means["false"][list(KINDS)].max() < 4
    assert means["covered"][list(INTERVALS)].min() > 94


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS)
def test_a_plan_knows_its_power(name: str) -> None:
    for row in powers(name, 150).to_dict("records"):
        assert row["found"] == pytest.approx(row["planned"], abs=5 + 2 * row["error"]), row["test"]


@pytest.mark.slow
def test_a_difference_of_five_base_sds_is_found_on_three_problems() -> None:
    world = World(45, 1, 3, gain=5.0, repeat_sd=0.0)
    pipeline, rng = Pipeline(world), np.random.default_rng(0)
    found = []
    for _ in range(EXPERIMENTS):
        table = pipeline.short(draw(world, rng), more=False).overall
        found += (table.loc[table["method"] == "m1", "word"] == "better").tolist()
    assert np.mean(found) >= 0.7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("repeats", "of_friedman", "of_wilcoxon"),
    [(5, (0.55, 0.75), (0.25, 0.45)), (10, (0.76, 0.95), (0.40, 0.60))],
)
def test_trials_counted_as_blocks_reject_what_is_true(
    repeats: int, of_friedman: tuple[float, float], of_wilcoxon: tuple[float, float]
) -> None:
    """Ten points around what was measured elsewhere: 65 and 86 %; 34 and 50 %."""
    world = World(5, 1, 12, bases=1, repeats=repeats, by_problem=1.0, base_sd=0.0, repeat_sd=0.5)
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(500):
        trials = draw(world, rng).scores[0].reshape(5, -1).T
        pair = wilcoxon(trials[:, 0], trials[:, 1], method="exact")
        p_values.append((friedmanchisquare(*trials.T).pvalue, pair.pvalue))
    ranks, pair = (np.array(p_values) <= 0.05).mean(axis=0)
    assert of_friedman[0] < ranks < of_friedman[1]
    assert of_wilcoxon[0] < pair < of_wilcoxon[1]
