"""Architectures: built by name, seeded, and such that torch-pruning cuts them rightly."""

from .registry import build_model, classifier_layers, list_models

__all__ = ["build_model", "classifier_layers", "list_models"]
