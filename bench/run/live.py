"""A run as it is shown while it lasts: by what its log says, here or from another terminal."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from rich import progress
from rich.console import Console, RenderableType
from rich.text import Text

from ..terminal import say


class _Pace(progress.ProgressColumn):
    """How many a minute, and how long the others take at that."""

    def render(self, task: progress.Task) -> Text:
        if task.finished or not task.speed or task.time_remaining is None:
            return Text()
        left = timedelta(seconds=int(task.time_remaining))
        return Text(f"{60 * task.speed:.3g}/min, {left} left", "dim")


class Live(progress.Progress):
    """A bar for each kind of job; below them what runs now, as far as that goes into a line."""

    def __init__(self, console: Console) -> None:
        self._at: float | None = None  # when what is taken now happened; None: nothing is
        self._kinds: dict[str, progress.TaskID] = {}  # the bar of each
        self._slots, self._begun = 0, 0.0
        self._names: dict[str, str] = {}  # of the jobs that an executor has, by key, oldest first
        self._since: dict[str, float] = {}  # when those that run began
        self._statuses: Counter[str] = Counter()  # of trials
        self._sums: Counter[str] = Counter()  # of what the finished ones measure
        self._reasons: set[str] = set()
        super().__init__(
            progress.TextColumn("{task.description}"),
            *([progress.BarColumn(30)] if console.width >= 80 else []),
            progress.MofNCompleteColumn(),
            _Pace(),
            console=console,
            speed_estimate_period=1e7,
            get_time=lambda: time.time() if self._at is None else self._at,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        done = self._statuses["done"]
        if self._begun:
            yield Text(f"{self._counts()}, after {self._for(self._begun)}")
        yield from super().get_renderables()
        lines = [f"{total / max(done, 1):.2f} {what}" for what, total in list(self._sums.items())]
        if lines:
            lines = [f"mean of {done} done: {', '.join(lines)}"]
        for key, at in list(self._since.items()):  # a copy: another thread draws
            lines.append(f"{self._for(at)} {self._names.get(key)}")
        for line in lines:
            yield Text(line, "dim", no_wrap=True, overflow="ellipsis")

    def take(self, told: Mapping[str, Any]) -> None:
        """Show what a line of the log has changed; see `RunLog`."""
        self._at = datetime.fromisoformat(told["at"]).timestamp()
        self._begun = self._begun or self._at
        match told["event"]:
            case "jobs planned":
                self._slots = told["slots"]
                for kind, count in told["jobs"].items():
                    self._expect(kind, count)
            case "job started":
                self._names[told["key"]] = told["name"]
            case "job retried":
                self._leave(told["key"])
            case "job ended":
                self._leave(told["key"])
                self._expect(told["kind"], 0)
                self.advance(self._kinds[told["kind"]])
                self._complain(told)
            case "record written":
                self._statuses[told["status"]] += 1
                self._sums.update(told["found"])
                self._complain(told)
                tenth = max(int(self._trials()) // 10, 1)
                if not self.console.is_terminal and self._statuses.total() % tenth == 0:
                    say(self.console, self._counts())  # a file has no bars
        for key in list(self._names)[: self._slots]:  # the others wait for a worker
            self._since.setdefault(key, self._at)
        self._at = None

    def _leave(self, key: str) -> None:
        self._names.pop(key, None)
        self._since.pop(key, None)

    def _expect(self, kind: str, more: int) -> None:
        """So many jobs more; at least one that has not ended, as a split job has more parts."""
        if kind not in self._kinds:
            self._kinds[kind] = self.add_task(kind, total=0)
        task = self._tasks[self._kinds[kind]]
        self.update(task.id, total=max((task.total or 0) + more, task.completed + 1))

    def _complain(self, told: Mapping[str, Any]) -> None:
        """Say why a job failed, unless another has for that very reason."""
        if (why := told["failure"]) and not why["infeasible"]:
            reason = f"{why['kind']}: {why['message']}"
            if reason not in self._reasons:
                say(self.console, ("failed: ", "red"), f"{told['name']}: {reason}")
            self._reasons.add(reason)

    def _trials(self) -> float:
        return self._tasks[self._kinds["trials"]].total or 0 if "trials" in self._kinds else 0

    def _counts(self) -> str:
        ended = self._statuses.total()
        return f"{ended}/{self._trials()} trials, {ended - self._statuses['done']} failed"

    def _for(self, since: float) -> timedelta:
        return timedelta(seconds=int(max(self.get_time() - since, 0)))
