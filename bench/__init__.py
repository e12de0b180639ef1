"""The engine: plans suites, runs them, and prunes in a notebook.

from bench import prune
result = prune(model, example_inputs, "taylor", budget={"macs": 0.5}, batches=[(x, y)])
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .pruning.prune import Pruned, prune

__all__ = ["Pruned", "prune"]


def __getattr__(name: str) -> Any:
    """Import torch only when it is wanted, so that the command answers at once."""
    if name in __all__:
        from .pruning import prune as module

        return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
