"""An end to Python code of others that may run for ever."""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class TooLong(Exception):
    """The block took longer than it was given."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise `TooLong` inside the block once the time is over, between two of Python's steps.

    It works in every thread; signals would reach only the first. It is raised again each second,
    as what is raised inside of a destructor or a callback of C code is lost.

    >>> with within(0.05):
    ...     while True:
    ...         pass
    Traceback (most recent call last):
    criteria.network.deadline.TooLong
    """
    place, over, lock = ctypes.c_ulong(threading.get_ident()), threading.Event(), threading.Lock()

    def end() -> None:
        wait = seconds
        while not over.wait(wait):
            wait = 1.0
            with lock:
                if not over.is_set():
                    raised = ctypes.py_object(TooLong)
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(place, raised)

    threading.Thread(target=end, daemon=True).start()
    try:
        yield
    finally:
        while not over.is_set():  # what was raised by now may arrive even here
            with suppress(TooLong), lock:
                over.set()
