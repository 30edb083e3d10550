"""From scores to findings: means with intervals, effects, verdicts, drift, power."""
