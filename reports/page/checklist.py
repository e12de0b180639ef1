"""What Blalock et al. 2020 (MLSys, arXiv 2003.03033) ask of an evaluation of pruning, and why what
a suite was measured to do meets or misses it; what is alike for all suites is in docs/report.md.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from suites.schema import Suite

from ..analysis.results import Results
from ..metric import spoken
from ..words import Words
from . import latency, wording
from .findings import provenance
from .record_warnings import differences

Met = Literal["yes", "partly", "no"]
Found = tuple[Met, Mapping[str, Any]]  # and what the words name

TOYS = {"digits", "mnist5k"}  # data sets on which everything works
MAGNITUDE = {"l1", "l2"}
# Criteria whose formula was published before 2010: OBD (1990), OBS (1993).
OLD = {"hessian_diag", "hessian_diag_tp", "c_obd", "c_obs", "kron_obd", "kron_obs"}
PAIRS, POINTS, SEEDS = 3, 5, 5  # that the list asks for
WORDS = Words("checklist.yaml", latency.aa_range)


class Item(NamedTuple):
    """One thing asked, whether it is met, and why."""

    asked: str
    met: Met
    why: str


def measured(results: Results) -> list[Item]:
    """What this suite and its records meet, in the order of the list."""
    found, items = _of_design(results) | _of_records(results), []
    for name in WORDS.texts:
        met, known = found[name]
        why = WORDS(name, "why", results=results, suite=results.suite, **known)
        items.append(Item(WORDS(name, "asked"), met, why))
    return items


def _of_design(results: Results) -> dict[str, Found]:
    """What the suite asks for."""
    suite = results.suite
    real = sum(dataset.name not in TOYS for dataset, _ in suite.problems)
    toys = sorted(TOYS & {one.name for one in suite.datasets})
    budgets = min(map(len, results.budgets.values()))
    given, own = wording.given(suite), {one.criterion for one in suite.methods}
    several: Met = "partly" if suite.bases * suite.repeats > 1 else "no"
    varied = {
        "dataset": len(suite.datasets),
        "model": len(suite.models),
        "base": suite.bases,
        "budget": budgets,
        "recovery": len(suite.recoveries),
    }
    return {
        "pairs": ("yes" if real >= PAIRS else "no", {"real": real, "toys": toys}),
        "curves": ("yes" if budgets > 1 else "no", {"budgets": budgets}),
        "seeds": ("yes" if suite.bases >= SEEDS and not given else several, {"given": given}),
        "spread": ("no" if suite.bases == 1 else "yes", {}),
        "random": _control(suite, {"random"}),
        "magnitude": _control(suite, MAGNITUDE),
        "old_and_new": ("yes" if own & OLD else "partly", {"old": sorted(own & OLD)}),
        "pitfalls": ("yes" if min(varied.values()) > 1 else "partly", {"varied": varied}),
    }


def _control(suite: Suite, names: set[str]) -> Found:
    """Whether these criteria are among the methods, and at the layer widths of all others."""
    plain = any(one.criterion in names and not one.trains for one in suite.methods)
    others = [one for one in suite.methods if one.criterion not in names]
    matched = sum(bool(names & set(one.matched)) for one in others)
    some: Met = "partly" if plain or matched else "no"
    known = {"plain": plain, "matched": matched, "others": len(others)}
    return "yes" if plain and matched == len(others) else some, known


def _of_records(results: Results) -> dict[str, Found]:
    """What was measured, and how."""
    kept = len(min(results.budgets.values(), key=len))
    cells = results.cells[results.cells["budget"] == results.cells["problem"].map(results.tightest)]
    lost = max(0.0, -float(cells["retained_top1"].astype(float).min()))  # 0 where none is known
    falls, enough = lost >= spoken().large, kept >= POINTS
    met: Met = "yes" if enough and falls else "partly" if enough or kept > 2 else "no"
    apart = len(list(differences(results.records)))
    made = provenance(results.records)
    wanted = {"packages.torch": "library", "device": "device"}
    missing = [said for name, said in wanted.items() if name not in made]
    changed = "True" in made["git_dirty"]
    timed, places = latency.timings(results), latency.within_noise(results)
    bad = sum(not one.reliable for one in timed)
    sure = timed and not bad and not places
    return {
        "dense": ("no" if results.dense.empty else "yes", {"bases": len(results.dense)}),
        "points": (met, {"budgets": kept, "lost": lost}),
        "identical": ("partly" if apart else "yes", {"apart": apart}),
        "hardware": ("no" if missing else "yes", {"missing": missing, "changed": changed}),
        "operations": ("yes" if sure else "partly", {"timed": timed, "bad": bad, "places": places}),
    }
