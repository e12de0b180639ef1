"""Do runs of a suite with bases of other seeds say the same? Its verdicts, run by run, as a table.

bench run quickstart
bench run quickstart --set suite=again5 --set first_base=5     # and 10, 15, 20
python tests/study/other_seeds.py quickstart results 0 5 10 15 20
"""

from __future__ import annotations

import sys
from itertools import permutations
from pathlib import Path
from statistics import median, stdev
from typing import Any

import pandas as pd

from bench.plan.plan import make_plan
from bench.run.reporting import finished
from bench.store.store import Store
from reports.analysis.analysis import analyse
from suites import load_suite

NAMED = ("better", "worse")
SHORT = {"equivalent": "equal", "undecided": "?"}


def against_control(suite: str, results: Path, first: str) -> pd.DataFrame:
    """Word and mean difference of every method and recovery, of the run that begins at a base.

    Raises SystemExit where that run is not finished.
    """
    plan = make_plan(load_suite(suite, [f"first_base={first}"]))
    done = finished(plan, Store(results))
    if len(done) < len(plan.trials):
        raise SystemExit(f"first_base={first}: {len(done)} of {len(plan.trials)} trials have run")
    found = analyse(plan.suite, done, plan.expected).overall
    return found[found["family"] == "control"].set_index(["recovery", "method"])


def agreement(words: list[list[str]]) -> str:
    """How often words `[comparisons][runs]` are the same, over ordered pairs of runs."""
    pairs = [both for one in words for both in permutations(one, 2)]
    named = [both for both in pairs if both[0] in NAMED]
    again = sum(one == other for one, other in named)
    opposite = sum(other in NAMED and one != other for one, other in named)
    differ = sum(one != other for one, other in pairs)
    said = f"{sum(len(set(one)) == 1 for one in words)} of {len(words)} verdicts are alike in all "
    said += f"runs; two runs differ in {100 * differ / len(pairs):.0f} % of verdicts"
    if not named:
        return f"{said}; none names any better or worse"
    said += "; what one names better or worse, another names so in "
    return f"{said}{100 * again / len(named):.0f} %, and the opposite {opposite} times"


def main(suite: str, results: str, *firsts: str) -> None:
    tables = [against_control(suite, Path(results), first) for first in firsts]
    rows: list[list[Any]] = []
    for at in tables[0].index:
        of_runs = [one.loc[at] for one in tables]
        means = [float(one["mean"]) for one in of_runs]
        rows.append([*at, [one["word"] for one in of_runs], means])
    rows.sort(key=lambda row: (row[0] != "none", -sum(row[3])))
    print("| recovery | method |", " | ".join(f"{first}" for first in firsts), "| SD of the mean |")
    print("|---" * (len(firsts) + 3) + "|")
    for recovery, method, words, means in rows:
        said = [
            f"{SHORT.get(a, a)} ({round(b, 1) + 0.0:+.1f})"
            for a, b in zip(words, means, strict=True)
        ]
        print(f"| {recovery} | `{method}` |", " | ".join(said), f"| {stdev(means):.1f} |")
    print(agreement([row[2] for row in rows]))
    for recovery in dict.fromkeys(row[0] for row in rows):
        spread = [stdev(row[3]) for row in rows if row[0] == recovery]
        print(f"{recovery}: SD of means {median(spread):.1f} (median), {max(spread):.1f} (largest)")


if __name__ == "__main__":
    main(*sys.argv[1:])
