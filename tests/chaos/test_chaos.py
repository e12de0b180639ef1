"""A suite that trains in every way is killed and filled up over its whole life, and loses nothing.

Moments are counted in steps of the run: files opened, synced and renamed in the results folder, and
what MLflow commits. A disk that is full stays full until that run has ended.
"""

from __future__ import annotations

import shutil
from itertools import chain, count, cycle
from pathlib import Path

import pytest
import toy
from chaotic import TRIALS, Disturbed

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc"),
]

LIVES, KILLS, FULL = 2, 30, 20  # so many kills a life


def kill(victim: str, role: str, what: str, where: str, nth: int = 1, s: float = 0) -> dict:
    step = {"role": role, "what": what, "where": where, "nth": nth}
    return {"victim": victim, **step, "after_s": s}


def worker(*steps: tuple[str, str] | tuple[str, str, float]) -> list[dict]:
    return [kill("worker", "worker", what, where, 1, *s) for what, where, *s in steps]


# What dies in one run. A job writes one sort of file, and checkpoints where it trains: none dies
# three times in one run, which would fail it. The front goes last, at what it tells log and MLflow.
FIRST = [
    [
        *worker(("open", "bases"), ("rename", "bases", 0.1), ("open", "scores")),
        *worker(("fsync", "scores"), ("fsync", "paths")),
        kill("front", "front", "open", "logs", 14),
    ],
    [
        *worker(("rename", "scores"), ("open", "checkpoints"), ("rename", "paths", 0.3)),
        kill("front", "worker", "open", "paths", 3),
    ],
]
THEN = [
    [
        *worker(("open", "records"), ("rename", "records", 0.2), ("open", "paths")),
        *worker(("fsync", "paths"), ("rename", "scores")),
        kill("front", "front", "open", "logs", 18),
    ],
    [
        *worker(("fsync", "records"), ("open", "checkpoints"), ("rename", "paths", 0.1)),
        kill("front", "front", "commit", "mlflow.db", 28),
    ],
    [
        *worker(("rename", "records"), ("fsync", "records"), ("rename", "paths")),
        kill("front", "front", "rename", "mlflow-artifacts", 2),
    ],
    [
        *worker(("open", "records"), ("rename", "checkpoints", 0.1), ("fsync", "paths")),
        kill("front", "front", "committed", "mlflow.db", 33),
    ],
    [
        *worker(("rename", "records", 0.5), ("open", "records"), ("open", "paths")),
        kill("front", "worker", "fsync", "records", 3),
    ],
]
# The front in the report, and in what MLflow is told of it.
REPORT = [
    *(kill("front", "front", "open", "reports", nth) for nth in (1, 20, 50)),
    *(kill("front", "front", "rename", "reports", nth) for nth in (2, 40, 66)),
    kill("front", "front", "fsync", "reports"),
]


@pytest.fixture(scope="module")
def quiet(session: Path, tmp_path_factory: pytest.TempPathFactory) -> Disturbed:
    one = Disturbed(session, tmp_path_factory.mktemp("quiet"))
    assert one.run().process.returncode == 0
    assert toy.count(one.results) == TRIALS
    return one


def check_whole(mine: Disturbed, quiet: Disturbed) -> None:
    """No record lost, double or torn, MLflow and report whole, and nothing lies about."""
    expected = toy.outcomes(quiet.results)
    assert toy.outcomes(mine.results) == expected
    assert toy.trial_runs(mine.results) == sorted(expected)
    assert toy.left_over(mine.results) == []
    assert not (mine.results / "damaged").exists()
    assert not list((mine.results / "checkpoints").glob("*"))
    assert {one.name for one in mine.temp.iterdir()} <= {one.name for one in quiet.temp.iterdir()}
    pages, whole = mine.results / "reports" / "toy", quiet.results / "reports" / "toy"
    for folder in (pages, whole):
        assert (folder / "index.html").read_text().rstrip().endswith("</html>")
    assert (pages / "tables/overall.csv").read_text() == (whole / "tables/overall.csv").read_text()


@pytest.mark.parametrize("life", range(LIVES))
def test_killed_over_its_whole_life(
    session: Path, tmp_path: Path, quiet: Disturbed, life: int
) -> None:
    mine, killed = Disturbed(session, tmp_path), list[str]()
    then = cycle([*THEN[2 * life :], *THEN[: 2 * life]])
    working, reporting = chain(FIRST[life:], then), iter(REPORT)
    kept: dict[str, bytes] = {}
    while mine.runs < 2 * KILLS:
        told = toy.count(mine.results) == TRIALS
        last = next(reporting, None) if told else None
        if last:  # where the run before came to its end, the report is made once more
            shutil.rmtree(mine.results / "reports", ignore_errors=True)
        one = mine.run([last] if last else [] if told else next(working))
        killed += mine.killed()
        assert "Traceback" not in one.out + one.err, one.out + one.err
        records = {key.name: key.read_bytes() for key in (mine.results / "records").glob("*.json")}
        assert kept.items() <= records.items()  # what was found once stays as it is
        kept = records
        if told and last is None:
            assert one.process.returncode == 0, one.out + one.err
            break
    print(f"\n{len(killed)} kills in {mine.runs} runs:", *sorted(set(killed)), sep="\n  ")
    assert len(killed) >= KILLS
    check_whole(mine, quiet)


def test_a_disk_that_is_full_again_and_again(
    session: Path, tmp_path: Path, quiet: Disturbed
) -> None:
    mine, full = Disturbed(session, tmp_path), 0
    # At the first steps of a run, and then ever later: the last ones make a whole report anew.
    for at in chain(range(1, 9), count(len(quiet.steps()) // FULL, 3)):
        one = mine.run(full=at)
        if one.process.returncode == 0:
            break
        full += 1
        said = one.err.strip().splitlines()
        assert [line for line in said if "error:" in line] == said[-1:], one.err
        assert "No space left on device" in one.err or "disk is full" in one.err  # of SQLite
        assert "Traceback" not in one.out + one.err, one.out + one.err
        assert toy.left_over(mine.results) == []
    print(f"\n{full} full disks in {mine.runs} runs")
    assert full >= FULL
    check_whole(mine, quiet)
