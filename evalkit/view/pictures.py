"""Small pictures as SVG without style or script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.text.escaping import visible
from evalkit.text.numbers import three_digits

if TYPE_CHECKING:
    from evalkit.view.runs import Line

WIDTH, HEIGHT, _EDGE = 176.0, 42.0, 6.0
_MOST = 40


def small(line: Line) -> str:
    """The metric that decided most, by the first parameter, with 95 % intervals, as markup; empty where there is nothing to draw."""
    from markupsafe import Markup, escape  # comes with the templates

    dots = line.dots[:_MOST]
    if not dots:
        return ""
    ends = [end for dot in dots for end in (dot.mean, dot.low, dot.high) if end is not None]
    low, high = min(ends), max(ends)
    span = (high - low) or abs(high) or 1.0
    step = (WIDTH - 2 * _EDGE) / max(1, len(dots) - 1)
    places = [(_EDGE + at * step if len(dots) > 1 else WIDTH / 2) for at in range(len(dots))]

    def up(value: float) -> float:
        return HEIGHT - _EDGE - (value - low) / span * (HEIGHT - 2 * _EDGE)

    marks = [f'<path d="M{" L".join(f"{x:.1f} {up(dot.mean):.1f}" for x, dot in zip(places, dots, strict=True))}"/>']
    for x, dot in zip(places, dots, strict=True):
        if dot.low is not None and dot.high is not None:
            marks.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{up(dot.low):.1f}" y2="{up(dot.high):.1f}"/>')
        marks.append(f'<circle cx="{x:.1f}" cy="{up(dot.mean):.1f}" r="3"/>')
    said = ", ".join(f"{three_digits(dot.mean)} at {dot.level}" for dot in dots)
    title = f"{line.metric} by {line.parameter}"
    label = escape(visible(f"{title}: {said}"))
    picture = f'<svg class="spark" viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img" aria-label="{label}">{"".join(marks)}</svg>'
    return str(Markup(picture) + Markup('<span class="spark-said">{}</span>').format(visible(title)))  # noqa: S704 (numbers of ours)
