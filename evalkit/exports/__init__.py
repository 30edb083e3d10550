"""A run, in the forms that other tools read: its answers as a table, its setting as their configuration, its numbers in their trackers."""
