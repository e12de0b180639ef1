"""What several labs ran of one suite: joined, shown where it differs, run again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import packed
import pytest
import toy
from command_line import Command
from command_line import bench as bench  # the fixture

from bench.run.packing import Pack
from bench.store.sealed import write_json
from bench.store.store import Store
from reports.analysis.labs import as_other_seeds, between_labs, shared
from reports.records import Record, content_key


def pack(store: Store, path: Path, lab: str = "") -> Path:
    Pack.of_results(store, "toy", lab or path.stem).write(path)
    return path


def edited(store: Store, at: int, top1: float) -> str:
    """One record whose network is said to do otherwise; returns its key."""
    key = sorted(store.record_keys())[at]
    record = store.record(key)
    assert record is not None
    assert record.measurements is not None
    pruned = record.measurements.pruned.model_copy(update={"top1": top1})
    found = record.measurements.model_copy(update={"pruned": pruned})
    store.write_record(record.model_copy(update={"measurements": found}))
    return key


def test_two_halves_are_one_run(bench: Command, tmp_path: Path) -> None:
    whole = pack(packed.results(tmp_path / "whole"), tmp_path / "whole.pack")
    one = pack(packed.results(tmp_path / "1", lambda at: at % 2 == 0), tmp_path / "a.pack")
    two = pack(packed.results(tmp_path / "2", lambda at: at % 2 == 1), tmp_path / "b.pack")
    done = bench("merge", one, two, "--out", "c.pack")
    assert done.code == 0
    assert "20 records of toy in c.pack; 0 trials run by several" in done.out
    assert Pack.read(tmp_path / "c.pack").rows == Pack.read(whole).rows
    assert bench("merge", two, one, "--out", "d.pack").code == 0
    assert Path("c.pack").read_bytes() == Path("d.pack").read_bytes()
    about = json.loads(packed.members(tmp_path / "c.pack")["pack.json"])
    assert about["labs"] == {"a": 10, "b": 10}
    assert bench("report", "c.pack", "--out", "of-halves").code == 0
    assert bench("report", whole, "--out", "of-whole").code == 0
    tables = {one.name: one.read_text() for one in Path("of-halves/tables").glob("*.csv")}
    assert tables == {one.name: one.read_text() for one in Path("of-whole/tables").glob("*.csv")}
    assert "came out otherwise" not in Path("of-halves/index.html").read_text()


def test_a_differing_value_is_shown_and_kept(bench: Command, tmp_path: Path) -> None:
    store = packed.results(tmp_path / "1")
    one = pack(store, tmp_path / "a.pack")
    key = edited(store, 0, 90 / packed.IMAGES)
    record = store.record(key)
    first = Pack.read(one).rows[key][1].measurements
    assert record is not None
    assert first is not None
    two = pack(store, tmp_path / "b.pack")
    done = bench("merge", one, two, "--out", "c.pack")
    said = (
        f"{record.labels.brief} · base 0 · repeat 0: pruned.top1 {first.pruned.top1}, 0.25 (a, b)"
    )
    assert f"otherwise: {said}" in done.out
    assert "20 trials run by several, 1 otherwise" in done.out
    both = Pack.read(tmp_path / "c.pack")
    assert both.labs["a"][key] == Pack.read(one).rows[key] == both.rows[key]
    assert both.labs["b"][key] == Pack.read(two).rows[key]

    assert bench("report", "c.pack", "--out", "report").code == 0
    page = Path("report/index.html").read_text()
    assert "1 of 20 trials that several labs have run came out otherwise" in page
    table = Path("report/tables/noise.md").read_text()
    assert "SD of labs, points" in table
    (row,) = [line for line in table.splitlines() if f"| {record.labels.method} |" in line
              and record.labels.recovery in line]  # fmt: skip
    # Two labs, so many points apart on one of two trials, the variance of the other being 0.
    apart = 100 * (first.pruned.top1 - 0.25)
    assert float(re.split(r" *\| *", row)[-2]) == pytest.approx((apart**2 / 2 / 2) ** 0.5, rel=0.01)


def test_one_lab_has_one_record_of_a_trial(bench: Command, tmp_path: Path) -> None:
    store = packed.results(tmp_path / "1")
    one = pack(store, tmp_path / "a.pack", "mine")
    key = edited(store, 3, 0.25)
    two = pack(store, tmp_path / "b.pack", "mine")
    done = bench("merge", one, two, "--out", "c.pack")
    assert done.code == 2
    assert f"lab mine has two records of 1 trials, as of {key[:12]}" in done.err
    assert not Path("c.pack").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"budgets": {"macs": [0.6]}}, "its file says something else (- 0.7)"),
        ({"suite": "other"}, "its file says something else (suite: toy)"),
    ],
)
def test_packs_of_other_suites_are_not_joined(
    bench: Command, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    one = pack(packed.results(tmp_path / "1"), tmp_path / "a.pack")
    other = packed.results(tmp_path / "2", **changes)
    name = str(changes.get("suite", "toy"))
    Pack.of_results(other, name, "b").write(tmp_path / "b.pack")
    done = bench("merge", one, tmp_path / "b.pack", "--out", "c.pack")
    assert done.code == 2
    assert said in done.err


def test_losses_may_be_off_by_rounding_and_accuracies_not(tmp_path: Path) -> None:
    found = list(Pack.read(pack(packed.results(tmp_path / "1"), tmp_path / "a.pack")).rows.values())
    record = found[0][1]
    made = record.measurements
    assert made is not None

    def other(**changes: float) -> list[str]:
        pruned = made.pruned.model_copy(update=changes)
        theirs = record.model_copy(
            update={"measurements": made.model_copy(update={"pruned": pruned, "latency": []})}
        )
        (both,) = shared({"a": [record], "b": [theirs]})
        return both.apart

    assert other() == []
    assert other(loss=made.pruned.loss * (1 + 1e-8)) == []
    assert other(loss=made.pruned.loss + 0.1)[0].startswith("pruned.loss ")
    assert other(top1=made.pruned.top1 + 1 / packed.IMAGES)[0].startswith("pruned.top1 ")
    assert between_labs({"a": [record]}, ["method"]).isna().all()


def test_runs_elsewhere_are_held_against_other_bases(tmp_path: Path) -> None:
    """Two runs lie 2 images apart; three bases of the trial lie at 0, 3 and 6 images."""
    packs = Pack.read(pack(packed.results(tmp_path / "1"), tmp_path / "a.pack"))
    mine = next(one for _, one in packs.rows.values() if one.labels.recovery == "none")
    made = mine.measurements
    assert made is not None

    def other(images: int, base: int) -> Record:
        pruned = made.pruned.model_copy(update={"top1": made.pruned.top1 - images / packed.IMAGES})
        found = made.model_copy(update={"pruned": pruned, "latency": []})
        labels = mine.labels.model_copy(update={"base": base})
        return mine.model_copy(update={"labels": labels, "measurements": found})

    records = [mine, other(3, 1), other(6, 2)]
    runs, bases = 100 * 2 / packed.IMAGES / 2**0.5, 100 * 3 / packed.IMAGES
    both = shared({"a": [mine], "b": [other(2, mine.labels.base)]})
    assert as_other_seeds(both, records) == f"{runs:.2f} ({bases:.2f}) without recovery"
    of_fidelity = mine.model_copy(update={"measurements": None})
    assert as_other_seeds(shared({"a": [of_fidelity], "b": [of_fidelity]}), [of_fidelity]) == "–"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a real run of two methods."""
    folder = tmp_path_factory.mktemp("ran")
    suite = toy.write_suite(folder, methods=["l1", "taylor"], budgets={"macs": [0.5]})
    done = toy.bench(
        "run", suite, "--allow-untrained", "--results", folder / "results", "--workers", 1
    )
    assert done.returncode == 0, done.stderr
    return folder / "results"


