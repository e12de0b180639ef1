"""An end to Python code of others that may run for ever."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TooLong(Exception):
    """The block took longer than it was given."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise `TooLong` inside the block once the time is over, between two of Python's steps.

    It works in every thread; signals would reach only the first.

    >>> with within(0.05):
    ...     while True:
    ...         pass
    Traceback (most recent call last):
    criteria.network.deadline.TooLong
    """
    thread, over, lock = threading.get_ident(), threading.Event(), threading.Lock()

    def end() -> None:
        with lock:
            if not over.is_set():
                place = ctypes.c_ulong(thread)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(place, ctypes.py_object(TooLong))

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        with lock:  # from here on nothing is raised any more
            over.set()
        timer.cancel()
