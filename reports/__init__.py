"""What is answered: statistics, figures, tables and the page of a suite, made of its records."""
