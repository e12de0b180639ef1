"""The verbs of the `bench` command, and what they print."""
