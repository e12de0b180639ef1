"""Architectures: built by name, seeded, and such that torch-pruning cuts them rightly."""

from .registry import build_model, list_models

__all__ = ["build_model", "list_models"]
