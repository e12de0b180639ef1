"""Where the command begins: before anything else is loaded, Ctrl-C is one line already."""

import os
import signal


def main() -> None:
    """Load the command, which takes a while, and run it; an interrupt meanwhile ends in 130."""
    signal.signal(signal.SIGINT, _leave)
    from .cli import main as command

    command()


def _leave(number: int, frame: object) -> None:
    os.write(2, b"interrupted\n")
    os._exit(128 + number)  # nothing has been begun, so that nothing is left to be put in order
