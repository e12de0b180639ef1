"""A run under way, from another terminal or machine: what its log says, as it says it."""

import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console

from ..errors import BenchError, StoreError
from ..run.live import Live
from ..store.store import Store
from ..terminal import say


def show_run(console: Console, store: Store, suite: str = "") -> None:
    """Follow the run of this suite that works in these results, to its end or an interrupt.

    Raises:
        BenchError: the run is of another suite.
        StoreError: its log is damaged.
    """
    try:
        while holder := store.holder():
            begun = (store.root / ".holder").stat().st_mtime
            for log in store.root.glob("logs/*"):
                if log.stat().st_mtime >= begun:
                    if suite not in ("", _suite_of(log)):
                        raise BenchError(f"the run under way is another: {_suite_of(log)}")
                    return _follow(console, store, log, holder)
            time.sleep(1)  # it begins
        said = f"No run is under way in {store.root}; bench status tells of those that were."
        logs = sorted(store.root.glob("logs/*"), key=lambda one: one.stat().st_mtime)
        if logs and '"event": "run ended"' not in logs[-1].read_text()[-10_000:]:
            died = f"{_suite_of(logs[-1])} died in its last run"
            said += f" {died}: the same command goes on from there."
        say(console, said)
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"the run's log is damaged ({error!r}); bench status SUITE") from error
    except KeyboardInterrupt:
        return None  # enough was seen


def _suite_of(log: Path) -> str:
    return log.stem[:-17]  # what its date takes


def _follow(console: Console, store: Store, log: Path, holder: str) -> None:
    """Show a log while it grows: on a terminal drawn anew, elsewhere its lines."""
    live, rest, alive, told = Live(console), "", True, dict[str, Any](event="")
    with log.open() as file, live if console.is_terminal else nullcontext():
        while alive and told["event"] != "run ended":
            alive = store.holder() == holder  # asked first, so that its last words are read
            *lines, rest = (rest + file.read()).split("\n")
            for line in lines:
                told = json.loads(line)
                # What is read by a program is broken at no width, whatever COLUMNS says.
                live.take(told) if console.is_terminal else console.out(line, highlight=False)
            if alive and told["event"] != "run ended":
                time.sleep(1)
    gone = f"process {holder} is gone; run the same command again, and it goes on from there"
    say(console, f"ended: {told['how']} {told['why']}".strip() if "how" in told else gone)
