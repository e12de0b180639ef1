"""What papers claim, held against records alone: a difference, its interval, and a verdict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any, Literal

import numpy as np
import pandas as pd

from ..formats import counted
from ..records import Record
from ..statistics import Interval, per_trial, t_interval
from .claim_file import DENSE, Claim, Range
from .trials import claim_trials

ClaimVerdict = Literal["reproduced", "not reproduced", "undecided", "not run"]
ALPHA = 0.05
FEWEST = 3  # problems that an interval is made over; Student's over two spans everything
RULE = (
    "A comparison says that A minus B, in points of retained top-1 (test split, last epoch), lies "
    "above a threshold, 0 where nothing else is said. Budgets in the claim's range become the "
    "area under the curve over log compression. The interval is Student's at 95 %: over problems "
    "where there are three or more, else of each problem alone over bases, else over repeats of "
    "the one base, which says nothing of other bases; a method with one repeat stands beside all "
    "of the other's. Reproduced: the interval lies wholly above the threshold. Not reproduced: "
    "wholly below it. Undecided: it holds the threshold, or there is no spread to make one from. "
    "Not run: no budget of the range has both methods finished. Where the paper's problem has no "
    "records, another model on its dataset stands in, and the scale says so; it also says where "
    "data, calibration or recipes are not those of the suite's file. Both are "
    "verdicts elsewhere, which speak neither for nor against the paper. Smoke runs never count. "
    "A claim against several methods is reproduced if all its comparisons are, and not reproduced "
    "if one is not. Each interval stands alone; among many, some miss the truth by chance. A "
    "verdict is about the direction; the size in the paper stands beside it"
)


@dataclass(frozen=True)
class Judgement:
    """One row of the table: a claim against one method, at one scale."""

    claim: Claim
    compared: str
    verdict: ClaimVerdict
    scale: str = "–"  # `paper` or `reduced`, as the records' suite says; or what else was run
    recovery: str = ""
    problems: tuple[str, ...] = ()
    budgets: int = 0
    trials: frozenset[str] = field(default=frozenset())  # keys of the records it is made from
    interval: Interval | None = None
    over: str = ""  # what the interval is over
    note: str = ""

    @property
    def elsewhere(self) -> bool:
        """Whether it is on another model, or at other settings, than the suite of the paper."""
        return self.scale not in ("–", "paper", "reduced")


def judge(claims: Iterable[Claim], records: Iterable[Record]) -> list[Judgement]:
    """A row for each claim, method that it is held against, scale and recovery found.

    A pure function of its arguments. Records meet claims by their labels; smoke runs say nothing.
    Trials pair where they share the base's weights, by their hash, and the repeat.
    """
    trials = claim_trials(records)
    found = []
    for claim in claims:
        rows = list(_of_claim(claim, trials)) if len(trials) else []
        compared = [f"{claim.method} − {one}" for one in claim.against] or ["all methods"]
        found += rows or [Judgement(claim, one, "not run") for one in compared]
    return found


def _of_claim(claim: Claim, trials: pd.DataFrame) -> Iterator[Judgement]:
    suites = trials["suite"].str.removesuffix("-reduced") == claim.suite
    candidates = trials[suites & (trials["cost"] == claim.axis)]
    kinds = (
        candidates["recovery"].str.partition("-")[0] if len(candidates) else candidates["recovery"]
    )
    candidates = candidates[(candidates["recovery"] == claim.recovery) | (kinds == claim.recovery)]
    for (suite, recovery), rows in candidates.groupby(["suite", "recovery"]):
        problems, scale = _problems(claim, rows, reduced=str(suite).endswith("-reduced"))
        if not problems:
            continue
        rows = rows[rows["problem"].isin(problems)]
        place = {"scale": scale, "recovery": str(recovery)}
        if claim.nobody_wins:
            yield _nobody_wins(claim, rows, place)
            continue
        for reference in claim.against:
            yield from _differences(claim, reference, rows, place)


def _pooled(problems: list[str]) -> list[list[str]]:
    """All together where there are enough for an interval over them, else each alone."""
    return [problems] if len(problems) >= FEWEST else [[one] for one in problems]


def _problems(claim: Claim, rows: pd.DataFrame, reduced: bool) -> tuple[list[str], str]:
    """The paper's that are there, or other models on its datasets; and what scale that is.

    Settings that are not those of the suite's file are said.

    The name of a dataset up to a dash: `cifar10-jpeg` is CIFAR-10 in other files.
    """
    there = list(dict.fromkeys(rows["problem"]))
    if asked := [one for one in there if one in claim.problems]:
        declared = rows.loc[rows["problem"].isin(asked), "declared"].all()
        changed = "" if declared else ", other settings"
        return asked, ("reduced" if reduced else "paper") + changed
    datasets = {one.rpartition(" on ")[2] for one in claim.problems}
    near = [one for one in there if one.rpartition(" on ")[2].partition("-")[0] in datasets]
    return near, ("reduced, " if reduced else "") + "another model"


def _differences(
    claim: Claim, reference: str, rows: pd.DataFrame, place: dict[str, Any]
) -> Iterator[Judgement]:
    """One judgement over all problems that have both methods, or one for each of few."""
    assert claim.method is not None
    compared = f"{claim.method} − {reference}"
    units: dict[str, _Units] = {}
    for problem, of_problem in rows.groupby("problem", sort=False):
        difference = _units(of_problem, claim.method, reference, claim.span)
        if claim.beyond:
            difference = difference.minus(_units(of_problem, claim.method, reference, claim.beyond))
        if difference.bases:
            units[str(problem)] = difference
    if not units:
        yield Judgement(claim, compared, "not run", **place)
    for problems in _pooled(list(units)):
        pooled = [units[one] for one in problems]
        interval, over = _interval([list(one.bases.values()) for one in pooled])
        yield Judgement(
            claim, compared, claim_verdict(interval, claim.above), **place,
            problems=tuple(problems), budgets=max(one.budgets for one in pooled),
            interval=interval, over=over,
            trials=frozenset().union(*(one.keys for one in pooled)), note=_without(pooled),
        )  # fmt: skip


def _without(several: Sequence[_Units]) -> str:
    """What is not in a comparison: a trial that failed may have failed for being bad."""
    places = sorted(set().union(*(one.without for one in several)))
    return f"left out, as one of the two is missing there: {', '.join(places)}" if places else ""


@dataclass(frozen=True)
class _Units:
    """Differences of one problem: of each base [repeats], in points."""

    bases: dict[str, pd.Series]  # base -> by repeat
    budgets: int
    keys: frozenset[str]
    without: frozenset[str] = frozenset()  # bases and budgets that only one of the two has

    def minus(self, other: _Units) -> _Units:
        """Differences minus those at other budgets, of the bases and repeats that both have."""
        gaps = {
            base: gap
            for base in self.bases.keys() & other.bases.keys()
            if not (gap := (self.bases[base] - other.bases[base]).dropna()).empty
        }
        lost = {f"base {one[:8]}" for one in self.bases.keys() ^ other.bases.keys()}
        return _Units(
            {base: gaps[base] for base in sorted(gaps)},
            self.budgets + other.budgets,
            self.keys | other.keys,
            self.without | other.without | lost,
        )


def _units(rows: pd.DataFrame, method: str, reference: str, span: Range) -> _Units:
    """Area over the budgets at which both have all their repeats on all common bases.

    A method in which nothing is random has one repeat, which stands beside every repeat of the
    other.
    """
    inside = _inside(rows, span)
    ours = inside[inside["method"] == method]
    theirs = inside[inside["method"] == reference]
    if reference == DENSE:
        theirs = ours.assign(retained_top1=0.0)
    tables = {}
    common = set(ours["base"]) & set(theirs["base"])
    for base in sorted(common):
        a, b = (_by_repeat(one[one["base"] == base]) for one in (ours, theirs))
        if b.shape[1] == 1:
            b = pd.concat([b.iloc[:, 0]] * a.shape[1], axis=1, keys=a.columns)
        elif a.shape[1] == 1:
            a = pd.concat([a.iloc[:, 0]] * b.shape[1], axis=1, keys=b.columns)
        if not (both := (a - b).dropna(axis=1, how="all")).empty:
            tables[str(base)] = both
    whole = [set(one.dropna().index) for one in tables.values()]
    kept = sorted(set.intersection(*whole)) if whole else []
    if not kept:
        return _Units({}, 0, frozenset())
    shares = None if rows["cost"].iloc[0] == "threshold" else kept
    bases = {
        base: pd.Series(per_trial(one.loc[kept].to_numpy()[:, None, :], shares)[0], one.columns)
        for base, one in tables.items()
    }
    both = pd.concat([ours, theirs])
    used = both["budget"].isin(kept) & both["base"].isin(tables)
    lost = {f"base {one[:8]}" for one in set(both["base"]) - set(tables)}
    lost |= {f"budget {one:g}" for one in set(both["budget"]) - set(kept)}
    return _Units(bases, len(kept), frozenset(both.loc[used, "key"]), frozenset(lost))


def _inside(rows: pd.DataFrame, span: Range) -> pd.DataFrame:
    return rows[rows["budget"].between(span[0] - 1e-9, span[1] + 1e-9)]


def _by_repeat(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.pivot(index="budget", columns="repeat", values="retained_top1")


def _interval(
    problems: Sequence[Sequence[pd.Series]], level: float = 1 - ALPHA
) -> tuple[Interval, str]:
    """Interval of the mean over [problems][bases] -> [repeats], on the highest level that has
    a spread; and what it is over."""
    if len(problems) > 1:
        means = [np.mean([base.mean() for base in bases]) for bases in problems]
        return t_interval(means, level), f"{len(problems)} problems"
    (bases,) = problems
    if len(bases) > 1:
        return t_interval([base.mean() for base in bases], level), f"{len(bases)} bases"
    (base,) = bases
    return t_interval(base, level), f"{counted(base.size, 'repeat')} of one base"


def claim_verdict(interval: Interval, above: float) -> ClaimVerdict:
    """Verdict by an interval and a threshold; without width the spread is unknown: undecided."""
    if interval.high > interval.low:
        if interval.low > above:
            return "reproduced"
        if interval.high < above:
            return "not reproduced"
    return "undecided"


def _nobody_wins(claim: Claim, rows: pd.DataFrame, place: dict[str, Any]) -> Judgement:
    """Who is told from a better one at some (problem, budget); Bonferroni over the others."""
    rows = _inside(rows, claim.span)
    rows = rows[rows["matched_to"].isna()]
    names = sorted(set(rows["method"]))
    cells = [cell for _, cell in rows.groupby(["problem", "budget"], sort=False)]
    if len(cells) < 2 or len(names) < 2:
        return Judgement(claim, "all methods", "not run", **place)
    level = 1 - ALPHA / (len(names) - 1)
    beaten, won = set(), dict.fromkeys(names, 0)
    for cell in cells:
        units = _by_unit(cell)
        for better, worse in permutations(units.index, 2):
            gap = (units.loc[better] - units.loc[worse]).dropna().to_numpy()
            over = t_interval(gap, level) if gap.size else None
            if over is not None and over.high > over.low > 0:
                beaten.add(worse)
                won[better] += 1
    winner = [name for name in names if won[name] == len(cells) * (len(names) - 1)]
    left = [name for name in names if name not in beaten]
    said: ClaimVerdict = "not reproduced" if winner else "undecided" if left else "reproduced"
    note = f"told from all others everywhere: {', '.join(winner)}" if winner else ""
    if left and not winner:
        note = f"never told from a better one: {', '.join(left)}"
    return Judgement(
        claim, f"{len(names)} methods at {len(cells)} places", said, **place,
        problems=tuple(dict.fromkeys(rows["problem"])), budgets=rows["budget"].nunique(),
        trials=frozenset(rows["key"]), note=note,
    )  # fmt: skip


def _by_unit(cell: pd.DataFrame) -> pd.DataFrame:
    """[methods, bases], or of one base [methods, repeats]: what intervals are over."""
    if cell["base"].nunique() > 1:
        return cell.pivot_table(index="method", columns="base", values="retained_top1")
    units = cell.pivot(index="method", columns="repeat", values="retained_top1")
    once = units.notna().sum(axis=1) == 1  # nothing random: it stands beside every repeat
    units[once] = units[once].bfill(axis=1).ffill(axis=1)
    return units
