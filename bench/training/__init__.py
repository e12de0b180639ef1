"""The one training loop, what a network is measured by, and what mixes its images."""
