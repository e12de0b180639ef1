"""A suite's results as one file that travels: what a reader needs of them, and nothing else.

A sealed zip archive, whose bytes follow from what is in it:

pack.json          what it holds, who made that, and the SHA-256 of all other members
suite.json         the suite as it was run last
declared.json      what its analysis rests on
records/LAB.json   the files of a lab's records one behind the other, in the order of the suite:
                   a tenth of what they take as members of their own
"""

import atexit
import gc
import hashlib
import json
import re
import shutil
import tempfile
import zipfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from reports.declared import Declaration
from reports.records import Labels, Record, RecordError, parse_record
from reports.seal import check_file, seal_json, unseal
from suites.faults import no_such
from suites.section import slug

from ..errors import BenchError, StoreError
from ..plan.outline import LABS, Outline, Recorded, recorded_suites
from ..store.pack import write_pack
from ..store.sealed import write_json, write_large
from ..store.store import Store
from .declaring import declared

PACK = ".pack"
LARGEST = 4 << 30  # bytes of what a pack may hold
Lab = dict[str, tuple[bytes, Record]]  # records with their files, by key
_OF_ONE = {"started", "ended", "host", "base_sha256", "dataset_sha256"}  # of single records
_END = b"\n}\n"  # of a record's file, and nowhere in it


@dataclass(frozen=True)
class Pack:
    """What one lab or several have found of a suite."""

    recorded: Recorded
    outline: Outline
    declarations: Sequence[Declaration]
    labs: Mapping[str, Lab]

    @classmethod
    def of_results(cls, store: Store, name: str, lab: str) -> Self:
        """A suite of a results folder. Raises BenchError where it was not run there."""
        suites = recorded_suites(store)
        if name not in suites:
            raise BenchError(f"pack: {no_such(f'suite in {store.root}', name, suites)}")
        recorded = suites[name].model_copy(update={"plugins": ()})  # paths of this machine
        rows = reversed([*store.rows({one.key for one in recorded.trials})])  # the first counts
        found = {record.key: (file, record) for file, record in rows}
        if not found:
            raise BenchError(f"pack: {name} has no records in {store.root}; first: bench run")
        outline = recorded.outline
        return cls(recorded, outline, declared(outline, store), {slug(lab): found})

    @classmethod
    def read(cls, path: Path) -> Self:
        """A pack of which everything holds; what is innermost is looked at first, so that a record
        that was edited is named. Raises StoreError."""
        try:
            with zipfile.ZipFile(path) as archive:
                if sum(one.file_size for one in archive.infolist()) > LARGEST:
                    raise ValueError(f"it holds more than {LARGEST >> 30} GB")
                members = {name: archive.read(name) for name in archive.namelist()}
            recorded = Recorded.model_validate_json(members["suite.json"])
            recorded = recorded.model_copy(update={"plugins": ()})  # of a stranger: not to be run
            trials = {one.key: one.labels for one in recorded.trials}
            names = {Path(one).stem: one for one in members if one == _member(Path(one).stem)}
            labs = {lab: _parsed(members[name], trials) for lab, name in names.items()}
            known = map(Declaration.model_validate, json.loads(members["declared.json"]))
            whole = cls(recorded, recorded.outline, [*known], labs)
            about = json.loads(unseal(members.pop("pack.json"), "pack.json"))
            for name in dict(about["members"].items() ^ _digests(members).items()):
                raise ValueError(f"{name} is not what its SHA-256 in pack.json says")
            check_file(path, PACK)
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from error
        except Exception as error:  # whatever strangers' archives lead to
            raise StoreError(f"{path} is no whole pack of bench pack: {error}") from error
        return whole

    @property
    def name(self) -> str:
        """The suite's, in which no path can hide."""
        return self.outline.suite.suite

    @property
    def rows(self) -> Lab:
        """Of every trial the record that counts: that of the first lab by name."""
        labs = [self.labs[lab] for lab in sorted(self.labs, reverse=True)]
        return {key: row for lab in labs for key, row in lab.items()}

    def about(self) -> dict[str, Any]:
        """What it holds and who made that, in a few numbers and words."""
        from reports.page.findings import provenance  # loads pandas

        records = [record for _, record in self.rows.values()]
        ended, made_by = Counter(one.status for one in records), provenance(records)
        costs = (one.costs for one in records if one.costs and one.costs.equal_to is None)
        return {
            "suite": self.name,
            "trials": {**ended, "missing": len(self.outline.trials) - len(records)},
            "hours": round(sum(one.total_s for one in costs) / 3600, 4),  # of trials, not bases
            "last_trial": max(made_by["ended"], default=""),
            "labs": {lab: len(self.labs[lab]) for lab in sorted(self.labs)},
            "made_by": {one: sorted(made_by[one]) for one in sorted(made_by.keys() - _OF_ONE)},
        }

    def write(self, path: Path) -> None:
        """Write it, whole or not at all. Raises StoreError."""
        known = [one.model_dump() for one in self.declarations]
        members = {
            "suite.json": self.recorded.model_dump_json(indent=1).encode(),
            "declared.json": json.dumps(known, indent=1).encode(),
        }
        for lab, rows in sorted(self.labs.items()):
            files = (rows[one.key][0] for one in self.recorded.trials if one.key in rows)
            members[_member(lab)] = b"".join(files)
        about = json.dumps({**self.about(), "members": _digests(members)}, indent=1)

        def fill(whole: Path) -> None:
            with zipfile.ZipFile(whole, "w", zipfile.ZIP_LZMA) as archive:
                for name, content in {
                    "pack.json": seal_json(about, "pack.json"),
                    **members,
                }.items():
                    info = zipfile.ZipInfo(name)  # of one date, whenever it is written
                    info.external_attr = 0o644 << 16
                    archive.writestr(info, content, zipfile.ZIP_LZMA)

        write_large(path, fill, PACK)

    def unpack(self, store: Store) -> int:
        """Put it into a results folder, whose own records stay; returns how many were added. Raises
        StoreError where another suite of that name was run there."""
        here = recorded_suites(store).get(self.name)
        if here and (why := _unlike(here, self.recorded)):
            raise StoreError(f"there is another {self.name} in {store.root}: {why}")
        if here is None:
            content = self.recorded.model_dump(mode="json")
            write_json(store.path("suites", self.name, ".json"), content)
        if known := _in_time([*declared(self.outline, store), *self.declarations]):
            content = {"declarations": [one.model_dump() for one in known]}
            write_json(store.path("declared", self.name, ".json"), content)
        held = store.record_keys()
        new = {key: row for key, row in self.rows.items() if key not in held}
        if new:
            write_pack(store.root / "packs", ((key, file) for key, (file, _) in new.items()))
        return len(new)

    def joined(self, other: Self) -> Self:
        """With what others have found of the same suite. Raises BenchError where it is another, or
        one lab has two records of a trial."""
        if why := _unlike(self.recorded, other.recorded):
            raise BenchError(f"merge: these are not of one suite, {self.name}: {why}")
        labs = dict(self.labs)
        for lab, rows in other.labs.items():
            labs[lab] = rows | labs.get(lab, {})
            if twice := [key for key in rows if labs[lab][key] != rows[key]]:
                said = f"lab {lab} has two records of {len(twice)} trials, as of {min(twice)[:12]}"
                raise BenchError(f"merge: {said}; name who made each: bench pack --lab NAME")
        latest = max(self, other, key=lambda one: one.recorded.date)
        known = _in_time([*self.declarations, *other.declarations])
        return replace(latest, declarations=known, labs=labs)


