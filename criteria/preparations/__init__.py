"""What is done to the dense network before it is scored: sparse learning, orthogonality, time."""
