"""Numbers: what the records of a suite say, before anything is drawn or worded."""
