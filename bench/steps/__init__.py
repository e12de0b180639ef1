"""What a worker does with a job: base, scores, path, trial; oracles for fidelity suites."""
