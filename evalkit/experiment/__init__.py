"""What the user writes, read and checked: the experiment, its endpoint, prompts, parameters, judges, goals and margins."""
