"""The command: each verb a thin wrapper over a function; heavy imports wait until wanted."""

import gc
import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from criteria.errors import CriteriaError
from suites.faults import printable
from suites.files import SuiteError

from ..errors import SAID, BenchError, Interrupted, StoreError
from ..plan.plugins import load_plugins
from ..run.declaring import footing_of
from ..run.packing import PACK, readable
from ..run.reporting import finished, saying_damage, write_report
from ..store.store import Store
from ..terminal import console_for_people, plain, say
from .arguments import (
    DATA,
    RESULTS,
    ChosenSuite,
    DataRoot,
    Methods,
    Plugins,
    ReadableResults,
    Results,
    SuiteToRead,
    SuiteToRun,
    argument,
    names_in,
    option,
    takes_suite,
)
from .checking import show_checks, show_network
from .listing import listing
from .new_criterion import write_criterion
from .status import show_all, show_status

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
    what: Annotated[str, argument("list.what")],
    name: Annotated[str, argument("list.name")] = "",
    plugin: Plugins = [],  # noqa: B006  # typer's own way
) -> None:
    """Show what there is by name; with a name, all about that one."""
    listing(console, what, plugin, name)


@app.command()
@takes_suite
def plan(
    chosen: SuiteToRun,
    methods: Methods = "",
    workers: Annotated[int, option("plan.workers")] = os.cpu_count() or 1,
    data_root: DataRoot = DATA,
    scales: Annotated[bool, option("plan.scales")] = False,
    tflops: Annotated[float, option("plan.tflops")] = 20.0,
    ceiling: Annotated[float, option("plan.ceiling")] = 20_000.0,
) -> None:
    """Show what a run would do, how long it takes, and what its statistics can and cannot show."""
    from ..plan.workload import Throughput  # numpy comes with it
    from .planning import show_plan, show_scales

    throughput, store, only = Throughput(tflops, ceiling), Store(chosen.results), names_in(methods)
    with saying_damage(store, console):
        if scales:
            plans = {name: one.only(only) for name, one in chosen.plans_by_scale(console).items()}
            show_scales(console, plans, store, throughput, data_root)
        else:
            planned = chosen.plan(console).only(only)
            show_plan(console, planned, store, workers, throughput, data_root, chosen.keep)


@app.command()
@takes_suite
def fetch(chosen: ChosenSuite, data_root: DataRoot = DATA) -> None:
    """Get the datasets, weights and checkpoints of a suite, and say what must be got by hand."""
    suite = chosen.suite()

    from .fetch import fetch_all, requirements

    load_plugins(chosen.all_plugins)  # their faults are told before anything large is fetched
    wanted = requirements(suite, data_root.resolve(), Store(chosen.results).root)
    raise typer.Exit(fetch_all(wanted, console))


@app.command()
@takes_suite
def run(
    chosen: SuiteToRun,
    data_root: DataRoot = DATA,
    workers: Annotated[int, option("run.workers")] = os.cpu_count() or 1,
    methods: Methods = "",
    repeats: Annotated[int | None, option("run.repeats")] = None,
    trial: Annotated[str, option("run.trial")] = "",
    download: Annotated[bool, option("run.download")] = False,
    device: Annotated[str, option("run.device")] = "cpu",
    loaders: Annotated[int | None, option("run.loaders")] = None,
    executor: Annotated[str, option("run.executor")] = "local",
    timeout: Annotated[float | None, option("run.timeout")] = None,
    slurm: Annotated[list[str], option("run.slurm")] = [],  # noqa: B006
    shard: Annotated[str, option("run.shard")] = "",
    retry_failed: Annotated[bool, option("run.retry_failed")] = False,
    allow_untrained: Annotated[bool, option("run.allow_untrained")] = False,
) -> None:
    """Run a suite. Run it again after any interruption: finished trials are not repeated."""
    planned = chosen.plan(console, trial)

    from ..run.session import Request, session
    from ..steps.workspace import Settings

    settings = Settings(
        chosen.results,
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
        trial=trial,
        executor=executor,
        timeout_s=timeout,
        slurm=tuple(slurm),
        shard=shard,
        retry_failed=retry_failed,
        allow_untrained=allow_untrained,
        keep=chosen.keep,
        command=" ".join(sys.argv),
    )
    raise typer.Exit(session(planned, request, console))


@dataclass(frozen=True, kw_only=True)
class _OneOrAll(SuiteToRead):
    name: Annotated[str, argument("status.name")] = ""


