"""From a suite to trials and jobs: every name resolved, every key known, and what they will take."""
