"""A run as it is shown while it lasts: by what its log says, here or from another terminal."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from rich import progress
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from ..terminal import say

SILENT_S = 30  # between two lines that no tenth of the jobs is the reason of


class _Pace(progress.ProgressColumn):
    """How many a minute, and how long the others take at that."""

    def render(self, task: progress.Task) -> Text:
        if task.finished or not task.speed or task.time_remaining is None:
            return Text()
        left = timedelta(seconds=int(task.time_remaining))
        return Text(f"{60 * task.speed:.3g}/min, {left} left", "dim")


class Live(progress.Progress):
    """A bar for each kind of job; below them what runs now, as far as that goes into a line, and
    what the trials of this run came to, on the mean of a method.

    What is no terminal gets a line of words at every tenth of the jobs, and every half minute.
    """

    def __init__(self, console: Console) -> None:
        self._at: float | None = None  # when what is taken now happened; None: nothing is
        self._kinds: dict[str, progress.TaskID] = {}  # the bar of each
        self._slots, self._begun = 0, 0.0
        self._names: dict[str, str] = {}  # of the jobs that an executor has, by key, oldest first
        self._since: dict[str, float] = {}  # when those that run began
        self._statuses: Counter[str] = Counter()  # of trials
        self._reasons: set[str] = set()
        self._sums: dict[
            str, tuple[int, float]
        ] = {}  # of done trials: how many, and of their values
        self._said = 0, 0.0  # tenths of the jobs, and when
        super().__init__(
            progress.TextColumn("{task.description}"),
            *([progress.BarColumn(30)] if console.width >= 80 else []),
            progress.MofNCompleteColumn(),
            _Pace(),
            console=console,
            speed_estimate_period=1e7,
            transient=not console.is_terminal,
            get_time=lambda: time.time() if self._at is None else self._at,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        """Asked for ten times a second, also where nothing is drawn."""
        if self._kinds:
            yield Text(self._head())
        if self._said[1]:  # of a pipe, in which all jobs are known
            self._say()
            return
        yield from super().get_renderables()
        for key, at in list(self._since.items()):  # a copy: another thread draws
            now = f"{self._for(at)} {self._names.get(key)}"
            yield Text(now, "dim", no_wrap=True, overflow="ellipsis")
        if self._sums:
            table = Table("method", "done", f"mean {self._of}", box=None, pad_edge=False)
            for method, (done, total) in list(self._sums.items()):
                table.add_row(method, str(done), f"{total / done:.2f}")
            yield table

    def take(self, told: Mapping[str, Any]) -> None:
        """Show what a line of the log has changed; see `RunLog`."""
        event, key, why = told["event"], told.get("key", ""), told.get("failure")
        self._at = datetime.fromisoformat(told["at"]).timestamp()
        self._begun = self._begun or self._at
        if event == "jobs planned":
            self._slots = told["slots"]
            for kind, count in told["jobs"].items():
                if kind not in self._kinds:
                    self._kinds[kind] = self.add_task(kind, total=0)
                bar = self._tasks[self._kinds[kind]]
                self.update(bar.id, total=(bar.total or 0) + count)
        elif event == "job started":
            self._names[key] = told["name"]
        elif event in ("job ended", "job retried"):
            self._names.pop(key, None)
            self._since.pop(key, None)
        for key in list(self._names)[: self._slots]:  # the others wait for a worker
            self._since.setdefault(key, self._at)
        if event == "job ended":
            self.advance(self._kinds[told["kind"]])
        if why and event != "job retried" and not why["infeasible"]:
            reason = f"{why['kind']}: {why['message']}"
            if reason not in self._reasons:  # told once, of the first that it has met
                say(self.console, ("failed: ", "red"), f"{told['name']}: {reason}")
            self._reasons.add(reason)
        if event == "record written":
            self._statuses[told["status"]] += 1
            if told.get("value") is not None:
                self._of = told["of"]
                done, total = self._sums.get(told["method"], (0, 0.0))
                self._sums[told["method"]] = done + 1, total + told["value"]
        if self._kinds:
            self._say()
        self._at = None

    def _say(self) -> None:
        if self.console.is_terminal:
            return
        done = sum(one.completed for one in self.tasks)
        tenth, now = int(10 * done / sum(one.total or 0 for one in self.tasks)), self.get_time()
        if tenth != self._said[0] or now - self._said[1] >= SILENT_S:
            self._said = tenth, now
            kinds = (f"{one.description} {one.completed:.0f}/{one.total:.0f}" for one in self.tasks)
            rest = timedelta(seconds=int(max(one.time_remaining or 0 for one in self.tasks)))
            left = f"; {rest} left" if rest else ""
            say(self.console, f"{self._head()}; {', '.join(kinds)}{left}")

    def _head(self) -> str:
        failed = self._statuses.total() - self._statuses["done"]
        return f"{self._for(self._begun)}, {failed} trials failed"

    def _for(self, since: float) -> timedelta:
        return timedelta(seconds=int(max(self.get_time() - since, 0)))
