"""What a scale of a suite changes in its file, and what `--set KEY=VALUE` does."""

from collections.abc import Callable, Container, Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

from .faults import SHOWN, no_such, printable, shown
from .files import CHARACTERS, DEPTH, VALUES, SuiteError, parse_yaml, plain

MOST = 100  # that are given at once
PAPER = "paper"  # the file as it stands, where that is a paper's experiment


def scale_names(content: Mapping[str, Any], path: Path) -> list[str]:
    """What `--scale` takes for this file, largest first; `paper` names it as it stands, where it
    has a `reduced` version. Raises SuiteError where its `scales` map no names to overrides."""
    scales = content.get("scales", {})
    if not isinstance(scales, dict):
        raise SuiteError(f"{path}: scales = {scales!r}: expected a mapping of names to overrides")
    for name, overlay in scales.items():
        place = f"{path}: scales.{name}"
        if name == PAPER:
            raise SuiteError(f"{place}: that is the file as it stands; leave it out")
        if not isinstance(overlay, dict) or not overlay:
            raise SuiteError(f"{place} = {overlay!r}: expected a mapping of overrides")
    return [*([PAPER] if "reduced" in scales else []), *scales]


def rescale(content: dict[str, Any], scale: str, path: Path) -> None:
    """Apply one of the file's own scales in place: a comparison of its own, under its own name.
    Raises SuiteError where it has no such scale, with those that it has, or is at one already."""
    known = scale_names(content, path)
    if scale not in known:
        raise SuiteError(f"{path}: {no_such('scale', scale, known)}")
    if scale == PAPER:
        return
    if before := content.get("at_scale"):
        raise SuiteError(f"{path}: at_scale = {before}: a smaller version has no smaller ones")
    # Descriptions name the paper's models and data, which a smaller version may not have.
    content["description"] = ""
    for key, value in content["scales"][scale].items():
        copied = partial(plain, value, iter(range(VALUES)))
        set_dotted(content, str(key), copied, f"{path}: scales.{scale}")
    content["suite"] = f"{content.get('suite', path.stem)}-{scale}"
    content["at_scale"] = scale


def set_dotted(
    place: Any, dotted: str, copied: Callable[[], Any], source: str, name: str = ""
) -> None:
    """Set a key that may lead through mappings and list positions, at each of them to a copy of its
    value; `name` is that of the place.

    `*` stands for all positions, of which those without the section that it leads into are passed
    over: `methods.*.iterative.steps` makes nothing iterative that is not. `methods.+` is one more.

    Raises SuiteError where it leads nowhere; `source` is how that names where it was given.
    """
    first, _, rest = dotted.partition(".")
    if rest.count(".") > DEPTH:
        raise SuiteError(f"{source}: leads deeper than {DEPTH} levels")
    if isinstance(place, list):
        keys: list[Any] = _positions(place, first, rest, source)
    elif isinstance(place, dict):
        keys = [first]
    else:
        raise SuiteError(f"{source}: {name} is {shown(place)}, it has no {shown(first)} inside")
    for key in keys:
        if rest:
            inner = place[key] if isinstance(place, list) else place.setdefault(key, {})
            set_dotted(inner, rest, copied, source, f"{name}.{key}" if name else str(key))
        elif isinstance(place, list):
            place[key : key + 1] = [copied()]  # in its place, or at the end
        else:
            place[key] = copied()


def _positions(place: Sequence[Any], part: str, rest: str, source: str) -> list[int]:
    section, inside, _ = rest.partition(".")
    if part == "*" and not inside:
        return list(range(len(place)))
    if part == "*":
        having = [at for at, one in enumerate(place) if isinstance(one, dict) and section in one]
        if not having:
            why = f"none of a list of {len(place)} has {shown(section)} inside"
            raise SuiteError(f"{source}: {why}")
        return having
    numbers = [*map(str, range(len(place))), *["+"] * (not rest)]
    if part in numbers:
        return [numbers.index(part)]
    why = f"{shown(part)} is no position in a list of {len(place)}; * are all, + is one more"
    raise SuiteError(f"{source}: {why}")


def overridden(content: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of a suite's file with these of `--set`. Raises SuiteError for one that is no
    KEY=VALUE or leads nowhere, and for more than `MOST`, or than a whole file may hold."""
    if len(overrides) > MOST or sum(map(len, overrides)) > CHARACTERS:
        raise SuiteError(f"--set: at most {MOST} of them, of {CHARACTERS:,} characters in all")
    copy, left = deepcopy(content), iter(range(VALUES))
    for override in overrides:
        key, equals, text = override.partition("=")
        source = as_given(override)
        if not equals or not key:
            raise SuiteError(f"{source}: expected key=value, as in calibration.images=64")
        set_dotted(copy, key.strip(), partial(plain, parse_yaml(text, source), left), source)
    return copy


def as_given(override: str) -> str:
    """`--set KEY=VALUE`, on one line."""
    return "--set " + printable(override, SHOWN).replace("\n", r"\n")


def to_blame(
    fault: str, overrides: Sequence[str], faults: Callable[[tuple[str, ...]], Container[str]]
) -> str:
    """The overrides without which a fault would not be, as they were given; none may be.

    `faults` are those with fewer overrides, or raises SuiteError where fewer cannot be applied.

    >>> to_blame("odd", ["a=1", "b=2"], lambda given: ["odd"] if "b=2" in given else [])
    '--set b=2'
    """
    owed = list(overrides)
    for one in overrides:
        others = [other for other in owed if other is not one]
        try:
            needless = fault in faults(tuple(others))
        except SuiteError:
            continue
        if needless:
            owed = others
    return " ".join(map(as_given, owed))
