"""Inverse: any criterion upside down, the control that must lose."""

from pydantic import Field

from ..criterion import Criterion
from ..evidence.batch import Batch
from ..evidence.needs import Need
from ..lazy import Tensor
from ..options import Options
from ..registry import Part, create, needed, register


class InverseOptions(Options):
    """Which criterion is turned over."""

    of: Part = Field(default_factory=lambda: Part(criterion="l1"))
    """the criterion to turn over, by name or as {criterion: NAME, options: {...}}."""


@register("inverse", cite="a control of this project", unstructured=True)
class Inverse(Criterion):
    """Negated scores of another criterion."""

    options_type = InverseOptions

    def begin(self) -> None:
        of = self.options.of
        self.inner = create(of.criterion, self.groups, of.options, self.generator)

    @classmethod
    def needed(cls, options: InverseOptions) -> Need:
        return needed(options.of.criterion, options.of.options)

    def observe(self, batch: Batch) -> None:
        self.inner.see(batch)

    def scores(self) -> list[Tensor]:
        return [-values for values in self.inner.scores()]
