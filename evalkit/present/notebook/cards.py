"""What a notebook shows of a run, a choice and answers: small pieces of HTML in which all texts of others are text alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from evalkit.present.text.answers import ShownAnswer
from evalkit.present.text.reading import Span
from evalkit.text.escaping import visible

_BOX = "border:1px solid #8888;border-radius:8px;padding:.6rem .9rem;margin:.3rem 0;max-width:62rem"
_MUTED = "opacity:.75;font-size:90%"
_MARKS = {"again": "background:#ffe08a66", "loop": "background:#ff9a7a77"}


class Html(str):
    """Text that a notebook shows as HTML."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return str(self)


def text(value: object) -> str:
    """Any text, made visible and escaped."""
    return escape(visible(str(value)))


def card(title: str, lines: Iterable[str] = (), rows: Iterable[tuple[str, str]] = (), code: str = "", notes: Iterable[str] = ()) -> Html:
    """A box with a title, lines, labelled rows and code."""
    parts = []
    labelled = list(rows)
    if labelled:
        body = "".join(
            f"<tr><th style='text-align:left;vertical-align:top;padding:.1rem .8rem .1rem 0'>{text(label)}</th>"
            f"<td style='text-align:left;white-space:normal'>{text(said)}</td></tr>"
            for label, said in labelled
        )
        parts.append(f"<table style='margin:.3rem 0'>{body}</table>")
    if code:
        parts.append(f"<pre style='margin:.3rem 0'>{text(code)}</pre>")
    return box(title, lines, Html("".join(parts)), notes)


def box(title: str, lines: Iterable[str], inside: Html, notes: Iterable[str] = ()) -> Html:
    """A box with a title, lines, what is made already, and notes."""
    above, below = ("".join(f"<div style='{_MUTED}'>{text(one)}</div>" for one in some) for some in (lines, notes))
    return Html(f"<div style='{_BOX}'><div><b>{text(title)}</b></div>{above}{inside}{below}</div>")


def columns(title: str, prompt: str, beside: Mapping[str, Sequence[ShownAnswer]]) -> Html:
    """Answers side by side, a column a setting; what comes again in an answer is marked."""
    width = f"{100 / max(1, len(beside)):.1f}%"
    heads = "".join(f"<th style='text-align:left;vertical-align:top;width:{width};white-space:normal'>{text(name)}</th>" for name in beside)
    cells = "".join(f"<td style='text-align:left;vertical-align:top'>{''.join(map(_answer, answers))}</td>" for answers in beside.values())
    return Html(
        f"<div style='{_BOX};max-width:none'><b>{text(title)}</b><div style='white-space:pre-wrap;{_MUTED}'>{text(prompt)}</div>"
        f"<table style='width:100%;table-layout:fixed'><tr>{heads}</tr><tr>{cells}</tr></table>"
        f"<div style='{_MUTED}'><span style='{_MARKS['again']}'>four words or more that came before</span>, "
        f"<span style='{_MARKS['loop']}'>a loop after its first turn</span></div></div>"
    )


def _answer(one: ShownAnswer) -> str:
    said = " · ".join(f"<b>{text(words)}</b>" if warning else text(words) for words, warning in one.said)
    shown = _marked(one.read.text, one.read.spans)
    look = "white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:plaintext"
    return f"<div style='{_BOX}'><div style='{_MUTED}'>{said}</div><div style='{look}' dir='auto'>{shown}</div></div>"


def _marked(whole: str, spans: Sequence[Span]) -> str:
    out, at = [], 0
    for begin, end, kind in spans:
        out += [escape(whole[at:begin]), f"<span style='{_MARKS[kind]}'>{escape(whole[begin:end])}</span>"]
        at = end
    return "".join([*out, escape(whole[at:])]) or "<i>(empty)</i>"


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Html:
    """A table of texts and numbers."""
    top = "".join(f"<th style='text-align:left'>{text(head)}</th>" for head in heads)
    body = "".join("<tr>" + "".join(f"<td style='text-align:left'>{text(value)}</td>" for value in row) + "</tr>" for row in rows)
    return Html(f"<table><tr>{top}</tr>{body}</table>")
