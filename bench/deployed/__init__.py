"""What a network takes where it runs: runtimes, timing, its operations one by one."""