def readable(results: Path) -> Path:
    """The results folder that a verb reads; that of a pack is gone when this process ends. Raises
    StoreError where the pack does not hold."""
    if results.suffix != PACK:
        return results
    gc.set_threshold(5_000_000)  # else a third of the time goes into walking what stays
    pack, folder = Pack.read(results), Path(tempfile.mkdtemp(prefix="bench-"))
    atexit.register(_forget, pack, folder)  # until then its records are parsed no second time
    store = Store(folder / results.stem)
    pack.unpack(store)
    for lab, rows in pack.labs.items() if len(pack.labs) > 1 else ():
        replace(pack, labs={lab: rows}).unpack(Store(store.path(LABS, lab)))
    return store.root


def _forget(pack: Pack, folder: Path) -> None:
    gc.freeze()  # a last walk over the records took two seconds
    shutil.rmtree(folder, ignore_errors=True)


def _in_time(declarations: Sequence[Declaration]) -> list[Declaration]:
    by_date = {one.date: one for one in declarations}
    return [by_date[date] for date in sorted(by_date)]


def _member(lab: str) -> str:
    return f"records/{slug(lab)}.json"


def _digests(members: Mapping[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in members.items()}


def _parsed(content: bytes, trials: Mapping[str, Labels]) -> Lab:
    """A lab's records, each held against its seal, its key and itself. Raises ValueError."""
    rows: Lab = {}
    *files, rest = content.split(_END)
    if rest:
        raise ValueError(f"its records end in the midst of one, after {len(files)}")
    for file in (one + _END for one in files):
        found = re.search(rb'"key": "([0-9a-f]{64})"', file[:200])
        key = found[1].decode() if found else "without a key"
        if key not in trials or key in rows:
            raise ValueError(f"record {key}: it is none of the suite's trials, or there twice")
        name = f"record {key[:12]} ({trials[key].whole})"
        record = parse_record(file, name, key)
        if (made := record.measurements) and record.metric.counts:
            for share in (made.pruned.top1, made.dense.top1):
                right = share * (made.test_images or 0)
                if abs(right - round(right)) > 1e-3:
                    raise RecordError(f"{name}: {right:.3f} of its test images are right; edited")
        rows[key] = file, record
    return rows


def _unlike(one: Recorded, other: Recorded) -> str:
    """What differs between two suites of one name; empty where nothing does."""
    ours, theirs = (of.suite.split("\n") for of in (one, other))
    if ours != theirs:
        changed = [line for line in [*ours, *theirs] if (line in ours) != (line in theirs)]
        return f"its file says something else ({(changed or ['its order'])[0].strip()})"
    keys, others = ({trial.key for trial in of.trials} for of in (one, other))
    apart = len(keys - others) or len(others - keys)
    return f"{apart} trials have other keys, of other code or data" if apart else ""
