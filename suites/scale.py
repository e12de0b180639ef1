"""Scales of a suite: its file as it stands, and the smaller versions that it names itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .files import SuiteError

PAPER = "paper"  # the file as it stands, where that is a paper's experiment


def scale_names(content: Mapping[str, Any], path: Path) -> list[str]:
    """What `--scale` takes for this file, largest first.

    A file that has a `reduced` version is a paper's experiment as it stands, which `paper` names.

    Raises:
        SuiteError: its `scales` are no mapping of names to mappings of overrides.
    """
    scales = content.get("scales", {})
    if not isinstance(scales, dict):
        raise SuiteError(f"{path}: scales = {scales!r}: expected a mapping of names to overrides")
    for name, overlay in scales.items():
        if name == PAPER:
            raise SuiteError(f"{path}: scales.{PAPER}: that is the file as it stands; leave it out")
        if not isinstance(overlay, dict) or not overlay:
            raise SuiteError(
                f"{path}: scales.{name} = {overlay!r}: expected a mapping of overrides"
            )
    return [*([PAPER] if "reduced" in scales else []), *scales]


def rescale(content: dict[str, Any], scale: str, path: Path) -> None:
    """Apply one of the file's own scales in place: a comparison of its own, under its own name.

    Raises:
        SuiteError: it has no such scale; names those that it has.
    """
    known = scale_names(content, path)
    if scale not in known:
        there = f"there are {', '.join(known)}" if known else "it has no `scales`"
        raise SuiteError(f"{path}: there is no scale {scale!r}; {there}")
    if scale == PAPER:
        return
    for key, value in content["scales"][scale].items():
        set_dotted(content, str(key), value, f"{path}: scales.{scale}")
    content["suite"] = f"{content.get('suite', path.stem)}-{scale}"


def set_dotted(content: dict[str, Any], dotted: str, value: Any, source: str) -> None:
    """Set a key that may lead through mappings and list positions.

    Raises:
        SuiteError: it leads nowhere; `source` is how the message names where it was given.
    """
    place: Any = content
    *path, last = dotted.split(".")
    for part in path:
        if isinstance(place, list):
            place = place[_position(place, part, source)]
        elif isinstance(place, dict):
            place = place.setdefault(part, {})
    if isinstance(place, list):
        place[_position(place, last, source)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise SuiteError(f"{source}: {'.'.join(path)} is {place!r}, it has no {last!r} inside")


def _position(place: Sequence[Any], part: str, source: str) -> int:
    if part.isdecimal() and int(part) < len(place):
        return int(part)
    raise SuiteError(f"{source}: {part!r} is no position in a list of {len(place)}")
