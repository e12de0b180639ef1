"""What a suite that prunes single weights cannot ask for, as it speaks of channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .protocol import SelectionSpec

if TYPE_CHECKING:
    from .schema import Suite

_WEIGHTS = "budgets.weights prunes single weights"


def refuse_channels(suite: Suite) -> None:
    """Raises ValueError: names the key of the suite, and what is allowed."""
    for key, method in suite.methods_by_key:
        for phase in ("procedure", "finetuning"):
            if getattr(method, phase) is not None:
                raise ValueError(_works_on_channels(f"{key}.{phase}"))
        if method.iterative and method.iterative.recover:
            raise ValueError(_works_on_channels(f"{key}.iterative.recover"))
        _refuse_scope(f"{key}.scope", method.scope)
        if method.coupled is not None:
            raise ValueError(_limits_channels(f"{key}.coupled", method.coupled))
    if suite.analysis.cost in ("channels_ratio", "latency_ratio"):
        raise ValueError(
            f"analysis.cost = {suite.analysis.cost}: budgets.weights masks single weights; "
            "channels and dense kernels stay as they are; allowed are macs_ratio, "
            "params_ratio, weights_ratio"
        )
    _refuse_limits("selection", suite.selection)
    for at, model in enumerate(suite.models):
        if model.selection:
            _refuse_limits(f"models.{at}.selection", model.selection)
        if model.ignored:
            raise ValueError(_limits_channels(f"models.{at}.ignored", model.ignored))


def _refuse_limits(key: str, selection: SelectionSpec) -> None:
    _refuse_scope(f"{key}.scope", selection.scope)
    plain = SelectionSpec()
    for name in ("min_channels", "protect", "round_to", "coupled", "layers"):
        given = getattr(selection, name)
        if given != getattr(plain, name):
            raise ValueError(_limits_channels(f"{key}.{name}", given))


def _refuse_scope(key: str, scope: str | None) -> None:
    if scope == "isomorphic":
        raise ValueError(
            f"{key} = isomorphic ranks groups of channels, but {_WEIGHTS}; "
            "allowed are global, local"
        )


def _works_on_channels(key: str) -> str:
    return f"{key} works on channels, but {_WEIGHTS}; leave it out, or give another budget"


def _limits_channels(key: str, given: object) -> str:
    return (
        f"{key} = {given} limits channels, but {_WEIGHTS}, which have no such limit; leave it out"
    )
