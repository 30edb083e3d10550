"""evalkit: sweep the sampling parameters of a chat API over a prompt set, and say with honest statistics which suit."""

__version__ = "0.1.0"
