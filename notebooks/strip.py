"""Take outputs and counts out of the notebooks here, as they are kept in git: python notebooks/strip.py."""

from __future__ import annotations

import json
from pathlib import Path


def stripped(text: str) -> str:
    """A notebook's file without what a run leaves in it."""
    book = json.loads(text)
    for cell in book["cells"]:
        cell["metadata"] = {}
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    book["metadata"] = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}, "language_info": {"name": "python"}}
    return json.dumps(book, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path in sorted(Path(__file__).parent.glob("*.ipynb")):
        path.write_text(stripped(path.read_text(encoding="utf-8")), encoding="utf-8")
