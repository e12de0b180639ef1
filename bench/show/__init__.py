"""What people see in the terminal: lists, plans, progress."""
