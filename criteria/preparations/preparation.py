"""What a preparation is: a rider on more training of the dense network, before it is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ..network.member import Group
from ..options import NoOptions, Options
from ..phases import Kind
from ..training import Rider


class Preparation(Rider):
    """Base of all preparations; the network keeps its shape, and no budget is known yet."""

    kind: ClassVar[Kind] = "preparation"
    options_type: ClassVar[type[Options]] = NoOptions
    name: ClassVar[str]

    def __init__(self, options: Any, groups: Sequence[Group]) -> None:
        self.options = options
        self.groups = groups
