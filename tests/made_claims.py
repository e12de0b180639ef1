"""A claim, and records made by hand that speak of it."""

from __future__ import annotations

from typing import Any

from synthetic import record

from reports.claims.claim_file import Claim
from reports.records import Labels, Record, content_key

CLAIM: dict[str, Any] = {
    "paper": "P", "claim": "A beats B.", "suite": "s", "problems": ["net on data"],
    "recovery": "none", "budgets": {"macs": [0.25, 0.5]}, "method": "a", "against": ["b"],
    "size": "+1", "source": "Table 1",
}  # fmt: skip


def claim(**changes: Any) -> Claim:
    return Claim.model_validate(CLAIM | changes)


def trial(method: str, top1: float, **changes: Any) -> Record:
    """`top1` in percent, of a network of 90 %; its base's weights are named by `base`."""
    given: dict[str, Any] = {
        "suite": "s", "dataset": "data", "model": "net", "method": method, "recovery": "none",
        "cost": "macs", "budget": 0.5, "base": 0, "repeat": 0,
    }  # fmt: skip
    made = {key: changes.pop(key) for key in ("weights", "ended", "recipe") if key in changes}
    found = record(Labels.model_validate(given | changes), top1 / 100)
    if "recipe" in made:
        identity = found.identity | {"recipe": made["recipe"]}
        key = content_key(identity)
        found = found.model_copy(update={"identity": identity, "key": key})
    base = made.get("weights", f"weights {found.labels.model}, {found.labels.base}")
    ended = made.get("ended", "2026-01-02T03:04:05+00:00")
    return found.model_copy(update={"provenance": {"base_sha256": base, "ended": ended}})


def over_bases(differences: list[float], **changes: Any) -> list[Record]:
    """`b` at 80 % and `a` so much above it, base by base."""
    return [
        trial(method, 80 + (gap if method == "a" else 0), base=base, **changes)
        for base, gap in enumerate(differences)
        for method in ("a", "b")
    ]