@pytest.mark.slow
def test_verify_runs_trials_again(bench: Command, ran: Path, tmp_path: Path) -> None:
    path = pack(Store(ran), tmp_path / "a.pack")
    done = bench("verify", path, "--sample", 4)
    assert done.code == 0, done
    assert "every digest and key of 4 records of toy holds" in done.out
    assert len(re.findall("^equal ", done.out, re.MULTILINE)) == 4
    assert "different" not in done.out

    store = Pack.read(path)
    changed = Store(tmp_path / "changed")
    store.unpack(changed)
    key = edited(changed, 1, 0.75)  # of 60 images, whatever it was
    forged = pack(changed, tmp_path / "forged.pack")
    done = bench("verify", forged, "--sample", 4)
    assert done.code == 1
    assert len(re.findall("^equal ", done.out, re.MULTILINE)) == 3
    of = store.rows[key][1].labels.brief
    assert re.search(f"^different {of} .*pruned.top1 0.75, .*packed, again", done.out, re.MULTILINE)
    assert "rounds otherwise" not in done.out, "on the machine that packed it, it is a fault"

    record = changed.record(key)
    assert record is not None
    changed.write_record(
        record.model_copy(update={"provenance": {**record.provenance, "cpu": "an abacus"}})
    )
    done = bench("verify", pack(changed, tmp_path / "elsewhere.pack"), "--sample", 4)
    assert done.code == 1
    assert "Packed on an abacus, torch " in done.out
    assert "another processor or torch rounds otherwise" in done.out.lower()


def test_verify_says_what_cannot_be_run_again(bench: Command, tmp_path: Path) -> None:
    store = packed.results(tmp_path / "1")
    suite = store.path("suites", "toy", ".json")
    text = Path(suite).read_text()
    for at, key in enumerate(sorted(store.record_keys())):
        old = store.record(key)
        assert old is not None
        identity = {"of": "another day", "at": at}
        new = packed.of_trial(old, content_key(identity), identity)
        store.write_record(new)
        store.record_path(key).unlink()
        text = text.replace(key, new.key)
    content = json.loads(text)
    del content["seal"]
    write_json(suite, content)
    done = bench("verify", pack(store, tmp_path / "a.pack"))
    assert done.code == 0
    assert "20 of 20 finished trials cannot be run: with the code of today they have" in done.out
    assert "0 trials run again" in done.out
