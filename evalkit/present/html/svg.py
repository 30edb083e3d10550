"""Figures as inline SVG that follows the page: its colours in light and dark, no styles or scripts of their own."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from evalkit.present.plots.style import Colours, quiet, settings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PAGE = Colours("#010203", "#040506", "#070809", "#0a0b0c")
"""Colours that no figure has otherwise, each replaced by one of the page's."""
_VARIABLES = {
    _PAGE.ink: "var(--ink)",
    _PAGE.muted: "var(--muted)",
    _PAGE.grid: "var(--line)",
    _PAGE.paper: "none",
}
_PIXELS = 1.6  # of the page a point of the figure
_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_ATTRIBUTES = frozenset(
    (
        *("fill", "stroke", "opacity", "clip-path", "marker", "text-anchor", "font-size", "font-weight", "font-style"),
        *("stroke-width", "stroke-linecap", "stroke-linejoin", "stroke-dasharray", "stroke-dashoffset", "stroke-opacity", "fill-opacity"),
    )
)
"""What a style may say that an attribute says as well; all else is left out."""


def drawn(name: str, description: str, draw: Callable[[], Axes | Figure]) -> str:
    """The figure that `draw` makes, as an ``<svg>`` element.

    Args:
        name: makes the names inside it its own, so that several figures can stand in one page.
        description: what a screen reader says of it.
    """
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    mpl.use("agg", force=False)
    with mpl.rc_context(settings(_PAGE) | {"svg.hashsalt": name}), quiet():
        found = draw()
        figure = found if hasattr(found, "savefig") else found.get_figure()
        out = io.BytesIO()
        try:
            figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})  # type: ignore[union-attr]
        finally:
            plt.close(figure)  # type: ignore[arg-type]
    return _inline(out.getvalue(), description)


def _inline(content: bytes, description: str) -> str:
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    root = ElementTree.fromstring(content)  # noqa: S314 (matplotlib wrote it a moment ago)
    for parent in root.iter():
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        for name, value in _declared(element.attrib.pop("style", "")):
            element.set(name, value)
        for name in ("fill", "stroke"):
            if (said := element.get(name)) is not None:
                element.set(name, _VARIABLES.get(said.lower(), said))
        if element.tag == f"{{{_SVG}}}g":
            element.attrib.pop("id", None)  # alike in all figures, and nothing refers to it
    wide = float(root.get("width", "480pt").removesuffix("pt")) * _PIXELS
    for name in ("height", "version"):
        root.attrib.pop(name, None)
    for name, value in {"width": f"{wide:.0f}", "role": "img", "aria-label": description, "class": "figure"}.items():
        root.set(name, value)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _declared(style: str) -> list[tuple[str, str]]:
    """The declarations of a style that an attribute can say, the font's family left to the page."""
    out = []
    for declaration in style.split(";"):
        name, colon, value = declaration.partition(":")
        name, value = name.strip(), value.strip()
        if name == "font" and (size := re.search(r"(\d+(?:\.\d+)?)px", value)):
            out.append(("font-size", size[1]))
        elif colon and name in _ATTRIBUTES:
            out.append((name, value))
    return out
