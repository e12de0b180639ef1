"""What a suite's records are read by: its trials' names and keys, in the order of the suite.

Beside the records, `results/suites/NAME.json` holds a suite as it was run last: with all options of
its run applied, the files of plugins, and the names and keys of its trials. So a report needs
neither options nor the code of that day.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ValidationError

from criteria.source import PACKAGE
from reports.analysis.looks import Course, course
from reports.records import Labels, Record
from suites import FidelitySuite, Suite, load_suite, resolved

from ..store.sealed import file_sha256, read_json, set_aside, write_json
from ..store.store import Store
from .jobs import ENGINE_VERSION, Trial

LABS = "labs"  # of a pack that is read: a results folder of each lab


class RecordedTrial(BaseModel, frozen=True, extra="forbid"):
    """The name of a trial and the key of its record."""

    key: str
    labels: Labels


@dataclass(frozen=True)
class Outline:
    """A suite and its trials, as far as reports go."""

    suite: Suite | FidelitySuite
    trials: Sequence[RecordedTrial | Trial]

    @property
    def expected(self) -> list[Labels]:
        """The labels of all trials: what a report is to hold."""
        return [trial.labels for trial in self.trials]

    def needed(self, records: Sequence[Record]) -> tuple[Self, Course]:
        """What the looks of its suite need after these records, and how far they have come. Without
        looks that is the whole of it."""
        found = course(self.suite, records, self.expected)
        wanted = set(found.needed)
        kept = [trial for trial in self.trials if trial.labels in wanted]
        return replace(self, trials=tuple(kept)), found

    def records(self, store: Store) -> list[Record]:
        """All records of these trials, under this suite's names for them."""
        known = store.records(trial.key for trial in self.trials)
        return [
            record.model_copy(update={"labels": trial.labels})
            for trial in self.trials
            if (record := known.get(trial.key)) is not None
        ]

    def labs(self, store: Store) -> dict[str, list[Record]]:
        """The same of each lab, where a pack of several is read."""
        return {one.name: self.records(Store(one)) for one in sorted(store.root.glob(f"{LABS}/*"))}


class Recorded(BaseModel, frozen=True, extra="forbid"):
    """A suite as it was run last."""

    suite: str  # as a file, with all options of its run applied
    plugins: tuple[Path, ...]  # files with a user's criteria, by absolute path
    code: str  # SHA-256 of the criteria's code and the plugins'
    date: str  # of the run, UTC, ISO 8601
    trials: tuple[RecordedTrial, ...]  # all, in the order of the suite

    @property
    def minute(self) -> str:
        """The date as people write it."""
        return f"{self.date[:16].replace('T', ' ')} UTC"

    @property
    def outline(self) -> Outline:
        """What was planned then."""
        return Outline(load_suite("it", recorded={"it": self.suite}), self.trials)

    @property
    def outdated(self) -> bool:
        """Whether the code of criteria has changed since, be it in a comment."""
        return self.code != _code(self.plugins)


def record_suite(plan: Outline, plugins: Sequence[Path], store: Store) -> None:
    """Write down what is run under this name from now on. Raises StoreError."""
    content = Recorded(
        suite=resolved(plan.suite),
        plugins=tuple(plugins),
        code=_code(plugins),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        trials=tuple(RecordedTrial(key=one.key, labels=one.labels) for one in plan.trials),
    )
    write_json(store.path("suites", plan.suite.suite, ".json"), content.model_dump(mode="json"))


def recorded_suites(store: Store) -> dict[str, Recorded]:
    """All that were run with these results, by name; what is damaged, or of another version, is set
    aside."""
    known = {}
    for path in sorted(store.root.glob("suites/*.json")):
        try:
            if content := read_json(path):
                known[path.stem] = Recorded.model_validate(content)
        except ValidationError:
            set_aside(path, "another version of this program wrote it", store.root)
    return known


def _code(plugins: Sequence[Path]) -> str:
    """SHA-256 of the files as they are; what plugins import is not looked at."""
    files = [*sorted(PACKAGE.rglob("*.py")), *(one for one in plugins if one.is_file())]
    digests = map(file_sha256, files)
    return hashlib.sha256("".join([str(ENGINE_VERSION), *digests]).encode()).hexdigest()
