"""Progress of a run."""

from collections.abc import Iterable

from rich import progress
from rich.console import Console, RenderableType
from rich.text import Text

from reports.records import Failure, Record

from ..plan.jobs import Job
from ..terminal import say


class Live(progress.Progress):
    """A progress bar, and below it what runs now, as far as that goes into a line."""

    def __init__(self, console: Console, trials: int, workers: int) -> None:
        super().__init__(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
            console=console,
        )
        self._workers, self._trials, self._ended, self._bad = workers, trials, 0, 0
        self._bar = self.add_task("trials", total=trials, now="starting workers")
        self._running: dict[str, str] = {}

    def get_renderables(self) -> Iterable[RenderableType]:
        yield from super().get_renderables()
        if now := "; ".join(task.fields["now"] for task in self.tasks):
            yield Text(now, "dim", no_wrap=True, overflow="ellipsis")

    def started(self, job: Job) -> None:
        self._running[job.key] = str(job)
        self._show()

    def ended(self, job: Job, failure: Failure | None) -> None:
        self._running.pop(job.key, None)
        if failure is not None and job.kind != "trials":  # which are counted as recorded
            say(self.console, f"failed: {job}: {failure.kind}: {failure.message}")
        self._show()

    def recorded(self, record: Record) -> None:
        self._bad += record.status != "done"
        self._ended += 1
        self.advance(self._bar)
        self._show()
        tenth = max(self._trials // 10, 1)
        if not self.console.is_terminal and self._ended % tenth == 0:  # a log has no bar
            say(self.console, f"{self._ended}/{self._trials} trials, {self._bad} failed")

    def _show(self) -> None:
        failed = f" · {self._bad} failed" if self._bad else ""
        now = "; ".join(list(self._running.values())[: self._workers])
        self.update(self._bar, description=f"trials{failed}", now=now)
