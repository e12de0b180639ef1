"""The analysis of a fidelity suite: each criterion's scores against what removal truly does."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from suites.fidelity import FidelitySuite

from .. import statistics
from ..declared import Declaration, footing
from ..records import Fidelity, Labels, Record
from .results import Analysed, of_plan

SHARES = (0.1, 0.3, 0.5)  # of the units, lowest scores first
CORRELATIONS = ("spearman", "spearman_within")
REGRETS = tuple(f"regret_{100 * share:.0f}" for share in SHARES)
NORMALISED = tuple(f"{name}_normalised" for name in REGRETS)
STATISTICS = (*CORRELATIONS, *NORMALISED, *REGRETS)
PLACE = ["problem", "method"]
TRIAL = [*PLACE, "base", "repeat", "all_repeats"]


@dataclass(frozen=True)
class FidelityResults(Analysed):
    """Everything that the figures and the page draw on, computed once."""

    suite: FidelitySuite
    # A row a sampled unit of each finished trial: labels, `group` (its root), `unit`, `score`,
    # `predicted_rank` (of its score among all units, in (0, 1)), `change`.
    units: pd.DataFrame
    trials: pd.DataFrame  # a row a finished trial: labels, `STATISTICS`, `ceiling`, `score_s`
    # A row a (problem, method), best Spearman first: each statistic's mean over bases, and `_low`,
    # `_high` behind its name; `bases`, `done`, `expected`, `complete`, `score_s`. Where a trial is
    # missing, all statistics are NaN.
    methods: pd.DataFrame
    # By problem, the correlation over all units that the noise of the truth leaves to a perfect
    # criterion; mean over bases.
    ceilings: Mapping[str, float]


def analyse_fidelity(
    suite: FidelitySuite,
    records: Sequence[Record],
    expected: Sequence[Labels],
    declarations: Sequence[Declaration] = (),
) -> FidelityResults:
    """The analysis of a fidelity suite; arguments and errors as `reports.build.build_report`."""
    known = of_plan(suite, records, expected)
    trials = fidelity_frame(known)
    return FidelityResults(
        suite=suite,
        records=known,
        expected=expected,
        ignored=len(records) - len(known),
        units=_units(known),
        trials=trials,
        methods=_methods(trials, expected, 1 - suite.analysis.alpha),
        ceilings=dict(trials.groupby("problem", sort=False)["ceiling"].mean()),
        footing=footing(suite, known, expected, declarations),
    )


def fidelity_frame(records: Iterable[Record]) -> pd.DataFrame:
    """Finished fidelity trials as one row each: `problem`, `method`, `base`, `repeat`,
    `all_repeats`, `STATISTICS`, `ceiling`, `score_s`."""
    rows = []
    for record in records:
        if record.fidelity is not None and record.costs is not None:
            found = statistics_of(record.fidelity)
            labels = {name: getattr(record.labels, name) for name in TRIAL}
            rows.append({**labels, **found, "score_s": record.costs.score_s})
    columns = [*TRIAL, *STATISTICS, "ceiling", "score_s"]
    return pd.DataFrame(rows, columns=columns).sort_values(TRIAL, ignore_index=True)


def statistics_of(fidelity: Fidelity) -> dict[str, float]:
    """The `STATISTICS` of one trial, and the `ceiling` of its correlation."""
    both = fidelity.score, fidelity.change
    regrets = [statistics.regret(*both, share) for share in SHARES]
    return {
        "spearman": statistics.rank_correlation(*both),
        "spearman_within": statistics.correlation_within(*both, fidelity.group),
        **{name: one.normalised for name, one in zip(NORMALISED, regrets, strict=True)},
        **{name: one.absolute for name, one in zip(REGRETS, regrets, strict=True)},
        "ceiling": statistics.noise_ceiling(*fidelity.halves),
    }


def _units(records: Iterable[Record]) -> pd.DataFrame:
    tables = []
    for record in records:
        if (fidelity := record.fidelity) is not None:
            table = {
                **{name: getattr(record.labels, name) for name in TRIAL},
                "group": np.array(fidelity.roots)[fidelity.group],
                "unit": fidelity.unit,
                "score": fidelity.score,
                "predicted_rank": (pd.Series(fidelity.score).rank() - 0.5) / len(fidelity.score),
                "change": fidelity.change,
            }
            tables.append(pd.DataFrame(table))
    if not tables:
        columns = ["group", "unit", "score", "predicted_rank", "change"]
        return pd.DataFrame(columns=[*TRIAL, *columns])
    return pd.concat(tables).sort_values(TRIAL, kind="stable", ignore_index=True)


def _told(trials: pd.DataFrame, alpha: float) -> set[tuple[str, str]]:
    """(problem, method) whose correlation is told from the problem's highest one: Welch's test over
    bases, Holm over all pairs, so that the highest may be chosen by looking."""
    values = trials.groupby([*PLACE, "base"])["spearman"].mean()
    found = set()
    for _, of_problem in values.groupby(level="problem"):
        wide = of_problem.unstack("base").dropna()
        if len(wide) > 1:
            adjusted = statistics.pairwise(wide.to_numpy()[:, None, :]).adjusted
            best = int(wide.mean(axis=1).to_numpy().argmax())
            found |= set(wide.index[adjusted[best] <= alpha])
    return found


def _methods(trials: pd.DataFrame, expected: Sequence[Labels], level: float) -> pd.DataFrame:
    planned = pd.DataFrame([(one.problem, one.method, one.base) for one in expected])
    of_method = planned.set_axis([*PLACE, "base"], axis=1).groupby(PLACE, sort=False)["base"]
    table = of_method.agg(bases="nunique", expected="size")
    table["done"] = trials.groupby(PLACE).size().reindex(table.index, fill_value=0)
    table["complete"] = table["done"] == table["expected"]
    whole = trials.merge(table.index[table["complete"]].to_frame(index=False))
    told = _told(whole, 1 - level)
    table["told"] = [place in told for place in table.index]
    table["score_s"] = whole.groupby(PLACE)["score_s"].mean()
    per_base = whole.groupby([*PLACE, "base"])[list(STATISTICS)].mean()
    for name in STATISTICS:  # within what each can be
        limits = (-1, 1) if name in CORRELATIONS else (0,)
        ends = [name, f"{name}_low", f"{name}_high"]
        table[ends] = np.nan
        for place, values in per_base[name].dropna().groupby(level=PLACE):
            span = statistics.t_interval(values.to_numpy(), level, *limits)
            table.loc[place, ends] = span.mean, span.low, span.high
    parts = table.reset_index().groupby("problem", sort=False)  # in the order of the plan
    ranked = [rows.sort_values("spearman", ascending=False, kind="stable") for _, rows in parts]
    return pd.concat(ranked, ignore_index=True)
