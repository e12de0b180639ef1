"""Stored weights: what is read is what was written, or an error that says what to delete."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

from bench.errors import StoreError
from bench.store.weights import load_weights, save_weights


def test_weights_come_back_bit_for_bit_and_the_same_weights_hash_alike(tmp_path: Path) -> None:
    model, other = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    with torch.no_grad():
        model.weight.uniform_()
        model.running_mean.uniform_()
    file = tmp_path / "one.pt"
    sha256 = save_weights(model, file)
    assert sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert save_weights(model, tmp_path / "again.pt") == sha256
    load_weights(other, file, sha256, tmp_path / "one.json")
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_changed_or_lost_weights_name_the_file_that_calls_them_whole(tmp_path: Path) -> None:
    model, file, done = nn.Linear(2, 2), tmp_path / "one-0.5.pt", tmp_path / "one.json"
    sha256 = save_weights(model, file)
    file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(StoreError, match=r"have changed since they were stored; delete .*one.json"):
        load_weights(model, file, sha256, done)
    file.unlink()
    with pytest.raises(StoreError, match=r"No such file or directory; delete .*one.json"):
        load_weights(model, file, sha256, done)
