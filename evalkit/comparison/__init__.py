"""Two runs or two cells: what got better or worse, and what a gate says."""
