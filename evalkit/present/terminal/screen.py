"""The first screen: what to use, what it buys, how sure, what next; at most thirty lines at eighty columns."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

from rich.console import Console
from rich.text import Text

from evalkit.experiment.parameters import level_text
from evalkit.present.terminal.lines import LINES, MARKS, fitted, joined, labelled, table
from evalkit.summary import Row, Setting, Summary
from evalkit.summary.quantities import bound, changed, heading, measured, named, nearest_in_words
from evalkit.summary.summary import Mind
from evalkit.text.numbers import counted, duration, money

_MOST_ROWS = 6


def screen(found: Summary, console: Console) -> Text:
    """The summary as lines of at most the console's width."""
    width = max(40, console.width)
    blocks = [
        _headline(found, width),
        _use(found, width),
        _table(found.rows[:_MOST_ROWS], found, width),
        _prose(found, width),
        _next(found, width),
    ]
    told = [(one.text, _grave(one)) for one in found.mind]
    room = LINES + 1 - sum(len(block) + 1 for block in blocks if block)
    notes = next((f"{one.command.rpartition(' ')[0]} notes" for one in found.next if " show " in one.command), "")
    blocks.insert(4, fitted(told, "Keep in mind", width, room, notes))
    lines: list[Text] = []
    for block in filter(None, blocks):
        lines += [*([Text()] if lines and block is not blocks[4] else []), *block]
    return joined(lines, console)


def _headline(found: Summary, width: int) -> list[Text]:
    answers = counted(found.answers, "answer") if found.answers == found.planned else f"{found.answers:,} of {counted(found.planned, 'answer')}"
    parts = [f"{answers} ({_size(found)})"]
    parts.append(f"{sum(found.failed.values()):,} failed")
    lines = [Text.assemble((f"{found.name}: ", "bold"), ", ".join(parts))]
    if found.sent == 0:
        lines.append(Text("0 requests sent, all were answered before", style="dim"))
    elif found.sent is not None:
        lines.append(Text(f"{counted(found.sent, 'request')} sent in {duration(found.took_s or 0.0)}{_spent(found)}", style="dim"))
    if found.replayed:
        lines.append(Text(found.replayed, style="dim"))
    return [part for line in lines for part in _broken(line, width)]


def _size(found: Summary) -> str:
    prompts = counted(found.prompts, "prompt")
    if found.race is not None and found.race.common < found.prompts:
        return f"{counted(found.settings, 'setting')} on {found.race.common} to {prompts}, {counted(found.replicates, 'answer')} each"
    return f"{counted(found.settings, 'setting')} × {prompts} × {counted(found.replicates, 'answer')}"


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
        out = labelled("Use", _levels(found.use), width, "bold green")
        out += labelled("Instead of", _instead(found, found.use), width)
        return [*out, *labelled("Goal", found.purpose, width)]
    if found.outcome == "none satisfies":
        out = labelled("Use", f"nothing yet: none of the {counted(found.settings, 'setting')} keeps to all bounds", width, "bold red")
        for one in found.unmet[:3]:
            out += labelled("", f"{named(one.label, one.unit)} {bound(one)}: {one.excludes} miss it{nearest_in_words(one)}", width)
        if found.nearest is not None:
            out += labelled("Nearest miss", _levels(found.nearest), width)
            if found.nearest.cell_index != found.reference.cell_index:
                out += labelled("Reference", _levels(found.reference), width)
        return [*out, *labelled("Goal", found.purpose, width)]
    said = {
        "undecided": "nothing yet: what is preferred is not measured in any setting that keeps to the bounds",
        "not asked": "the experiment does not say what is better, so nothing is recommended",
        "no answers": "nothing yet: there are no answers",
    }[found.outcome]
    return labelled("Use", said, width, "bold")


def _instead(found: Summary, use: Setting) -> str:
    """The reference, whole, and why it is that, where it is another setting than the one to use."""
    reference = found.reference
    if use.cell_index == reference.cell_index:
        return "nothing: the reference stays, for no other setting is shown to be better"
    return f"{_levels(reference)}  (the reference{f': {found.reference_by}' if found.reference_by else ''})"


def _levels(one: Setting) -> str:
    levels = "  ".join(f"{name} {level_text(level)}" for name, level in one.values.items())
    return levels if one.name is None else f"{one.name} ({levels})"


def _table(rows: Sequence[Row], found: Summary, width: int) -> list[Text]:
    """A row a metric: this setting, the reference, the change; those that are the same as the reference's in one line, where there are several."""
    same = [row for row in rows if row.verdict == "same"]
    if 1 < len(same) < len(rows):
        left = [row for row in rows if row.verdict != "same"]
        told = ", ".join(f"{named(row.label, row.unit)} ({measured(row.mean, None, None, row.unit)})" for row in same)
        return [*_table(left, found, width), *(Text(line, style="dim") for line in wrap(f"the same: {told}", width, break_on_hyphens=False))]
    if not rows:
        return []
    compared = any(row.reference is not None for row in rows)
    lines = [[named(row.label, row.unit), measured(row.mean, row.low, row.high, row.unit)] for row in rows]
    heads = ["", heading(found)]
    if compared:
        changes = any(row.change is not None for row in rows)
        heads += ["reference", "change", ""] if changes else ["reference"]
        for line, row in zip(lines, rows, strict=True):
            line.append(measured(row.reference, row.reference_low, row.reference_high, row.unit))
            line += [changed(row), row.verdict or ""] if changes else []
    styles = [["", "bold" if row.decides else "", "", "", MARKS.get(row.verdict or "", "")][: len(heads)] for row in rows]
    return table(heads, lines, styles, width)


def _prose(found: Summary, width: int) -> list[Text]:
    out = labelled(found.raced_label, " ".join(found.raced), width) if found.raced else []
    out += labelled("How sure", " ".join(found.sure), width) if found.sure else []
    return out + (labelled("What matters", f"{'; '.join(found.matters)}.", width) if found.matters else [])


def _grave(one: Mind) -> str:
    return "yellow" if one.level == "warning" else "bold red" if one.level in ("stopped", "interrupted") else ""


def _next(found: Summary, width: int) -> list[Text]:
    size = max((len(one.command) for one in found.next), default=0)
    out = []
    for number, one in enumerate(found.next):
        label = "" if number else "Next"
        gap = size - len(one.command) + 2
        what = f"{' ' * (gap if 6 + size + 2 + len(one.what) <= width else 2)}{one.what}"
        what = what if 6 + len(one.command) + len(what) <= width else ""
        out.append(Text.assemble((f"{label:<6}", "bold"), (one.command, "cyan"), what))
    return out
