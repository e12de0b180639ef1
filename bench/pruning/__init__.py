"""A network, what it costs, which units leave and how they are cut: what works without suites."""
