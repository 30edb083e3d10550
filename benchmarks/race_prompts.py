"""Prompts for the recorded grid of `race.py`: 160 of the kinds that teams put to a model, about what the embedded model has read."""

from __future__ import annotations

from typing import Any

_TOPICS = (
    "slicing a sequence",
    "the scope of a name",
    "raising an exception",
    "the with statement",
    "list comprehensions",
    "the arguments of a function",
    "dictionaries and their keys",
    "sorting a list",
    "formatting a string",
    "reading a text file",
    "importing a module",
    "packages and their parts",
    "iterators",
    "generators and yield",
    "decorators",
    "classes and instances",
    "inheritance",
    "special methods",
    "sets and their operations",
    "tuples",
    "the for statement",
    "the while statement",
    "boolean operations",
    "comparing objects",
    "integers and floats",
    "bytes and encodings",
    "regular expressions",
    "dates and times",
    "threads and locks",
    "subprocesses",
    "logging messages",
    "unit tests",
)
_KINDS: tuple[tuple[str, str, str], ...] = (
    ("explain", "You are a patient teacher. Answer in one paragraph.", "Explain {topic}, and what a newcomer gets wrong about it."),
    ("list", "", "List what one must know of {topic}, and say of each point why it matters."),
    (
        "support",
        "You answer customers of a software company, politely and briefly.",
        "My program fails, and it has to do with {topic}. What do I check?",
    ),
    ("rewrite", "You are an editor.", "Write a short introduction to {topic} for people who know another language."),
    ("compare", "", "When would you use {topic}, and when something else instead?"),
)


def prompts() -> list[dict[str, Any]]:
    """32 topics in five kinds each, as an experiment holds them."""
    out = []
    for kind, system, user in _KINDS:
        for number, topic in enumerate(_TOPICS):
            one = {"id": f"{kind}-{number:02d}", "user": user.format(topic=topic), "tags": [kind]}
            out.append(one | ({"system": system} if system else {}))
    return out
