"""A probe as a table for a terminal."""

from __future__ import annotations

from textwrap import wrap

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from evalkit.present.terminal.fitting import cut
from evalkit.probe import Probe
from evalkit.text.escaping import harmless


def of_probe(result: Probe) -> RenderableType:
    """A row a parameter: verdict and evidence, and below what the endpoint does when a parameter is left out.

    As short as it can be, so that it stays on a small screen: evidence that takes more than its room is cut off, that of what is honoured first;
    ``probe.json`` holds all of it.
    """
    return _OfProbe(result)


class _OfProbe:
    """The table of a probe, made for the width that it is given."""

    def __init__(self, result: Probe) -> None:
        self._result = result

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield _probe_table(self._result, options.max_width)


def _probe_table(result: Probe, width: int) -> RenderableType:
    beneath = _beneath_probe(result)
    used = _PROBE_HEAD + sum(1 + len(line) // (width + 1) for line in beneath)
    names = [harmless(one.parameter).replace("stream_options.", "stream_options.\n") for one in result.findings]  # leaves the evidence its room
    name_width = max([12, *(len(line) for name in names for line in name.split("\n"))])
    evidence_width = max(12, width - name_width - _VERDICT - _GAPS)
    spare = _PROBE_LINES - used - sum(1 + name.count("\n") for name in names)
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left", title_style="bold", show_edge=False)
    table.title = Text(cut(f"{harmless(result.model)} at {harmless(result.base_url)}, {result.calls} calls", width), style="bold")
    table.add_column("parameter", overflow="fold", min_width=12)
    table.add_column("verdict", no_wrap=True)
    table.add_column("evidence", overflow="fold", ratio=1)
    for one, name in zip(result.findings, names, strict=True):
        told = harmless((one.remark and f"but {one.remark}") or one.evidence)
        most = 1 + name.count("\n")
        lines = wrap(told, evidence_width)
        if (one.verdict != "honoured" or one.remark) and spare > 0 and len(lines) > most:
            most, spare = most + 1, spare - 1
        if len(lines) > most:
            lines = [*lines[: most - 1], lines[most - 1][: evidence_width - 3] + "..."]
        table.add_row(Text(name), Text(one.verdict, style=_VERDICT_STYLES[one.verdict]), Text("\n".join(lines)))
    return Group(table, Text("\n".join(beneath), style="dim"))


_VERDICT_STYLES = {"honoured": "green", "ignored": "red", "rejected": "red", "clamped": "yellow", "inconclusive": ""}
_PROBE_LINES = 23  # of a probe's table and what stands beneath it; the command adds where the evidence is, and notes
_PROBE_HEAD = 3
_VERDICT = 12
_GAPS = 4  # columns between columns


def _beneath_probe(result: Probe) -> list[str]:
    lines = []
    if any("(p = " in one.evidence for one in result.findings):
        lines.append("p: how probable as much would be by chance alone; 'honoured' wants 0.02 or less.")
    if any(one.verdict == "inconclusive" for one in result.findings):
        lines.append("inconclusive: these calls could not tell; it may do something or nothing.")
    under, cold = (harmless(text.split(",")[0].split(":")[0]) for text in (result.repeats_under_seed, result.repeats_at_temperature_0))
    lines.append(f"Answers repeat under one seed: {under}; at temperature 0: {cold}.")
    equal = [f"{one.parameter} = {one.equals:g}" for one in result.left_out if one.equals is not None]
    other = [one.parameter for one in result.left_out if one.equals is None]
    if equal:
        lines.append(f"Left out, same answers as {', '.join(equal)}.")
    if other:
        lines.append(f"Left out, {', '.join(other)} may be anything: no tried value gave the same answers.")
    return lines
