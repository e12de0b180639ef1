"""The other kind of suite: how well criteria predict what they claim to predict."""

from collections.abc import Iterator
from itertools import product
from typing import Literal

from pydantic import Field

from .faults import fault
from .schema import AnySuite
from .section import Section

_OF_COMPARISONS = ("iterative", "scope", "matched", "prepare", "procedure", "finetuning")


class FidelitySpec(Section):
    """What is removed, one unit at a time, and where the change of the loss is measured."""

    # Sampled per network, stratified over groups; null: all
    units: int | None = Field(default=256, ge=1)
    images: int | None = Field(default=1000, ge=2)  # of validation, at most; null: all of them
    batch_size: int = Field(default=250, ge=1)


class FidelityAnalysis(Section):
    """The level of the intervals."""

    alpha: float = Field(default=0.05, gt=0, lt=1)


class FidelitySuite(AnySuite):
    """How well each criterion predicts the change of the loss when one unit alone is removed."""

    kind: Literal["fidelity"]
    fidelity: FidelitySpec = FidelitySpec()
    analysis: FidelityAnalysis = FidelityAnalysis()

    def faults(self) -> Iterator[str]:
        yield from super().faults()
        for dataset in self.datasets:
            if not dataset.validation:
                yield fault("fidelity_validation", title=dataset.title)
        for model in self.models:
            if model.budgets is not None:
                yield fault("fidelity_budgets", title=model.title)
        for method, key in product(self.methods, _OF_COMPARISONS):
            if getattr(method, key):
                yield fault("fidelity_method", method=method.name, key=key)
