"""The command: each verb a thin wrapper over a function; heavy imports wait until wanted."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..terminal import console_for_people, say
from .arguments import (
    DATA,
    RESULTS,
    SUITE,
    Cap,
    ChosenSuite,
    DataRoot,
    Methods,
    Overrides,
    Plugins,
    Results,
    Scale,
    Smoke,
    SuiteName,
    UntilDecided,
    names_in,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Which pruning method is better, where, by how much, at what cost, and how sure are we?",
    epilog="Begin with: bench run quickstart",
)
console = console_for_people()
complaints = console_for_people(stderr=True)


@app.command(name="list")
def list_(
    what: Annotated[
        str,
        typer.Argument(
            help="criteria, preparations, procedures, recoveries, presets, suites, models, "
            "datasets or recipes."
        ),
    ],
    name: Annotated[
        str, typer.Argument(help="All about one criterion, preparation, procedure or recovery.")
    ] = "",
    plugin: Plugins = [],  # noqa: B006  # typer's own way
) -> None:
    """Show what there is by name; with a name, all about that one."""
    from .listing import listing

    listing(console, what, plugin, name)


@app.command()
def plan(
    suite: SuiteName,
    results: Results = RESULTS,
    set_: Overrides = [],  # noqa: B006
    scale: Scale = "",
    smoke: Smoke = False,
    plugin: Plugins = [],  # noqa: B006
    methods: Methods = "",
    workers: Annotated[int, typer.Option(help="For the estimate of time.")] = os.cpu_count() or 1,
    data_root: DataRoot = DATA,
    scales: Annotated[
        bool, typer.Option("--scales", help="The suite's scales beside one another.")
    ] = False,
    tflops: Annotated[
        float, typer.Option(min=1e-6, help="Reached by a GPU, for the estimate of GPU-hours.")
    ] = 20.0,
    ceiling: Annotated[
        float, typer.Option(min=1, help="Forward passes a second that a GPU does at most.")
    ] = 20_000.0,
    until_decided: UntilDecided = False,
    cap: Cap = None,
) -> None:
    """Show what a run would do, how long it takes, and what its statistics can and cannot show."""
    from ..plan.workload import Throughput
    from ..run.reporting import saying_damage
    from ..store.store import Store
    from .planning import show_plan, show_scales

    throughput, store = Throughput(tflops, ceiling), Store(results)
    chosen = ChosenSuite(suite, set_, scale, smoke, plugin, methods, until_decided, cap, results)
    with saying_damage(store, console):
        if scales:
            show_scales(console, chosen.plans_by_scale(console), store, throughput, data_root)
        else:
            show_plan(console, chosen.plan(console), store, workers, throughput, data_root)


@app.command()
def fetch(
    suite: SuiteName,
    data_root: DataRoot = DATA,
    results: Results = RESULTS,
    set_: Overrides = [],  # noqa: B006
    scale: Scale = "",
    smoke: Smoke = False,
) -> None:
    """Get the datasets, weights and checkpoints of a suite, and say what must be got by hand."""
    chosen = ChosenSuite(suite, set_, scale, smoke, results=results).suite()

    from ..store.store import Store
    from .fetch import fetch_all, requirements

    wanted = requirements(chosen, data_root.resolve(), Store(results).root)
    raise typer.Exit(fetch_all(wanted, console))


@app.command()
def run(
    suite: SuiteName,
    results: Results = RESULTS,
    data_root: DataRoot = DATA,
    workers: Annotated[
        int, typer.Option(min=1, help="Processes, one thread each.")
    ] = os.cpu_count() or 1,
    methods: Methods = "",
    repeats: Annotated[
        int | None, typer.Option(min=1, help="Only so many repeats of the suite's.")
    ] = None,
    set_: Overrides = [],  # noqa: B006
    scale: Scale = "",
    smoke: Smoke = False,
    plugin: Plugins = [],  # noqa: B006
    download: Annotated[
        bool, typer.Option("--download", help="Fetch missing datasets where torchvision can.")
    ] = False,
    device: Annotated[
        str, typer.Option(help="cpu or cuda; workers share the GPUs that are visible.")
    ] = "cpu",
    loaders: Annotated[
        int | None,
        typer.Option(min=1, help="Threads a worker that decode images; default: all CPUs, shared."),
    ] = None,
    executor: Annotated[
        str, typer.Option(help="local: worker processes; inline: this process; ray: a Ray cluster.")
    ] = "local",
    timeout: Annotated[
        float | None, typer.Option(min=1, help="Seconds after which a job is stopped (local).")
    ] = None,
    shard: Annotated[
        str, typer.Option(metavar="I/N", help="Only the I-th of N parts, for many machines.")
    ] = "",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Run trials again that failed before.")
    ] = False,
    until_decided: UntilDecided = False,
    cap: Cap = None,
    allow_untrained: Annotated[
        bool, typer.Option("--allow-untrained", help="Go on where bases are near chance.")
    ] = False,
) -> None:
    """Run a suite. Run it again after any interruption: finished trials are not repeated."""
    chosen = ChosenSuite(suite, set_, scale, smoke, plugin, "", until_decided, cap, results)
    planned = chosen.plan(console)

    from ..run.session import Request, session
    from ..steps.workspace import Settings

    settings = Settings(
        results,
        data_root,
        download=download,
        plugins=tuple(path.resolve() for path in chosen.all_plugins),
        device=device,
        loaders=loaders or max(1, (os.cpu_count() or 1) // workers),
    )
    request = Request(
        settings,
        workers,
        methods=names_in(methods),
        repeats=repeats,
        executor=executor,
        timeout_s=timeout,
        shard=shard,
        retry_failed=retry_failed,
        allow_untrained=allow_untrained,
        command=" ".join(sys.argv),
    )
    raise typer.Exit(session(planned, request, console))


@app.command()
def status(
    suite: Annotated[str, typer.Argument(help=f"{SUITE} Without: all that were run.")] = "",
    results: Results = RESULTS,
    set_: Overrides = [],  # noqa: B006
    scale: Scale = "",
    smoke: Smoke = False,
    plugin: Plugins = [],  # noqa: B006
) -> None:
    """Show how far a suite has come, and what has failed; without a name, all suites."""
    from ..run.reporting import saying_damage
    from ..store.store import Store
    from .status import show_all, show_status

    store = Store(results)
    with saying_damage(store, console):
        if not suite:
            if set_ or scale or smoke or plugin:
                raise typer.BadParameter("options are of one suite; give its name")
            show_all(console, store)
            return
        chosen = ChosenSuite(suite, set_, scale, smoke, plugin, results=results)
        show_status(console, chosen.outline(console), store)


@app.command()
def report(
    suite: SuiteName,
    results: Results = RESULTS,
    set_: Overrides = [],  # noqa: B006
    scale: Scale = "",
    smoke: Smoke = False,
    plugin: Plugins = [],  # noqa: B006
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; default: RESULTS/reports/SUITE.")
    ] = None,
    format_: Annotated[
        str,
        typer.Option("--format", metavar="A,B", help="Only html, csv, markdown or latex."),
    ] = "",
    figures: Annotated[
        str, typer.Option(metavar="A,B", help="Only these figures, by the names of their files.")
    ] = "",
    paper: Annotated[
        list[str],
        typer.Option(
            metavar="KEY=VALUE",
            help="Instead, LaTeX for a paper: methods=A,B, problems=, recoveries=, budgets=0.5, "
            "width=page, names.A=NAME; may be repeated.",
        ),
    ] = [],  # noqa: B006
) -> None:
    """Write the report of a suite, finished or not, from its records; MLflow's latest run of it
    then carries this report."""
    if paper and (format_ or figures):
        raise typer.BadParameter("leave --format and --figures out: a paper has its own")
    planned = ChosenSuite(suite, set_, scale, smoke, plugin, results=results).outline(console)

    from ..errors import StoreError
    from ..run.reporting import finished, saying_damage, write_report
    from ..store.store import Store
    from ..tracking import TrackingError
    from ..tracking import sync as sync_records

    store, suite_ = Store(results), planned.suite
    with saying_damage(store, console):
        records = finished(planned, store)
        only = (names_in(format_), names_in(figures))
        path = write_report(planned, store, out, *only, records, paper=paper)
    say(console, f"{'paper' if paper else 'report'}: {path}")
    drawn = path if path.is_dir() else path.parent
    if undrawn := [one for one in names_in(figures) if not [*drawn.glob(f"figures/{one}*.svg")]]:
        say(console, (f"these trials do not allow the figure {', '.join(undrawn)}", "yellow"))
    if paper or out is not None:
        return  # for somewhere else
    if not (os.environ.get("MLFLOW_TRACKING_URI") or (store.root / "mlflow.db").exists()):
        return  # and MLflow, which takes seconds to import, is not
    try:
        with store.lock():  # a run that is going on logs its trials itself
            sync_records(store.root, suite_, records, planned.expected, store.report(suite_.suite))
    except (StoreError, TrackingError) as error:
        say(console, (f"MLflow: {error}", "yellow"))


@app.command()
def compare(
    method: Annotated[str, typer.Argument(help="A method of the suite.")],
    reference: Annotated[str, typer.Argument(help="The one that it is held against.")],
    suite: Annotated[str, typer.Option("--suite", help="A suite's name or .yaml file.")],
    results: Results = RESULTS,
    set_: Overrides = [],  # noqa: B006
    scale: Scale = "",
    smoke: Smoke = False,
    plugin: Plugins = [],  # noqa: B006
) -> None:
    """Hold one method of a suite against another: how much better, where, and how surely."""
    planned = ChosenSuite(suite, set_, scale, smoke, plugin, results=results).outline(console)

    from ..run.declaring import footing_of
    from ..run.reporting import compare_methods, finished, saying_damage
    from ..store.store import Store
    from .compare import show_difference

    store = Store(results)
    with saying_damage(store, console):
        records = finished(planned, store)
        show_difference(console, compare_methods(planned, records, method, reference))
        footing = footing_of(planned, store, records)
    for sentence in (footing.declared, *footing.notices):
        say(console, sentence)


@app.command()
def claims(
    results: Annotated[
        list[Path], typer.Option("--results", metavar="FOLDER", help="Results; may be repeated.")
    ] = [RESULTS],  # noqa: B006
    out: Annotated[
        Path | None, typer.Option(help="Markdown file to write, such as docs/claims.md.")
    ] = None,
) -> None:
    """Hold what the papers claim against the records of their suites."""
    from .claims import show_claims

    show_claims(console, results, out)


@app.command()
def sync(
    suite: SuiteName,
    results: Results = RESULTS,
    set_: Overrides = [],  # noqa: B006
    scale: Scale = "",
    smoke: Smoke = False,
    plugin: Plugins = [],  # noqa: B006
) -> None:
    """Bring MLflow up to the records: trials that it lacks, summaries that say something else."""
    from ..run.reporting import saying_damage
    from ..store.store import Store
    from ..tracking import sync as sync_records

    planned = ChosenSuite(suite, set_, scale, smoke, plugin, results=results).outline(console)
    store = Store(results)
    with store.lock(), saying_damage(store, console):
        records = planned.records(store)
        made = store.report(planned.suite.suite)
        report = made if made.exists() else None
        added = sync_records(store.root, planned.suite, records, planned.expected, report)
    say(console, f"{added} of {len(records)} trials were missing in MLflow and are there now")


@app.command()
def pull(
    suite: Annotated[str, typer.Argument(help="A suite's name: the name of its experiment.")],
    source: Annotated[
        str, typer.Option("--from", envvar="MLFLOW_TRACKING_URI", help="MLflow server or database.")
    ],
    results: Results = RESULTS,
) -> None:
    """Fetch a colleague's records of a suite from MLflow; what is here stays as it is."""
    from ..run.reporting import saying_damage
    from ..store.store import Store
    from ..tracking import pull as pull_records

    store = Store(results)
    with store.lock(), saying_damage(store, console), console.status(f"asking {source}"):
        pulled = pull_records(store, suite, source)
    say(console, f"{pulled.written} records fetched, {pulled.here} of {pulled.found} were here")
    for fault in pulled.faults:
        say(console, f"left out: {fault}")


