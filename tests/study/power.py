"""What a plan says that its tests find, beside what experiments of that design do find."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd
from study.pipeline import Pipeline
from study.worlds import World, draw

from reports.analysis.power import layout_of, planned_tests
from reports.analysis.results import Results
from reports.statistics.power import TARGET

HERE, PAIR = "on these problems, against the control", "on these problems, every pair"
ONE, LIKE = (
    "on one problem, against the control",
    "for problems like these, against the control",
)
DESIGNS = {
    "45 methods, 3 problems, 3 bases": World(45, 1, 3, repeat_sd=0),
    "5 methods, 2 problems, 4 bases": World(5, 1, 2, bases=4, repeat_sd=0),
    "10 methods, one problem, 5 bases": World(10, 1, 1, bases=5, repeat_sd=0),
    "40 methods, 4 x 3 problems, 3 bases": World(40, 4, 3, repeat_sd=0),
    "10 methods, 4 problems, 6 bases, 2 recoveries": World(
        10, 1, 4, bases=6, recoveries=2, repeat_sd=0
    ),
    "5 methods, 8 independent problems, 3 bases": World(
        5, 1, 8, by_problem=1.0, base_sd=0.1, repeat_sd=0
    ),
}
COLUMNS = ["design", "test", "effect", "unit", "planned", "found", "error", "experiments"]


def powers(name: str, experiments: int) -> pd.DataFrame:
    """One row a test of the design, of the difference that its plan says is found with 80 %.

    Columns: the `effect` in its `unit`, `planned` and `found` shares in percent with the standard
    error of the latter, `experiments`. Against the control, or a second method in the test of
    every pair, all methods but one are equal.
    """
    world = DESIGNS[name]
    pipeline = Pipeline(world)
    rng = np.random.default_rng(len(name))
    rows = []
    for test in planned_tests(layout_of(pipeline.suite, pipeline.expected)):
        if test.detects is None or (world.by_problem and test.name != LIKE):
            continue  # on these problems a method differs by the gain and by what it makes of them
        gain = test.detects * (_over_problems(world) if test.name == LIKE else world.base_sd)
        found = [_found(test.name, one) for one in _results(pipeline, gain, rng, experiments)]
        error = 100 * np.std(found, ddof=1) / np.sqrt(experiments)
        share = 100 * np.mean(found)
        rows.append((name, test.name, test.detects, test.unit, 100 * TARGET, share, error))
    return pd.DataFrame(rows, columns=COLUMNS[:-1]).assign(experiments=experiments)


def _over_problems(world: World) -> float:
    """SD over problems of the difference of two methods, as means over bases show it."""
    return float(np.sqrt(2) * np.hypot(world.by_problem, world.base_sd / np.sqrt(world.bases)))


def _results(
    pipeline: Pipeline, gain: float, rng: np.random.Generator, experiments: int
) -> Iterator[Results]:
    world = replace(pipeline.world, gain=gain)
    for _ in range(experiments):
        yield pipeline.short(draw(world, rng), more=False)


def _found(test: str, results: Results) -> float:
    """Share of the statements of this test that find the method with the gain, `m1`, better."""
    if test == PAIR:
        return float(np.mean([ranks.apart("m1", "m2") != 0 for ranks in results.ranking.values()]))
    table, word = {
        HERE: (results.overall, "word"),
        LIKE: (results.overall, "like_word"),
        ONE: (results.paired, "verdict"),
    }[test]
    return float((table.loc[table["method"] == "m1", word] == "better").mean())
