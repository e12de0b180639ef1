"""Made-up results of the toy suite, without a run, and packs that somebody has edited."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import synthetic
import toy

from bench.plan.outline import record_suite
from bench.plan.plan import make_plan
from bench.run.packing import PACK
from bench.store.sealed import write_json
from bench.store.store import Store
from reports.declared import Declaration, design_of
from reports.records import Record
from reports.seal import seal_file, seal_json

DATE = "2026-01-02T03:04:05+00:00"
IMAGES = 360  # of synthetic records


def results(
    folder: Path, take: Callable[[int], bool] = lambda at: True, more: int = 0, **changes: Any
) -> Store:
    """The records that `take` says, of the toy suite's trials by number; so many images `more` are
    right in each of them."""
    plan, store = make_plan(toy.suite(**changes)), Store(folder)
    for at, one in enumerate(plan.trials):
        if take(at):
            made = synthetic.record(one.labels, (180 + at + more) / IMAGES)
            store.write_record(of_trial(made, one.key, one.identity))
    record_suite(plan, [], store)
    design = design_of(plan.suite, plan.expected)
    declaration = Declaration(design=design, date=DATE, finished=0, trials=len(plan.trials))
    path = store.path("declared", plan.suite.suite, ".json")
    write_json(path, {"declarations": [declaration.model_dump()]})
    return store


def of_trial(record: Record, key: str, identity: dict[str, Any]) -> Record:
    made = {**record.provenance, "started": DATE, "ended": DATE, "host": "here", "python": "3.11.7"}
    return record.model_copy(update={"key": key, "identity": identity, "provenance": made})


def members(pack: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(pack) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forge(pack: Path, out: Path, name: str, edit: Callable[[bytes], bytes]) -> Path:
    """A copy of a pack with one member edited, and all digests and seals around it made anew."""
    held = members(pack)
    held[name] = edit(held[name])
    about = json.loads(held["pack.json"])
    about.pop("seal")
    about["members"] = {
        one: hashlib.sha256(content).hexdigest()
        for one, content in held.items()
        if one != "pack.json"
    }
    if name != "pack.json":
        held["pack.json"] = seal_json(json.dumps(about, indent=1), "pack.json")
    return rewrite(out, held)


def rewrite(out: Path, held: dict[str, bytes]) -> Path:
    """A sealed pack with these members."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as archive:
        for one, content in held.items():
            archive.writestr(one, content)
    seal_file(out, PACK)
    return out


def resealed(records: bytes, edit: Callable[[bytes], bytes]) -> bytes:
    """The first of a lab's records edited, and sealed again."""
    first, _, rest = records.partition(b"\n}\n")
    bare = re.sub(rb',\n "seal": "[0-9a-f]{64}"$', b"\n}", first)
    assert bare != first
    return seal_json(edit(bare).decode()) + rest
