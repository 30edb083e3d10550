"""The project's place, and the environment of child processes."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COVER = ("PARADIGM_API_KEY", "PARADIGM_BASE_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "COLUMNS")


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: as clean as the tests' own."""
    return {name: value for name, value in os.environ.items() if name not in COVER} | (more or {})
