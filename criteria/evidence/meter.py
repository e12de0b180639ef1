"""What each piece of evidence costs, in time and memory: a criterion is charged as if alone."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ..lazy import nn, torch


@dataclass
class Cost:
    """What scoring by one criterion cost, as if it had run alone."""

    # Its share of the evidence in full, and its own formula. A pass back is charged whole: with the
    # gradients of weights, where another criterion wanted them.
    seconds: float = 0.0
    # Growth of memory in the phase that served it; None where unknown.
    peak_bytes: int | None = None
    images: int = 0  # images it has seen
    failure: Exception | None = None  # what the criterion raised; it has seen nothing since

    def add(self, other: Cost) -> None:
        """Add what a later pass cost."""
        self.seconds += other.seconds
        self.images += other.images
        if self.peak_bytes is None or other.peak_bytes is None:
            self.peak_bytes = None
        else:
            self.peak_bytes = max(self.peak_bytes, other.peak_bytes)

    @contextmanager
    def timing(self) -> Iterator[None]:
        """Add the time that the block takes."""
        start = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - start


class Meter:
    """Times nested work. A piece is timed where it is made, and counted for all that use it."""

    def __init__(self) -> None:
        self._own: dict[Hashable, float] = {}
        self._uses: dict[Hashable, set[Hashable]] = {}
        self._open: list[tuple[Hashable, list[float]]] = []

    @contextmanager
    def timing(self, key: Hashable, *, aside: bool = False) -> Iterator[None]:
        """Time the block as `key`; what is timed inside it counts as used, not as its own.

        What is done `aside` is not used by what is being timed: only the place is convenient.
        """
        if not aside:
            self.use(key)
        inner: list[float] = []
        self._open.append((key, inner))
        start = time.perf_counter()
        try:
            yield
        finally:
            whole = time.perf_counter() - start
            self._open.pop()
            self._own[key] = self._own.get(key, 0.0) + whole - sum(inner)
            if self._open:
                self._open[-1][1].append(whole)

    def use(self, key: Hashable) -> None:
        """Note that what is being timed now stands on `key`."""
        if self._open:
            self._uses.setdefault(self._open[-1][0], set()).add(key)

    def seconds(self, key: Hashable) -> float:
        """Time of `key` and of everything that it stands on, each once."""
        seen: set[Hashable] = set()
        ahead = [key]
        while ahead:
            one = ahead.pop()
            if one not in seen:
                seen.add(one)
                ahead.extend(self._uses.get(one, ()))
        return sum(self._own.get(one, 0.0) for one in seen)


_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class PeakMemory:
    """Growth of memory over a `with` block, in `bytes`; None where the system cannot tell.

    On the CPU this is the growth of peak resident memory, so pages that the allocator already
    held do not count: a lower bound.
    """

    def __init__(self, model: nn.Module) -> None:
        first = next(model.parameters(), None)
        self._cuda = first is not None and first.is_cuda
        self.bytes: int | None = None

    def __enter__(self) -> PeakMemory:
        self._start: int | None = None
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            self._start = torch.cuda.memory_allocated()
            return self
        with suppress(OSError):  # not Linux, or not permitted: the measurement stays None
            _CLEAR.write_text("5")  # sets the high-water mark to what is resident now
            self._start = _high_water_mark()
        return self

    def __exit__(self, *_: object) -> None:
        if self._start is None:
            return
        peak = torch.cuda.max_memory_allocated() if self._cuda else _high_water_mark()
        if peak is not None:
            self.bytes = max(peak - self._start, 0)


def _high_water_mark() -> int | None:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return 1024 * int(line.split()[1])
    return None
