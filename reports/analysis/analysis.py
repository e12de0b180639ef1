"""The declared analysis of a suite, from its records to `Results`."""

from collections.abc import Sequence

import pandas as pd

from suites.schema import Suite

from ..declared import Declaration, footing
from ..records import Labels, Record, of_its_metric
from . import by_problem, cells, over_problems
from .best import against_best
from .changes import changes
from .equal_cost import at_equal_cost
from .factorial import factorial
from .looks import course
from .power import layout_of
from .published import ours_and_published
from .ranking import rank_methods
from .results import Results, of_plan


@of_its_metric
def analyse(
    suite: Suite,
    records: Sequence[Record],
    expected: Sequence[Labels],
    declarations: Sequence[Declaration] = (),
) -> Results:
    """Run the declared analysis; a pure function of its arguments.

    Args:
        suite: names, orders and the declared analysis.
        records: finished and failed trials; those that the plan does not hold are counted.
        expected: the labels of every trial of the plan; of a suite with looks, those count that
            its looks need (`looks.course`).
        declarations: the suite's and its later changes; none where they are not known.

    Raises ValueError: the plan is empty, or two records stand for one trial.

    >>> from suites import load_suite
    >>> plan = [Labels(suite="quickstart", dataset="digits", model="resnet20", method="l1",
    ...     recovery="none", cost="macs", budget=0.5, base=0, repeat=0)]
    >>> results = analyse(load_suite("quickstart"), [], plan)  # nothing has run yet
    >>> results.cells[["method", "done", "expected"]].values.tolist()
    [['l1', 0, 1]]
    """
    so_far = course(suite, records, expected)
    expected = so_far.needed
    known = of_plan(suite, records, expected)
    scored = cells.scores(suite, known, expected)
    problems, recoveries = scored.problems, scored.cells["recovery"].unique()
    stands = footing(suite, known, expected, declarations)
    void = bool(stands.void(problems))
    ranking = {str(one): rank_methods(str(one), scored, tested=not void) for one in recoveries}
    paired, overall = by_problem.paired(scored), over_problems.overall(scored)
    for table in (overall, effects := factorial(scored)):
        _silence(table, table.index[[void] * len(table)])
    _silence(paired, paired.index[paired["problem"].isin(problems if void else stands.guessing)])
    return Results(
        **vars(scored),
        records=known,
        expected=expected,
        course=so_far,
        ignored=len(records) - len(known),
        layout=layout_of(suite, expected),
        dense=cells.dense(scored.trials),
        paired=paired,
        overall=overall,
        changes=changes(scored, overall, paired),
        by_factor=by_problem.by_factor(scored),
        factorial=effects,
        equal_cost=at_equal_cost(scored),
        ranking=ranking,
        standing=against_best(scored, ranking),
        noise=cells.noise(scored.averaged, scored.trials),
        published=ours_and_published(suite, problems, scored.trials),
        footing=stands,
    )


def _silence(table: pd.DataFrame, rows: pd.Index) -> None:
    """Take the words of these rows back, where what tests find is no finding."""
    for column in {"word", "like_word", "verdict"} & set(table):
        compared = rows[table.loc[rows, column] != "not compared"]
        table.loc[compared, column] = "undecided"
        table.loc[compared, list({"why"} & set(table))] = ""
