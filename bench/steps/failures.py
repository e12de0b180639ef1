"""Why a job came to nothing, as a record keeps it."""

from __future__ import annotations

import traceback

from criteria import NotApplicable
from reports.records import Failure

from ..pruning.selection import InfeasibleBudget


def failure(error: BaseException) -> Failure:
    """An exception as a record keeps it; infeasible is what nobody could have done."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return Failure(
        kind=type(error).__name__,
        message=str(error),
        traceback="".join(lines),
        infeasible=isinstance(error, InfeasibleBudget | NotApplicable),
    )
