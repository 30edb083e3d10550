"""From an experiment to its requests: which there are, what identifies each, and in what order they are sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

from evalkit.design import Cell, Design, body_of, design_of
from evalkit.experiment import PER_REPLICATE, Endpoint, Experiment
from evalkit.parameters import canonical
from evalkit.prompts import Prompt

KEY_VERSION = 1

Role = Literal["sweep", "anchor", "confirm"]


class Request(NamedTuple):
    """One call to be made.

    Attributes:
        key: what identifies it for ever, 32 hexadecimal digits.
        cell_index, prompt_index: its place in the plan.
        cell: level of each swept parameter, None where void.
        replicate: counted from 0.
        body: the request's fields without the messages.
        messages: the conversation as sent.
    """

    key: str
    cell_index: int
    prompt_index: int
    prompt_id: str
    cell: Cell
    replicate: int
    seed: int | None
    model: str
    body: Mapping[str, Any]
    messages: list[dict[str, Any]]
    role: Role = "sweep"


@dataclass(frozen=True)
class Plan:
    """The requests of an experiment, made as they are asked for: a million of them need no more memory than one.

    Attributes:
        role: ``sweep``, or ``confirm`` for fresh replicates of what was chosen.
        only: these cells alone; None for all.
        first, count: the replicates; a count of None takes the experiment's.
    """

    experiment: Experiment
    role: Role = "sweep"
    only: tuple[int, ...] | None = None
    first: int = 0
    count: int | None = None

    @cached_property
    def design(self) -> Design:
        """The cells, in grid order."""
        return design_of(self.experiment)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells, in grid order."""
        return self.design.cells

    def __len__(self) -> int:
        cells = len(self.cells) if self.only is None else len(self.only)
        return cells * len(self.experiment.prompts) * (self.experiment.replicates if self.count is None else self.count)

    def __iter__(self) -> Iterator[Request]:
        """Every request once, in the order of sending.

        Replicate by replicate, prompts in random order; the cells of one prompt's replicate stand together in random order
        (randomised complete blocks), so a server that drifts over time drifts alike in all cells. The order depends on the
        experiment's seed alone.
        """
        import numpy as np

        experiment = self.experiment
        identities = [self._identity(prompt) for prompt in experiment.prompts]
        bodies = [body_of(cell, {**experiment.endpoint.extra_body, **experiment.request}) for cell in self.cells]
        together = experiment.endpoint.replicates_per_call
        end = self.first + (experiment.replicates if self.count is None else self.count)
        wanted = range(len(self.cells)) if self.only is None else frozenset(self.only)
        for first in range(self.first, end, together):
            rng = np.random.default_rng([experiment.seed, first])
            for prompt_index in rng.permutation(len(experiment.prompts)).tolist():
                for cell_index in filter(wanted.__contains__, rng.permutation(len(self.cells)).tolist()):
                    for replicate in range(first, min(first + together, end)):
                        yield self._request(cell_index, prompt_index, replicate, bodies[cell_index], *identities[prompt_index])

    def _identity(self, prompt: Prompt) -> tuple[str, dict[str, Any], list[dict[str, Any]], Any]:
        messages = prompt.conversation()
        return prompt.id, prompt.fields(), messages, canonical(messages)

    def _request(
        self,
        cell_index: int,
        prompt_index: int,
        replicate: int,
        fields: Mapping[str, Any],
        prompt_id: str,
        own: Mapping[str, Any],
        messages: list[Any],
        identity: Any,
    ) -> Request:
        body = {**fields, **own}
        model = body.pop("model", self.experiment.endpoint.model)
        if body.get("seed") == PER_REPLICATE:
            body["seed"] = self.experiment.seed + replicate
        key = key_of(self.experiment.endpoint.base_url, model, prompt_id, identity, body, replicate, self.role)
        # How an answer is fetched is no part of what identifies it.
        body = {"model": model, **as_sent(body, self.experiment.endpoint)}
        return Request(
            key, cell_index, prompt_index, prompt_id, self.cells[cell_index], replicate, body.get("seed"), model, body, messages, self.role
        )

    def most_tokens(self) -> int | None:
        """Upper bound of the tokens that answers can have, over all requests; None where a cell sets no bound."""
        total = 0
        for cell in self.cells:
            body = body_of(cell, self.experiment.request)
            bounds = [body[name] for name in ("max_tokens", "max_completion_tokens") if name in body]
            if not bounds:
                return None
            total += int(min(bounds))
        return total * len(self.experiment.prompts) * self.experiment.replicates


def as_sent(fields: Mapping[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    """Fields of a request in the form that this endpoint wants them."""
    body = {endpoint.max_tokens_field if name == "max_tokens" else name: value for name, value in fields.items()}
    if endpoint.stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def key_of(base_url: str, model: str, prompt_id: str, messages: Any, fields: Mapping[str, Any], replicate: int, role: str) -> str:
    """What identifies a request for ever, 32 hexadecimal digits: the hash of all that decides its answer, in a canonical JSON text.

    Args:
        messages: the conversation as sent, canonical already (it is the same for many requests).
        fields: all else of the body, without the model; numbers count by value, and the order does not matter.
    """
    identity = {
        "base_url": base_url,
        "messages": messages,
        "model": model,
        "parameters": canonical({name: value for name, value in fields.items() if name not in ("seed", "tools")}),
        "prompt_id": prompt_id,
        "replicate": replicate,
        "role": role,
        "seed": canonical(fields.get("seed")),
        "tools": canonical(fields.get("tools")),
        "v": KEY_VERSION,
    }
    text = json.dumps(identity, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]
