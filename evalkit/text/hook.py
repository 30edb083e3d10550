"""How a value shows itself where a notebook or a prompt asks it to: by the package that presents it, and not by itself.

The one place where a lower package reaches a higher one: ``present`` is looked up when something is to be shown, never when it is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def shown(what: str, *arguments: Any) -> Any:
    """What the function `what` of ``evalkit.present.notebook.shown`` makes of `arguments`."""
    return getattr(import_module("evalkit.present.notebook.shown"), what)(*arguments)


class Shown:
    """A value that a notebook shows as a card."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(shown("html", self))
