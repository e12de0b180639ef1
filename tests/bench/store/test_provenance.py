"""Where a result was made, whatever git says of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.store.provenance import environment


def test_a_checkout_may_differ_by_bytes_that_are_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = tmp_path / "git"
    git.write_text('#!/bin/sh\n[ "$3" = diff ] && printf "\\377\\000" || echo c0ffee\n')
    git.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    environment.cache_clear()
    try:
        made = environment()
    finally:
        environment.cache_clear()
    assert (made["git_sha"], made["git_dirty"]) == ("c0ffee", True)
    assert made["git_diff_sha256"].startswith("ea5dbf9596d187e9")
