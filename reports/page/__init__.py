"""Words: the page, its findings, tables and warnings."""
