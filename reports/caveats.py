"""What the analysis warns of by itself: failures that decide a test, and noise above the ROPE."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .formats import p_value
from .tables import failures

if TYPE_CHECKING:
    from .analysis import Results


def caveats(results: Results) -> Iterator[str]:
    """Sentences for the page; none where nothing failed and repeats agree."""
    yield from _failed(results)
    floor = results.noise["aa_sd"].max()
    if floor > results.suite.analysis.rope:
        yield (
            f"On a problem, a method run again would differ from itself by {floor:.2f} points "
            "(standard deviation, from repeats, at the worst): more than the ROPE of "
            f"{results.suite.analysis.rope:g}. Differences of that size are no finding."
        )


def _failed(results: Results) -> Iterator[str]:
    """What failing means in the tests over problems, and whether the answer hangs on it."""
    lost = Counter(method for _, _, method in failures(results.cells))
    if not lost:
        return
    who = ", ".join(f"{method} ({n})" for method, n in sorted(lost.items()))
    worst = results.suite.analysis.failures == "worst"
    does = "take the worst rank there" if worst else "leave those problems out of their comparisons"
    yield (
        f"Methods that failed, with the number of problems and recoveries: {who}. In tests over "
        f"problems they {does}; differences in points are of the problems where both succeeded."
    )
    for row in results.disagreements.to_dict("records"):
        other = "with those problems left out" if worst else "with the worst rank"
        yield (
            f"{row['method']} against {row['reference']}, recovery {row['recovery']}: {other} the "
            f"test {'rejects' if row['rejected'] else 'does not reject'} "
            f"(Holm p {p_value(row['p_holm'])}), which is not what it does above."
        )
