"""The first screen: what to use, what it buys, how sure, what next; at most thirty lines at eighty columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from textwrap import wrap

from rich.console import Console
from rich.text import Text

from evalkit.experiment.parameters import level_text
from evalkit.present.terminal.signs import plain
from evalkit.present.text.quantities import bound, changed, measured
from evalkit.summary import Row, Setting, Summary
from evalkit.summary.summary import Mind
from evalkit.text.escaping import harmless
from evalkit.text.numbers import counted, duration, money

LINES = 30
_LABEL = 14
_MOST_ROWS = 6
_GAP = 2
_MARKS = {"better": "green", "worse": "red", "same": "dim", "unclear": "yellow", "differs": "cyan"}


def screen(found: Summary, console: Console, folder: str = "") -> Text:
    """The summary as lines of at most the console's width; `folder` is where the results are."""
    width = max(40, console.width)
    blocks = [
        _headline(found, width),
        _use(found, width),
        _table(found.rows[:_MOST_ROWS], found, width),
        _prose(found, width),
        _next(found, width, folder),
    ]
    blocks.insert(4, _minded(found.mind, width, LINES - sum(len(block) + 1 for block in blocks if block)))
    lines: list[Text] = []
    for block in filter(None, blocks):
        lines += [*([Text()] if lines and block is not blocks[4] else []), *block]
    shown = [_harmless(line, console) for line in lines]
    return Text("\n").join(shown)


def _harmless(line: Text, console: Console) -> Text:
    """The line with control characters shown, in signs that the console has, its styles kept."""
    out = Text()
    for part in line.split("\n") if "\n" in line.plain else [line]:
        for begin, end, style in _spans(part):
            out.append(harmless(plain(part.plain[begin:end], console), console.encoding), style=style)
    return out


def _spans(line: Text) -> list[tuple[int, int, str]]:
    """The line cut where its style changes."""
    marks = sorted({0, len(line.plain), *(end for span in line.spans for end in (span.start, span.end))})
    cuts = list(pairwise(marks))
    return [(begin, end, next((str(one.style) for one in line.spans if one.start <= begin < one.end), str(line.style))) for begin, end in cuts]


def _headline(found: Summary, width: int) -> list[Text]:
    answers = counted(found.answers, "answer") if found.answers == found.planned else f"{found.answers:,} of {counted(found.planned, 'answer')}"
    parts = [f"{answers} ({counted(found.settings, 'setting')} × {counted(found.prompts, 'prompt')} × {found.replicates})"]
    parts.append(f"{sum(found.failed.values()):,} failed")
    lines = [Text.assemble((f"{found.name}: ", "bold"), ", ".join(parts))]
    if found.sent == 0:
        lines.append(Text("0 requests sent, all were answered before", style="dim"))
    elif found.sent is not None:
        lines.append(Text(f"{counted(found.sent, 'request')} sent in {duration(found.took_s or 0.0)}{_spent(found)}", style="dim"))
    return [part for line in lines for part in _broken(line, width)]


def _broken(line: Text, width: int) -> list[Text]:
    if len(line.plain) <= width:
        return [line]
    return [Text(part, style=line.style) for part in wrap(line.plain, width, subsequent_indent="  ", break_on_hyphens=False)]


def _spent(found: Summary) -> str:
    """What the calls took, by whom they were made to where that is more than one."""
    parts = []
    for one in found.spent:
        tokens = f"{_thousands(one.tokens_in)} tokens in, {_thousands(one.tokens_out)} out"
        tokens += f", {one.uncounted:,} answers do not say" if one.uncounted else ""
        cost = "" if one.currency is None else f", {money(one.cost, one.currency)}"
        parts.append(f"{tokens}{cost}" if one.name == "sweep" else f"{one.name} {one.calls:,} calls, {tokens}{cost}")
    if len(parts) > 1 and found.cost is not None:
        parts.append(f"{money(found.cost, next(one.currency for one in found.spent if one.currency is not None))} in all")
    return f" ({'; '.join(parts)})" if parts else ""


def _thousands(number: int) -> str:
    return f"{number / 1e6:.1f}M" if number >= 1_000_000 else f"{number / 1000:.0f}k" if number >= 10_000 else f"{number:,}"


def _use(found: Summary, width: int) -> list[Text]:
    if found.use is not None:
        return [*_labelled("Use", _levels(found.use), width, "bold green"), *_labelled("For", found.purpose, width)]
    if found.outcome == "none satisfies":
        out = _labelled("Use", f"nothing yet: none of the {counted(found.settings, 'setting')} keeps to all bounds", width, "bold red")
        for one in found.unmet[:3]:
            nearest = "" if one.nearest is None else f"; the nearest setting has {measured(one.nearest, None, None, one.unit)}"
            reach = "" if one.judged is None or one.judged == one.nearest else f", its interval reaches {measured(one.judged, None, None, one.unit)}"
            out += _labelled("", f"{one.label} {bound(one)}: {one.excludes} miss it{nearest}{reach}", width)
        if found.nearest is not None:
            out += _labelled("Nearest", _levels(found.nearest), width)
        return [*out, *_labelled("For", found.purpose, width)]
    said = {
        "undecided": "nothing yet: what is preferred is not measured in any setting that keeps to the bounds",
        "not asked": "the experiment does not say what is better, so nothing is recommended",
        "no answers": "nothing yet: there are no answers",
    }[found.outcome]
    return _labelled("Use", said, width, "bold")


