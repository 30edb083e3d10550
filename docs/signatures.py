"""How docstrings and types are shown in the reference of the Python API: entries that tell of several names are split, and validators left out of types."""

from __future__ import annotations

import re
from typing import Any

from griffe import Attribute, Docstring, Expr, ExprBinOp, ExprName, ExprSubscript, ExprTuple, Extension, Module, Object

_TOGETHER = re.compile(r"^( +)(\w+(?:, \w+)+): (.*(?:\n\1 +.*)*)", re.MULTILINE)
_SECTION = re.compile(r"^(?:Args|Attributes|Raises):\n(?: +.*\n?|\n(?= ))*", re.MULTILINE)


def _split(text: str) -> str:
    """A docstring with an entry for each name of its sections."""

    def each(match: re.Match[str]) -> str:
        return "\n".join(f"{match[1]}{name}: {match[3]}" for name in match[2].split(", "))

    return _SECTION.sub(lambda section: _TOGETHER.sub(each, section[0]), text)


def _bare(given: Any, module: Module) -> Any:
    """A type without the validators of ``Annotated``, and with what private names of its module stand for."""
    match given:
        case ExprSubscript(left=left, slice=ExprTuple() as inside) if str(left).rpartition(".")[2] == "Annotated":
            return _bare(inside.elements[0], module)
        case ExprSubscript():
            return ExprSubscript(given.left, _bare(given.slice, module))
        case ExprTuple():
            return ExprTuple([_bare(one, module) for one in given.elements], implicit=given.implicit)
        case ExprBinOp():
            return ExprBinOp(_bare(given.left, module), given.operator, _bare(given.right, module))
        case ExprName() if given.name.startswith("_") and isinstance(meant := module.members.get(given.name), Attribute):
            return _bare(meant.value, module)
    return given


class Signatures(Extension):
    """Changes what griffe has read of the code before it is shown."""

    def on_object(self, *, obj: Object, **_: Any) -> None:
        """Split the entries of its docstring."""
        if isinstance(obj.docstring, Docstring):
            obj.docstring.value = _split(obj.docstring.value)

    def on_attribute(self, *, attr: Attribute, **_: Any) -> None:
        """Leave validators out of its type."""
        if isinstance(attr.annotation, Expr):
            attr.annotation = _bare(attr.annotation, attr.module)
