"""What the words of a report mean: one source, for its page and for docs/glossary.md."""

from collections.abc import Mapping
from pathlib import Path

from suites.files import read_yaml

GLOSSARY: Mapping[str, str] = read_yaml(Path(__file__).parents[1] / "templates" / "glossary.yaml")
