"""All tables of a comparison, set for the page and for papers; here those that only describe."""

from collections import Counter
from itertools import product
from typing import Any

import pandas as pd

from ..analysis.deployed import LABELS, NUMBERS, deployed
from ..analysis.labs import between_labs
from ..analysis.published import AGREE, BEYOND, DIFFER, UNKNOWN
from ..analysis.results import Results
from ..formats import Cell, Table, after, capital, in_order, number, signed, whole
from ..records import Measurements, budget_words
from . import latency
from .captions import captioned, caution
from .method_tables import HELD_AGAINST, effect_table

PLACE = ["recovery", "method"]
# Of `Results`, beside the page as CSV.
FRAMES = ["trials", "cells", "changes", "paired", "overall", "by_factor", "equal_cost"]
FRAMES += ["standing", "noise"]


def frames_of(results: Results) -> dict[str, pd.DataFrame]:
    """What is written as CSV, by name; effects of factors, and ours and the published, if any."""
    more = [one for one in ("factorial", "published") if len(getattr(results, one))]
    return {name: getattr(results, name) for name in (*FRAMES, *more)}


def typeset(results: Results) -> dict[str, list[Table]]:
    """All of them under their headings, in the order of the page."""
    tables = {}
    for recovery in results.recoveries:
        made = (make(results, recovery) for make in (*HELD_AGAINST, tuned_table, cost_table))
        tables[capital(after(recovery))] = [one for one in made if one is not None]
    if len(results.published):
        tables["Ours and the published"] = [published_table(results)]
    whole = (make(results) for make in (effect_table, noise_table, deployed_table))
    return tables | {"Whole suite": [one for one in whole if one is not None]}


def deployed_table(results: Results) -> Table | None:
    """What networks take wherever the suite measures them; None where it has not."""
    rows, axis = list[list[Cell]](), results.suite.budgets.cost
    for row in deployed(results)[[*LABELS, *NUMBERS]].itertuples(index=False, name=None):
        budget = Cell(budget_words(axis, row[4]), float(row[4]))
        rows.append([*map(Cell, map(str, row[:4])), budget, *map(number, row[5:])])
    return captioned("deployed", "", results, rows) if rows else None


def noise_table(results: Results) -> Table:
    """Sources of noise."""
    means = results.noise.groupby(PLACE)[["base_sd", "repeat_sd", "aa_sd"]].mean()
    if results.labs:
        means["lab_sd"] = between_labs(results.labs, PLACE)
    rows = []
    for place in product(results.recoveries, results.suite.method_names):
        if place in means.index:
            rows.append([*map(Cell, place), *map(number, means.loc[[place]].to_numpy()[0])])
    return captioned("noise", "", results, rows)


def cost_table(results: Results, recovery: str) -> Table:
    """What each method took and left, means over problems, budgets and bases."""
    shares = ["macs_ratio", "params_ratio"]
    work = ["score_s", "images_scored", "phases_s", "images_phases", "recovery_s", "images_trained"]
    suite = results.suite  # masks run on dense kernels, whose latency is asked for seldom
    timed = bool(suite.measure.deployed) and (
        not suite.budgets.unstructured or bool(latency.timings(results))
    )
    trials = results.trials[results.trials["recovery"] == recovery]
    rows = []
    for method in in_order(trials["method"], results.suite.method_names):
        of_method = trials[trials["method"] == method]
        means = of_method[[*shares, *work]].astype(float).mean()
        row = [Cell(method), *(number(100 * means[one]) for one in shares)]
        row += latency.cells(of_method) if timed else ()
        rows.append([*row, *(number(means[one]) for one in work)])
    return captioned("costs", recovery, results, rows, timed=timed)


def tuned_table(results: Results, recovery: str) -> Table | None:
    """What validation chose how often for each method; None where nothing was tuned."""
    by_method: dict[str, list[Measurements]] = {name: [] for name in results.suite.method_names}
    for record in results.records:
        if record.measurements and record.measurements.tuned and record.labels.recovery == recovery:
            by_method[record.labels.method].append(record.measurements)
    rows, keys = [], list[str]()
    for name, found in by_method.items():
        keys = keys or [key for one in found[:1] for key in one.chosen]
        often = [Counter(str(one.chosen[key]) for one in found).most_common() for key in keys]
        words = [", ".join(f"{value} ({n})" for value, n in one) for one in often]
        lost = sum(one.validation_top1 is None for each in found for one in each.tuned)
        rows += [[Cell(name), *map(Cell, words), whole(lost)]] if found else []
    return captioned("tuned", recovery, results, rows, keys=keys) if rows else None


def summary(table: pd.DataFrame) -> str:
    """One sentence of `results.published`; empty where there is nothing to compare."""
    counts = Counter(table["verdict"]) + Counter(table["drop_verdict"])
    told, marked = counts[DIFFER] + counts[AGREE], int((table["mark"] != "").sum())
    known = {"told": told, "differ": counts[DIFFER], "marked": marked}
    return caution("published", "summary", **known) if told else ""


def published_table(results: Results) -> Table:
    """Ours and theirs: numbers that differ first, what ours do not reach last."""
    table, order = results.published, {DIFFER: 0, AGREE: 1, UNKNOWN: 2, BEYOND: 3, "": 4}
    rows = sorted(
        table.astype(object).where(table.notna(), None).to_dict("records"),
        key=lambda one: min(order[one["verdict"] or ""], order[one["drop_verdict"] or ""]),
    )
    return captioned("published", "", results, [*map(_compared, rows)], summary=summary(table))


def _compared(row: dict[Any, Any]) -> list[Cell]:
    what = f"{row['metric']} by {row['cost']}" if row["cost"] else row["metric"]
    paper = row["method_in_paper"] + (f" ({row['setting']})" if row["setting"] else "")
    return [
        *map(Cell, (row["problem"], row["recovery"], row["method"], paper, what)),
        number(row["kept_percent"]),
        *(number(row[name], 4) for name in ("published", "ours")),
        whole(None if row["n_trials"] is None else int(row["n_trials"])),
        *(signed(row["difference"]), number(row["combined_spread"]), Cell(row["verdict"] or "–")),
        *(signed(row["drop_difference"]), number(row["drop_combined_spread"])),
        Cell(row["drop_verdict"] or "–"),
        Cell(row["source"]),
        Cell("; ".join(filter(None, [row["mark"], row["note"]]))),
    ]
