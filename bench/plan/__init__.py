"""The way from a suite to trials and jobs: names resolved, keys known, and what they will take."""
