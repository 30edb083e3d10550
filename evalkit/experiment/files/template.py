"""``template:``, a question with a row's values in it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.errors import PromptError
from evalkit.experiment.files.columns import PromptFile, placed, plain, say_columns
from evalkit.experiment.files.said import Said
from evalkit.experiment.files.values import as_text, held, missing
from evalkit.experiment.problems import shown, unknown

_PLACE = re.compile(r"\{\{([^{}\":\n]+)\}\}")


class Template:
    """The template of one file, and the columns that fill it."""

    def __init__(self, how: PromptFile, where: str, said: Said) -> None:
        """`where`: the file, for messages."""
        self._how, self._where, self._said = how, where, said
        self._known: dict[tuple[str, ...], tuple[str, dict[str, str], dict[str, str]]] = {}

    def filled(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The prompt of a row, its text filled in by ``vars`` when it is sent; raises `PromptError` where a column is not there."""
        keys = tuple(map(str, entry))
        if keys not in self._known:
            self._known[keys] = self._found(keys)
        text, places, columns = self._known[keys]
        out: dict[str, Any] = {"user": text, "vars": {place: as_text(entry[key]) for place, key in places.items()}}
        for name, what in columns.items():
            if what == "tags" or not missing(entry[name]):
                out[what] = held(what, entry[name], name)
        return out

    def _found(self, keys: Sequence[str]) -> tuple[str, dict[str, str], dict[str, str]]:
        """The template with names that can stand in ``vars``, the column that fills each, and what the other columns hold."""
        places: dict[str, str] = {}

        def named(found: re.Match[str]) -> str:
            name = found[1].strip()
            key = name if name in keys else next((one for one in keys if plain(one) and plain(one) == plain(name)), None)
            if key is None:
                raise PromptError(f"{self._where}: template: no column is called {shown(name)}; {unknown('column', name, keys)}")
            word = key if key.isascii() and key.isidentifier() else f"column_{keys.index(key) + 1}"
            places[word] = key
            return f"{{{{{word}}}}}"

        text = _PLACE.sub(named, self._how.template or "")
        columns = {name: what for name, what in placed(keys, self._how.names(), self._where).items() if what != "user"}
        say_columns([*columns, *(key for key in keys if key not in columns and key not in places.values())], columns, self._said)
        return text, places, columns
