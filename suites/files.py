"""Reading YAML: safe, of bounded size, and strict about keys that are given twice."""

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from .faults import fault, printable, shown

# The most that is read of one document; what aliases stand for counts as often as they do.
CHARACTERS, VALUES, DEPTH = 200_000, 50_000, 40


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

    _merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        self._merged += len(node.value)  # before another mapping takes them over
        if self._merged > VALUES:
            raise SuiteError(fault("too_many", most=VALUES))

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        given = [key for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        content = super().construct_mapping(node, deep)
        for key, times in Counter(self.construct_object(one, deep=True) for one in given).items():
            if times > 1:
                line = node.start_mark.line + 1
                raise SuiteError(f"the key {shown(key)} stands twice in the mapping at line {line}")
        return content


def parse_yaml(text: str, source: str) -> Any:
    """Parse one document; `source` is how errors name it."""
    try:
        if len(text) > CHARACTERS:
            raise SuiteError(f"more than {CHARACTERS:,} characters, which no suite needs")
        return plain(yaml.load(text, Loader=_Loader), iter(range(VALUES)))
    except SuiteError as error:
        raise SuiteError(f"{source}: {error}") from None
    except RecursionError:
        raise SuiteError(f"{source}: nested too deeply, or inside itself") from None
    except Exception as error:  # also of what is not as its tag says: `!!int x`, a 31st of June
        raise SuiteError(f"{source}: not valid YAML: {error}") from error


def plain(value: Any, left: Iterator[int], key: str = "", depth: int = 0) -> Any:
    """A copy in which nothing is shared (by an alias), of only what JSON and a screen can show.

    YAML also knows dates, bytes, sets, infinity, integers of any length and characters that are
    none. `left` has an item for each value that may still come.
    """
    if next(left, None) is None:
        raise SuiteError(fault("too_many", most=VALUES))
    if depth > DEPTH:
        raise RecursionError
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        inner = {}
        for name, one in pairs:
            _refuse(name, f"{key}: the key " if key else "the key ")
            place = f"{key}.{name}" if key else str(name)
            inner[name] = plain(one, left, place, depth + 1)
        return inner if isinstance(value, dict) else [*inner.values()]
    _refuse(value, f"{key} = " if key else "")
    return value


def _refuse(value: Any, key: str) -> None:
    if isinstance(value, str) and printable(value) != value:
        raise SuiteError(f"{key}{shown(value)}: characters that cannot be printed")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise SuiteError(f"{key}a number of {value.bit_length()} bits; at most 63 are allowed")
    if isinstance(value, float) and not math.isfinite(value):
        raise SuiteError(f"{key}{value}: only finite numbers are allowed")
    if not isinstance(value, str | int | float | None):
        kind = type(value).__name__
        raise SuiteError(f"{key}{shown(value)}: {fault('no_value', kind=kind)}")


def read_yaml(path: Path) -> Any:
    """Read one YAML file."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for
            raise OSError("it is no file")
        with path.open(encoding="utf-8") as file:
            text = file.read(CHARACTERS + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: cannot be read: {error}") from error
    return parse_yaml(text, str(path))
