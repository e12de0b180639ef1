"""What is asked: suites, their schema, and the trials they span. Knows nothing of torch."""

from .expand import Case, Probe, expand, library, load_suite, resolved, scales_of
from .fidelity import FidelitySuite
from .files import SuiteError
from .recipe import Recipe, named_recipes
from .schema import AnySuite, Suite
