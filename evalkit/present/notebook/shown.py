"""What a notebook shows of a run, a choice, a comparison and answers; looked up by `evalkit.text.hook`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import singledispatch

from evalkit.choice.choice import Choice, Consequence
from evalkit.choice.recommendation import call_of
from evalkit.comparison.comparison import Comparison, headline
from evalkit.present.notebook.cards import Html, box, card, columns, table
from evalkit.present.text.answers import answers_of
from evalkit.run import Run
from evalkit.summary import summarise
from evalkit.summary.quantities import bound, bounds_of, changed, headed, is_money, measured, named, signed_of
from evalkit.text.escaping import harmless

_LABEL = 24


@singledispatch
def html(value: object) -> Html:
    """The card of a run, a choice or a comparison."""
    raise TypeError(f"nothing is known of how to show a {type(value).__name__}")


@html.register
def _of_choice(choice: Choice) -> Html:
    if choice.chosen is None:
        missed = [("", f"{headed(one.metric)} {bounds_of(one)}: {one.excludes} settings miss it") for one in choice.constraints]
        return card("No recommendation", rows=missed, notes=choice.notes)
    rows = [("Keeps to", ", ".join(f"{headed(one.metric)} {bounds_of(one)}" for one in choice.constraints))] if choice.constraints else []
    rows.append(("Ranked by", ", ".join(f"{one.goal} {one.metric} ({one.say:.0%})" for one in choice.weights)))
    clear = [one for one in choice.changes if one.clear == "changed"]
    if clear:
        moves = (f"{headed(one.metric)} {_signed(one, one.difference)} [{_signed(one, one.ci_low)}, {_signed(one, one.ci_high)}]" for one in clear)
        rows.append(("Against the reference", ", ".join(moves)))
    rows.append(("Tied with the best", f"{len(choice.tied)} of {len(choice.satisfying)} settings that keep to the bounds"))
    name = f", {choice.chosen_name}" if isinstance(choice.chosen_name, str) else ""
    return card(f"Recommended: setting {choice.chosen}{name}", rows=rows, code=call_of(choice.parameters), notes=choice.notes)


def _signed(one: Consequence, value: float) -> str:
    return signed_of(one.metric, value) if is_money(one.metric) else f"{value:+.3g}"


@html.register
def _of_comparison(found: Comparison) -> Html:
    heads = ("metric", "better", "baseline", "candidate", "difference", "95 % interval", "margin", "verdict")
    rows = [
        (one.metric, one.better or "", f"{one.baseline:.3g}", f"{one.candidate:.3g}", f"{one.difference:+.3g}",
         f"[{one.ci_low:+.3g}, {one.ci_high:+.3g}]", f"{one.margin:.2g}", one.verdict if one.gated else f"({one.verdict})")
        for one in sorted(found.metrics, key=lambda one: (not one.gated, one.verdict == "equivalent"))
    ]  # fmt: skip
    title = f"{found.candidate.name} ({found.candidate.folder}) against {found.baseline.name} ({found.baseline.folder})"
    return box(title, [headline(found)], table(heads, rows), [f"• {note}" for note in found.notes])


@html.register
def _of_run(run: Run) -> Html:
    return card(*_said(run))


def words(run: Run) -> str:
    """The same of a run as text."""
    title, lines, rows, code, notes = _said(run)
    said = [title, *lines, *(f"{label:<{_LABEL}}  {words}" for label, words in rows), *code.splitlines(), *notes]
    return "\n".join(harmless(line) for line in said)


def _said(run: Run) -> tuple[str, list[str], list[tuple[str, str]], str, list[str]]:
    """What the run came to: a title, lines, labelled rows, code and notes."""
    found = summarise(run)
    lines = [f"{found.answers:,} of {found.planned:,} answers: {found.settings} settings × {found.prompts} prompts × {found.replicates}"]
    lines += [f"{sum(found.failed.values()):,} requests failed"] if found.failed else []
    rows = [("Use", found.use.in_words)] if found.use is not None else []
    rows += [("Goal", found.purpose)] if found.purpose else []
    rows += [("Nearest", found.nearest.in_words)] if found.nearest is not None else []
    rows += [(named(one.label, one.unit), f"{bound(one)}: {one.excludes} settings miss it") for one in found.unmet]
    for row in found.rows:
        parts = [measured(row.mean, row.low, row.high, row.unit)]
        if row.reference is not None:
            parts.append(f"reference {measured(row.reference, row.reference_low, row.reference_high, row.unit)}")
        rows.append((named(row.label, row.unit), ", ".join(filter(None, [*parts, changed(row), row.verdict]))))
    rows += [(found.raced_label, " ".join(found.raced))] if found.raced else []
    rows += [("How sure", " ".join(found.sure))] if found.sure else []
    rows += [("What matters", f"{'; '.join(found.matters)}.")] if found.matters else []
    code = call_of(found.parameters) if found.parameters else ""
    return f"{found.name} ({run.folder})", lines, rows, code, [f"• {one.text}" for one in found.mind]


def answers(run: Run, prompt: str | int, cells: Sequence[int | str], replicates: int | None) -> Html:
    """Answers to one prompt side by side, as `Run.show` takes them."""
    found = answers_of(run, prompt, cells, replicates)
    return columns(f"{run.analysis.name}, prompt {found.prompt_id}", found.prompt, found.beside)
