"""What `bench check` says of a criterion while it looks, and in the end."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from ..errors import BenchError
from ..terminal import say


def show_checks(console: Console, name: str, plugins: Sequence[Path], results: Path) -> int:
    """Check the named criterion, or all that the plugins register; 1 where one does not conform.

    Raises:
        BenchError: neither a name nor a plugin.
    """
    if not name and not plugins:
        raise BenchError("bench check: give the name of a criterion, or --plugin FILE")
    with console.status("loading torch and the criteria"):
        from criteria import find

        from ..conformance import check as findings_of
        from ..conformance.finding import fails, show_findings, summary
        from ..plan.plugins import load_plugins, registered_by

        load_plugins(plugins)
        names = [find(name).name] if name else registered_by(plugins)
    code = 0
    for criterion in names:
        with console.status(f"checking {criterion}") as status:
            # A step is on the moving line of a terminal, or a line of a log.
            tell = status.update if console.is_terminal else partial(say, console)
            findings = findings_of(criterion, results, tell)
        show_findings(console, findings)
        say(console, (summary(findings), "bold red" if fails(findings) else "bold green"))
        code |= fails(findings)
    return int(code)
