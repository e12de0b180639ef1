"""The worlds that the report's promises are held in: each axis around a middle, and corners."""

from __future__ import annotations

from study.worlds import World

# SD of method x dataset, method x model, and the rest: the designs of grids.
DESIGNS = {
    "models": (0.0, 1.3, 1.0),
    "datasets": (1.0, 0.5, 0.7),
    "some": (0.5, 0.25, 1.0),
    "even": (0.7, 0.7, 0.7),
    "both": (1.0, 1.0, 0.5),
}


def _grid(datasets: int, models: int, design: str, methods: int = 5, **more: object) -> World:
    by_dataset, by_model, by_problem = DESIGNS[design]
    return World(
        methods,
        datasets,
        models,
        by_dataset=by_dataset,
        by_model=by_model,
        by_problem=by_problem,
        **more,  # type: ignore[arg-type]
    )


_LONG = {"datasets": 1, "models": 12}

WORLDS: dict[str, World] = {
    # How many methods, problems, bases and recoveries.
    "5 methods": World(5),
    "40 methods": World(),
    "80 methods": World(80),
    "one problem": World(10, 1, 1),
    "3 problems": World(40, 1, 3),
    "12 independent problems": World(5, **_LONG, by_problem=1.0),
    "2 bases": World(5, bases=2),
    "4 bases": World(5, bases=4),
    "5 bases": World(40, bases=5),
    "3 repeats": World(5, repeats=3, repeat_sd=1.0),
    "2 recoveries": World(5, recoveries=2),
    "3 recoveries": World(5, recoveries=3),
    "3 recoveries, 40 methods": World(40, 1, 3, recoveries=3),
    "looks at 3, 6 and 10 bases": World(5, 1, 3, bases=10, looks=(3, 6, 10)),
    # Grids whose methods have liking for datasets and for models.
    "4 x 3, by model": _grid(4, 3, "models"),
    "4 x 3, by dataset": _grid(4, 3, "datasets"),
    "5 x 4, by dataset, 40 methods": _grid(5, 4, "datasets", 40),
    "5 x 5, by dataset": _grid(5, 5, "datasets"),
    "5 x 5, by both": _grid(5, 5, "both"),
    "5 x 5, by both, skewed": _grid(5, 5, "both", shape="skewed"),
    "5 x 5, by both, heavy": _grid(5, 5, "both", shape="heavy"),
    "6 x 6, by model": _grid(6, 6, "models"),
    "6 x 6, by dataset": _grid(6, 6, "datasets"),
    "6 x 6, some": _grid(6, 6, "some"),
    "6 x 6, even": _grid(6, 6, "even"),
    "6 x 6, by both": _grid(6, 6, "both"),
    "6 x 6, by dataset, 40 methods": _grid(6, 6, "datasets", 40),
    "6 x 6, by both, 3 recoveries": _grid(6, 6, "both", recoveries=3),
    "6 x 6, by both, some failed": _grid(6, 6, "both", failing=0.03, missing=0.03),
    # Noise of bases.
    "skewed": World(5, shape="skewed"),
    "skewed, 40 methods": World(40, shape="skewed"),
    "heavy tails": World(5, shape="heavy"),
    "heavy tails, 40 methods": World(40, shape="heavy"),
    "unequal over methods": World(5, unequal="methods"),
    "unequal over problems": World(5, unequal="problems"),
    "unequal over problems, 40 methods": World(40, unequal="problems"),
    "unequal over cells": World(5, unequal="cells"),
    "unequal over cells, 40 methods": World(40, unequal="cells"),
    "unequal over cells, 36 problems": World(5, 6, 6, unequal="cells"),
    "skewed, unequal over methods": World(5, shape="skewed", unequal="methods"),
    "skewed, the control calm": World(5, shape="skewed", control_calm=0.1),
    "skewed, the control calm, 40 methods": World(40, bases=5, shape="skewed", control_calm=0.1),
    "two levels": World(5, 1, 3, shape="two levels"),
    "whole images": World(5, shape="images", base_sd=0.2, repeat_sd=0.05),
    # Collapses, ends of the scale, failures.
    "rare collapses": World(5, collapses=True),
    "rare collapses, 40 methods": World(40, collapses=True),
    "rare collapses, 3 problems, 5 bases": World(5, 1, 3, bases=5, collapses=True),
    "sacrifice of problems": World(5, **_LONG, sacrifice=True, base_sd=0.3, repeat_sd=0.1),
    "sacrifice, 40 methods": World(40, 1, 20, sacrifice=True, base_sd=0.3, repeat_sd=0.1),
    "near 100 %": World(5, ceiling=True, shape="skewed", repeat_sd=0.0),
    "wide": World(5, 1, 3, base_sd=25, shape="two levels"),
    "wide, 20 methods": World(20, 1, 3, base_sd=25, shape="two levels"),
    "some failed": World(5, failing=0.05),
    "some failed or missing": World(40, failing=0.02, missing=0.02),
    "control failing": World(5, control_fails=0.4),
    "control mostly failing": World(5, control_fails=0.75),
    # Differences that are there.
    "a ladder of methods": World(5, ladder=2.0),
    "a ladder of 40": World(40, ladder=4.0),
    "a ladder, collapses": World(5, ladder=2.0, collapses=True),
    "a ladder, by both": _grid(6, 6, "both", ladder=2.0),
    "just not equivalent": World(5, base_sd=0.05, repeat_sd=0.01, gain=0.21),
}

# What is known not to hold: world -> (`false`, kind of statement) or (`covered`, interval).
_CELLS = ("covered", "top-1")  # few bases do not show a long tail towards low accuracies
_ONE = ("covered", "one problem")  # the interval alone: it knows only its own bases
# A loss of 20 points that strikes one problem in ten is not seen on 12 problems of many methods.
_ANYWHERE = {("false", "like these"), ("false", "headline"), ("covered", "like these")}
LIMITS: dict[str, set[tuple[str, str]]] = {
    "5 x 5, by both, skewed": {_CELLS},
    "skewed": {_CELLS},
    "skewed, 40 methods": {_CELLS},
    "skewed, unequal over methods": {_CELLS},
    "skewed, the control calm": {_CELLS, _ONE},
    "skewed, the control calm, 40 methods": {_CELLS, _ONE},
    "near 100 %": {_CELLS},
    "wide": {_CELLS},
    "wide, 20 methods": {_CELLS},
    "sacrifice of problems": {*_ANYWHERE},
    "sacrifice, 40 methods": {*_ANYWHERE},
}