@app.command()
@takes_suite
def status(chosen: _OneOrAll, watch: Annotated[bool, option("status.watch")] = False) -> None:
    """Show how far a suite has come, and what has failed; without a name, all suites."""
    store = Store(chosen.results)
    if watch:
        if replace(chosen, name="") != _OneOrAll(results=chosen.results):
            raise typer.BadParameter("--watch takes a suite's name and --results, nothing else")
        from .watch import show_run

        show_run(console, store, chosen.suite().suite if Path(chosen.name).suffix else chosen.name)
        return
    with saying_damage(store, console):
        if chosen.name:
            show_status(console, chosen.outline(console), store)
        elif chosen == _OneOrAll(results=chosen.results):
            show_all(console, store)
        else:
            raise typer.BadParameter("options are of one suite; give its name")


@app.command()
def explain(
    trial: Annotated[list[str], argument("explain.trial")], results: ReadableResults = RESULTS
) -> None:
    """Say what a trial is made of, what it took, what came of it, and how to run it alone."""
    from .explain import show_trial

    if trial[0].endswith(PACK):
        results, trial = Path(trial[0]), trial[1:]
    store = Store(readable(results))
    with saying_damage(store, console):
        show_trial(console, store, " ".join(trial), results)


@app.command()
def doctor(results: Results = RESULTS) -> None:
    """Look at all that may stand in the way of a run: machine, disk, results, MLflow."""
    from .doctor import show_findings

    raise typer.Exit(show_findings(console, Store(results)))


@app.command()
@takes_suite
def report(
    chosen: SuiteToRead,
    out: Annotated[Path | None, option("report.out")] = None,
    format_: Annotated[str, option("report.format")] = "",
    figures: Annotated[str, option("report.figures")] = "",
    paper: Annotated[list[str], option("report.paper")] = [],  # noqa: B006
) -> None:
    """Write the report of a suite from its records, finished or not; MLflow carries it then."""
    if paper and (format_ or figures):
        raise typer.BadParameter("leave --format and --figures out: a paper has its own")
    planned = chosen.outline(console)

    from ..tracking import TrackingError
    from ..tracking import sync as sync_records

    store, suite = Store(chosen.results), planned.suite
    if out is None and chosen.pack:
        out = chosen.pack.with_name(suite.suite) / ("paper" if paper else "")
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
            sync_records(store.root, suite, records, planned.expected)
    except (StoreError, TrackingError) as error:
        say(console, (f"MLflow: {error}", "yellow"))


@dataclass(frozen=True, kw_only=True)
class _SuiteOfMethods(SuiteToRead):
    name: Annotated[str, option("compare.name")]


@app.command()
@takes_suite
def compare(
    chosen: _SuiteOfMethods,
    method: Annotated[str, argument("compare.method")],
    reference: Annotated[str, argument("compare.reference")],
) -> None:
    """Hold one method of a suite against another: how much better, where, and how surely."""
    planned, store = chosen.outline(console), Store(chosen.results)

    from .compare import difference, show_difference

    with saying_damage(store, console):
        records = finished(planned, store)
        show_difference(console, difference(planned, records, method, reference))
        footing = footing_of(planned, store, records)
    for sentence in (footing.declared, *footing.notices):
        say(console, sentence)


@app.command()
def claims(
    results: Annotated[list[Path], option("claims.results")] = [RESULTS],  # noqa: B006
    out: Annotated[Path | None, option("claims.out")] = None,
) -> None:
    """Hold what the papers claim against the records of their suites."""
    from .claims import show_claims

    show_claims(console, [*map(readable, results)], out)


@app.command()
@takes_suite
def sync(chosen: ChosenSuite) -> None:
    """Bring MLflow up to the records: trials that it lacks, summaries that say something else."""
    from ..tracking import sync as sync_records

    planned, store = chosen.outline(console), Store(chosen.results)
    with store.lock(), saying_damage(store, console):
        records = planned.records(store)
        added = sync_records(store.root, planned.suite, records, planned.expected)
    say(console, f"{added} of {len(records)} trials were missing in MLflow and are there now")


@app.command()
def export(
    trial: Annotated[str, argument("export.trial")] = "",
    to: Annotated[str, option("export.to")] = "onnx",
    out: Annotated[Path | None, option("export.out")] = None,
    code: Annotated[bool, option("export.code")] = False,
    results: Results = RESULTS,
    data_root: DataRoot = DATA,
    plugin: Plugins = [],  # noqa: B006
) -> None:
    """Write a kept network (bench run --keep) as a file, and check that in its own runtime;
    without a trial, list them."""
    from .export import show_code, show_kept, write_export

    load_plugins(plugin)
    if not trial:
        show_kept(console, Store(results))
    elif code:
        show_code(trial, results)
    else:
        write_export(console, trial, to, out, results, data_root)


