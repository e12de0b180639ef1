"""Datasets by name, and their images in batches."""
