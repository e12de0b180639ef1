"""What `bench check` says of a criterion, or of a network, while it looks and in the end."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from criteria import criteria, find
from suites.files import parse_yaml
from suites.problem import ModelSpec

from ..errors import BenchError, Interrupted, told
from ..plan.plugins import load_plugins
from ..terminal import plain, print_table, say


def show_checks(console: Console, name: str, plugins: Sequence[Path], results: Path) -> int:
    """Check the named criterion, or all that the plugins register; 1 where one does not conform.
    Raises BenchError for neither a name nor a plugin."""
    if not name and not plugins:
        raise BenchError("bench check: give the name of a criterion, --plugin FILE or --model NAME")
    with console.status("loading torch and the criteria"):
        from ..conformance import check as findings_of
        from ..conformance.finding import fails, show_findings, summary

        load_plugins(plugins)
        files = {path.resolve() for path in plugins}
        names = [one.name for one in criteria() if one.file in files]
        names = [find(name).name] if name else names
    code = 0
    for criterion in names:
        with console.status(plain(f"checking {criterion}")) as status:
            # A step is on the moving line of a terminal, or a line of a log.
            tell = status.update if console.is_terminal else partial(say, console)
            try:
                findings = findings_of(criterion, results, tell)
            except BaseException as error:
                if isinstance(error, Exception | Interrupted):
                    raise
                said = f"{type(error).__name__}: {told(error)}"
                raise BenchError(f"{criterion} ends whatever runs it: {said}") from error
        show_findings(console, findings)
        say(console, (summary(findings), "bold red" if fails(findings) else "bold green"))
        code |= fails(findings)
    return int(code)


def show_network(
    console: Console,
    name: str,
    options: Sequence[str],
    plugins: Sequence[Path],
    shape: tuple[int, int, int],
    task: str,
) -> None:
    """Say what can be pruned of a model for data of so many classes, channels and pixels a side."""
    with console.status(plain(f"building {name}")):
        from ..conformance.network import built, facts, unscored

        load_plugins(plugins)
        pairs = (one.partition("=") for one in options)
        given = {key: parse_yaml(value, f"--option {key}") for key, _, value in pairs}
        network = built(ModelSpec(name=name, options=given), *shape, task=task)
    groups = network.structure.groups
    rows = [
        (one.root, str(one.units), str(one.channels_per_unit), str(len(one.members)))
        for one in groups
    ]
    print_table(console, ("group", "units", "channels each", "layers"), rows)
    if refused := network.structure.refused:
        say(console)
        print_table(console, ("kept whole", "why"), refused.items())
    say(console)
    for what, said in facts(network):
        say(console, (f"{what}: ", "bold"), said)
    with console.status("scoring") as status:
        why = unscored(network, task, status.update)
    able = sum(one.structured for one in criteria())
    say(console, ("criteria: ", "bold"), f"{able - len(why)} of {able} score it")
    if why:
        print_table(console, ("cannot", "why"), why.items())
