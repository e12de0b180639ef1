"""Random scores: the control that every criterion has to beat."""

from ..criterion import Criterion
from ..evidence.batch import Batch
from ..lazy import Tensor, torch
from ..options import NoOptions
from ..registry import register


@register(
    "random",
    cite="Mittal et al., WACV 2018, arXiv 1801.10447; Blalock et al., MLSys 2020, arXiv 2003.03033",
    unstructured=True,
    chance=True,
)
class Random(Criterion):
    """Uniform random numbers, drawn anew at every call."""

    options_type = NoOptions

    def observe(self, batch: Batch) -> None:
        """Nothing to see."""

    def scores(self) -> list[Tensor]:
        return [
            torch.rand(group.units, generator=self.generator, dtype=torch.float64)
            for group in self.groups
        ]
