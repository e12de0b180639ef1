"""The report's promises where the truth is known, through its whole way; docs/statistics.md."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest
import toy
from study.atlas import LIMITS, WORLDS
from study.known_truth import NUMBERS, judged
from study.pipeline import Pipeline
from study.power import DESIGNS, powers
from study.promises import INTERVALS, KINDS, Judge, Verdict, said_of
from study.tally import tally
from study.worlds import Experiment, Truth, World, draw

from reports.analysis.compare import compare_methods
from reports.analysis.ranking import MethodRanks
from reports.statistics import friedman, wilcoxon

EXPERIMENTS = 120
MOST = 6.0  # percent of experiments in which a kind of statement may be false
COVERED = (93.0, 98.0)  # percent of intervals that hold the truth
ERRORS = 3  # standard errors that simulations are allowed


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
    counts = ["problem", "recovery", "method", "expected", "done", "failed", "complete"]
    pd.testing.assert_frame_equal(short.cells[counts], whole.cells[counts], check_dtype=False)
    for recovery, ranks in whole.ranking.items():
        mine = short.ranking[recovery]
        for field in fields(MethodRanks):
            if field.name not in ("omnibus", "pairwise"):
                left, right = getattr(mine, field.name), getattr(ranks, field.name)
                np.testing.assert_equal(np.shape(left), np.shape(right))
                if isinstance(left, np.ndarray):
                    np.testing.assert_allclose(left, right, atol=1e-7)
                else:
                    assert left == right
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
        "On these 12 problems: better than control are m1 (+2.00 points, [+1.50, +2.50]), m12 "
        "(+1.00 points, [+0.50, +1.50]); worse are m3 (-1.0 points, [-2.0, -0.5] on 3 of 4 "
        "problems); as good as equal (within 0.2 points) are m4; no difference is shown for m5. "
        "Collapses: m3 loses 20 points to it on n0 on d1."
    )
    words = {"m1": "better", "m12": "better", "m3": "worse", "m4": "equivalent"}
    assert said_of(text) == words
    assert said_of("For problems like these: worse are m2 (-1.0 points).") == {"m2": "worse"}
    none = "On these 12 problems no method is shown to differ from control. m1 has the highest mean"
    assert said_of(none) == {}


def test_a_report_about_another_world_is_found_to_be_false() -> None:
    """Every kind of statement is false, and every interval misses, of a world turned over."""
    world = World(5, 5, 5, ladder=8.0, base_sd=0.3, repeat_sd=0.1)
    pipeline, made = Pipeline(world), experiment(world)
    results, judge = pipeline.short(made), Judge(pipeline)
    true = Verdict(judge, made, results)
    assert not any(true.false.values())
    assert min(true.covered.values()) > 0.9
    over = Truth(-made.truth.here, -made.truth.anywhere, made.truth.dense)
    false = Verdict(judge, replace(made, truth=over), results)
    assert {kind for kind, wrong in false.false.items() if wrong} == set(KINDS) - {"equivalent"}
    assert max(false.covered.values()) == 0
    through = Verdict(judge, made, pipeline.through_records(made))
    assert through.top1 == pytest.approx(0.95, abs=0.05)
    alike = pipeline.short(experiment(replace(world, ladder=0.0, base_sd=0.02, repeat_sd=0.0)))
    assert Verdict(judge, made, alike).false["equivalent"]


# What is promised


def within(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that keep no promise, by more than simulations may err."""
    slack = ERRORS * table["error"].fillna(0) + 1.0 / table["experiments"]
    false = (table["what"] == "false") & (table["share"] - slack > MOST)
    missed = (table["what"] == "covered") & (table["share"] + slack < COVERED[0])
    return table[false | missed]


def test_the_documented_table_keeps_the_promises() -> None:
    table = pd.read_csv(toy.CHECKOUT / NUMBERS)
    assert list(dict.fromkeys(table["world"])) == list(WORLDS)
    assert judged(table).empty


@pytest.mark.slow
@pytest.mark.parametrize("name", [one for one in WORLDS if one not in LIMITS])
def test_a_world_keeps_the_promises(name: str) -> None:
    assert judged(tally(name, WORLDS[name], EXPERIMENTS)).empty


@pytest.mark.slow
@pytest.mark.parametrize("name", DESIGNS)
def test_a_plan_knows_its_power(name: str) -> None:
    for row in powers(name, 150).to_dict("records"):
        assert row["found"] == pytest.approx(row["planned"], abs=5 + 2 * row["error"]), row["test"]
