"""Pages from the templates and files in ``page/``: texts are escaped, and style and script named by their hashes, so that nothing else acts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any


def filled(template: str, style: str, context: Mapping[str, Any]) -> str:
    """The page of a template, in which what `context` holds is text, and ``style`` and ``style_hash`` stand for the file of that name.

    Raises:
        jinja2.UndefinedError: the template wants what is not there.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # heavy, and few commands make a page

    environment = Environment(loader=FunctionLoader(asset), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    sheet = asset(style)
    return environment.get_template(template).render({**context, "style": sheet, "style_hash": digest(sheet)})


def asset(name: str) -> str:
    """The text of a file that pages are made of."""
    return (files("evalkit.present.html") / "page" / name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """SHA-256 as a content security policy writes it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
