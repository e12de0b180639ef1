"""Architectures: built by name, seeded, and such that torch-pruning cuts them rightly."""

from .registry import build_model, list_models
