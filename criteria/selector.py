"""What a selector is: a criterion that picks sets of units, not scores.

Its evidence is gathered, checked, stored and shared as scores are. Which units leave is a pure
function of that evidence and of one knob, so every setting of the knob costs no second pass.
"""

from typing import ClassVar

from .criterion import Criterion
from .lazy import Tensor
from .network.member import Group
from .options import NoOptions, Options


class Selector(Criterion):
    """Base of all selectors. A subclass overrides `scores`, `removed` and `worth`.

    `scores` gives a group's evidence, `[units, units]`: what `removed` and `worth` look at.

    Example:
        >>> class Alike(Selector):
        ...     knob = (0.0, 1.0)
        ...     @staticmethod
        ...     def removed(evidence, knob):
        ...         return (evidence.triu(1).amax(0) > knob).nonzero().flatten()
        >>> import torch
        >>> Alike.removed(torch.tensor([[1.0, 0.9, 0.2], [0.9, 1.0, 0.1], [0.2, 0.1, 1.0]]), 0.5)
        tensor([1])
    """

    options_type: ClassVar[type[Options]] = NoOptions
    knob: ClassVar[tuple[float, float]]  # its strongest and its weakest setting

    def score_shape(self, group: Group) -> tuple[int, ...]:
        return (group.units, group.units)

    @staticmethod
    def removed(evidence: Tensor, knob: float) -> Tensor:
        """Ascending units of one group that leave at this setting."""
        raise NotImplementedError("a selector must override removed")

    @staticmethod
    def worth(evidence: Tensor) -> Tensor:
        """`[units]`: of units whose removal is in doubt, those with more of it stay."""
        raise NotImplementedError("a selector must override worth")
