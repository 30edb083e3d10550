"""What every form of a comparison shows, in words and figures: what comes first, what is put how."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.comparison.comparison import ChangeInCell, Comparison, Side
from evalkit.comparison.verdict import Compared, in_words
from evalkit.metrics import CATALOGUE
from evalkit.text.numbers import between, counted, interval, money, signed_figure

_ORDER = ("worse", "differs", "better", "inconclusive", "equivalent")
_MOST_CELLS = 3
_MOST_METRICS = 3

METHOD = (
    "Means over prompts of each prompt's mean over settings, candidate minus baseline, paired by prompt and setting; 95 % t intervals over prompts; "
    "p by sign flips of prompts, adjusted over the metrics judged (step-down largest |t|): without any change, at most one comparison in forty calls "
    "anything worse. Worse or better: the interval is clear of 0, the difference beyond the margin, the adjusted p at most 0.05. "
    "Which way is better, the purpose says (choose:), of a family of metrics at once; one that it leaves open differs, and is never better or worse. "
    "The same: within the margin by two one-sided t tests at 5 %. All else is unclear. "
    "'Could show' is the smallest margin within which these data show that nothing changed."
)
ON_TIME = "Seconds and tokens a second depend on the load of the endpoint and of this machine: they are judged only where a margin is given for them."


def ordered(rows: Sequence[Compared]) -> list[Compared]:
    """Rows in the order they matter: by verdict, and then by how many margins they differ."""
    return sorted(rows, key=lambda one: (_ORDER.index(one.verdict), -abs(one.difference / one.margin) if one.margin > 0 else 0.0))


def ends(one: Compared | ChangeInCell) -> str:
    """The interval of a difference, as tables show it."""
    return interval(one.ci_low, one.ci_high, signed_figure)


def verdict_text(one: Compared) -> str:
    """The verdict as people read it; one that no gate judges is in brackets."""
    said = in_words(one.verdict)
    return said if one.gated else f"({said})"


def of_answers(side: Side) -> str:
    """How many answers a side has, and what failed."""
    failed = ", ".join(f"{count:,} {kind}" for kind, count in side.failures.items())
    missing = f"{side.missing:,} never sent" if side.missing else ""
    rest = "; ".join(filter(None, [f"failed: {failed}" if failed else "", missing]))
    return f"{side.answered:,} of {side.requests:,}" + (f" ({rest})" if rest else "")


def of_cost(side: Side) -> str:
    """What the answers cost; ``unknown`` where that is not known."""
    return money(side.cost, side.currency or "", digits=4)


def of_tokens(side: Side) -> str:
    """Tokens of all answers."""
    return "unknown" if side.tokens_out is None else f"{side.tokens_out:,}"


def sides(found: Comparison) -> list[tuple[str, str, str]]:
    """What the two are and where they differ: what, baseline, candidate."""
    one, other = found.baseline, found.candidate
    rows = [("folder", one.folder, other.folder), *((row.what, row.baseline, row.candidate) for row in found.differs)]
    rows.append(("answers", of_answers(one), of_answers(other)))
    rows.append(("tokens of answers", of_tokens(one), of_tokens(other)))
    if one.cost is not None or other.cost is not None:
        rows.append(("cost", of_cost(one), of_cost(other)))
    return rows


def where(found: Comparison) -> list[tuple[Compared, list[ChangeInCell]]]:
    """For the metrics that got worse most the cells in which they did most, where there are many."""
    if len(found.cells) <= _MOST_CELLS:
        return []
    out = []
    for one in [one for one in ordered(found.gated) if one.verdict == "worse"][:_MOST_METRICS]:
        sign = 1 if one.better == "higher" else -1
        cells = sorted((cell for cell in found.by_cell if cell.metric == one.metric), key=lambda cell: sign * cell.difference)
        out.append((one, cells[:_MOST_CELLS]))
    return out


def basis(found: Comparison) -> str:
    """What the numbers rest on, in a sentence."""
    parts = [counted(len(found.prompts), "prompt"), counted(len(found.cells), "setting")]
    if found.replicates:
        parts.append(f"{found.replicates} replicates a group")
    on_samples, on_prefix = (
        [
            one.metric
            for one in found.metrics
            if one.metric in CATALOGUE and CATALOGUE[one.metric].confounded and (CATALOGUE[one.metric].sampled is None) is prefix
        ]
        for prefix in (False, True)
    )
    if found.words is not None and on_samples:
        parts.append(f"{', '.join(on_samples)} on samples of {between(*found.words)} words a prompt")
    if found.tokens is not None and on_prefix:
        parts.append(f"{', '.join(on_prefix)} on the first {found.tokens} words")
    same = f"; {found.same_answers:,} of {found.same_of:,} answers are the same, letter by letter" if found.same_answers else ""
    return f"On {', '.join(parts)}{same}."


def not_compared(found: Comparison) -> list[str]:
    """What was left out, with the reason, metrics with the same reason together."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in found.not_compared.items():
        by_reason.setdefault(reason, []).append(name)
    return [f"not compared: {', '.join(names)} ({reason})" for reason, names in by_reason.items()]


def signature(found: Comparison) -> str:
    """How the comparison was made, in a line."""
    return (
        f"evalkit {found.evalkit}; {found.baseline.digest or 'unknown'} against {found.candidate.digest or 'unknown'}; {found.tokenizer}; "
        f"fails on: {', '.join(found.fail_on)}"
    )
