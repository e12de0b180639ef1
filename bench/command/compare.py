"""One method against another, in the terminal."""

from rich.console import Console

from reports.analysis.compare import MethodDifference
from reports.formats import confidence
from reports.metric import spoken
from reports.page.method_tables import difference_rows

from ..terminal import print_table, say


def show_difference(console: Console, result: MethodDifference) -> None:
    """Differences on each problem, then what may be said over them."""
    of = spoken()
    what = f"{of.quality} change in {of.points} of {of.title}"
    title = f"{result.method} minus {result.reference}, {what}"
    say(console, (title, "bold"))
    level = f"{confidence(result.suite.analysis.alpha)} interval"
    heads = ["difference", level, "bases", "won/tied/lost", "there"]
    for recovery, pairs in result.paired.groupby("recovery", sort=False):
        rows = [[cell.text for cell in row[2:-1]] for row in difference_rows(pairs)]
        for row, verdict in zip(rows, pairs["verdict"], strict=True):
            row.append(verdict)  # why it is not compared is among the sentences below
        console.print()
        print_table(console, [str(recovery), *heads], rows)
    console.print()
    for sentence in result.words:
        say(console, sentence)