@app.command()
def pack(
    what: Annotated[str, argument("pack.what")] = "",
    results: Results = RESULTS,
    out: Annotated[Path | None, option("pack.out")] = None,
    lab: Annotated[str, option("pack.lab")] = "",
    unpack: Annotated[bool, option("pack.unpack")] = False,
) -> None:
    """Put a suite that was run into one file that travels; without a suite, all records of a
    results folder into one file there, where every verb reads them as well."""
    from .packs import pack_up

    if (out or lab) and (unpack or not what):
        raise typer.BadParameter("--out and --lab are of the file of a SUITE")
    pack_up(console, what, Store(results), out, lab, unpack=unpack)


@app.command()
def merge(
    packs: Annotated[list[Path], argument("merge.packs")], out: Annotated[Path, option("merge.out")]
) -> None:
    """Join packs of one suite; what labs found differently of a trial is shown, and kept."""
    from .packs import join

    join(console, packs, out)


@app.command()
def verify(
    pack: Annotated[Path, argument("verify.pack")],
    sample: Annotated[int, option("verify.sample")] = 5,
    seed: Annotated[int, option("verify.seed")] = 0,
    data_root: DataRoot = DATA,
) -> None:
    """Check a pack, and run some of its trials again from scratch: do they find the same?"""
    from .packs import hold

    raise typer.Exit(not hold(console, pack, sample, seed, data_root))


@app.command(name="results")
def results_(
    places: Annotated[list[Path], argument("results.places")],
    out: Annotated[Path, option("results.out")],
    questions: Annotated[Path | None, option("results.questions")] = None,
) -> None:
    """Write a static site over packs: suites, methods over them, and each report a click away."""
    from .site import write_site

    say(console, f"site: {write_site(places, out, questions)}")


@app.command()
def pull(
    suite: Annotated[str, argument("pull.suite")],
    source: Annotated[str, option("pull.source")],
    results: Results = RESULTS,
) -> None:
    """Fetch a colleague's records of a suite from MLflow; what is here stays as it is."""
    from ..tracking import pull as pull_records

    store = Store(results)
    with store.lock(), saying_damage(store, console), console.status(plain(f"asking {source}")):
        pulled = pull_records(store, suite, source)
    say(console, f"{pulled.written} records fetched, {pulled.here} of {pulled.found} were here")
    for fault in pulled.faults:
        say(console, f"left out: {fault}")


@app.command()
def ui(results: Results = RESULTS, port: Annotated[int, option("ui.port")] = 5000) -> None:
    """Open the MLflow UI on the results; stop it with Ctrl-C."""
    from ..tracking.connection import ui_command, ui_environment
    from ..tracking.links import HOME

    command = ui_command(results.resolve(), port=port)
    say(console, f"MLflow UI on http://127.0.0.1:{port}/{HOME} (Ctrl-C stops it)")
    os.execve(command[0], command, ui_environment())


@app.command(name="new-criterion")
def new_criterion(
    name: Annotated[str, argument("new-criterion.name")],
    out: Annotated[Path | None, option("new-criterion.out")] = None,
) -> None:
    """Write a small criterion that runs, to begin yours with."""
    path = write_criterion(name, out)
    say(console, f"wrote {path}; check it with: bench check --plugin {path}")


@app.command()
def check(
    name: Annotated[str, argument("check.name")] = "",
    plugin: Plugins = [],  # noqa: B006
    results: Results = RESULTS,
    model: Annotated[str, option("check.model")] = "",
    options: Annotated[list[str], option("check.options")] = [],  # noqa: B006
    classes: Annotated[int, option("check.classes")] = 10,
    channels: Annotated[int, option("check.channels")] = 3,
    image_size: Annotated[int, option("check.image_size")] = 32,
    task: Annotated[str, option("check.task")] = "classification",
) -> None:
    """Say whether a criterion keeps its promises, what it costs, and whom it ranks like.

    With --model, what can be pruned of a network, and which criteria can score it.
    """
    if name and model:
        raise typer.BadParameter("give a criterion or --model, not both")
    if model:
        return show_network(console, model, options, plugin, (classes, channels, image_size), task)
    raise typer.Exit(show_checks(console, name, plugin, results))


def _interrupt(number: int, frame: object) -> None:
    raise Interrupted


def main() -> None:
    """Entry point: faults of input are one message and an exit code, never a traceback."""
    gc.set_threshold(20_000)  # plans and records live to the end: looking for garbage took half
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        app()
    except (BenchError, CriteriaError, SuiteError, OSError) as error:
        say(complaints, ("error:", "bold red"), f" {printable(str(error), SAID)}")
        raise SystemExit(getattr(error, "exit_code", 2)) from None
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != 130:  # 130: typer has met the interrupt
            raise
        kept = "; finished trials are kept, the same command goes on from there"
        say(complaints, "interrupted" + (kept if sys.argv[1:2] == ["run"] else ""))
        raise SystemExit(130) from None
