"""A comparison as one small page: no script, no request, light and dark."""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from html import escape

from evalkit.comparison.comparison import Comparison, headline
from evalkit.comparison.verdict import Compared
from evalkit.present.text.comparison import METHOD, ON_TIME, basis, ends, not_compared, ordered, sides, signature, verdict_text, where
from evalkit.text.escaping import visible
from evalkit.text.numbers import figure, p_value, signed_figure

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #595959; --page: #fff; --line: #d0d0d0; --band: #e4e9f0; --bad: #a3260c; --good: #0b5d3b; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #ececec; --soft: #b0b0b0; --page: #16181c; --line: #3c4048; --band: #2c3440; --bad: #ff9a80; --good: #74d3a4; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 72rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.gate { border-left: .4rem solid var(--good); padding: .5rem .8rem; background: var(--band); overflow-wrap: anywhere; }
.gate.failed { border-color: var(--bad); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .5rem; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
td.number, th.number { text-align: right; white-space: nowrap; } td.ends { white-space: nowrap; }
.worse { color: var(--bad); font-weight: 600; } .better { color: var(--good); font-weight: 600; }
.soft, li { color: var(--soft); font-weight: 400; }
svg { width: 10rem; height: 1.1rem; } .band { fill: var(--band); } .zero { stroke: var(--line); } .range { stroke: var(--ink); stroke-width: 2; }
.point { fill: var(--ink); }
code { font-family: ui-monospace, monospace; overflow-wrap: anywhere; unicode-bidi: isolate; }
@media print { body { max-width: none; } }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
_SPAN = 4.0  # margins to each side of 0


def text(found: Comparison) -> str:
    """The whole page."""
    word, _, rest = headline(found).partition(": ")
    notes = [*found.notes, *found.left_out, *not_compared(found)]
    shown = [one for one in found.metrics if not one.gated]
    parts = [
        f'<p class="gate{"" if found.passed else " failed"}"><strong>{word}</strong>: {_text(rest)}</p>',
        f"<p>{_text(basis(found))}</p>",
        _table("What is judged", ordered(found.gated)),
        *(
            f"<p><code>{_text(one.metric)}</code> got worse most in:</p><ul>"
            + "".join(f"<li><code>{_text(cell.cell)}</code> {signed_figure(cell.difference)} {ends(cell)}</li>" for cell in cells)
            + "</ul>"
            for one, cells in where(found)
        ),
        "<h2>To know</h2><ul>" + "".join(f"<li>{_text(note)}</li>" for note in notes) + "</ul>" if notes else "",
        _of_sides(found),
        _table("Shown, not judged", ordered(shown)) + f'<p class="soft">{_text(ON_TIME)}</p>' if shown else "",
        f'<h2>Method</h2><p class="soft">{_text(METHOD)}</p><p class="soft">{_text(signature(found))}</p>',
    ]
    title = _text(f"{found.candidate.name}: candidate against baseline")
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<title>{title}</title>\n<style>{_STYLE}</style>\n'
        f"</head>\n<body>\n<main>\n<h1>{title}</h1>\n" + "\n".join(filter(None, parts)) + "\n</main>\n</body>\n</html>\n"
    )


def _text(words: str) -> str:
    return escape(visible(words))


def _of_sides(found: Comparison) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_text(what)}</th><td><code>{_text(one)}</code></td><td><code>{_text(other)}</code></td></tr>'
        for what, one, other in sides(found)
    )
    head = '<tr><th scope="col">what</th><th scope="col">baseline</th><th scope="col">candidate</th></tr>'
    return f'<h2>The two runs</h2><div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _table(title: str, rows: Sequence[Compared]) -> str:
    if not rows:
        return f"<h2>{title}</h2><p>No metric.</p>"
    heads = ("metric", "baseline", "candidate", "difference", "95 % interval", "p", "margin", "in margins", "verdict")
    numeric = ("baseline", "candidate", "difference", "p", "margin")
    head = "".join(f'<th scope="col"{" class=number" if one in numeric else ""}>{one}</th>' for one in heads)
    body = "".join(map(_row, rows))
    return f'<h2>{title}</h2><div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _row(one: Compared) -> str:
    numbers = "".join(f'<td class="number">{number}</td>' for number in (figure(one.baseline), figure(one.candidate), signed_figure(one.difference)))
    last = "".join(f'<td class="number">{number}</td>' for number in (p_value(one.p_adjusted), figure(one.margin)))
    reason = f' <span class="soft">{_text(one.reason)}</span>' if one.reason else ""
    way = f' <span class="soft">({one.better} is better)</span>' if one.better else ""
    name = f'<th scope="row"><code title="{_text(one.definition)}">{_text(one.metric)}</code>{way}</th>'
    verdict = f'<td><span class="{one.verdict}">{verdict_text(one)}</span>{reason}</td>'
    return f'<tr>{name}{numbers}<td class="ends">{ends(one)}</td>{last}<td>{_picture(one)}</td>{verdict}</tr>'


def _picture(one: Compared) -> str:
    """The interval against the margin: the band is what is too small to matter."""
    if math.isnan(one.ci_low) or not one.margin > 0:
        return ""
    low, mid, high = (_place(value / one.margin) for value in (one.ci_low, one.difference, one.ci_high))
    label = f"{signed_figure(one.difference)} {ends(one)}, margin {figure(one.margin)}"
    band = f'<rect class="band" x="{_place(-1):.1f}" y="0" width="{_place(1) - _place(-1):.1f}" height="16"/>'
    zero = '<line class="zero" x1="80" x2="80" y1="0" y2="16"/>'
    reach = f'<line class="range" x1="{low:.1f}" x2="{high:.1f}" y1="8" y2="8"/>'
    return f'<svg viewBox="0 0 160 16" role="img" aria-label="{label}">{band}{zero}{reach}<circle class="point" cx="{mid:.1f}" cy="8" r="4"/></svg>'


def _place(margins: float) -> float:
    return 80 + 76 * max(-1.0, min(1.0, margins / _SPAN))
