"""Plans and results as the command line prints them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.cli.terminal import complain
from evalkit.text.escaping import harmless
from evalkit.text.numbers import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from evalkit.collect.budget import Spent
    from evalkit.experiment.endpoint import Prices
    from evalkit.experiment.experiment import Experiment
    from evalkit.plan.requests import Plan, Tokens
    from evalkit.run import Run


def show_plan(experiment: Experiment, output: Path | None, retry_failed: bool) -> None:
    """What a sweep of `experiment` into `output` would send, and what it may cost."""
    from evalkit.plan.requests import Plan  # late: --help stays instant
    from evalkit.store.folder import is_run  # late: --help stays instant
    from evalkit.sweeping import outlook  # late: --help stays instant

    planned = Plan(experiment)
    cells = len(planned.cells)
    for warning in experiment.warnings():
        complain(f"warning: {warning}")
    print(f"{experiment.name}: {experiment.endpoint.model} at {experiment.endpoint.base_url}")
    for name, levels in experiment.parameters.items():
        print(harmless(f"  {name}: {', '.join(map(str, levels))}"))
    print(f"{_product(cells, len(experiment.prompts), experiment.replicates)} = {len(planned):,} requests")
    if planned.design.merged:
        print(f"{planned.design.combinations} combinations of levels, {planned.design.combinations - cells} of them merged:")
        for reason in planned.design.merged:
            print(f"  {reason}")
    for reason in planned.design.beware:
        print(f"beware: {reason}")
    left = outlook.pending(experiment, output, retry_failed=retry_failed)
    folder = output or Path("results") / experiment.name
    begun = is_run(folder)
    if begun:
        print(f"{left.requests:,} of them still to send; the others stand in {harmless(str(folder))}/")
    for line in _beside(experiment, planned, left, begun):
        print(harmless(line))
    of_it = "what is still to send: " if begun else ""
    most = left.answers_most
    print(f"{of_it}at most {most:,} tokens of answers" if most is not None else f"{of_it}no bound of the answers' tokens (a cell sets no max_tokens)")
    print(_cost_of(left, experiment.endpoint.prices))


def _beside(experiment: Experiment, planned: Plan, left: Tokens, begun: bool) -> Iterator[str]:
    """What a sweep needs, and what is asked beside its own requests."""
    beside = [judge.endpoint for judge in experiment.judges] + ([] if experiment.embeddings is None else [experiment.embeddings])
    for key in dict.fromkeys(one.api_key_env for one in (experiment.endpoint, *beside) if one.base_url != "local"):
        if key and not os.environ.get(key):
            yield f"a sweep will need the environment variable {key}, which is not set"
    for program in dict.fromkeys(one.api_key_command[0] for one in (experiment.endpoint, *beside) if one.api_key_command and one.base_url != "local"):
        yield f"a sweep will run {program} (api_key_command) for the key"  # its arguments are not shown: they may tell too much
    for judge in experiment.judges:
        yield f"besides, judge {judge.name} ({judge.endpoint.model}) is asked once for each different answer, at most {len(planned):,} times"
    if experiment.embeddings is not None:
        yield f"besides, each different answer is embedded by {experiment.embeddings.model}"
    if planned.anchor_count:
        still = f", {left.anchors} of them still to send" if begun else ""
        yield f"besides, the reference cell is asked {planned.anchor_count} times{still}, to show a drift (anchor: {{every: 0}} for none)"


def _cost_of(left: Tokens, prices: Prices | None) -> str:
    from evalkit.collect.budget import cost_of, priced  # late: --help stays instant

    if prices is None:
        return "cost: unknown (endpoint.prices: {input: ..., output: ...}, a million tokens each)"
    least = priced(cost_of(prices, left.prompts_least, left.requests + left.anchors), prices)
    if left.answers_most is None:
        return f"cost: at least {least}, no upper bound"
    return f"cost: from {least} to {priced(cost_of(prices, left.prompts_most, left.answers_most), prices)}, by endpoint.prices and lengths of prompts"


def _product(cells: int, prompts: int, replicates: int) -> str:
    return " × ".join(counted(number, noun) for number, noun in ((cells, "cell"), (prompts, "prompt"), (replicates, "replicate")))


def show(run: Run, console: Console) -> None:
    """The tables, what each parameter does, and the recommendation."""
    from evalkit.present.terminal import tables  # late: --help stays instant

    if run.analysis.counts.completions == 0:
        return
    console.print(tables.by_cell(run.analysis, console))
    levels = tables.by_level(run.analysis, console)
    if levels is not None:
        console.print(levels)
    from evalkit.present.terminal import summary  # late: --help stays instant

    for part in (summary.verdicts(run.analysis, console), summary.answers(run.analysis, console)):
        if part is not None:
            console.print(part)
    if run.choice is not None:
        console.print(summary.choice(run.choice, run.analysis, console))


def sum_up(run: Run, console: Console) -> None:
    """What the numbers rest on, what it took, and where the results are."""
    counts = run.analysis.counts
    out = [f"{counts.completions:,} of {counts.planned:,} answers ({_product(counts.cells, counts.prompts, counts.replicates)})"]
    if run.sent is not None:
        out[0] += (
            f"; {run.sent.done:,} requests sent in {run.sent.took_s:.1f} s" if run.sent.planned else "; 0 requests sent, all were answered before"
        )
    failed = sum(counts.failures.values())
    if failed:
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.failures.items()))
        out.append(f"{failed:,} requests failed ({kinds}); run again to send them again" + _refused(counts.failures))
    spent = [("sweep", run.sent.spent)] if run.sent is not None and run.sent.spent.requests else []
    out += _spent([*spent, *run.beside])
    if counts.missing:
        out.append(f"{counts.missing:,} planned requests have no outcome yet; run the sweep to send them")
    out.append(f"Results: {harmless(str(run.folder), console.encoding)}/ (summary.csv, responses.jsonl, scores.parquet, analysis.json{_chosen(run)})")
    if run.sent is not None:
        folder = harmless(shlex.quote(str(run.folder)), console.encoding)
        out.append(f"Next: 'evalkit report {folder}' makes a page with the answers side by side.")
        out.append("Add levels, prompts or replicates and sweep again: only what is new is sent.")
    console.print("\n".join(out), soft_wrap=not console.is_terminal, markup=False)


def _spent(every: Sequence[tuple[str, Spent]]) -> list[str]:
    """What calls took: a line for each that was asked, and one for all together."""
    from evalkit.collect.budget import priced, total_cost  # late: --help stays instant

    lines = []
    for name, spent in every:
        tokens = f"{spent.tokens_in:,} tokens in, {spent.tokens_out:,} out"
        if spent.uncounted:
            tokens += f", and {spent.uncounted:,} answers that do not say"
        who = "" if name == "sweep" else f" on {name}"
        lines.append(f"Spent{who}: {spent.requests:,} calls, {tokens}; cost {priced(spent.cost, spent.prices)}")
    if len(every) > 1:
        prices = next((spent.prices for _, spent in every if spent.prices is not None), None)
        lines.append(
            f"Spent in all: {sum(spent.requests for _, spent in every):,} calls; cost {priced(total_cost([one for _, one in every]), prices)}"
        )
    return lines


def _chosen(run: Run) -> str:
    return ", recommended.yaml" if run.choice is not None and run.choice.chosen is not None else ""


def _refused(failures: dict[str, int]) -> str:
    from evalkit.store.records import NOT_SENT_AGAIN  # late: --help stays instant

    return "; what the endpoint refused only with --retry-failed" if NOT_SENT_AGAIN & failures.keys() else ""
