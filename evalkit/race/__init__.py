"""Races: every setting is asked a few prompts, and only those that may still be chosen are asked the others."""
