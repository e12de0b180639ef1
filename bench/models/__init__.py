"""Architectures: built by name, seeded, and such that torch-pruning cuts them rightly."""

from .registry import build_model, code_of, list_models
