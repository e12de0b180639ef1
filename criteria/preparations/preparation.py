"""What a preparation is: a rider on more training of the dense network, before it is scored."""

from collections.abc import Sequence
from typing import Any

from ..network.member import Group
from ..training import Phase


class Preparation(Phase):
    """Base of all preparations; the network keeps its shape, and no budget is known yet.

    Example:
        >>> class ScaleDecay(Preparation):
        ...     def attach(self, training):
        ...         self.scales = [training.model.get_parameter("1.weight")]
        ...     def loss_term(self, step):
        ...         return 0.5 * sum(one.square().sum() for one in self.scales)
        >>> import torch
        >>> from criteria.options import NoOptions
        >>> from criteria.training import Training
        >>> network = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 1), torch.nn.BatchNorm2d(2))
        >>> optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        >>> rider = ScaleDecay(NoOptions(), groups=())
        >>> rider.attach(Training(network, optimizer, steps_per_epoch=10, steps=100))
        >>> rider.loss_term(0).item()
        1.0
    """

    kind = "preparation"

    def __init__(self, options: Any, groups: Sequence[Group]) -> None:
        super().__init__(options)
        self.groups = groups
