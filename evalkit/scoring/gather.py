"""The answers that a plan asks for, gathered from the records and cut into groups; what else stands there is counted."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from evalkit.client.outcome import ending
from evalkit.collect.budget import cost_of
from evalkit.engine.processes import Elsewhere
from evalkit.experiment.endpoint import Endpoint
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.parameters import canonical
from evalkit.metrics import RECORDED, UAX29, Group, Metric, Tokenizer, label_of, length
from evalkit.metrics.checks import REFUSED
from evalkit.metrics.custom import Better, Scorer
from evalkit.metrics.group import Floats
from evalkit.plan.places import Places
from evalkit.plan.requests import Plan
from evalkit.scoring.afar import GroupsAfar
from evalkit.scoring.answers import Answers, ScoredAnswer
from evalkit.scoring.complaints import Complaints
from evalkit.scoring.groups import Groups
from evalkit.scoring.ignored import without_effect
from evalkit.scoring.noticing import Noticed
from evalkit.store.records import Completion, Record, read
from evalkit.text.notes import Note


class Column(NamedTuple):
    """A number for each answer that is known beside the records, as a metric: of a record and the text that is scored of it, NaN where unknown."""

    metric: Metric
    of: Callable[[Record, str], float]


@dataclass
class Gathered:
    """The answers of a run by cell and prompt, with what was counted on the way: what `evalkit.scoring.scores.scored` takes its values from.

    Attributes:
        answers: (cell, prompt) → replicate → answer.
        groups: (cell, prompt) → its answers, cut into tokens; None before `cut`.
        own: what columns, and scorers of texts and records, gave, as metrics.
        complaints: what scorers could not do.
        failures: requests whose last outcome is a failure, by kind.
        missing: requests without any outcome.
        outside: requests in the records that the plan does not ask for.
        unmet: completions that lack something that was asked for, by what it is.
        noticed: what the records show of the endpoint that bears on any decision.
    """

    plan: Plan
    scorers: tuple[Scorer, ...]
    answers: Answers = field(default_factory=Answers)
    groups: Groups | None = None
    tokenizer: str = ""
    own: dict[str, Metric] = field(default_factory=dict)
    complaints: Complaints = field(default_factory=Complaints)
    completions: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    missing: int = 0
    outside: int = 0
    unmet: Counter[str] = field(default_factory=Counter)
    without_effect: dict[str, int] = field(default_factory=dict)
    noticed: tuple[Note, ...] = ()

    @property
    def cut_groups(self) -> Groups:
        """The groups; raises `ValueError` before `cut`."""
        if self.groups is None:
            raise ValueError("these answers are not cut into tokens yet")
        return self.groups


def gather(plan: Plan, records: Iterable[Record], scorers: Sequence[Scorer] = (), columns: Sequence[Column] = ()) -> Gathered:
    """The first completion of each request of `plan`, with the numbers that `scorers` of texts and records, and `columns`, give it."""
    places = Places(plan)
    found = Gathered(plan, tuple(scorers), own={one.metric.name: one.metric for one in columns})
    seen, failed = bytearray(places.size), dict[int, str]()
    outside: set[str] = set()
    noticed = Noticed(plan)
    for record in records:
        if record.role != plan.role:
            continue  # anchors show a drift, and fresh replicates are scored by themselves
        number = places.number(record.key)
        if number is None:
            outside.add(record.key)
            continue
        if seen[number]:
            continue  # has its completion
        if not isinstance(record.outcome, Completion):
            failed[number] = record.outcome.kind
            continue
        seen[number] = True
        failed.pop(number, None)
        found.unmet.update({one.partition(":")[0] for one in record.outcome.unmet})
        cell, prompt, replicate = places.place(number)
        answer = scored_answer(record.outcome, plan.experiment.endpoint_of(plan.cells[cell]), record.request)
        noticed.see(cell, prompt, record)
        answer.recorded.update({one.metric.name: one.of(record, answer.text) for one in columns})
        _own(scorers, record, answer, found)
        found.answers.put((cell, prompt), replicate, answer)
    found.failures = Counter(failed.values())
    found.completions = seen.count(True)
    found.missing = len(places) - found.completions - len(failed)
    found.outside = len(outside)
    found.without_effect = without_effect(plan, found.answers)
    found.noticed = tuple(noticed.notes())
    return found


def cut(gathered: Gathered, tokenizer: Tokenizer = UAX29, there: Elsewhere | None = None) -> Gathered:
    """The same, with the answers cut into tokens; in this process, where `there` are no others for it."""
    expects = [prompt.expect for prompt in gathered.plan.experiment.prompts]
    names = (*(metric.name for metric in RECORDED), REFUSED, *gathered.own)
    gathered.tokenizer = tokenizer.name
    if there is None:
        gathered.groups = Groups(gathered.answers, tokenizer, names, expects)
    else:
        gathered.groups = GroupsAfar(gathered.answers, tokenizer, names, expects, there)
    return gathered


def texts_of(folder: Path, plan: Plan, wanted: Collection[str]) -> Iterator[tuple[Record, str]]:
    """The answers in a results folder that are scored, each once, with what is scored of them.

    Args:
        wanted: keys of the sweep's answers; fresh replicates come too.

    Raises:
        RecordError: the records cannot be read.
    """
    seen: set[str] = set()
    for record in read(folder):
        if not isinstance(record.outcome, Completion) or record.key in seen or not (record.key in wanted or record.role == "confirm"):
            continue
        seen.add(record.key)
        yield record, text_scored(record.outcome, record, plan.experiment)


_TRUNCATED = {"cut": 1.0, "whole": 0.0}  # of all other endings nobody says whether a limit had a part in them


def scored_answer(completion: Completion, endpoint: Endpoint, body: Mapping[str, Any]) -> ScoredAnswer:
    """What is scored of a completion from `endpoint` to a request of this body."""
    text = scored_text(completion, endpoint.strip)
    usage = completion.usage if completion.usage_shared_by == 1 else None
    tokens_in, tokens, billed = (usage.prompt_tokens, usage.completion_tokens, usage.billed_tokens) if usage else (None, None, None)
    if text.strip() and tokens == 0:  # no count, but a field that nobody fills
        tokens_in = tokens = billed = None
    thought = min((usage.reasoning_tokens or 0) if usage else 0, billed or 0)
    ended = ending(completion, body)
    prices = endpoint.prices if endpoint.prices is None or not completion.batched else endpoint.prices.of_batches()
    recorded = {
        "latency_s": completion.latency_s,
        "time_to_first_token_s": completion.time_to_first_token_s,
        "tokens_per_s": completion.tokens_per_s if completion.usage_shared_by == 1 else None,
        # As if no prompt had been read before: which setting finds the cache full is chance, and elsewhere another one would.
        "cost": None if prices is None or tokens_in is None or billed is None else cost_of(prices, tokens_in, billed, thought=thought),
        REFUSED: ended == "refused",
    }
    return ScoredAnswer(
        text,
        _TRUNCATED.get(ended, math.nan),
        math.nan if tokens is None else float(tokens),
        {name: math.nan if one is None else float(one) for name, one in recorded.items()},
    )


def _own(scorers: Sequence[Scorer], record: Record, answer: ScoredAnswer, out: Gathered) -> None:
    """Add the numbers of the scorers of texts and records to `answer`, and their names to `out`; what goes wrong is told and stops nothing."""
    for one in scorers:
        if one.takes == "texts":
            continue
        found = one.found(answer.text if one.takes == "text" else record)
        for fault in found.faults:
            out.complaints.add(fault, f"prompt {record.prompt_id}, replicate {record.replicate}, key {record.key}")
        answer.recorded.update(found.numbers)
        for name in found.numbers.keys() - out.own.keys():
            out.own[name] = metric_of(name, "response", one.better, partial(length.recorded, name=name))


def metric_of(name: str, level: Literal["response", "group"], better: Better, of: Callable[[Group], Floats | float]) -> Metric:
    """The metric of a scorer's number."""
    said = f"{name}, by a scorer of this experiment"
    return Metric(
        name, level, of, better, said, "own", content=level == "group", low=-math.inf, high=math.inf, bias="k" if level == "group" else "-",
        label=label_of(name), unit="number", margin=None,
    )  # fmt: skip


def scored_text(completion: Completion, strip: Sequence[str] = ()) -> str:
    """What is scored of an answer: its content without what `strip` matches, then each tool call as its name and canonical JSON arguments.

    Args:
        strip: regular expressions; one that takes over five seconds on a text is given up, and the text stays as it is.
    """
    text = completion.text
    if strip:
        import regex

        for pattern in strip:
            with suppress(TimeoutError):
                text = regex.sub(pattern, "", text, timeout=5.0)
    calls = [f"{call['function']['name']} {_canonical_json(call['function']['arguments'])}" for call in completion.tool_calls or ()]
    return "\n".join(filter(None, [text, *calls]))


def text_scored(answer: Completion, record: Record, experiment: Experiment) -> str:
    """What is scored of the answer in a record, by what the endpoint that gave it asks to be stripped."""
    return scored_text(answer, experiment.endpoint_of(record.cell, record.model).strip)


def _canonical_json(text: str) -> str:
    try:
        return json.dumps(canonical(json.loads(text)), ensure_ascii=False, sort_keys=True)
    except (ValueError, RecursionError):
        return text
