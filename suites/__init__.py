"""What is asked: suites, their schema, and the trials they span. Knows nothing of torch."""

from .expand import Case, expand, library, load_suite
from .files import SuiteError
from .schema import Recipe, Suite, named_recipes

__all__ = [
    "Case",
    "Recipe",
    "Suite",
    "SuiteError",
    "expand",
    "library",
    "load_suite",
    "named_recipes",
]
