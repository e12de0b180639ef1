"""From the cases of a suite to jobs: every name resolved, and what cannot run refused."""
