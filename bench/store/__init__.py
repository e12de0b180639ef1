"""The results folder: what is written there, and how it is told from damage."""
