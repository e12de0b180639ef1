"""Two hundred trials on clusters: a worker killed, a job timed out, the front killed, resumed."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import toy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

MANY: dict[str, Any] = {
    "methods": ["l1", "random", "l2", "taylor", "stalls"],
    "budgets": {"macs": [0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45]},
    "bases": 4,
    "recoveries": ["none"],
}
STALLS = """if not Path(os.environ["STALLED"]).exists():
            Path(os.environ["STALLED"]).touch()
            time.sleep(9999)"""


def arguments(folder: Path, executor: str) -> list[object]:
    folder.mkdir()
    plugin = toy.plugin(folder, "stalls", STALLS)
    plugin.write_text("from pathlib import Path\n" + plugin.read_text())
    suite = toy.write_suite(folder, **MANY)
    cluster = ["--slurm", "cluster=local"] if executor == "slurm" else []
    limit = [] if executor == "inline" else ["--timeout", 60]
    return [
        *("run", "--allow-untrained", suite, "--plugin", plugin, "--executor", executor),
        *("--results", folder / "results", "--workers", 2, *cluster, *limit),
    ]


@pytest.fixture(scope="module")
def inline(session: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("inline") / "mine"
    given = arguments(folder, "inline")
    toy.prepared(session, folder / "results")
    (folder / "stalled").touch()
    with toy.running(*given, log=folder / "log", STALLED=str(folder / "stalled")) as one:
        assert one.process.wait() == 0, one.out + one.err
    found = toy.outcomes(folder / "results")
    assert len(found) == 200
    return found


@pytest.mark.parametrize("executor", ["local", "ray", "slurm"])
def test_records_are_those_of_one_process(
    session: Path, tmp_path: Path, executor: str, inline: dict[str, dict[str, Any]]
) -> None:
    if executor != "local":
        pytest.importorskip({"slurm": "submitit"}.get(executor, executor))
    folder = tmp_path / "mine"
    given = arguments(folder, executor)
    results, stalled = toy.prepared(session, folder / "results"), folder / "stalled"

    with toy.running(*given, log=folder / "killed", STALLED=str(stalled)) as one:
        toy.until(lambda: one.workers() and toy.count(results) > 30, one)
        one.workers()[0].kill()
        toy.until(lambda: toy.count(results) > 100, one)
        one.children()
        one.signal(signal.SIGKILL)
        one.wait()
        toy.until(lambda: not one.orphans(), what=f"for {one.orphans()} to end")
    assert stalled.exists()  # and was stopped: nothing would have come after it
    with toy.running(*given, log=folder / "resumed", STALLED=str(stalled)) as last:
        assert last.process.wait() == 0, last.out + last.err
        assert "finished before" in last.out
        toy.until(lambda: not last.orphans(), what=f"for {last.orphans()} to end")
    assert toy.outcomes(results) == inline
    assert toy.trial_runs(results) == sorted(inline)
    assert toy.left_over(results) == []
