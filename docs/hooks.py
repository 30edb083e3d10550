"""What the build of the site checks besides links: no page may fetch anything from another host."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from mkdocs.plugins import get_plugin_logger

log = get_plugin_logger("hosts")

_FETCHED = {
    "audio": ("src",), "embed": ("src",), "iframe": ("src",), "image": ("href", "xlink:href"), "img": ("src", "srcset"), "input": ("src",),
    "link": ("href",), "object": ("data",), "script": ("src",), "source": ("src", "srcset"), "use": ("href", "xlink:href"), "video": ("src", "poster"),
}  # fmt: skip
"""Attributes whose address a browser fetches by itself; those of ``a`` are not among them."""
_FROM_CSS = re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        if tag == "link" and (given.get("rel") or "") in ("canonical", "next", "prev"):
            return
        for name in _FETCHED.get(tag, ()):
            self.found += re.findall(r"(?:https?:)?//[^\s,]+", given.get(name) or "")
        self.found += _FROM_CSS.findall(given.get("style") or "")


def fetched(path: Path) -> list[str]:
    """The addresses on other hosts that a built page or style sheet fetches."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".css":
        return _FROM_CSS.findall(text)
    page = _Page()
    page.feed(text)
    styles = re.findall(r"<style[^>]*>(.*?)</style>", text, flags=re.DOTALL | re.IGNORECASE)
    return [*page.found, *(address for style in styles for address in _FROM_CSS.findall(style))]


def on_post_build(config: Any) -> None:
    """Warn, which ends a strict build, of each address on another host that the site fetches."""
    site = Path(config["site_dir"])
    for path in sorted(site.rglob("*")):
        if path.suffix in (".html", ".css", ".svg"):
            for address in fetched(path):
                log.warning("%s fetches %s", path.relative_to(site), address)
