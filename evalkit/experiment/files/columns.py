"""Which column of a table, or key of an entry, holds what of a prompt: as its user says, else by its usual name."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from evalkit.errors import PromptError
from evalkit.experiment.endpoint import Strict, whole
from evalkit.experiment.files.said import Said
from evalkit.experiment.problems import nearest, shown, unknown

OWN = ("id", "system", "user", "expect", "tags", "tests")
"""What a column can hold."""

_USUAL: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "promptid", "questionid", "qid", "uid", "uuid", "customid", "docid", "key"),
    "system": ("system", "systemprompt", "systemmessage", "developer"),
    "user": (
        *("user", "prompt", "question", "instruction", "input", "query", "message", "userprompt", "usermessage", "problem", "text"),
        *("frage", "pregunta", "domanda", "pergunta", "q"),
    ),
    "expect": (
        *("expect", "expected", "answer", "reference", "target", "ideal", "gold", "expectedoutput", "expectedanswer", "groundtruth"),
        *("correctanswer", "rightanswer", "referenceanswer", "output", "completion", "response"),
        *("antwort", "respuesta", "réponse", "risposta", "resposta", "a"),
    ),
    "tags": ("tags", "tag", "category", "categories", "topic", "topics", "subject", "thema", "kategorie", "catégorie", "categoría", "tema"),
    "tests": ("tests", "test", "testlist"),
}
"""Names that columns have elsewhere, without case, spaces and signs; of several that stand in one file the first counts."""

_NEEDED = ("context", "passage", "document", "paragraph", "article", "options")
"""Columns without which many a question cannot be answered."""

_PLAIN = re.compile(r"[\W_]+")
_IN_QUOTES = re.compile(r"'([^'\"]*)'|\"([^'\"]*)\"")
_LISTED = re.compile(r"""\[\s*(?:(?:'[^'"]*'|"[^'"]*")\s*(?:,\s*)?)*\]""")


class Sample(Strict):
    """A part of the prompts, drawn without replacement; the same part each time.

    Attributes:
        n: how many; all where there are no more.
        seed: another one draws another part.
        by: ``tags``: from each set of tags in proportion to its size, at least one of each while n allows it.
    """

    n: Annotated[int, Field(ge=1), BeforeValidator(whole)]
    seed: Annotated[int, Field(ge=0, lt=2**53), BeforeValidator(whole)] = 0
    by: Literal["tags"] | None = None


class PromptFile(Strict):
    """A file of prompts, and which of its columns hold what.

    Attributes:
        file: its path, from the experiment's.
        id, system, user, expect, tags, tests: the column (or key) that holds each; left out: the one with a usual name, like question and answer.
        template: the user's text with ``{{column}}`` for each value, instead of `user`.
        keep_last: send a last message of the assistant (true), or take it as what is expected (false); left out: sent where the prompt has an id.
        sample: take a part of the prompts alone.
    """

    file: Annotated[str, Field(min_length=1)]
    id: str | None = None
    system: str | None = None
    user: str | None = None
    expect: str | None = None
    tags: str | None = None
    tests: str | None = None
    template: str | None = None
    keep_last: bool | None = None
    sample: Sample | None = None

    @field_validator("template")
    @classmethod
    def _with_a_place(cls, value: str | None) -> str | None:
        if value is not None and "{{" not in value:
            raise ValueError(f"found {shown(value)}; expected a text with a column in double braces, like {{{{question}}}}")
        return value

    @model_validator(mode="after")
    def _asked_by_one(self) -> Self:
        if self.template is not None and self.user is not None:
            raise ValueError("'user' and 'template' stand side by side; the template is the question: keep one of the two")
        return self

    def names(self) -> dict[str, str]:
        """The columns that its user named, by what they hold."""
        return {what: name for what in OWN if (name := getattr(self, what)) is not None}


def plain(name: str) -> str:
    """A column's name without case, spaces and signs."""
    return _PLAIN.sub("", name.casefold())


def is_usual(name: str) -> bool:
    """Whether a column of that name is taken for something of a prompt."""
    return any(plain(name) in names for names in _USUAL.values())


def nearest_usual(names: Iterable[str], what: Literal["user", "expect"] = "user") -> tuple[str, str] | None:
    """Of names the first that is a slip for one which holds the question, or `what` else of a prompt, and that one."""
    # A reference's number is near to a reference, and none.
    pairs = ((name, nearest(plain(name), [one for one in _USUAL[what] if len(one) > 4])) for name in names if not plain(name).endswith("id"))
    return next(((name, meant) for name, meant in pairs if meant is not None), None)


def placed(there: Sequence[str], named: Mapping[str, str], where: str) -> dict[str, str]:
    """What each column holds, of those that hold something: by the columns `there`.

    Args:
        named: as `PromptFile.names` gives it.
        where: of the file, for messages.

    Raises:
        PromptError: a column was named that is not there, or named twice.
    """
    found: dict[str, str] = {}
    for what, name in named.items():
        match = name if name in there else next((one for one in there if plain(one) == plain(name)), None)
        if match is None:
            raise PromptError(f"{where}: no column is called {shown(name)}, which {what!r} names; {unknown('column', name, there)}")
        if match in found:
            raise PromptError(f"{where}: the column {shown(match)} is named for both {found[match]!r} and {what!r}; name it once")
        found[match] = what
    for what in OWN:
        if what in found.values():
            continue
        free = {plain(one): one for one in reversed(there) if one not in found}
        match = next((free[one] for one in _USUAL[what] if one in free and (one != "a" or "q" in map(plain, found))), None)
        if match is not None:
            found[match] = what
    return found


def say_columns(there: Iterable[str], found: Mapping[str, str], said: Said) -> str | None:
    """Tell which columns were taken for what they are not called, and which were left out.

    Returns:
        The one among those left out that likely holds what is expected, where none was taken for that.
    """
    if taken := [f"{shown(name)} as {what}" for name, what in sorted(found.items(), key=lambda one: OWN.index(one[1])) if name != what]:
        said.add(f"taken: {', '.join(taken)}")
    left = [one for one in there if one not in found]
    missed = nearest_usual(left, "expect") if "expect" not in found.values() else None
    if left:
        names = ", ".join(map(shown, left[:8])) + (" and more" if len(left) > 8 else "")
        needed = next((one for one in left if plain(one) in _NEEDED), None)
        hint = f"; where the question needs {shown(needed)}, put both into one text: template: '{{{{{needed}}}}} ...'" if needed else ""
        if missed:
            hint += f"; did you mean {shown(missed[1])} by {shown(missed[0])}? Name it: prompts: {{file: FILE, expect: {shown(missed[0])}}}"
        said.add(f"left out: {'the column' if len(left) == 1 else 'the columns'} {names}{hint}")
    return missed and missed[0]


def tags_of(value: Any) -> list[str]:
    """Tags as a list: of a text, a list written out as Python or JSON does, what ``;`` parts, else what commas do."""
    if isinstance(value, list | tuple):
        return [str(one).strip() for one in value if str(one).strip()]
    text = "" if value is None or (isinstance(value, float) and math.isnan(value)) else str(value).strip()
    if _LISTED.fullmatch(text):
        return [one for found in _IN_QUOTES.finditer(text) if (one := (found[1] or found[2] or "").strip())]
    return [one.strip() for one in text.split(";" if ";" in text else ",") if one.strip()]
