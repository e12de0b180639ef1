"""Reading YAML: safe, and strict about keys that are given twice."""

import math
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

import yaml


class SuiteError(ValueError):
    """A suite file, or an override, that cannot be used. The message says where and why.

    `criteria` are those that the faulty suite names: whoever knows the registered ones can say
    which of them do not exist either.
    """

    def __init__(self, message: str, criteria: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.criteria = tuple(criteria)


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys instead of keeping the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [
            self.construct_object(key, deep=True)
            for key, _ in node.value
            if key.tag != "tag:yaml.org,2002:merge"
        ]
        for key in keys:
            if keys.count(key) > 1:
                line = node.start_mark.line + 1
                raise SuiteError(f"the key {key!r} stands twice in the mapping at line {line}")
        return super().construct_mapping(node, deep)


def parse_yaml(text: str, source: str) -> Any:
    """Parse one document; `source` is how errors name it."""
    try:
        content = yaml.load(text, Loader=_Loader)
        return _plain(content, "")
    except SuiteError as error:
        raise SuiteError(f"{source}: {error}") from None
    except yaml.YAMLError as error:
        raise SuiteError(f"{source}: not valid YAML: {error}") from error
    except RecursionError:
        raise SuiteError(f"{source}: nested too deeply, or inside itself") from None


def _plain(value: Any, key: str) -> Any:
    """A copy in which nothing is shared (by an alias), of only what JSON can say.

    YAML also knows dates, bytes, sets and infinity.
    """
    if isinstance(value, dict):
        return {
            name: _plain(inner, f"{key}.{name}" if key else str(name))
            for name, inner in value.items()
        }
    if isinstance(value, list):
        return [_plain(inner, f"{key}.{at}" if key else str(at)) for at, inner in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise SuiteError(f"{key} = {value}: only finite numbers are allowed")
    if not isinstance(value, str | int | float | None):
        raise SuiteError(
            f"{key} = {value!r}: a {type(value).__name__}; allowed are text (in quotes, where it "
            "looks like a date), numbers, true, false, null, lists and mappings"
        )
    return value


def read_yaml(path: Path) -> Any:
    """Read one YAML file."""
    try:
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: cannot be read: {error}") from error
