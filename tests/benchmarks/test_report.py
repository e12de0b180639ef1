"""What a report of 12,000 trials takes: 20 methods, 12 problems, 5 budgets, 5 bases, 2 recoveries.

pytest tests/benchmarks/test_report.py --benchmark-only -m '' -s
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import figure_records
import pytest
import toy
from pytest_benchmark.fixture import BenchmarkFixture

# In a process of its own, so that its memory is the report's alone.
REPORT = """
import json, resource, sys, time
from pathlib import Path
from bench.store.store import Store
from reports.build import build_report
from suites import load_suite
folder = Path(sys.argv[1])
begin = time.perf_counter()
suite = load_suite(str(folder / "suite.yaml"))
records, _ = Store(folder).all_records()
read = time.perf_counter()
build_report(suite, records, [one.labels for one in records], folder / "report")
end = time.perf_counter()
memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"read_s": read - begin, "report_s": end - read, "peak_mb": memory / 1024}))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a record file for every trial."""
    suite = figure_records.make(methods=20, budgets=5, models=6, datasets=2, bases=5)
    records = figure_records.records(suite)
    assert len(records) == 12_000
    made = tmp_path_factory.mktemp("many")
    (made / "records").mkdir()
    for one in records:
        (made / "records" / f"{one.key}.json").write_bytes(one.to_json())
    (made / "suite.yaml").write_text(suite.model_dump_json(by_alias=True, exclude_none=True))
    return made


def test_report_of_twelve_thousand_trials(benchmark: BenchmarkFixture, folder: Path) -> None:
    def report() -> dict[str, float]:
        done = subprocess.run(
            [sys.executable, "-c", REPORT, folder],
            capture_output=True,
            text=True,
            env=toy.environment(),
            check=True,
        )
        return dict(json.loads(done.stdout))

    found = benchmark.pedantic(report, rounds=1)
    benchmark.extra_info.update(found)
    print({name: round(value, 1) for name, value in found.items()})
    assert (folder / "report" / "index.html").exists()
