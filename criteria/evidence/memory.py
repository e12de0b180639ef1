"""Peak memory of a stretch of code: the device's own count, or resident memory on Linux."""

from __future__ import annotations

from pathlib import Path

from ..lazy import nn, torch

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
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()
            self._start: int | None = torch.cuda.memory_allocated()
            return self
        self._start = None
        try:
            _CLEAR.write_text("5")  # sets the high-water mark to what is resident now
        except OSError:
            return self  # not Linux, or not permitted: the measurement stays None
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
