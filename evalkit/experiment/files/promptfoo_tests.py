"""promptfoo's tests by themselves, as a table or a list: their values and what they expect, for a prompt that stands elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from evalkit.errors import PromptError
from evalkit.experiment.files.columns import placed
from evalkit.experiment.files.promptfoo import COMPARED, expected_by, tell_compared, values_of
from evalkit.experiment.files.said import Said
from evalkit.experiment.problems import Faults, shown

_KIND = re.compile(r"(?:not-)?([a-z]+(?:-[a-z0-9]+)*)(?:\([\d.]+\))?(?::\s*(.*))?", re.DOTALL)
_KINDS = frozenset(
    (
        *(
            "contains-all",
            "contains-any",
            "icontains-all",
            "icontains-any",
            "starts-with",
            "regex",
            "is-json",
            "contains-json",
            "is-xml",
            "contains-xml",
        ),
        *("is-sql", "contains-sql", "javascript", "fn", "eval", "python", "ruby", "grade", "llm-rubric", "factuality", "similar", "levenshtein"),
        *("rouge-n", "bleu", "gleu", "meteor", "cost", "latency", "perplexity", "perplexity-score", "webhook", "answer-relevance", "context-recall"),
        *("context-relevance", "context-faithfulness", "select-best", "moderation", "word-count", "is-refusal", "guardrails", "classifier", "pi"),
        *("model-graded-closedqa", "model-graded-factuality", "g-eval", "is-valid-openai-tools-call", "tool-call-f1", "finish-reason", "file"),
    )
)
"""Of what promptfoo's column ``__expected`` may begin with, behind which a colon follows; another text is compared as it stands."""


def of_test(entry: Mapping[str, Any], said: Said, where: str, *, known: bool) -> Mapping[str, Any]:
    """A row or an entry of promptfoo's tests, whose prompt stands elsewhere, as columns; another entry as it is.

    Args:
        where: the file, for messages.
        known: its user has said which text is asked, by a template or a column.

    Raises:
        Faults: a test has what has no counterpart.
        PromptError: nobody has said what is asked.
    """
    if isinstance(entry.get("vars"), Mapping):
        if "messages" in entry or "user" in placed(tuple(map(str, entry)), {}, where).values():
            return entry
        out = _of_mapping(entry, said, where)
    elif any(str(key).startswith("__expected") for key in entry):
        out = _of_row(entry, said)
    else:
        return entry
    names = tuple(map(str, out))
    columns = placed(names, {}, where)
    if not known and ("user" not in columns.values() or len(columns) < len(names)):
        first = next((name for name in names if name not in columns), names[0] if names else "NAME")
        says = f"{shown(first)} is a variable of promptfoo's prompt, which stands elsewhere"
        raise PromptError(f"{where}: {says}; give it: prompts: {{file: FILE, template: '... {{{{{first}}}}} ...'}}")
    return out


def _of_mapping(entry: Mapping[str, Any], said: Said, where: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, values in values_of(entry, where).items():
        if len(values) != 1:
            raise Faults([(("vars", name), f"found {len(values)} values; expected one; write a test for each")])
        out[name] = values[0]
    expected = expected_by(entry, said)
    return out if expected is None else {**out, "expect": expected}


def _of_row(entry: Mapping[str, Any], said: Said) -> dict[str, Any]:
    own = [key for key in entry if str(key).startswith("__")]
    if around := [key for key in ("__prefix", "__suffix") if entry.get(key)]:
        raise Faults([((around[0],), "has no counterpart; write it into the template")])
    if left := sorted(str(key) for key in own if not str(key).startswith("__expected")):
        said.add(f"left out: {', '.join(map(shown, left))} of promptfoo")
    cells = [_of_cell(str(entry[key]), said) for key in own if str(key).startswith("__expected") and entry[key]]
    expected = next((one for one in cells if one is not None), None)
    return {key: value for key, value in entry.items() if key not in own} | {"expect": expected}


def _of_cell(text: str, said: Said) -> str | None:
    """What a cell of ``__expected`` compares with; None where it does something else, which is told."""
    found = _KIND.fullmatch(text.strip())
    kind, value = (found[1], found[2]) if found else ("", None)
    if found and kind in COMPARED and value is not None and not text.strip().startswith("not-"):
        tell_compared(kind, said)
        return str(value)
    if found and (kind in _KINDS or (text.strip().startswith("not-") and kind in COMPARED)) and (value is not None or "-" in kind):
        said.add(f"left out: {{n}} of type {shown(kind if kind != 'file' else 'file://')}", "assertion")
        return None
    return text
