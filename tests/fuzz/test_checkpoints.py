"""Files that are said to be checkpoints: weights, or one message, and no code of theirs runs."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fuzzing import MANY, answered, fuzz, text, values
from hypothesis import strategies as st
from torch import Tensor, nn

from bench.models.checkpoint import NESTS, load_checkpoint


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


def circle() -> dict[str, Any]:
    """A nest that is inside itself."""
    content: dict[str, Any] = {}
    content["state_dict"] = content
    return content


STATE: dict[str, Any] = network().state_dict()
TENSORS: list[Callable[[], Tensor]] = [
    lambda: torch.zeros(3, 2),
    lambda: torch.zeros(3, 2, dtype=torch.complex64),
    lambda: torch.full((3, 2), float("nan")),
    lambda: torch.zeros(3, 2, dtype=torch.bool),
    lambda: torch.zeros(3, 2).to_sparse(),
    lambda: torch.zeros(3, 2, device="meta"),
    lambda: torch.zeros(0),
    lambda: torch.tensor(1.0),
    lambda: torch.zeros(1).expand(10**9),
    lambda: torch.quantize_per_tensor(torch.zeros(3, 2), 0.1, 0, torch.qint8),
]
odd = st.sampled_from(TENSORS).map(lambda make: make()) | values
keys = st.sampled_from([*STATE, "module.0.weight", *NESTS]) | text | st.integers(-3, 3)


@st.composite
def contents(draw: st.DrawFn) -> Any:
    """A state dict with some keys changed, perhaps in a nest; or something else."""
    how = draw(st.integers(0, 9))
    if how < 3:
        return draw(st.sampled_from([circle(), [], None, 3, {"a": {}}, list(STATE.items())]) | odd)
    content = {**STATE, **draw(st.dictionaries(keys, odd, max_size=3))}
    for key in draw(st.lists(st.sampled_from(list(content)), max_size=2)):
        content.pop(key, None)
    for _ in range(draw(st.integers(0, 2))):
        content = {draw(keys): content}
    return content


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """What torch writes of that, whole, cut, or with bytes changed; or no such file at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    buffer = io.BytesIO()
    torch.save(draw(contents()), buffer, _use_new_zipfile_serialization=draw(st.booleans()))
    written = bytearray(buffer.getvalue())
    for _ in range(draw(st.integers(0, 4))):
        written[draw(st.integers(0, len(written) - 1))] = draw(st.integers(0, 255))
    return bytes(written[: draw(st.integers(0, len(written)))] if draw(st.booleans()) else written)


def check(folder: Path, written: bytes) -> None:
    path = folder / "weights.pt"
    path.write_bytes(written)
    model = network()
    answered(lambda: load_checkpoint(model, path))
    assert [tuple(one.shape) for one in model.state_dict().values()] == [
        tuple(one.shape) for one in STATE.values()
    ]


@pytest.mark.filterwarnings("ignore")
def test_a_few(tmp_path: Path) -> None:
    fuzz(lambda given: check(tmp_path, given), files(), 30)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.filterwarnings("ignore")
def test_many(tmp_path: Path) -> None:
    fuzz(lambda given: check(tmp_path, given), files(), MANY // 8)
