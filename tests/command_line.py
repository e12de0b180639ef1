"""The command in the test's own process."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from sources import unregistering

from bench import terminal
from bench.command import cli


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


Command = Callable[..., Done]


@pytest.fixture
def bench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Iterator[Command]:
    """The command in this process, as torch takes seconds to load; in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for console in (cli.console, cli.complaints):  # of the width there was when they were made
        monkeypatch.setattr(console, "width", terminal.UNBROKEN)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    threads, terminate = torch.get_num_threads(), signal.getsignal(signal.SIGTERM)

    def command(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return Done(int(ended.value.code or 0), said.out, said.err)

    with unregistering():  # what plugins bring
        yield command
    torch.set_num_threads(threads)
    signal.signal(signal.SIGTERM, terminate)
