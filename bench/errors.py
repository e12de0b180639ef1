"""What goes wrong in ways that a person can mend: said in one message, never as a traceback."""

import re
import sys
from functools import partial
from importlib import import_module
from pathlib import Path
from traceback import TracebackException, extract_tb
from typing import Any

from suites.faults import printable, sentence

fault = partial(sentence, Path(__file__).with_name("faults.yaml"))


SAID = 2_000  # characters that are kept of what foreign code says
_PLACE = re.compile(r'(?<=File ")/[^"\n]+(?=", line )')


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, and no KeyboardInterrupt that a plugin raises."""


class BenchError(Exception):
    """A fault of the input or of the machine. The message says what, where, and what to do."""

    exit_code = 2


class PlanError(BenchError):
    """A suite that reads well but cannot be run: unknown criterion, option, dataset or model."""


class DataError(BenchError):
    """A dataset that is not where it should be, or not what it should be."""


class ModelError(BenchError):
    """An unknown architecture, or a checkpoint that does not fit it."""


class StoreError(BenchError):
    """The results folder cannot be read, written or locked."""

    exit_code = 74  # EX_IOERR


class ExportError(BenchError):
    """A network that cannot be kept, rebuilt, or written for another runtime."""


def needed(extra: str, *packages: str, wrong: type[BenchError] = BenchError) -> Any:
    """The last of these packages, which an extra brings; raises `wrong` where one is missing."""
    try:
        return [import_module(one) for one in packages][-1]
    except ImportError as error:
        said = fault("needed", packages=", ".join(packages), extra=extra, error=error)
        raise wrong(said) from error


def at_fault(file: Path, error: BaseException) -> str:
    """Where in a user's file an error arose, and which: `nets.py, line 3: KeyError: 'a'`."""
    stack = extract_tb(error.__traceback__)
    lines = [one.lineno for one in stack if Path(one.filename).resolve() == file.resolve()]
    line = lines[-1] if lines else getattr(error, "lineno", None)
    place = f"{file}, line {line}" if line else str(file)
    return f"{place}: {type(error).__name__}: {told(error)}"


def told(error: BaseException, *, trace: bool = False) -> str:
    r"""The message of any exception, or its whole traceback, so that every file can hold it.

    Lines of tracebacks name files as imports do, or plainly, not where on this machine they lie.
    """
    try:
        found = TracebackException.from_exception(error)
        said = _PLACE.sub(_imported, "".join(found.format()) if trace else str(found))
    except BaseException as other:  # of an exception whose own attributes raise
        said = f"{type(error).__name__}, which cannot be told ({type(other).__name__})"
    return printable(said, 10 * SAID if trace else SAID)


def _imported(found: re.Match[str]) -> str:
    known = (found[0].removeprefix(f"{one}/") for one in sys.path if one)
    plain = found[0].rpartition("/")[2]
    return min((one for one in known if not one.startswith("/")), key=len, default=plain)
