"""Progress of a run on a terminal of 80 columns."""

from __future__ import annotations

import io
from dataclasses import dataclass

from rich.console import Console

from bench.run.live import Live


@dataclass(frozen=True)
class Named:
    key: str

    def __str__(self) -> str:
        return self.key


def test_the_bar_keeps_its_place_whatever_runs() -> None:
    console = Console(file=io.StringIO(), width=80, force_terminal=True)
    live = Live(console, trials=1248, workers=2)
    for job in ("resnet20 on mnist5k · inverse-taylor · 70 % · finetune-quick", "base 1 of " * 5):
        live.started(Named(job))  # type: ignore[arg-type]
    with console.capture() as drawn:
        console.print(live.get_renderable())
    bar, now = drawn.get().splitlines()
    assert bar.count("━") == 40
    assert "0/1248" in bar
    assert "inverse-taylor" in now
    assert "…" in now
