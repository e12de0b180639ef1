"""What the conformance kit says: one finding a check and family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["pass", "fail", "not applicable", "information"]


@dataclass(frozen=True)
class Finding:
    """One check of one criterion.

    Attributes:
        criterion: its name.
        check: what was asked, as in `CHECKS`.
        family: the kind of network, or `trained` for the small one that has learned digits.
        verdict: `fail` is what must not be; `information` can be neither right nor wrong.
        reason: why, in a few words.
    """

    criterion: str
    check: str
    family: str
    verdict: Verdict
    reason: str
