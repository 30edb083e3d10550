"""A run as one HTML file that opens anywhere: the decision first, then what it rests on, then the answers themselves.

Everything is in the file, nothing is fetched: its policy forbids it. Script and style are named by their hashes, so that no text of a model
can add any; what models, prompts and experiments say stands in it as text alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from evalkit._version import __version__
from evalkit.analysis.effects import Verdict
from evalkit.experiment.prompts import text_of
from evalkit.present.html import decision, figures, tabulated
from evalkit.present.html.answers import sample
from evalkit.present.html.template import asset, digest, filled
from evalkit.present.plots.style import label_of, swept
from evalkit.present.text import method
from evalkit.present.text.words import about, failures, mean_and_reach, signature
from evalkit.run import Run
from evalkit.summary import summarise
from evalkit.summary.deciding import told_first
from evalkit.summary.quantities import factor, headed, is_money, plain_size, signed_of
from evalkit.summary.racing import departure, race_of
from evalkit.summary.rows import currency_of
from evalkit.text.escaping import visible
from evalkit.text.numbers import interval

_ELEMENTS, _CORE = "elements.js", "core.js"
_SCRIPTS = ("table.js", "parallel.js", "heat.js", "reader.js", "start.js")
_MOST_ROWS = 2_000
_USUAL = 8
_IN_ROW = frozenset(("text", "finish", "tokens", "spans"))
_MOST_OF_PROMPTS = 4_000_000
"""Characters of all prompts together, so that many long ones do not make a page that no browser opens."""
_TAGS = {"chosen": "recommended", "tied": "tied", "reference": "reference"}


def page(run: Run, links: Sequence[tuple[str, str]] = ()) -> str:
    """The text of ``report.html``.

    Args:
        links: addresses with their titles, where the page is one of several; a file by itself has none.

    Raises:
        RecordError: the run's records or tables cannot be read.
    """
    # Each part has names of its own, but for those of the first, which all use.
    script = "\n".join([asset(_ELEMENTS), asset(_CORE), *(f"{{\n{asset(name)}\n}}" for name in _SCRIPTS)])
    shown = sample(run)
    data = _data(run, shown.answers)
    context = {
        "script": script,
        "script_hash": digest(script),
        "sample_told": shown.told,
        "data": _as_data(data),
        "links": links,
        **_said(run),
        **_drawn(run, data),
    }
    return filled("report.html.j2", "report.css", {**context, "places": _places(context)})


def _data(run: Run, answers: dict[int, dict[int, list[dict[str, Any]]]]) -> dict[str, Any]:
    """What the page's scripts draw from."""
    messages = sum(len(prompt.conversation()) for prompt in run.experiment.prompts)
    longest = max(200, min(20_000, _MOST_OF_PROMPTS // max(1, messages)))
    return {
        "parameters": tabulated.parameters(run),
        "cells": tabulated.cells(run),
        "metrics": tabulated.metrics(run),
        "maps": {visible(name): tiles for name, tiles in tabulated.maps(run).items()},
        "usual": [visible(name) for name in figures.metrics_that_matter(run, _USUAL)],
        "chooses": run.choice is not None,
        "prompts": [
            {"id": visible(prompt.id), "messages": [[visible(str(one.get("role"))), _content(one, longest)] for one in prompt.conversation()]}
            for prompt in run.experiment.prompts
        ],
        **_packed(answers),
    }


def _packed(answers: dict[int, dict[int, list[dict[str, Any]]]]) -> dict[str, Any]:
    """The answers so that a page of many stays small: each text once, with what in it comes again; a row an answer.

    A row is the numbers of its text and of how it ended (null where it has none), its tokens, and where there is more to it a mapping of that.
    The first name in it tells the replicate where that is not the answer's place in its list.
    """
    places: dict[str, int] = {}
    spans: dict[int, Any] = {}
    out: dict[int, dict[int, list[list[Any]]]] = {}
    for cell, of_cell in answers.items():
        for prompt, rows in of_cell.items():
            packed = out.setdefault(cell, {}).setdefault(prompt, [])
            for at, row in enumerate(rows):
                text, finish = (places.setdefault(row[name], len(places)) if name in row else None for name in ("text", "finish"))
                if "spans" in row and text is not None:
                    spans[text] = row["spans"]
                more = {
                    name: value for name, value in row.items() if name not in ("text", "finish", "tokens", "spans") and (name, value) != ("r", at)
                }
                packed.append([text, finish, row.get("tokens"), *([more] if more else [])])
    return {"texts": list(places), "spans": spans, "answers": out}


def _said(run: Run) -> dict[str, Any]:
    """What the page says in words."""
    counts = run.analysis.counts
    return {
        "version": __version__,
        "name": visible(run.analysis.name),
        "about": about(run),
        "first": decision.first_screen(run, summarise(run)),
        "ties": decision.ties(run),
        "answers": [visible(one) for one in run.analysis.answers],
        "not_estimated": [visible(one) for one in run.analysis.not_estimated],
        "failures": failures(run),
        "missing": f"{counts.missing:,}" if counts.missing else "",
        "method": method.lines(run),
        "signature": signature(run),
    }


def _drawn(run: Run, data: dict[str, Any]) -> dict[str, Any]:
    """Figures and tables that stand in the page without any script."""
    cells, metrics = data["cells"], data["metrics"]
    return {
        "shares": _shares(run),
        "share_legend": _legend(run),
        "verdicts": _verdicts(run),
        "pairs": figures.pairs(run),
        "pareto": figures.tradeoff(run),
        "race": figures.race(run),
        "parameters": data["parameters"],
        "metrics": metrics,
        "curves": figures.curves(run),
        "spread": [one for one in (figures.natural_length(run),) if one],
        "usual": data["usual"],
        "deciding": bool(told_first(run.choice, run.analysis)),
        "rows": _rows(run, cells, metrics),
        "cells_left_out": max(0, len(cells) - _MOST_ROWS),
    }


def _places(context: dict[str, Any]) -> list[tuple[str, str]]:
    explored = bool(context["parameters"] and context["metrics"])
    return [
        (anchor, title)
        for anchor, title, there in (
            ("decision", "Use", True),
            ("ties", "What else", bool(context["ties"])),
            ("pareto", "Trade-off", bool(context["pareto"])),
            ("race", "Race", bool(context["race"])),
            ("read", "Answers", bool(context["metrics"])),
            ("effects", "Parameters", True),
            ("maps", "Maps", explored and len(context["parameters"]) > 1),
            ("settings", "All settings", bool(context["metrics"])),
            ("failures", "Failures", bool(context["failures"] or context["missing"])),
            ("method", "Method", True),
        )
        if there
    ]


def _content(message: Any, most: int) -> str:
    text = text_of(message.get("content"))
    calls = message.get("tool_calls")
    shown = visible(text + (f"\n{json.dumps(calls, ensure_ascii=False)}" if calls else ""))
    return shown if len(shown) <= most else f"{shown[:most]} … {len(shown) - most:,} more characters"


def _as_data(value: Any) -> str:
    """JSON that cannot end the element it stands in, whatever its texts hold."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate has no bytes
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _rows(run: Run, cells: list[dict[str, Any]], metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The settings, the most desirable first, then those that keep to the bounds, then those that miss one, by its name."""
    by = {(visible(row.metric), row.cell_index): row for row in run.analysis.by_cell}
    missed, race = decision.misses(run), race_of(run.analysis)
    gone = {one.cell_index: one for one in race.left} if race is not None else {}
    worth = [cell["desirability"] for cell in cells]
    order = sorted(range(len(cells)), key=lambda index: (worth[index] is None, -(worth[index] or 0.0), len(missed[index]), index))
    out = []
    for index in order[:_MOST_ROWS]:
        flags = list(cells[index]["flags"])
        tags = [(flag, _TAGS[flag]) for flag in flags if flag in _TAGS and not (flag == "tied" and "chosen" in flags)]
        tags += [("misses", f"misses: {visible(', '.join(missed[index]))}")] if missed[index] else []
        tags += [("left", visible(departure(gone[index])))] if index in gone else []
        levels = ["·" if level is None else label_of(level) for level in (run.analysis.cells[index][name] for name in swept(run))]
        numbers = [mean_and_reach(by.get((one["name"], index)), one["digits"]) for one in metrics]
        name = visible(run.analysis.name_of(index) or "")
        out.append({"index": index, "name": name, "levels": levels, "flags": flags, "tags": tags, "numbers": numbers})
    return out


def _verdicts(run: Run) -> dict[str, Any]:
    names = [name for name in swept(run) if any(one.parameter == name for one in run.analysis.verdicts)]
    found = {(one.parameter, one.metric): one for one in run.analysis.verdicts}
    rows = []
    by_name = {info.name: info for info in run.analysis.metrics}
    for info in (by_name[name] for name in dict.fromkeys([*told_first(run.choice, run.analysis), *by_name])):
        if any((name, info.name) in found for name in names):
            cells = [_verdict(found.get((name, info.name))) for name in names]
            margin = next((one.margin for one in run.analysis.verdicts if one.metric == info.name and one.margin is not None), None)
            said = "" if margin is None else f"±{plain_size(margin * factor(info.name)) if is_money(info.name) else f'{margin:.3g}'}"
            rows.append({"metric": visible(headed(info.name, currency_of(run))), "about": visible(info.definition), "cells": cells, "margin": said})
    return {"parameters": [visible(name) for name in names], "rows": rows}


def _verdict(one: Verdict | None) -> dict[str, str]:
    if one is None:
        return {"text": "–", "kind": "none", "said": "not compared"}
    signed = partial(signed_of, one.metric)
    reach = f"{signed(one.difference)} {interval(one.ci_low, one.ci_high, signed)} from {one.from_level} to {one.to_level}, {one.n_prompts} prompts"
    if one.verdict == "no effect":
        return {"text": "= 0", "kind": "none", "said": visible(f"no effect beyond the margin; at most {reach}")}
    if one.verdict == "inconclusive":
        needed = f"; {one.prompts_needed:,} prompts would tell" if one.prompts_needed else ""
        return {"text": "?", "kind": "unsure", "said": visible(f"inconclusive: {reach}{needed}")}
    text = signed(one.difference) if one.sure else f"({signed(one.difference)})"
    return {"text": text, "kind": "effect" if one.sure else "unsure", "said": visible(reach)}


def _shares(run: Run) -> list[dict[str, Any]]:
    """For each metric that matters the bar of shares: parameters in their order, pairs together, and what is left over."""
    names = swept(run)
    out = []
    for metric in figures.metrics_that_matter(run):
        own = [one for one in run.analysis.shares if one.metric == metric]
        if not own:
            continue
        parts: list[tuple[float, str, str]] = []
        for place, name in enumerate(names):
            share = sum(one.share for one in own if one.parameters == (name,))
            parts.append((share, f"s{place % 6}", name))
        parts.append((sum(one.share for one in own if len(one.parameters) > 1), "pairs", "pairs of parameters, beyond their parts"))
        parts.append((max(0.0, 1.0 - sum(share for share, _, _ in parts)), "rest", "left over: prompts and chance"))
        total = sum(max(0.0, share) for share, _, _ in parts) or 1.0
        at, drawn = 0.0, []
        for share, kind, name in parts:
            width = 1000 * max(0.0, share) / total
            drawn.append((f"{at:.1f}", f"{width:.1f}", kind, visible(f"{name}: {share:.0%}")))
            at += width
        out.append({"metric": visible(metric), "parts": drawn, "said": visible(f"{metric}: " + ", ".join(one[3] for one in drawn))})
    return out


def _legend(run: Run) -> list[tuple[str, str]]:
    own = [(visible(name), f"s{place % 6}") for place, name in enumerate(swept(run))]
    return [*own, ("pairs of parameters", "pairs"), ("left over", "rest")]
