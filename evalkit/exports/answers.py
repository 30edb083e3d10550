"""The answers as a table for a spreadsheet, in which no cell is a formula."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

from evalkit.run import Run
from evalkit.text.escaping import visible

_FORMULA = re.compile(r"^[\s'\"]*[=+\-@\t\r|%＝＋－＠]")
_LONGEST = 32_000
"""Characters; a spreadsheet cuts what is longer."""
_OF_AN_ANSWER = ("replicate", "outcome", "text", "finish_reason", "prompt_tokens", "completion_tokens", "latency_s", "model", "kind", "message", "at")


def as_csv(run: Run) -> str:
    """A row a recorded answer or failure: the prompt, a column a parameter, the text, tokens, seconds.

    A text that a spreadsheet would take for a formula has an apostrophe before it, what has no shape stands as its code, and one of over 32,000
    characters is cut, which its end says.
    """
    table = run.responses().sort_values(["cell_index", "prompt_id", "replicate"], kind="stable")
    parameters = [name for name in run.analysis.parameters if name in table.columns]
    columns = [name for name in ("prompt_id", *parameters, *_OF_AN_ANSWER) if name in table.columns]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([_cell(name) for name in columns])
    for row in table[columns].itertuples(index=False, name=None):
        writer.writerow([_cell(value) for value in row])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and value != value):  # NaN
        return ""
    if not isinstance(value, str):
        return value
    text = visible(value)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]} [cut: {len(text):,} characters]"
    return f"'{text}" if _FORMULA.match(text) else text
