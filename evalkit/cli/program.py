"""What this program was called by, for the commands that it tells people to type."""

from __future__ import annotations

import os
import sys


def program() -> str:
    """``evalkit``, ``python -m evalkit``, or whatever else its file is called."""
    return "python -m evalkit" if getattr(sys.modules["__main__"], "__package__", None) else sys.argv[0].rpartition(os.sep)[2]
