"""What came out, as one page of Markdown: the suites, questions asked beforehand, and answers."""

from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, NamedTuple

from ..analysis.off_budget import off_budget, off_by_method
from ..formats import markdown_row, spanned
from ..records import Record, frame
from ..words import templates
from .claim_file import Claim, Relation
from .claims import Judgement, judge
from .claims_page import percents, size
from .relations import Related, related

MOST_BASES = 1000  # that a comparison is said to take


class Answer(NamedTuple):
    """What came of a question."""

    asked: Claim | Relation
    rows: Sequence[Judgement]  # of a claim, largest difference first, those without one last
    off: Sequence[str]  # what its methods keep where they miss their budgets, farthest first
    alike: Related | None = None  # of a relation


def answers(questions: Sequence[Claim | Relation], records: Sequence[Record]) -> list[Answer]:
    """An answer to each question, in their order; a pure function of its arguments."""
    judged = judge((one for one in questions if isinstance(one, Claim)), records)
    judged.sort(key=lambda row: -row.interval.mean if row.interval else inf)
    trials, found = frame(records), list[Answer]()
    for one in questions:
        if isinstance(one, Relation):
            found.append(Answer(one, [], [], related(one, records)))
            continue
        rows = [row for row in judged if row.claim is one]
        used = trials[trials["key"].isin(frozenset[str]().union(*(row.trials for row in rows)))]
        found.append(Answer(one, rows, off_by_method(off_budget(used, one.axis), one.axis)))
    return found


def bases_needed(row: Judgement) -> int | None:
    """About as many bases a problem as would decide it, were the difference as it was found.

    None where nothing is to be decided, trials failed, or it takes more than a thousand.
    """
    of = row.interval
    open_ = row.verdict == "undecided" and not row.why
    if not open_ or of is None or not of.low < of.high or not of.mean:
        return None
    needed = int(of.n * ((of.high - of.low) / 2 / abs(of.mean - row.claim.above)) ** 2) + 1
    return needed if needed <= MOST_BASES else None


def results_page(found: Sequence[Answer], suites: Mapping[str, Any]) -> str:
    """The page; `suites` by name, each with its suite, what its pack says of itself, and the
    answer of its report."""
    page = templates(bases_needed, markdown_row, percents, size, spanned)
    return page.get_template("results.md").render(found=found, suites=suites)
