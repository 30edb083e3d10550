"""Statistics on plain arrays: nothing here knows of experiments. The unit of analysis is the prompt."""
