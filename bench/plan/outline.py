"""What a suite's records are read by: its trials' names and keys, in the order of the suite."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

from pydantic import BaseModel

from reports.analysis.looks import Course, course
from reports.records import Labels, Record
from suites import FidelitySuite, Suite

from ..store.store import Store
from .jobs import Trial


class RecordedTrial(BaseModel, frozen=True, extra="forbid"):
    """The name of a trial and the key of its record."""

    key: str
    labels: Labels


@dataclass(frozen=True)
class Outline:
    """A suite and its trials, as far as reports go; of those that have run, see `recorded`."""

    suite: Suite | FidelitySuite
    trials: Sequence[RecordedTrial | Trial]

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
        return [
            record.model_copy(update={"labels": trial.labels})
            for trial in self.trials
            if (record := store.record(trial.key)) is not None
        ]
