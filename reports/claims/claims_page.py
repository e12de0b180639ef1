"""The table of claims as Markdown: from which records, by which rule, and what was found."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, get_args

from ..formats import markdown_row, spanned
from ..records import Record
from ..words import templates
from .claim_file import Claim
from .claims import ALPHA, ClaimVerdict, Judgement

Judged = tuple[Claim, ClaimVerdict, list[Judgement]]  # all that one claim is held against


def claims_page(judgements: Sequence[Judgement], records: Iterable[Record]) -> str:
    """The same judgements and records give the same bytes: dates are those of the records.

    A claim has a row for each scale and recovery at which it was tried.
    """
    judged = list(verdicts(judgements))
    page = templates(by_chance, markdown_row, percents, size).get_template("claims.md")
    return page.render(
        judged=judged,
        asked=len({(claim.paper, claim.claim) for claim, _, _ in judged}),
        kinds=get_args(ClaimVerdict),
        counts=Counter((verdict, rows[0].elsewhere) for _, verdict, rows in judged),
        origins=list(_origins(judgements, records)),
        what_we_found=what_we_found,
        worded=worded,
    )


def worded(verdict: ClaimVerdict, rows: Sequence[Judgement]) -> str:
    """The verdict, why there could be none, and whether it is elsewhere than the paper's."""
    reasons = dict.fromkeys(one.why for one in rows if one.why)
    why = f" ({', '.join(reasons)})" if verdict == "undecided" and reasons else ""
    return verdict + why + (", elsewhere" if any(one.elsewhere for one in rows) else "")


def by_chance(claims: Sequence[Judged]) -> str:
    """How many of the verdicts are to be expected to be wrong."""
    tested = sum(
        any(one.verdict != "not run" and (not one.why or one.p <= 1) for one in rows)
        for _, _, rows in claims
    )
    if not tested:
        return "None of them could be tested: that takes three bases on each problem of a claim."
    return (
        f"Each verdict is wrong with a chance of at most {100 * ALPHA:g} %: of the {tested} that "
        f"could be tested, up to {ALPHA * tested:.2g} are to be expected to be wrong by chance."
    )


def verdicts(judgements: Sequence[Judgement]) -> Iterator[Judged]:
    """Each claim, at each scale and recovery, with the verdict over all that it is held against."""
    for _, group in groupby(judgements, lambda one: (id(one.claim), one.scale, one.recovery)):
        rows = list(group)
        kinds = {one.verdict for one in rows}
        shared: ClaimVerdict = rows[0].verdict if len(kinds) == 1 else "undecided"
        yield rows[0].claim, "not reproduced" if "not reproduced" in kinds else shared, rows


def what_we_found(rows: Sequence[Judgement]) -> str:
    """The smallest of the differences, and how many comparisons went which way."""
    told = {one.interval.mean: one for one in rows if one.interval is not None}
    if not told:
        return "; ".join(dict.fromkeys(one.note for one in rows if one.note)) or "–"
    counts = Counter(one.verdict for one in rows)
    parts = [f"{counts[one]} {one}" for one in get_args(ClaimVerdict) if counts[one]]
    least = told[min(told)]
    nearest = f"{least.compared}: {size(least)} on {least.on}"
    return nearest if len(rows) == 1 else f"{', '.join(parts)}; the smallest is {nearest}"


def size(one: Judgement) -> str:
    """A difference and its interval, in points; empty where there is none."""
    of = one.interval
    return "" if of is None else spanned(of.mean, of.low, of.high)


def percents(span: Sequence[float]) -> str:
    """`10 to 40 %`, or `35 %` where both ends are one."""
    ends = dict.fromkeys((min(span), max(span)))
    return " to ".join(f"{100 * one:g}" for one in ends) + " %"


def _origins(
    judgements: Sequence[Judgement], records: Iterable[Record]
) -> Iterator[dict[str, Any]]:
    """Which records were judged: of each suite, commit and device the dates and trials."""
    used = frozenset().union(*(one.trials for one in judgements))
    made: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for of, one in ((record.provenance, record) for record in records if record.key in used):
        changed = " with changes" if of.get("git_dirty") else ""
        commit = str(of.get("git_sha") or "unknown")[:10] + changed
        date = str(of.get("ended", ""))[:10]
        made[one.labels.suite, commit, str(of.get("device") or "unknown")].append(date)
    for (suite, commit, device), dates in sorted(made.items()):
        span = " to ".join(dict.fromkeys((min(dates), max(dates)))) or "no date"
        place = {"suite": suite, "commit": commit, "device": device}
        yield place | {"trials": len(dates), "dates": span}
