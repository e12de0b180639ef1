"""What a suite's records are read by: its trials' names and keys, in the order of the suite."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

from reports.analysis.looks import Course, course
from reports.records import Labels, Record
from suites import FidelitySuite, Suite

from ..store.store import Store


class Named(Protocol):
    """A trial by its name, and the key of its record."""

    @property
    def labels(self) -> Labels: ...
    @property
    def key(self) -> str: ...


@dataclass(frozen=True)
class Outline:
    """A suite and its trials, as far as reports go; of those that have run, see `recorded`."""

    suite: Suite | FidelitySuite
    trials: Sequence[Named]

    @property
    def expected(self) -> list[Labels]:
        """The labels of all trials: what a report is to hold."""
        return [trial.labels for trial in self.trials]

    def needed(self, records: Sequence[Record]) -> tuple[Self, Course]:
        """What the looks of its suite need after these records, and how far they have come.

        Without looks that is the whole of it.
        """
        found = course(self.suite, records, self.expected)
        wanted = set(found.needed)
        kept = [trial for trial in self.trials if trial.labels in wanted]
        return replace(self, trials=tuple(kept)), found

    def records(self, store: Store) -> list[Record]:
        """All records of these trials, under this suite's names for them."""
        found = ((trial, store.record(trial.key)) for trial in self.trials)
        return [
            record.model_copy(update={"labels": trial.labels})
            for trial, record in found
            if record is not None
        ]
