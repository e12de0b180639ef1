"""The declared analysis of a suite, from its records to `Results`."""

from __future__ import annotations

from collections.abc import Sequence

from suites.schema import Suite

from ..declared import Declaration, footing
from ..records import Labels, Record, frame
from ..statistics import declared_power
from . import cells, noise, over_problems
from .against_published import ours_and_published
from .best import against_best
from .ranking import rank_methods
from .results import Results, of_plan, problems_of, recoveries_of


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
        expected: the labels of every trial of the plan.
        declarations: the suite's and its later changes; none where they are not known.

    Raises:
        ValueError: the plan is empty, or two records stand for one trial.

    >>> from reports.records import Labels
    >>> from suites.schema import Suite
    >>> suite = Suite(suite="tiny", datasets=["digits"], models=["resnet20"],
    ...     methods=["l1", "random"], base_recipe="base-digits", budgets={"macs": [0.5]},
    ...     recoveries=["none"], bases=1, analysis={"control": "l1"})
    >>> plan = [Labels(suite="tiny", dataset="digits", model="resnet20", method=method,
    ...     recovery="none", cost="macs", budget=0.5, base=0, repeat=0)
    ...     for method in suite.method_names]
    >>> results = analyse(suite, [], plan)  # nothing has run yet
    >>> results.cells[["method", "done", "expected"]].values.tolist()
    [['l1', 0, 1], ['random', 0, 1]]
    >>> results.power.problems_needed  # before any test over problems can reject
    6
    """
    known = of_plan(suite, records, expected)
    declared = cells.comparisons(suite)
    against_control = sum(one.family == "control" for one in declared)
    problems, recoveries = problems_of(expected), recoveries_of(expected)
    trials = frame(known)
    failed = [one.labels for one in known if one.status != "done"]
    table = cells.cells(trials, expected, 1 - suite.analysis.alpha, failed)
    averaged = cells.by_trial(trials, table)
    pairs = cells.paired(averaged, table, declared, suite)
    overall = over_problems.overall(pairs, averaged, suite)
    return Results(
        suite=suite,
        records=known,
        expected=expected,
        ignored=len(records) - len(known),
        # A suite of the control alone compares nothing; its family counts as one comparison.
        power=declared_power(len(problems), max(against_control, 1), suite.analysis.alpha),
        trials=trials,
        dense=cells.dense(trials),
        cells=table,
        averaged=averaged,
        paired=pairs,
        overall=overall,
        per_budget=over_problems.per_budget(table, declared, suite),
        disagreements=over_problems.disagreements(pairs, averaged, suite, overall),
        ranking={one: rank_methods(one, averaged, table, suite) for one in recoveries},
        standing=against_best(suite, problems, recoveries, averaged, table),
        noise=noise.noise(averaged),
        inflation=noise.inflation(averaged, known),
        published=ours_and_published(suite, problems, trials),
        footing=footing(suite, known, expected, declarations),
    )
