"""The answers for a terminal: what to use, why, how sure, what else would do; and what each parameter does."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from evalkit.analysis import Analysis
from evalkit.answers import counted, in_words, signed
from evalkit.choice import Change, Choice, Miss, Weight, call_of
from evalkit.effects import Verdict
from evalkit.escaping import harmless
from evalkit.tables import signs

_MOST_CELLS = 6
_WIDE = 13  # columns of the console for a column of verdicts


def verdicts(analysis: Analysis, console: Console) -> RenderableType | None:
    """A row a metric, a column a parameter: the largest difference between two levels, ``= 0`` for no effect, ``?`` for inconclusive.

    Beside them the margin, and the smallest difference that the run would find.
    """
    if not analysis.verdicts:
        lines = [f"Mind: {one}." for one in analysis.not_estimated]
        return Group(*(_shown(Text(line, style="dim"), console) for line in lines), Text()) if lines else None
    parameters = [name for name in analysis.parameters if any(one.parameter == name for one in analysis.verdicts)]
    by_place = {(one.parameter, one.metric): one for one in analysis.verdicts}
    measured = [metric.name for metric in analysis.metrics if any((name, metric.name) in by_place for name in parameters)]
    columns = [(name.replace("_", "\n", 1), [_verdict(by_place.get((name, metric))) for metric in measured]) for name in parameters]
    of_metric = {metric: [one for one in analysis.verdicts if one.metric == metric] for metric in measured}
    columns.append(("margin", [_figure([one.margin for one in of_metric[metric]]) for metric in measured]))
    columns.append(("would\nfind", [_figure([one.detectable for one in of_metric[metric]]) for metric in measured]))
    fit = max(1, (console.width - 22) // _WIDE)
    parts: list[RenderableType] = [Text("What each parameter does: largest difference between two of its levels", style="bold")]
    for start in range(0, len(columns), fit):
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
        table.add_column("metric", no_wrap=True)
        for heading, _ in columns[start : start + fit]:
            text = "\n".join(harmless(line, console.encoding) for line in heading.split("\n"))
            table.add_column(Text(text), justify="right", vertical="bottom", overflow="fold", max_width=_WIDE + 2)
        for place, metric in enumerate(measured):
            table.add_row(metric, *(cells[place] for _, cells in columns[start : start + fit]))
        parts += [table, Text()] if start + fit < len(columns) else [table]
    lines = [*_legend(analysis), *(f"Mind: {one}." for one in analysis.not_estimated), f"Made by {analysis.signature}."]
    return Group(*parts, *(_shown(Text(line, style="dim"), console) for line in lines), Text())


def _legend(analysis: Analysis) -> list[str]:
    """What the signs in the table of verdicts mean, those that occur."""
    kinds = {one.verdict for one in analysis.verdicts}
    lines = []
    if "no effect" in kinds:
        lines.append("= 0: no effect beyond the margin, shown by an equivalence test.")
    if any(one.beside_zero for one in analysis.verdicts):
        lines.append("~ 0: there is a difference, shown beside, and the same test shows it to be within the margin: too small to matter.")
    if "inconclusive" in kinds:
        lines.append("?: inconclusive: neither an effect nor its absence is shown.")
    if any(one.verdict == "effect" and not one.sure for one in analysis.verdicts):
        lines.append("(brackets): an effect by its interval alone, not sure once all parameters are counted, or on too few prompts.")
    lines.append("metric: docs/metrics.md says what each is. margin: a smaller difference does not matter (margins: in the experiment sets it).")
    lines.append("would find: the smallest difference that such a run finds in 80 % of cases, for the parameter seen best..the one seen least well;")
    lines.append("where it is above the margin, an effect that matters can be missed: add prompts.")
    unseen = [metric.name for metric in analysis.metrics if not any(one.metric == metric.name for one in analysis.verdicts)]
    if unseen:
        lines.append(f"Not compared, for want of values or of answers long enough: {', '.join(unseen)}.")
    return lines


def _verdict(one: Verdict | None) -> Text:
    if one is None:
        return Text("-")
    figure = signed(one.difference)
    if one.verdict == "inconclusive":
        return Text("?", style="dim")
    if one.verdict == "no effect":
        return Text(f"~ 0 {figure}" if one.beside_zero else "= 0", style="dim")
    return Text(figure if one.sure else f"({figure})", style="bold" if one.sure and (one.share or 0) >= 0.1 else "")


def _figure(values: Sequence[float | None]) -> Text:
    """The smallest and the largest of several figures that are known."""
    known = [value for value in values if value is not None]
    ends = list(dict.fromkeys(f"{value:.2g}" if value < 10 else f"{value:,.0f}" for value in (min(known), max(known)))) if known else ["-"]
    return Text("..".join(ends), style="dim")


def answers(analysis: Analysis, console: Console) -> RenderableType | None:
    """The answers in words, a paragraph a parameter."""
    if not analysis.answers:
        return None
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for one in analysis.answers:
        first, *rest = one.split("; ")
        table.add_row("-", _shown(Text(first + ";" * bool(rest)), console))
        for place, part in enumerate(rest, 1):
            table.add_row("", Padding(_shown(Text(part + ";" * (place < len(rest))), console), (0, 0, 0, 2)))
    return Group(Text("In short", style="bold"), table, Text())


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
    parts += [_shown(Text(line, style="dim"), console) for line in _glossary(found, analysis)]
    return Group(*parts, Text())


def _shown(text: Text, console: Console) -> Text:
    """`text` made harmless, line by line, in signs that the console has."""
    lines = "\n".join(harmless(line, console.encoding) for line in _plain(text.plain, console).split("\n"))
    return Text(lines, style=text.style)


def cell(analysis: Analysis, index: int) -> str:
    """A cell in words: what is swept, void parameters left out."""
    return in_words({name: level for name, level in analysis.cells[index].items() if len(analysis.parameters[name]) > 1})


def _why(found: Choice, analysis: Analysis) -> list[tuple[str, str]]:
    out = []
    if found.constraints:
        kept = ", ".join(f"{one.metric} {_bounds(one.min, one.max)}" for one in found.constraints)
        many = f"{len(found.satisfying)} of" if len(found.satisfying) < len(analysis.cells) else "All"
        out.append(("Why", f"{many} {counted(len(analysis.cells), 'setting')} keep to {kept}."))
    weights = ", ".join(f"{_goal(one)} ({one.say:.0%})" for one in found.weights)
    out.append(("" if out else "Why", f"{'These' if out else 'All'} are ranked by how well they {weights}; in brackets how much each counts."))
    unbeaten = len(found.pareto)
    if len(found.weights) > 1 and unbeaten < len(found.satisfying):
        out.append(("", f"{unbeaten} of them {'is' if unbeaten == 1 else 'are'} beaten by no other in all of that at once (the Pareto set)."))
    if found.chosen != analysis.reference:
        changes = ", ".join(_change(one) for one in found.changes) or "no metric has values of both on two prompts"
        out.append(("", f"Against the reference ({cell(analysis, analysis.reference)}): {changes}."))
    else:
        out.append(("", "It is the reference itself."))
    return [*out, ("Sure", _sure(found, analysis)), *_else(found, analysis), *_fresh(found)]


def _goal(one: Weight) -> str:
    return f"bring {one.metric} near {one.target:g}" if one.target is not None else f"{one.goal} {one.metric}"


def _sure(found: Choice, analysis: Analysis) -> str:
    others, share = len(found.tied) - 1, f"came first in {found.resample_share or 0.0:.0%} of 2,000 resampled sets of prompts"
    if len(found.satisfying) == 1:
        return "No other setting keeps to the bounds, so there was nothing to compare it with."
    if others == 0:
        return f"Yes: better than every other setting that keeps to the bounds, by tests that allow for their number (5 %); it {share}."
    few = " With under five prompts nothing can be told apart." if analysis.counts.prompts < 5 else ""
    if found.chosen == found.best:
        others_are = f"{counted(others, 'other')} cannot be told from it (tests at 5 % over all)"
        return f"Of the group, not of the one: it is the best as measured and {share}, but {others_are}.{few}"
    return (
        f"Of the group, not of the one: {len(found.tied)} settings, this among them, cannot be told from the best as measured (tests at 5 % over "
        f"all)."
        f"{few} Of these it is the cheapest or, at a like price, the nearest to the defaults. The best as measured, "
        f"{cell(analysis, found.best or 0)}, {share}."
    )


def _else(found: Choice, analysis: Analysis) -> list[tuple[str, str]]:
    others = [index for index in found.tied if index != found.chosen]
    others.sort(key=lambda index: -(found.desirability[index] or 0.0))
    if not others:
        return [("Else", "Nothing else does as well on these prompts.")]
    own = found.desirability[found.chosen] if found.chosen is not None else None
    head = f"Any of these would do, as far as these prompts tell; in brackets its desirability, 0 to 1 (of the one to use: {own or 0.0:.2f})."
    out = [("Else", head), *(("", f"{cell(analysis, index)} ({found.desirability[index]:.2f})") for index in others[:_MOST_CELLS])]
    more = len(others) - _MOST_CELLS
    return out + ([("", f"and {more} more (choice.json)")] if more > 0 else [])


def _glossary(found: Choice, analysis: Analysis) -> list[str]:
    """What the metrics are that the recommendation speaks of."""
    if found.chosen is None:
        return []
    spoken = {one.metric for one in found.constraints} | {one.metric for one in found.weights} | {one.metric for one in found.changes}
    lines = ["Words used here"]
    if len(found.tied) > 1:
        lines.append("cheapest: by cost, else by tokens; within 5 % counts as alike")
    if found.changes:
        lines.append("reference: the setting that the experiment names, else the nearest to all defaults")
    if any(one.clear == "unchanged" for one in found.changes):
        lines.append("unchanged: shown by test to differ by less than the margin; [brackets]: 95 % interval over prompts")
    return lines + [f"{metric.name}: {metric.definition}" for metric in analysis.metrics if metric.name in spoken]


def _fresh(found: Choice) -> list[tuple[str, str]]:
    """What fresh answers say, a line a cell."""
    if not found.confirmed:
        return [("Next", "A winner's figures are optimistic: evalkit sweep EXPERIMENT --confirm 8 measures it again on fresh answers.")]
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
    every = "the only one misses" if len(analysis.cells) == 1 else f"all {len(analysis.cells)} miss"
    out = [Text(f"No setting satisfies: {every} a constraint.", style="bold red")]
    for one in found.constraints:
        alone = f", {one.excludes_alone} of them by it alone" if one.excludes_alone and len(found.constraints) > 1 else ""
        out.append(Text(f"  {one.metric} {_bounds(one.min, one.max)}{' on the mean' if one.by == 'mean' else ''}: excludes {one.excludes}{alone}."))
    if found.nearest is not None:
        out.append(Text(f"Nearest: {cell(analysis, found.nearest)}"))
        out += [Text(f"  {_miss(one)}") for one in found.misses]
        by_interval = {one.metric for one in found.constraints if one.by == "interval"}.issuperset(one.metric for one in found.misses)
        out.append(Text(f"Loosen that bound, {'judge it by: mean, ' if by_interval else ''}or sweep levels beyond this one."))
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
