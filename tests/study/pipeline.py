"""The report's way from an experiment to its statements: through records, or shorter and the same.

The short way leaves out what no statement rests on: records, and what is read off them afterwards.
Every statement is made by the report's own functions; a test holds the two ways to one result.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
from study.worlds import Experiment, World, draw, plan
from synthetic import failed, record

from reports.analysis import by_problem, over_problems
from reports.analysis.analysis import analyse
from reports.analysis.best import against_best
from reports.analysis.comparisons import Averaged, Comparison, planned
from reports.analysis.ranking import rank_methods
from reports.analysis.results import Results
from reports.records import Record
from reports.statistics import on_these_problems


class Pipeline:
    """The analysis of one world's experiments; `suite` and plan are made once.

    Attributes:
        world, suite: of the experiments.
        expected: the plan's labels, in the order of scores [recoveries, methods, problems, bases,
            repeats].
        pairs: every two methods, which is what `bench compare` adjusts for.
        whole: results of an experiment in which nothing failed. All of the world's have the same
            rows in all tables.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.suite = world.suite()
        self.expected = plan(self.suite)
        self.names = self.suite.method_names
        pairs = [Comparison("control", *two) for two in combinations(self.names, 2)]
        there = dict.fromkeys((one.recovery, one.method) for one in self.expected)
        self.pairs = planned(there, pairs)
        first = draw(replace(world, failing=0, missing=0, control_fails=0), np.random.default_rng())
        self.whole = self.through_records(first)
        self._places = [  # of each row of the cells, in the order of scores
            (one.problem, one.recovery, one.method)
            for one in self.expected[:: world.bases * world.repeats]
        ]

    def records(self, experiment: Experiment) -> list[Record]:
        """Of a failed or missing (method, problem) it is the last trial that is not there."""
        found = []
        places = np.ndindex(experiment.scores.shape)
        last = (self.world.bases - 1, self.world.repeats - 1)
        for labels, place in zip(self.expected, places, strict=True):
            lost = place[3:] == last
            if lost and experiment.failed[place[:3]]:
                found.append(failed(labels, "out of memory"))
            elif not (lost and experiment.missing[place[:3]]):
                dense = float(experiment.dense[place[2:4]])
                top1 = min(max(dense + float(experiment.scores[place]), 0.0), 100.0)
                found.append(record(labels, top1 / 100, dense / 100))
        return found

    def through_records(self, experiment: Experiment) -> Results:
        """The whole way."""
        return analyse(self.suite, self.records(experiment), self.expected)

    def short(self, experiment: Experiment, more: bool = True) -> Results:
        """The parts that make statements; trials and noise are another's.

        Args:
            experiment: of this world.
            more: whether also by dataset and by model.
        """
        by_base = self.scores(experiment)
        scored = replace(
            self.whole,
            cells=self.cells(experiment),
            averaged={key: values[:, None] for key, values in by_base.items()},
            by_base=by_base,
            by_look=by_base,
        )
        ranking = {one: rank_methods(one, scored) for one in self.whole.recoveries}
        return replace(
            scored,
            paired=by_problem.paired(scored),
            overall=over_problems.overall(scored),
            by_factor=by_problem.by_factor(scored) if more else scored.by_factor.iloc[:0],
            ranking=ranking,
            standing=against_best(scored, ranking),
        )

    def asked(self, results: Results) -> pd.DataFrame:
        """What `compare_methods` says of any two methods that the suite has not declared."""
        return over_problems.overall(replace(results, family=self.pairs))

    def scores(self, experiment: Experiment) -> Averaged:
        """[bases] of each (problem, recovery, method) that is complete."""
        lost = (experiment.failed | experiment.missing).ravel()
        means = experiment.scores.mean(axis=-1).reshape(-1, self.world.bases)
        return {
            place: values
            for place, values, gone in zip(self._places, means, lost, strict=True)
            if not gone
        }

    def cells(self, experiment: Experiment) -> pd.DataFrame:
        """As `cells.cells`, but for what is neither counted nor an accuracy."""
        gone = (experiment.failed | experiment.missing).ravel()
        top1 = experiment.dense[..., None] + experiment.scores
        over = on_these_problems(top1.mean(axis=-1).reshape(-1, 1, self.world.bases))
        low, high = over.interval(1 - self.world.alpha)
        columns = {
            "failed": experiment.failed.ravel().astype(int),
            "done": self.whole.cells["expected"].to_numpy() - gone,
            "complete": ~gone,
            "top1_low": np.where(gone, np.nan, np.clip(low, 0, 100)),
            "top1_high": np.where(gone, np.nan, np.clip(high, 0, 100)),
        }
        return self.whole.cells.assign(**columns)
