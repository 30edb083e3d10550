"""What is said of a run, whoever shows it."""
