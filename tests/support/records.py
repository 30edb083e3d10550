"""Experiments and records made without an endpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from evalkit.experiment.experiment import Experiment, check
from evalkit.plan.requests import Plan, Request
from evalkit.store.records import Completion, Failure, Outcome, Record, Usage


def experiment(parameters: dict[str, Any] | None = None, prompts: Sequence[str] = ("p", "q"), replicates: int = 2, **more: Any) -> Experiment:
    data = {
        "name": "synthetic",
        "endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": "none"},
        "prompts": [{"id": name, "user": f"about {name}"} for name in prompts],
        "parameters": parameters or {},
        "replicates": replicates,
    }
    return check(data | more)


def completion(text: str, finish_reason: str = "stop", tokens: int | None = 3) -> Completion:
    usage = None if tokens is None else Usage(completion_tokens=tokens)
    return Completion(text=text, finish_reason=finish_reason, usage=usage, latency_s=0.5, tries=1)


def failure(kind: Any = "server") -> Failure:
    return Failure(kind=kind, message="no", tries=3, status=500)


def record(request: Request, outcome: Outcome, **changes: Any) -> Record:
    fields: dict[str, Any] = {
        "key": request.key,
        "role": "sweep",
        "prompt_id": request.prompt_id,
        "cell": request.cell,
        "replicate": request.replicate,
        "seed": request.seed,
        "model": request.model,
        "request": request.body,
        "at": "2026-01-31T12:00:00.500Z",
        "outcome": outcome,
    }
    return Record(**fields | changes)


def records(plan: Plan, text: Callable[[Request], str | None]) -> list[Record]:
    """A completion for each planned request whose text is not None."""
    found = ((request, text(request)) for request in plan)
    return [record(request, completion(one)) for request, one in found if one is not None]
