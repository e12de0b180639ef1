"""What papers claim, held against records alone: a difference, its interval, and a verdict."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from ..formats import counted, ranged
from ..metric import TOP1
from ..records import Record
from ..statistics import Floats, Interval, on_these_problems
from .claim_file import Claim
from .differences import (
    Differences,
    Missing,
    base_means,
    claim_trials,
    differences,
    in_range,
    in_words,
    missing,
    scale_of,
)

ClaimVerdict = Literal["reproduced", "not reproduced", "undecided", "not run"]
ALPHA = 0.05  # chance that a claim's verdict is wrong, over all its comparisons


@dataclass(frozen=True)
class Judgement:
    """One row of the table: a claim against one method, at one scale."""

    claim: Claim
    compared: str
    verdict: ClaimVerdict
    scale: str = "–"  # `paper` or `reduced`, as the records' suite says; or what else was run
    recovery: str = ""
    problems: tuple[str, ...] = ()
    budgets: tuple[float, ...] = ()
    trials: frozenset[str] = field(default=frozenset())  # keys of the records it is made from
    interval: Interval | None = None  # for all comparisons of the claim at once
    p: float = float("nan")  # times the comparisons of the claim
    on: str = ""  # what the verdict is conditional on: problems, and their bases
    why: str = ""  # no verdict: what could not be tested, or has failed
    note: str = ""

    @property
    def elsewhere(self) -> bool:
        """Whether it is on another model, or at other settings, than the suite of the paper."""
        return self.scale not in ("–", "paper", "reduced")


def judge(claims: Iterable[Claim], records: Iterable[Record]) -> list[Judgement]:
    """A row for each claim, method that it is held against, scale and recovery found.

    A pure function of its arguments. Records meet claims by their labels; smoke runs say nothing.
    Trials pair where they share the base's weights, by their hash.
    """
    trials = claim_trials(records)
    found = []
    for claim in claims:
        places = [claim, *claim.moved] if len(trials) else []
        rows = [row for at in places for row in _of_claim(at, trials, anywhere=at is not claim)]
        compared = [f"{one} − {other}" for one, other in claim.compared] or ["all methods"]
        found += rows or [Judgement(claim, one, "not run") for one in compared]
    return found


def _of_claim(claim: Claim, trials: pd.DataFrame, *, anywhere: bool) -> Iterator[Judgement]:
    """At each scale and recovery; `anywhere`: on whatever problems there are."""
    known = {one: scale_of(one, claim.suite) for one in trials["suite"].unique()}
    labels = [one for one, scale in known.items() if scale not in (None, "smoke")]
    candidates = trials[trials["suite"].isin(labels) & (trials["cost"] == claim.axis)]
    for (suite, recovery), rows in candidates.groupby(["suite", "recovery"]):
        if not answers_to(claim.recovery, str(recovery)):
            continue
        problems, scale = _problems(claim, rows, known[suite] or "", anywhere)
        if not problems:
            continue
        rows = rows[rows["problem"].isin(problems)]
        place = {"scale": scale, "recovery": str(recovery)}
        yield from (_nobody_wins if claim.nobody_wins else _comparisons)(claim, rows, place)


def answers_to(asked: str, recovery: str) -> bool:
    """Whether a recovery is meant by a name: its own, or that of its kind."""
    return asked in (recovery, recovery.partition("-")[0])


def _problems(
    claim: Claim, rows: pd.DataFrame, scale: str, anywhere: bool
) -> tuple[list[str], str]:
    """The paper's that are there, else others near them; and how far they and the scale are from
    the paper, in words.

    Near are other models on its datasets, by the name of a dataset up to a dash: `cifar10-jpeg` is
    CIFAR-10 in other files; `anywhere`, all. Settings unlike those of the suite's file are said.
    """
    done = list(dict.fromkeys(rows.loc[rows["outcome"] == "done", "problem"]))
    asked = [one for one in dict.fromkeys(rows["problem"]) if one in claim.problems]
    models, datasets = ({one.split(" on ")[at] for one in claim.problems} for at in (0, 1))
    places = {one: one.split(" on ") for one in done}
    near = [one for one in done if anywhere or places[one][1].partition("-")[0] in datasets]
    own = not anywhere and asked and (set(asked) & set(done) or not near)
    found = asked if own else near
    said = {
        scale: own or scale != "paper",
        "another model": not own and any(places[one][0] not in models for one in near),
        "another dataset": not own and any(places[one][1] not in datasets for one in near),
        "other settings": not rows.loc[rows["problem"].isin(found), "declared"].all(),
    }
    return found, ", ".join(word for word, so in said.items() if so) or "another suite"


def _comparisons(claim: Claim, rows: pd.DataFrame, place: dict[str, Any]) -> Iterator[Judgement]:
    """Every comparison of a claim at one scale and recovery, on all problems that have both."""
    problems = {str(name): of_problem for name, of_problem in rows.groupby("problem", sort=False)}
    pairs = claim.compared
    table = [[_difference(claim, pair, one) for one in problems.values()] for pair in pairs]
    most = max(1, *(len(one.bases) for several in table for one in several))
    cube = [
        [[*one.bases.values()] + [np.nan] * (most - len(one.bases)) for one in several]
        for several in table
    ]
    decisions = decide(np.array(cube), claim.above, TOP1.span * (2 if claim.beyond else 1))
    for (method, reference), several, decision in zip(pairs, table, decisions, strict=True):
        there = zip(problems, several, strict=True)
        bases = {problem: len(one.bases) for problem, one in there if one.bases}
        lacking = [one for each in several for one in each.missing]
        found = Judgement(
            claim, f"{method} − {reference}", **decision._asdict(), **place,
            problems=tuple(bases), budgets=max((one.budgets for one in several), key=len),
            trials=frozenset().union(*(one.keys for one in several)), on=_on(bases),
            note=in_words(lacking),
        )  # fmt: skip
        fell = {method for method, outcome, _ in lacking if outcome != "not run"}
        stands = found.verdict == "not reproduced" and reference not in fell
        if not bases and not fell:
            found = replace(found, verdict="not run", why="")
        elif fell and not stands:
            found = replace(found, verdict="undecided", why=found.why or _failures(several))
        yield found


def _failures(several: Sequence[Differences]) -> str:
    """`trials of a failed on 1 of 3 problems`, of each method and way to end without a result."""
    ends = [{one[:2] for one in each.missing if one[1] != "not run"} for each in several]
    counts = sorted(Counter(chain.from_iterable(ends)).items())
    on = " on {} of " + f"{len(several)} problems" if len(several) > 1 else ""
    return ", ".join(f"trials of {method} {end}{on.format(n)}" for (method, end), n in counts)


def _difference(claim: Claim, pair: tuple[str, str], rows: pd.DataFrame) -> Differences:
    found = differences(rows, *pair, claim.span)
    return found.minus(differences(rows, *pair, claim.beyond)) if claim.beyond else found


class Decision(NamedTuple):
    """What the differences of one comparison say of its threshold."""

    verdict: ClaimVerdict
    interval: Interval | None  # `n` is of bases, the fewest; no ends where nothing is tested
    p: float  # times the comparisons; NaN where nothing is tested
    why: str  # nothing could be tested: the reason


def decide(differences: Floats, above: float, largest: float = TOP1.span) -> list[Decision]:
    """The comparisons of one claim, as one family.

    `differences`: [comparisons, problems, bases] in points; NaN where there is none. `above`: what
    each must exceed. `largest`: what none can exceed.

    >>> (found,) = decide(np.array([[[2.0, 2.5, 3.0]]]), above=0.0)
    >>> found.verdict, round(found.interval.low, 2), round(found.p, 3)
    ('reproduced', 1.26, 0.013)
    >>> decide(np.array([[[2.0, 2.5]]]), above=0.0)[0].why
    'two bases'
    """
    found = on_these_problems(differences - above)
    p_values = np.minimum(len(differences) * np.nan_to_num(found.p_values, nan=1.0), 1)
    ends = np.clip(np.add(found.interval(1 - ALPHA / len(differences)), above), -largest, largest)
    bases = (~np.isnan(differences)).sum(axis=2)
    fewest = bases.min(axis=1, where=bases > 0, initial=bases.max())
    columns = (found.mean + above, p_values, *ends, fewest)
    decisions = []
    for mean, p, low, high, n in zip(*(one.tolist() for one in columns), strict=True):
        told: ClaimVerdict = "reproduced" if mean > above else "not reproduced"
        interval = None if np.isnan(mean) else Interval(mean, low, high, n)
        why = _why(n if interval else 0, bool(np.isfinite(low)))
        verdict = told if p <= ALPHA else "undecided"
        decisions.append(Decision(verdict, interval, np.nan if why else p, why))
    return decisions


def _why(bases: int, tested: bool) -> str:
    """Why nothing could be tested, if so."""
    few = {0: "nothing to compare", 1: "one base", 2: "two bases"}
    return "" if tested else few.get(bases, "no spread over bases")


def _on(bases: Mapping[str, int]) -> str:
    """What a verdict is conditional on, of problem -> bases."""
    if len(bases) < 2:
        return "".join(f"this problem, {counted(n, 'base')}" for n in bases.values())
    return f"these {len(bases)} problems, {ranged(bases.values(), 'base')} each"


def _nobody_wins(claim: Claim, rows: pd.DataFrame, place: dict[str, Any]) -> Iterator[Judgement]:
    """Who is told from a better one at some place, which is a budget of a problem.

    Bonferroni over the other methods and the places: were one method nowhere behind, only a test
    of it against another at some place could make the claim look reproduced.
    """
    rows = in_range(rows[rows["matched_to"].isna()], claim.span)
    names = sorted(set(rows["method"]))
    k, places = len(names), len(rows[["problem", "budget"]].drop_duplicates())
    if places < 2 or k < 2:
        yield Judgement(claim, "all methods", "not run", **place)
        return
    behind, ahead, tested = np.zeros(k, dtype=bool), np.zeros(k, dtype=int), False
    lacking: list[Missing] = []
    for _, of_problem in rows.groupby("problem"):
        lacking += (here := list(missing(of_problem, names)))
        fell = np.isin(names, [method for method, outcome, _ in here if outcome != "not run"])
        tables = {name: base_means(one) for name, one in of_problem.groupby("method")}
        for _, at in pd.concat(tables, names=["method"]).groupby(level="budget"):
            scores = at.droplevel("budget").reindex(np.array(names)).to_numpy()
            gaps = np.sort((scores[:, None] - scores).reshape(k * k, 1, -1))  # NaN last
            low = on_these_problems(gaps).interval(1 - ALPHA / (places * (k - 1))).low
            # Row from column, better; what is left of one that failed here would flatter it.
            told = (low > 0).reshape(k, k) & ~fell[:, None]
            behind |= told.any(axis=0)
            ahead += told.sum(axis=1)
            tested |= bool(np.isfinite(low).any())
    winner = [name for name, n in zip(names, ahead, strict=True) if n == places * (k - 1)]
    left = [name for name, told in zip(names, behind, strict=True) if not told]
    said: ClaimVerdict = "not reproduced" if winner else "undecided" if left else "reproduced"
    note = [f"better than all others everywhere: {', '.join(winner)}"] if winner else []
    if tested and left and not winner:
        note = [f"never shown to be worse than another: {', '.join(left)}"]
    done = rows[rows["outcome"] == "done"]
    bases = {str(name): one["base"].nunique() for name, one in done.groupby("problem", sort=False)}
    yield Judgement(
        claim, f"{k} methods at {places} places", said, **place, problems=tuple(bases),
        budgets=tuple(done["budget"].unique()), trials=frozenset(done["key"]), on=_on(bases),
        why=_why(max(bases.values(), default=0), tested),
        note="; ".join([*note, *filter(None, [in_words(lacking)])]),
    )  # fmt: skip
