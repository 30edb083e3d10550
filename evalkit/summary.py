"""The answers for a terminal: what to use, why, how sure, what else would do; and what each parameter does."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from evalkit.analysis import Analysis
from evalkit.answers import shown, signed
from evalkit.choice import Change, Choice, Miss, call_of
from evalkit.effects import Verdict
from evalkit.escaping import harmless
from evalkit.tables import signs

_MOST_CELLS = 6
_SIGN = {"effect": "", "no effect": "= 0", "inconclusive": "?"}


def verdicts(analysis: Analysis, console: Console) -> RenderableType | None:
    """A row a metric, a column a parameter: the largest difference between two levels, ``= 0`` for no effect, ``?`` for inconclusive."""
    if not analysis.verdicts:
        return None
    parameters = [name for name in analysis.parameters if any(one.parameter == name for one in analysis.verdicts)]
    by_place = {(one.parameter, one.metric): one for one in analysis.verdicts}
    fit = max(1, (console.width - 18) // 13)
    parts: list[RenderableType] = [Text("What each parameter does: largest difference between two of its levels", style="bold")]
    for start in range(0, len(parameters), fit):
        some = parameters[start : start + fit]
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        table.add_column("metric", no_wrap=True)
        for name in some:
            heading = harmless(name, console.encoding).replace("_", "\n", 1)
            table.add_column(Text(heading), justify="right", vertical="bottom", overflow="fold", max_width=12)
        for metric in analysis.metrics:
            table.add_row(metric.name, *(_verdict(by_place.get((name, metric.name))) for name in some))
        parts.append(table)
    lines = ["= 0: no effect beyond the margin, shown by test; ?: inconclusive; (brackets): not sure once all parameters are counted."]
    margins = {one.metric: one.margin for one in analysis.verdicts if one.margin is not None}
    sizes = sorted({f"{size:.3g}" for size in margins.values()})
    lines.append(
        "Margins: " + (f"{sizes[0]} on every metric." if len(sizes) == 1 else ", ".join(f"{name} {size:.3g}" for name, size in margins.items()) + ".")
    )
    lines += [f"Not estimated: {harmless(one, console.encoding)}." for one in analysis.not_estimated]
    return Group(*parts, *(Text(_plain(line, console), style="dim") for line in lines), Text())


def _verdict(one: Verdict | None) -> Text:
    if one is None:
        return Text("-")
    if one.verdict != "effect":
        return Text(_SIGN[one.verdict], style="dim")
    sure = one.p_adjusted is None or one.p_adjusted <= 0.05
    return Text(signed(one.difference) if sure else f"({signed(one.difference)})", style="bold" if sure and (one.share or 0) >= 0.1 else "")


def answers(analysis: Analysis, console: Console) -> RenderableType | None:
    """The answers in words, a paragraph a parameter."""
    if not analysis.answers:
        return None
    lines = [Text("In short", style="bold"), *(Text(_plain(f"- {harmless(one, console.encoding)}", console)) for one in analysis.answers)]
    return Group(*lines, Text())


def choice(found: Choice, analysis: Analysis, console: Console) -> RenderableType:
    """What to use, why, how sure, and what else would do."""
    head = f"Recommendation{f' for {found.profile}' if found.profile else ''}"
    parts: list[RenderableType] = [Text(head, style="bold")]
    if found.about:
        parts.append(Text(f"Wanted: {found.about}", style="dim"))
    if found.chosen is None:
        parts += [_shown(one, console) for one in _nothing(found, analysis)]
    else:
        table = Table.grid(padding=(0, 1, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        for label, text in [("Use", cell(analysis, found.chosen)), *_why(found, analysis)]:
            style = "bold green" if label == "Use" else ""
            table.add_row(Text(label, style=style or "bold"), _shown(Text(text, style=style), console))
        parts += [table, _shown(Text(call_of(found.parameters), style="cyan"), console)]
    parts += [_shown(Text(f"Note: {one}.", style="dim"), console) for one in found.notes]
    return Group(*parts, Text())


def _shown(text: Text, console: Console) -> Text:
    """`text` made harmless, line by line, in signs that the console has."""
    lines = "\n".join(harmless(line, console.encoding) for line in _plain(text.plain, console).split("\n"))
    return Text(lines, style=text.style)


def cell(analysis: Analysis, index: int) -> str:
    """A cell in words: what is swept, void parameters left out."""
    levels = [f"{name}={shown(level)}" for name, level in analysis.cells[index].items() if level is not None and len(analysis.parameters[name]) > 1]
    return ", ".join(levels) or "the only cell"


def _why(found: Choice, analysis: Analysis) -> list[tuple[str, str]]:
    out = []
    if found.constraints:
        kept = ", ".join(f"{one.metric} {_bounds(one.min, one.max)}" for one in found.constraints)
        out.append(("Why", f"{len(found.satisfying)} of {len(analysis.cells)} settings keep to {kept}."))
    weights = ", ".join(f"{one.goal} {one.metric} ({one.say:.0%})" for one in found.weights)
    out.append(("" if out else "Why", f"Of these, weighed by: {weights}."))
    if found.chosen != analysis.reference:
        changes = ", ".join(_change(one) for one in found.changes)
        out.append(("", f"Against the reference ({cell(analysis, analysis.reference)}): {changes}."))
    else:
        out.append(("", "It is the reference itself."))
    return [*out, ("Sure", _sure(found, analysis)), *_else(found, analysis), *_fresh(found)]


def _sure(found: Choice, analysis: Analysis) -> str:
    tied, share = len(found.tied) - 1, f"the best in {found.resample_share or 0.0:.0%} of resampled prompt sets"
    if tied == 0:
        return f"Told from every other setting (family-wise 5 %); {share}."
    others = f"{tied} other{'' if tied == 1 else 's'} cannot be told from it"
    few = " With under five prompts nothing can be told apart." if analysis.counts.prompts < 5 else ""
    if found.chosen == found.best:
        return f"It is the best as measured, and {share}; {others}.{few}"
    best = cell(analysis, found.best or 0)
    return f"It cannot be told from the best as measured ({best}; {share}), and is cheaper or nearer the defaults.{few}"


def _else(found: Choice, analysis: Analysis) -> list[tuple[str, str]]:
    others = [index for index in found.tied if index != found.chosen]
    others.sort(key=lambda index: -(found.desirability[index] or 0.0))
    if not others:
        return [("Else", "Nothing else does as well on these prompts.")]
    out = [
        ("" if place else "Else", f"{cell(analysis, index)} ({found.desirability[index]:.2f})") for place, index in enumerate(others[:_MOST_CELLS])
    ]
    more = len(others) - _MOST_CELLS
    return out + ([("", f"and {more} more that do as well (choice.json).")] if more > 0 else [])


def _fresh(found: Choice) -> list[tuple[str, str]]:
    """What fresh answers say, a line a cell."""
    if not found.confirmed:
        return [("", "A winner's figures are optimistic: --confirm N measures it again on fresh answers.")]
    out: list[tuple[str, str]] = []
    for index in dict.fromkeys(one.cell_index for one in found.confirmed):
        rows = [one for one in found.confirmed if one.cell_index == index]
        role = "the chosen" if index == found.chosen else "the best as measured" if index == found.best else "the runner-up"
        figures = ", ".join(f"{one.metric} {one.fresh:.3g} [{one.ci_low:.3g}, {one.ci_high:.3g}] (was {one.selected_on:.3g})" for one in rows)
        out.append(("" if out else "Fresh", f"{rows[0].replicates} new answers a prompt, {role}: {figures}"))
    return out


def _nothing(found: Choice, analysis: Analysis) -> list[Text]:
    if found.satisfying:
        return [Text("No recommendation.", style="red")]
    out = [Text(f"No setting satisfies: all {len(analysis.cells)} miss a constraint.", style="bold red")]
    for one in found.constraints:
        alone = f", {one.excludes_alone} of them by it alone" if one.excludes_alone else ""
        out.append(Text(f"  {one.metric} {_bounds(one.min, one.max)}{' on the mean' if one.by == 'mean' else ''}: excludes {one.excludes}{alone}."))
    if found.nearest is not None:
        out.append(Text(f"Nearest: {cell(analysis, found.nearest)}"))
        out += [Text(f"  {_miss(one)}") for one in found.misses]
        out.append(Text("Loosen that bound, judge it by: mean, or sweep levels beyond this one."))
    return out


def _miss(one: Miss) -> str:
    judged = "" if one.judged == one.mean else f", its interval reaches {one.judged:.3g}"
    return f"{one.metric} is {one.mean:.3g}{judged}; wanted {'at most' if one.judged > one.bound else 'at least'} {one.bound:g}"


def _bounds(low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"from {low:g} to {high:g}"


def _change(one: Change) -> str:
    if one.clear == "unchanged":
        return f"{one.metric} unchanged"
    # Of a reference near 0 a percentage tells nothing: its interval would reach below -100 %.
    if (
        one.percent is not None
        and one.percent_low is not None
        and one.percent_high is not None
        and one.percent_low >= -100
        and one.percent_high < 1000
    ):
        text = f"{one.percent:+.0f} % {one.metric} [{one.percent_low:.0f}, {one.percent_high:.0f}]"
    else:
        text = f"{signed(one.difference)} {one.metric} [{signed(one.ci_low)}, {signed(one.ci_high)}]"
    return text if one.clear == "changed" else f"{one.metric} unclear ({text.replace(f' {one.metric}', '')})"


def _plain(text: str, console: Console) -> str:
    """`text` in signs that the console has."""
    if (console.encoding or "").lower().startswith("utf"):
        return text
    return text.replace("±", signs(console).give_or_take).replace("×", "x")
