"""A session of `bench run`: check, run, report, and show it while it lasts."""
