"""An OpenAI-compatible endpoint over a language model small enough to bring along. Shares no code with the rest of evalkit."""
