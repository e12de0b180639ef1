"""Optimal Brain Apoptosis: the curvature between layers in series."""

from collections.abc import Mapping
from typing import Literal

from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor
from ..options import Bias
from ..registry import register
from .signed import SignedOptions, SignedScores


class ObaOptions(SignedOptions):
    bias: Bias = True
    parts: Literal["both", "up", "down"] = "both"
    """of the score, `criteria.evidence.coupling` has the formulas."""
    direction: Literal["layers", "all"] = "layers"
    """the weights that move, those of convolutions and linear layers, or norm layers' too."""


@register(
    "oba",
    cite="Sun et al., ICLR 2025, arXiv 2502.17941",
    needs=Need.CURVATURE,
    aliases=("oba_series",),
    unstructured=True,
)
class Oba(SignedScores):
    """theta * (up + down): layer by layer curvature, without the loss's and the activations' own.

    On a chain without biases, with ReLU, it is Taylor times the number of other layers.
    """

    options_type = ObaOptions

    def derivative(self, batch: Batch) -> Mapping[str, Tensor]:
        from ..evidence.coupling import Coupling, coupling_of

        parts: Coupling = batch.evidence(
            ("series", self.options.direction),
            Need.CURVATURE,
            lambda: coupling_of(
                batch.model, batch.images, batch.loss_of, norms=self.options.direction == "all"
            ),
        )
        found: Mapping[str, Tensor] = getattr(parts, self.options.parts)
        return found

    def magnitude_unit(self, batch: Batch) -> float:
        return 1.0
