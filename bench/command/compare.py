"""One method against another, in the terminal."""

from collections.abc import Sequence

from rich.console import Console

from reports.analysis.compare import MethodDifference, compare_methods
from reports.formats import confidence
from reports.metric import spoken
from reports.page.method_tables import difference_rows
from reports.records import Record
from suites import Suite
from suites.faults import no_such

from ..errors import BenchError
from ..plan.outline import Outline
from ..terminal import print_table, say


def difference(
    plan: Outline, records: Sequence[Record], method: str, reference: str
) -> MethodDifference:
    """Two methods of a suite against each other, from its records. Raises BenchError for a fidelity
    suite, and for a name that is none of its methods."""
    suite = plan.suite
    if not isinstance(suite, Suite):
        raise BenchError(f"{suite.suite} is of kind fidelity, whose report compares criteria")
    known = suite.method_names
    if unknown := [name for name in (method, reference) if name not in known]:
        said = (no_such(f"method in {suite.suite}", name, known) for name in unknown)
        raise BenchError(f"compare: {'; '.join(said)}")
    return compare_methods(suite, records, plan.expected, method, reference)


def show_difference(console: Console, result: MethodDifference) -> None:
    """Differences on each problem, then what may be said over them."""
    of = spoken()
    what = f"{of.quality} change in {of.points} of {of.title}"
    say(console, (f"{result.method} minus {result.reference}, {what}", "bold"))
    level = f"{confidence(result.suite.analysis.alpha)} alone"
    heads = ["difference", level, "bases", "won/tied/lost", "all at once"]
    for recovery, pairs in result.paired.groupby("recovery", sort=False):
        rows = [[cell.text for cell in row[2:-1]] for row in difference_rows(pairs)]
        for row, verdict in zip(rows, pairs["verdict"], strict=True):
            row.append(verdict)  # why it is not compared is among the sentences below
        console.print()
        print_table(console, [str(recovery), *heads], rows)
    console.print()
    for sentence in result.words:
        say(console, sentence)