@app.command()
def ui(
    results: Results = RESULTS,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.")] = 5000,
) -> None:
    """Open the MLflow UI on the results; stop it with Ctrl-C."""
    from ..tracking.connection import ui_command, ui_environment
    from ..tracking.links import home, in_lines, links_of_all

    command = ui_command(results.resolve(), port=port)
    address = f"http://127.0.0.1:{port}"
    say(console, f"MLflow UI on {home(address)} (Ctrl-C stops it)")
    for suite, links in links_of_all(results.resolve(), address):
        say(console, f"{suite}\n{in_lines(links)}")
    os.execve(command[0], command, ui_environment())


@app.command(name="new-criterion")
def new_criterion(
    name: Annotated[str, typer.Argument(help="Small letters, digits and _.")],
    out: Annotated[Path | None, typer.Option(help="File to write; default: NAME.py.")] = None,
) -> None:
    """Write a small criterion that runs, to begin yours with."""
    from .new_criterion import write_criterion

    path = write_criterion(name, out)
    say(console, f"wrote {path}; check it with: bench check --plugin {path}")


@app.command()
def check(
    name: Annotated[str, typer.Argument(help="A criterion; default: all of the plugins.")] = "",
    plugin: Plugins = [],  # noqa: B006
    results: Results = RESULTS,
) -> None:
    """Say whether a criterion keeps its promises, what it costs, and whom it ranks like."""
    from .checking import show_checks

    raise typer.Exit(show_checks(console, name, plugin, results))


def main() -> None:
    """Entry point: faults of input are one message and an exit code, never a traceback."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        app()
    except Exception as error:
        if not _is_for_people(error):
            raise
        say(complaints, ("error:", "bold red"), f" {error}")
        raise SystemExit(getattr(error, "exit_code", 2)) from None
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != 130:  # 130: typer has met the interrupt
            raise
        kept = "; finished trials are kept, the same command goes on from there"
        say(complaints, "interrupted" + (kept if sys.argv[1:2] == ["run"] else ""))
        raise SystemExit(130) from None


def _is_for_people(error: Exception) -> bool:
    """Whether its message is all that is to be said: a fault of the input or of the machine."""
    from suites.files import SuiteError

    from ..errors import BenchError

    if isinstance(error, BenchError | SuiteError):
        return True
    if not isinstance(error, ValueError):
        return False
    from criteria import CriteriaError  # loads torch

    return isinstance(error, CriteriaError)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
