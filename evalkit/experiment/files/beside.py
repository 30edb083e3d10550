"""What stands beside a question and bears on it: text that belongs behind it, and what has no counterpart in a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.experiment.files.columns import plain
from evalkit.experiment.problems import Faults


def further(keys: Sequence[str], columns: Mapping[str, str]) -> str | None:
    """Alpaca's ``input`` or Dolly's ``context``, which belongs behind an ``instruction``."""
    user = next((name for name, what in columns.items() if what == "user"), "")
    if plain(user) != "instruction":
        return None
    return next((key for key in keys if plain(key) in ("input", "context") and key not in columns), None)


def refuse_choices(entry: Mapping[str, Any]) -> None:
    """Raise `Faults` for a question whose answers to choose from stand beside it."""
    key = next((key for key in ("choices", "options") if isinstance(entry.get(key), list | Mapping) and entry[key]), None)
    letters = [name for name in entry if len(name) <= len("(a)") and plain(name) in ("a", "b", "c", "d")]
    if key is None and len(letters) == len("abcd"):
        key = letters[0]
        places = " ".join(f"{one}) {{{{{one}}}}}" for one in letters)
    elif key is not None:
        places = f"{{{{{key}}}}}"
    else:
        return
    raise Faults([((key,), f"a question to choose an answer to has no counterpart; put both into one text: template: '... {places}'")])


def refuse_lost_image(entry: Mapping[str, Any]) -> None:
    """Raise `Faults` for an image that stands beside the text which shows its place, and not in it."""
    key = next((key for key in ("image", "images", "image_path") if entry.get(key)), None)
    if key is not None and ("<image>" in str(entry.get("conversations", entry.get("messages", ""))) or isinstance(entry[key], Mapping)):
        raise Faults([((key,), "an image stands in the message that shows it: content: [{type: image, file: NAME}, {type: text, text: ...}]")])


def refuse(entry: Mapping[str, Any], names: tuple[str, ...]) -> None:
    """Raise `Faults` for keys that say what a prompt cannot."""
    there = [name for name in names if entry.get(name)]
    if there:
        raise Faults([((name,), "has no counterpart in a prompt; write it into the question, and take the key out") for name in there])
