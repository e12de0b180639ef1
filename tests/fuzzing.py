"""What all fuzzing shares: hostile values, and what may come of an input, whatever it is."""

from __future__ import annotations

import datetime
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import SAID, BenchError
from criteria.errors import CriteriaError
from reports.records import RecordError
from suites import SuiteError
from suites.faults import printable

OURS = (BenchError, CriteriaError, SuiteError, RecordError)
LIMIT_S, PATIENCE_S = 5.0, 120.0  # of CPU; of waiting, on a machine that is busy otherwise

FEW, MANY = 200, 20_000  # examples of all strategies together

NASTY_TEXT = [
    "", " ", "0", "null", "~", "-", "*", "&a", "<<", "[/nope]", "[bold]", "[red]x[/red]", "\x1b[2J",
    "\0", "\ud800", "caf\udce9", "\u202e", "\r", "a\nb", "../..", "/", "/dev/null/x", "/dev/zero",
    "x" * 300, "x/" * 3000, "a." * 5000, "9" * 20, "9" * 5000, "1e999", "0x" + "f" * 5000, "1:2",
    "2020-13-45", "=", "{}", "{0}", "%s", "<script>alert(1)</script>", "'; drop table runs; --",
    "ünïcödé", "\N{PILE OF POO}", "é" * 200, "!!int x", "!!python/name:os.system", "true", ".nan",
    "none", "1/9", "-1", "\t", "paper", "l1", "resnet20",
]  # fmt: skip

text = st.sampled_from(NASTY_TEXT) | st.text(max_size=30)
scalars = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 1, 2, 10**6, 10**9, 2**63, 10**20, 10**4000, -(10**30)])
    | st.integers()
    | st.floats()
    | st.sampled_from([0.0, -0.5, 0.5, 1.5, 1e-320, 1e308])
    | text
)
strange = st.sampled_from([datetime.date(2020, 1, 1), b"bytes", {1, 2}, {(1, 2): 3}, {None: 1}])


def nested(depth: int) -> Any:
    """A list in a list, so many times."""
    value: Any = 0
    for _ in range(depth):
        value = [value] if depth % 2 else {"a": value}
    return value


deep = st.sampled_from([5, 39, 41, 150]).map(nested)
long = st.builds(
    lambda one, times: [one] * times, scalars, st.sampled_from([2, 1001, 20_000])
) | st.sampled_from([2, 3000]).map(lambda count: {f"key{at}": at for at in range(count)})
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=8,
)
anything = scalars | values | deep | long


def places(content: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside a nest of lists and mappings."""
    pairs: Any = ()
    if isinstance(content, dict):
        pairs = content.items()
    elif isinstance(content, list):
        pairs = enumerate(content)
    for key, inner in pairs:
        yield (*at, key)
        yield from places(inner, (*at, key))


def put(content: Any, place: tuple[Any, ...], value: Any, *, remove: bool = False) -> None:
    """Give the value at a place another, in place; or take it out."""
    for key in place[:-1]:
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):  # changed on the way before
            return
    try:
        if remove:
            del content[place[-1]]
        else:
            content[place[-1]] = value
    except (KeyError, IndexError, TypeError):
        return


@contextmanager
def within(limit_s: float = LIMIT_S) -> Iterator[None]:
    """Fails where the block takes more CPU seconds than that, or waits for what never comes."""

    def stop(number: int, frame: object) -> None:
        what = "computes" if number == signal.SIGPROF else "waits"
        raise TooLong(f"{what} too long")

    timers = [(signal.SIGPROF, signal.ITIMER_PROF, limit_s)]
    timers.append((signal.SIGALRM, signal.ITIMER_REAL, PATIENCE_S))
    before = [signal.signal(number, stop) for number, _, _ in timers]
    try:
        for _, timer, seconds in timers:
            signal.setitimer(timer, seconds)
        yield
    finally:
        for (number, timer, _), handler in zip(timers, before, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, handler)


class TooLong(BaseException):
    """An input on which the program hangs."""


def answered(call: Callable[[], Any]) -> Any:
    """What a call returns, or None where it refuses its input by one of our errors, in words."""
    with within():
        try:
            return call()
        except OURS as error:
            said = printable(str(error), SAID)  # as `main` says it
            assert said.strip()
            assert "\n\n" not in said
            assert "Traceback" not in said
            return None


def fuzz(check: Callable[[Any], None], inputs: st.SearchStrategy[Any], examples: int) -> None:
    """Try that many inputs; the fast tests' few are the same every time."""

    @settings(
        max_examples=examples,
        derandomize=examples <= FEW,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def examine(given: Any) -> None:
        check(given)

    examine()
