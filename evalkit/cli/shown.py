"""Plans and results as the command line prints them."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.cli.terminal import complain
from evalkit.text.escaping import harmless
from evalkit.text.numbers import counted

STANDARD_OUTPUT = "-"

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from evalkit.experiment.experiment import Experiment
    from evalkit.plan.requests import Plan, Tokens
    from evalkit.plan.shard import Shard
    from evalkit.run import Run
    from evalkit.sweeping.outlook import Left
    from evalkit.sweeping.part import Part


def show_plan(experiment: Experiment, output: Path | None, retry_failed: bool, json: Path | None = None, part: Shard | None = None) -> None:
    """What a sweep of `experiment` into `output` would send, and what it may cost; `json` is a file for programs, ``-`` for standard output alone."""
    from evalkit.experiment.several import endpoint_name  # late: --help stays instant
    from evalkit.plan.requests import Plan  # late: --help stays instant
    from evalkit.store.folder import is_run  # late: --help stays instant
    from evalkit.sweeping import outlook  # late: --help stays instant

    planned = Plan(experiment)
    cells = len(planned.cells)
    if json is not None:
        written(json, outlook.planned(experiment, output, retry_failed=retry_failed))
        if str(json) == STANDARD_OUTPUT:
            return
    for warning in experiment.warnings():
        complain(f"warning: {warning}")
    for one in experiment.asked:
        named = f" ({name})" if (name := endpoint_name(one)) else ""
        print(f"{experiment.name}: {one.model} at {', '.join(one.addresses)}{named}")
    over: Mapping[str, Any] | None = None if experiment.search is None else experiment.search.over
    for name, levels in (over or experiment.parameters).items():
        spread = f"from {levels['min']} to {levels['max']}" if isinstance(levels, Mapping) else ", ".join(map(str, levels))
        print(harmless(f"  {name}: {spread}"))
    for line in outlook.said_of_prompts(experiment, output or Path("results") / experiment.name):
        print(harmless(f"  {line}"))
    print(f"{_product(cells, len(experiment.prompts), experiment.replicates)} = {len(planned):,} requests")
    if part is not None:
        falls = Plan(experiment, shard=part)
        print(f"{len(falls) + falls.anchor_count:,} requests fall to shard {part}; what follows is of the whole")
    if planned.design.merged:
        print(f"{planned.design.combinations} combinations of levels, {planned.design.combinations - cells} of them merged:")
        for reason in planned.design.merged:
            print(f"  {reason}")
    for reason in planned.design.beware:
        print(f"beware: {reason}")
    left = outlook.pending(experiment, output, retry_failed=retry_failed)
    folder = output or Path("results") / experiment.name
    begun = is_run(folder)
    for line in outlook.race_lines(experiment, folder):
        print(line)
    if begun:
        print(_still(experiment, len(planned), left.requests, folder))
    judged = outlook.judged(planned, left, folder)
    for line in _beside(experiment, planned, left, begun, judged):
        print(harmless(line))
    of_it = "what is still to send: " if begun else ""
    most = left.answers_most
    print(f"{of_it}at most {most:,} tokens of answers" if most is not None else f"{of_it}no limit on answers' tokens (a setting has no max_tokens)")
    for asked in outlook.left_of_each(experiment, output, left, retry_failed=retry_failed):
        print(harmless(_cost_of(asked) if asked.name == "sweep" else f"{asked.name}: {counted(asked.tokens.requests, 'request')}, {_cost_of(asked)}"))
    for place, (judge, tokens) in enumerate(zip(experiment.judges, judged, strict=True)):
        asked = outlook.Left(judge.name, f"judges[{place}].endpoint", judge.endpoint.model, judge.endpoint.prices, judge.endpoint.prices, tokens)
        print(harmless(f"judge {judge.name}, {_cost_of(asked)}"))
    if (vectors := outlook.embedded(planned, left, folder)) is not None:
        print(harmless(f"embeddings, at most {counted(vectors.tokens.requests, 'text')}, {_cost_of(vectors)}"))


def _still(experiment: Experiment, planned: int, left: int, folder: Path) -> str:
    """How much of a sweep that has begun is left; where it began and nothing came of it, that is all."""
    if experiment.search is None and left >= planned:
        return "all of them still to send"
    at_most = "at most " if experiment.search is not None else ""
    return f"{at_most}{left:,} of them still to send; the others stand in {harmless(str(folder))}/"


def _beside(experiment: Experiment, planned: Plan, left: Tokens, begun: bool, judged: Sequence[Tokens]) -> Iterator[str]:
    """What a sweep needs, and what is asked beside its own requests."""
    beside = [judge.endpoint for judge in experiment.judges] + ([] if experiment.embeddings is None else [experiment.embeddings])
    for key in dict.fromkeys(one.api_key_env for one in (*experiment.asked, *beside) if one.base_url != "local"):
        if key and not os.environ.get(key):
            yield f"a sweep will need the environment variable {key}, which is not set"
    for program in dict.fromkeys(one.api_key_command[0] for one in (*experiment.asked, *beside) if one.api_key_command and one.base_url != "local"):
        yield f"a sweep will run {program} (api_key_command) for the key"  # its arguments are not shown: they may tell too much
    for judge, asked in zip(experiment.judges, judged, strict=True):
        once = (
            f"besides, judge {judge.name} ({judge.endpoint.model}) is asked once for each different answer, at most {counted(asked.requests, 'time')}"
        )
        yield f"{once}, and once more where a reply cannot be read"
    if experiment.embeddings is not None:
        yield f"besides, each different answer is embedded by {experiment.embeddings.model}"
    if planned.anchor_count:
        still = f", {left.anchors} of them still to send" if begun else ""
        yield f"besides, the reference setting is asked {planned.anchor_count} times{still}, to show a drift (anchor: {{every: 0}} for none)"


def _cost_of(left: Left) -> str:
    from evalkit.collect.budget import priced  # late: --help stays instant

    prices, where = left.cheapest, f"{left.where}.prices"
    if prices is None:
        return f"cost: unknown ({where}: {{input: ..., output: ...}}, a million tokens each, or known)"
    by = where + (f" ({prices.source})" if prices.source else "")
    least = priced(left.cost_least, prices)
    if left.cost_most is None:
        return f"cost: at least {least}, no upper bound"
    return f"cost: from {least} to {priced(left.cost_most, prices)}, by {by} and lengths of prompts"


def _product(cells: int, prompts: int, replicates: int) -> str:
    return " × ".join(counted(number, noun) for number, noun in ((cells, "setting"), (prompts, "prompt"), (replicates, "replicate")))


def show_run(run: Run, console: Console, experiment: str, json: Path | None) -> None:
    """The first screen of a run, and what programs read of it in a file, or instead of it on standard output."""
    from evalkit.present.terminal.screen import screen  # late: --help stays instant
    from evalkit.summary import summarise  # as above

    found = summarise(run, shlex.quote(experiment))
    if json is not None:
        written(json, found)
    if json is None or str(json) != STANDARD_OUTPUT:
        console.print(screen(found, console), soft_wrap=not console.is_terminal)


def show_found(found: Run | Part, console: Console, experiment: str, json: Path | None) -> None:
    """What a sweep came to: the first screen of a run, or how far it is where it is not scored."""
    from evalkit.sweeping.part import Part  # late: --help stays instant

    if isinstance(found, Part):
        show_part(found, json)
    else:
        show_run(found, console, experiment, json)


def show_part(part: Part, json: Path | None) -> None:
    """How far a run has come that is not scored, and what to do next; as JSON for programs where a file is named."""
    where = harmless(str(part.folder))
    if json is not None:
        said = {"v": 1, "folder": str(part.folder), "shard": part.shard or None, "planned": part.planned, "answered": part.answered}
        written(json, said | {"underway": part.underway, "notes": [str(one) for one in part.notes]})
        if str(json) == STANDARD_OUTPUT:
            return
    print(f"{f'shard {part.shard}: ' if part.shard else ''}{part.answered:,} of {counted(part.planned, 'request')} answered, kept in {where}")
    if part.underway:
        print(f"{counted(part.underway, 'request')} under way in batches: run the same command again to collect them")
    elif not part.complete:
        print("run the same command again to go on")
    elif part.shard:
        print(f"merge it with the others: evalkit merge {where} ... -o RUN, then: evalkit score RUN")


def schema_of(what: str) -> dict[str, Any]:
    """The JSON Schema of an experiment file, or of what ``--json`` writes. Raises `ExperimentError` where there is none of that name."""
    import msgspec  # late: --help stays instant

    from evalkit.comparison.comparison import Comparison  # as above
    from evalkit.errors import ExperimentError  # as above
    from evalkit.experiment.problems import unknown  # as above
    from evalkit.experiment.schema import json_schema  # as above
    from evalkit.probe import Probe  # as above
    from evalkit.summary import Summary  # as above
    from evalkit.sweeping.outlook import Planned  # as above

    if what == "experiment":
        return json_schema()
    kinds: dict[str, type[msgspec.Struct]] = {"summary": Summary, "plan": Planned, "probe": Probe, "comparison": Comparison}
    if what not in kinds:
        raise ExperimentError(f"schema: {unknown('schema', what, ['experiment', *kinds])}")
    return msgspec.json.schema(kinds[what])


def written(path: Path, value: Any) -> None:
    """Write a value for programs, as JSON, into a file, or to standard output where the path is ``-``."""
    from evalkit.store import artefacts  # late: --help stays instant
    from evalkit.store.folder import check_output, replace  # as above

    content = artefacts.encode(value) + b"\n"
    if str(path) == STANDARD_OUTPUT:
        print(content.decode(), end="")
        return
    check_output(path)
    replace(path, content)