def _levels(one: Setting) -> str:
    levels = "  ".join(f"{name} {level_text(level)}" for name, level in one.values.items())
    return levels if one.name is None else f"{one.name} ({levels})"


def _labelled(label: str, text: str, width: int, style: str = "") -> list[Text]:
    """A label before a text that is wrapped beside it; double spaces stay where a line does not break there."""
    room = max(20, width - _LABEL)
    lines = _wrapped(text, room)
    return [Text.assemble((f"{'' if number else label:<{_LABEL}}", "bold"), (line, style)) for number, line in enumerate(lines)]


def _wrapped(text: str, room: int) -> list[str]:
    if "  " not in text:
        return wrap(text, room, break_on_hyphens=False) or [""]
    lines: list[str] = []
    for part in text.split("  "):
        if lines and len(lines[-1]) + 2 + len(part) <= room:
            lines[-1] += f"  {part}"
        else:
            lines += wrap(part, room, break_on_hyphens=False)
    return lines


def _table(rows: Sequence[Row], found: Summary, width: int) -> list[Text]:
    """A row a metric: this setting, the reference, the change."""
    if not rows:
        return []
    compared = any(row.reference is not None for row in rows)
    head = "this setting" if found.use is not None else "the nearest" if found.nearest is not None else "the reference"
    lines = [[row.label, measured(row.mean, row.low, row.high, row.unit)] for row in rows]
    heads = ["", head]
    if compared:
        heads += ["reference", "change", ""]
        for line, row in zip(lines, rows, strict=True):
            line += [measured(row.reference, row.reference_low, row.reference_high, row.unit), changed(row), row.verdict or ""]
    widths = [max(len(line[place]) for line in [heads, *lines]) for place in range(1, len(heads))]
    longest = max(len(line[0]) for line in lines)
    gap = _GAP if longest + sum(widths) + _GAP * len(widths) <= width else 1
    room = max(12, width - sum(widths) - gap * len(widths))
    labels = [wrap(line[0], room, break_on_hyphens=False) for line in lines]
    room = max(len(part) for label in labels for part in label)
    out = [_cells(heads, room, widths, gap, "dim", [""] * len(heads))]
    for line, label, row in zip(lines, labels, rows, strict=True):
        styles = ["", "bold" if row.decides else "", "", "", _MARKS.get(row.verdict or "", "")]
        out.append(_cells([label[0], *line[1:]], room, widths, gap, "", styles))
        out += [Text(f" {part}") for part in label[1:]]
    return out


def _cells(cells: Sequence[str], room: int, widths: Sequence[int], gap: int, style: str, styles: Sequence[str]) -> Text:
    line = Text(style=style)
    line.append(f"{cells[0]:<{room}}")
    for place, (cell, size) in enumerate(zip(cells[1:], widths, strict=True), 1):
        line.append(" " * gap)
        line.append(f"{cell:<{size}}", style=styles[place] or style)
    line.rstrip()
    return line


def _prose(found: Summary, width: int) -> list[Text]:
    out = _labelled("How sure", " ".join(found.sure), width) if found.sure else []
    return out + (_labelled("What matters", f"{'; '.join(found.matters)}.", width) if found.matters else [])


def _minded(notes: Sequence[Mind], width: int, room: int) -> list[Text]:
    """Everything to keep in mind; where that takes more lines than there are, each is cut to its first line."""
    if not notes:
        return []
    whole = [_labelled("" if number else "Keep in mind", one.text, width, _grave(one)) for number, one in enumerate(notes)]
    if sum(map(len, whole)) <= max(room, len(notes)):
        return [line for lines in whole for line in lines]
    out = []
    for lines in whole:
        cut = lines[0]
        if len(lines) > 1:
            cut.truncate(width - 2)
            cut.append(" …")
        out.append(cut)
    return out


def _grave(one: Mind) -> str:
    return "yellow" if one.level == "warning" else "bold red" if one.level in ("stopped", "interrupted") else ""


def _next(found: Summary, width: int, folder: str) -> list[Text]:
    size = max((len(one.command) for one in found.next), default=0)
    out = []
    for number, one in enumerate(found.next):
        label = "" if number else "Next"
        if 6 + size + 2 + len(one.what) <= width:
            out.append(Text.assemble((f"{label:<6}", "bold"), (f"{one.command:<{size}}", "cyan"), "  ", one.what))
        else:
            out.append(Text.assemble((f"{label:<6}", "bold"), (one.command, "cyan")))
            out += [Text(" " * 8 + line) for line in wrap(one.what, width - 8)]
    return out + ([Text.assemble((f"{'' if out else 'Next':<6}", "bold"), f"Results: {folder}/")] if folder and not out else [])
