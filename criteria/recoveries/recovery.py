"""What a recovery is: a rider on the finetuning, and perhaps another network while it lasts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..lazy import Tensor, nn, torch
from ..network.member import Group
from ..training import Phase


class Recovery(Phase):
    """Base of all recoveries that are more than training the pruned network.

    Example:
        >>> from criteria import NoOptions
        >>> class Anew(Recovery):
        ...     def network(self, pruned, dense, groups, removed):
        ...         for module in pruned.modules():
        ...             if hasattr(module, "reset_parameters"):
        ...                 module.reset_parameters()
        ...         return pruned
        >>> layer = nn.Linear(2, 1)
        >>> Anew(NoOptions(), torch.Generator()).network(layer, layer, [], []) is layer
        True
    """

    kind = "recovery"

    def __init__(self, options: Any, generator: torch.Generator) -> None:
        super().__init__(options)
        self.generator = generator

    def network(
        self,
        pruned: nn.Module,
        dense: nn.Module,
        groups: Sequence[Group],
        removed: Sequence[Tensor],
    ) -> nn.Module:
        """The network to train.

        Args:
            pruned: without the removed units; may be changed in place and returned.
            dense: with them, left as it is.
            groups: of the dense network.
            removed: of each group.
        """
        return pruned

    def merged(self, trained: nn.Module) -> nn.Module:
        """The plain pruned network that computes what the trained one does."""
        return trained
