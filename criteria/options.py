"""Options of criteria and phases: what may be given, and words for what may not."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import OptionError


class NoOptions(BaseModel):
    """Base of all options: immutable, no unknown keys, no conversions of type."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def checked(name: str, kind: type[NoOptions], options: Mapping[str, Any]) -> NoOptions:
    """Options as `name` understands them, defaults filled in.

    Raises:
        OptionError: an unknown option or a value of the wrong kind; says which are allowed.
    """
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        allowed = ", ".join(kind.model_fields)
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(key, kind.model_fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            fault = f"there is no option {key!r}{hint}"
        else:
            fault = f"option {key!r} = {first['input']!r}: {first['msg']}."
        raise OptionError(f"{name}: {fault} It takes: {allowed or 'no options'}") from error
