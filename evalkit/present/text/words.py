"""What a report says of a run in words: for a page and a merge request alike, untrusted parts made visible."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from evalkit._version import __version__
from evalkit.analysis.analysis import CellMean
from evalkit.errors import RecordError
from evalkit.experiment.endpoint import LOCAL, Endpoint
from evalkit.experiment.several import endpoint_name
from evalkit.present.plots.style import label_of, swept
from evalkit.run import Run
from evalkit.store.folder import read_run
from evalkit.summary.quantities import digits_among, factor
from evalkit.summary.racing import race_of
from evalkit.text.escaping import visible
from evalkit.text.numbers import between, rounded


def about(run: Run) -> str:
    """Whom was asked what, how often, when."""
    counts, experiment, race = run.analysis.counts, run.experiment, race_of(run.analysis)
    when = str(_run_file(run).get("updated", ""))[:10]
    parts = [
        *map(_asked, experiment.asked),
        f"{counts.cells:,} settings × {counts.prompts:,} prompts × {counts.replicates:,} answers"
        if race is None or race.common == counts.prompts
        else f"{counts.cells:,} settings on {race.common:,} to {counts.prompts:,} prompts, {counts.replicates:,} answers each",
        f"{counts.completions:,} of {counts.planned:,} answered",
        when,
    ]
    return visible(" · ".join(filter(None, parts)))


def _asked(endpoint: Endpoint) -> str:
    name = endpoint_name(endpoint)
    where = f"{endpoint.model} at {endpoint.base_url}" if endpoint.base_url != LOCAL else f"{endpoint.model}, evalkit's embedded model"
    return f"{name}: {where}" if name else where


def _run_file(run: Run) -> dict[str, Any]:
    try:
        return read_run(run.folder) or {}
    except RecordError:
        return {}


def mean_and_reach(row: CellMean | None, behind: int | None = None) -> tuple[str, str]:
    """A mean as tables show it and how far its interval goes to both sides, ``±0.012`` or, where they differ, ``-0.010 +0.014``.

    ``–`` stands for a mean that is undefined, and nothing for an interval that is. Money is that of 1,000 answers.

    Args:
        behind: digits behind the point; None for those of the metric.
    """
    if row is None or math.isnan(row.mean):
        return "–", ""
    places = digits_among(row.metric, [row.mean]) if behind is None else behind
    scale = factor(row.metric)
    mean, down, up = (rounded(value * scale, places) for value in (row.mean, row.mean - row.ci_low, row.ci_high - row.mean))
    if math.isnan(row.ci_low) or math.isnan(row.ci_high):
        return mean, ""
    return mean, f"±{up}" if up == down else f"-{down} +{up}"


def failures(run: Run) -> list[dict[str, Any]]:
    """The failures of the sweep by kind, most first, each with one message."""
    counts = run.analysis.counts.failures
    if not counts:
        return []
    table = run.failures()
    out = []
    for kind, count in sorted(counts.items(), key=lambda one: -one[1]):
        said = table.loc[table["kind"] == kind, "message"]
        out.append({"kind": visible(kind), "count": f"{count:,}", "message": visible(str(said.iloc[-1]))[:300] if len(said) else ""})
    return out


def signature(run: Run) -> str:
    """One line that says how the numbers were made: version, experiment, model, counts, method, seed."""
    return visible(" | ".join(_made_by(run)))


def _made_by(run: Run) -> Iterator[str]:
    analysis, counts = run.analysis, run.analysis.counts
    yield f"evalkit {_run_file(run).get('versions', {}).get('evalkit', __version__)}"
    yield f"experiment {analysis.name} {analysis.digest}"
    yield f"model {run.experiment.models}"
    yield f"cells {counts.cells} prompts {counts.prompts} replicates {counts.replicates}"
    yield f"completions {counts.completions}/{counts.planned} k {counts.k}"
    yield f"tokenizer {analysis.tokenizer}"
    yield f"prefix {analysis.compared_on.tokens if analysis.compared_on else 'none'}"
    if analysis.sampled_on:
        words = analysis.sampled_on.words
        yield f"samples {between(min(words), max(words))} words"
    yield f"interval {run.experiment.interval} {analysis.confidence:.0%} over prompts"
    yield f"seed {run.experiment.seed}"


def levels(run: Run) -> list[tuple[str, str]]:
    """The swept parameters with their levels."""
    return [(visible(name), ", ".join(label_of(level) for level in run.analysis.parameters[name])) for name in swept(run)]
