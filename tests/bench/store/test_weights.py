"""Stored weights: what is read is what was written, or nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

from bench.errors import StoreError
from bench.store.weights import load_weights, save_weights, stored_weights


def test_weights_come_back_bit_for_bit_and_the_same_weights_hash_alike(tmp_path: Path) -> None:
    model, other = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    with torch.no_grad():
        model.weight.uniform_()
        model.running_mean.uniform_()
    file = tmp_path / "bases" / "one.pt"
    sha256 = save_weights(model, file)
    assert save_weights(model, tmp_path / "bases" / "again.pt") == sha256
    content = stored_weights(file, sha256)
    assert content is not None
    assert sha256 == hashlib.sha256(content).hexdigest()
    load_weights(other, file, sha256)
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name


def test_a_file_of_weights_is_read_by_torch_as_it_lies_there(tmp_path: Path) -> None:
    model, file = nn.Linear(2, 2), tmp_path / "bases" / "one.pt"
    save_weights(model, file)
    found = torch.load(file, weights_only=True)
    assert torch.equal(found["weight"], model.weight)


def test_lost_changed_and_other_weights_are_none(tmp_path: Path) -> None:
    model, file = nn.Linear(2, 2), tmp_path / "bases" / "one.pt"
    sha256 = save_weights(model, file)
    assert stored_weights(file, "0" * 64) is None
    with pytest.raises(StoreError, match="run the same command again"):
        load_weights(model, file, "0" * 64)
    assert file.exists()  # whole, but not what is asked for
    whole = file.read_bytes()
    file.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
    assert stored_weights(file, sha256) is None
    assert not file.exists()
    assert (tmp_path / "damaged" / "bases-one.pt").exists()
    assert stored_weights(file, sha256) is None
