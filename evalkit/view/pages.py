"""The app's pages: templates whose texts are escaped, and files that browsers fetch from nowhere else."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import HTMLResponse

from evalkit._version import __version__
from evalkit.present.html import template
from evalkit.text.escaping import visible

if TYPE_CHECKING:
    from jinja2 import Environment

STATIC = {
    "report.css": "text/css",
    "view.css": "text/css",
    "icon.svg": "image/svg+xml",
    "elements.js": "text/javascript",
    "common.js": "text/javascript",
    "list.js": "text/javascript",
    "answers.js": "text/javascript",
    "rate.js": "text/javascript",
    "live.js": "text/javascript",
}
"""Files that may be fetched, with their kinds."""
_OF_THE_REPORT = ("report.css", "elements.js")


def static(name: str) -> bytes:
    """A file of the app; raises `KeyError` where it has none of that name."""
    if name not in STATIC:
        raise KeyError(name)
    return template.asset(name).encode() if name in _OF_THE_REPORT else _own(name).encode()


def page(template_name: str, status: int = 200, /, **context: Any) -> HTMLResponse:
    """A page as the answer to a request."""
    return HTMLResponse(rendered(template_name, **context).encode("utf-8", "replace"), status)


def told(heading: str, said: str, status: int) -> HTMLResponse:
    """A page that says why there is no other."""
    return page("message.html.j2", status, heading=heading, said=said)


def rendered(template_name: str, /, **context: Any) -> str:
    """A page."""
    return _environment().get_template(template_name).render({"version": __version__, **context})


def link(name: str, *parts: str, **asked: object) -> str:
    """The address of a run's page."""
    query = "&".join(f"{key}={quote(str(value), safe='')}" for key, value in asked.items() if value not in (None, ""))
    return "/".join(["/run", quote(name, safe=""), *parts]) + (f"?{query}" if query else "")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # heavy: only when a page is asked for

    found = Environment(
        loader=FunctionLoader(lambda name: template.asset(name) if name == "first.html.j2" else _own(name)),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["visible"] = lambda text: visible(str(text))
    found.globals["link"] = link
    return found


@cache
def _own(name: str) -> str:
    return (files("evalkit.view") / "page" / name).read_text(encoding="utf-8")
