"""Sentences about faults stand apart from the code that says them."""

from __future__ import annotations

import re

from criteria.errors import texts
from criteria.source import PACKAGE


def test_every_sentence_is_said_and_none_is_missing() -> None:
    code = "\n".join(file.read_text(encoding="utf-8") for file in PACKAGE.rglob("*.py"))
    said = set(re.findall(r"fault\(\s*\"(\w+)\"", code))
    assert said
    assert said == set(texts("faults.yaml"))
