"""From an experiment to requests: which cells, in which order, with which seeds."""
