"""The criterion that docs/criteria.md shows, as its readers would copy it."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from conftest import Chain, images, labelled, lively
from sources import forgetting

from criteria import load_plugin, score

PAGE = Path(__file__).parents[2] / "docs" / "criteria.md"
SHOWN = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_the_example_reads_activations_and_weights_together(tmp_path: Path) -> None:
    (text,) = (one for one in SHOWN.findall(PAGE.read_text(encoding="utf-8")) if "loud" in one)
    plugin = tmp_path / "loud.py"
    plugin.write_text(text, encoding="utf-8")
    model = lively(Chain(6, 4))
    inputs, targets = labelled(3)
    with forgetting():
        load_plugin(plugin)
        scores = score(model, images(1), "loud", [(inputs, targets)])
    found = {one.root: one.values for one in scores}
    with torch.no_grad():
        first = model[0](inputs)
    by_hand = model[0].weight.abs().sum((1, 2, 3)) * first.abs().mean((0, 2, 3))
    torch.testing.assert_close(found["0"], by_hand.detach().double(), rtol=1e-5, atol=1e-7)
