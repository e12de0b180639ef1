"""Arguments and options that several verbs of the command share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

SuiteName = Annotated[str, typer.Argument(help="A suite's name (bench list suites) or .yaml file.")]
Results = Annotated[
    Path, typer.Option("--results", envvar="BENCH_RESULTS", help="Folder that results go to.")
]
DataRoot = Annotated[
    Path, typer.Option("--data-root", envvar="BENCH_DATA_ROOT", help="Folder that datasets lie in.")
]
Overrides = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Change the suite: --set calibration.images=64"
    ),
]
Scale = Annotated[
    str, typer.Option("--scale", metavar="NAME", help="One of the suite's own smaller versions.")
]
Smoke = Annotated[bool, typer.Option("--smoke", help="Short for --scale smoke.")]
Plugins = Annotated[
    list[Path], typer.Option("--plugin", metavar="FILE", help="Python file with criteria of yours.")
]
Methods = Annotated[
    str, typer.Option("--methods", metavar="A,B", help="Only these methods of the suite.")
]
RESULTS, DATA = Path("results"), Path("data")
