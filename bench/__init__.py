"""The engine: plans suites, runs them, prunes in a notebook, and takes what users register.

from bench import prune
result = prune(model, example_inputs, "taylor", budget={"macs": 0.5}, batches=[(x, y)])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .data.known import register_dataset
    from .models.constructors import register_model
    from .models.kept import load
    from .pruning.prune import Pruned, prune
    from .tasks.known import register_task
    from .tasks.task import Task

__all__ = ["Pruned", "Task", "load", "prune"]
__all__ += ["register_dataset", "register_model", "register_task"]

_PLACES = {
    "load": "models.kept", "Pruned": "pruning.prune", "prune": "pruning.prune",
    "Task": "tasks.task", "register_task": "tasks.known",
    "register_dataset": "data.known", "register_model": "models.constructors",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import torch only when it is wanted, so that the command answers at once."""
    if name in _PLACES:
        return getattr(import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
