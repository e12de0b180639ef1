"""Our architectures by name."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from criteria.lazy import nn
from suites.files import read_yaml


@dataclass(frozen=True)
class Architecture:
    """A line for `bench list`, the `module:function` that builds it, and what is fixed there."""

    about: str
    where: str
    fixed: dict[str, Any] = field(default_factory=dict)

    def builder(self) -> Callable[..., nn.Module]:
        return pkgutil.resolve_name(f"{__package__}.{self.where}")


ARCHITECTURES = TypeAdapter(dict[str, Architecture]).validate_python(
    read_yaml(Path(__file__).with_name("architectures.yaml"))
)
