"""A run under way, from another terminal or machine: what its log says, as it says it."""

import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import BenchError, StoreError
from ..run.live import Event, Live
from ..store.store import Store
from ..terminal import say


def show_run(console: Console, store: Store, suite: str = "") -> None:
    """Follow the run that works in these results, of this suite, to its end or an interrupt.

    Raises:
        BenchError: the run is of another suite.
        StoreError: its log is damaged.
    """
    log = None
    try:
        while holder := store.holder():
            log = max(store.root.glob("logs/*.jsonl"), key=lambda one: one.stem[-16:], default=None)
            first = _first(log) if log else {}
            if log and holder == f"{first['process']} on {first['host']}":
                if suite not in ("", first["suite"]):
                    raise BenchError(f"the run under way in {store.root} is of {first['suite']}")
                return _follow(console, store, log, holder)
            time.sleep(1)  # it begins
        say(console, f"No run is under way in {store.root}; bench status tells of those that were.")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        said = f"{log} is damaged ({type(error).__name__}: {error}); bench status SUITE still works"
        raise StoreError(said) from error
    except KeyboardInterrupt:
        return None  # enough was seen


def _first(log: Path) -> dict[str, Any]:
    with log.open("rb") as file:
        return json.loads(file.readline())


def _follow(console: Console, store: Store, log: Path, holder: str) -> None:
    """Show a log while it grows: on a terminal drawn anew, elsewhere a line an event."""
    live, rest, alive, ended = Live(console), b"", True, ""
    with log.open("rb") as file, live if console.is_terminal else nullcontext():
        while alive and not ended:
            alive = store.holder() == holder  # asked first, so that its last words are read
            lines, _, rest = (rest + file.read()).rpartition(b"\n")
            for told in map(json.loads, lines.splitlines()):
                if console.is_terminal:
                    live.take(told)
                else:
                    say(console, _line(told))
                if told["event"] == "run ended":
                    ended = ": ".join(filter(None, (told["how"], told["why"])))
            if alive and not ended:
                time.sleep(1)
    gone = f"Its process, {holder}, is gone: run the same command again, and it goes on from there."
    say(console, f"The run has {ended}" if ended else gone)


def _line(told: Event) -> str:
    """An event in a line: when, what, of what, and what came of it.

    >>> _line({"at": "2026-11-29T12:00:00.123+00:00", "event": "job started", "name": "base 0"})
    '12:00:00 job started: base 0'
    """
    telling = ("suite", "name", "what", "status", "how", "why")
    words = [told[one] for one in telling if told.get(one)]
    words += [f"{count} {kind}" for kind, count in told.get("jobs", {}).items()]
    if why := told.get("failure"):
        words.append(f"{why['kind']}: {why['message']}")
    return f"{told['at'][11:19]} {told['event']}: {', '.join(words)}"
