"""Runs that the reports' tests read, made by real sweeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evalkit.experiment.experiment import Experiment, check
from evalkit.run import Run, load
from support.endpoints import Asked, completion, serving
from support.hostile import HOSTILE
from support.sweeps import sweep

PROMPTS = [
    {"id": f"p{number}", "user": text}
    for number, text in enumerate(
        (
            "Explain how slicing a list works.",
            "What is an exception?",
            "How does a generator differ from a list?",
            "What does the with statement do?",
            "How are arguments passed to a function?",
            "What is a decorator for?",
        )
    )
]


def experiment(base_url: str = "local", **changes: object) -> Experiment:
    data: dict[str, Any] = {
        "name": "reported",
        "endpoint": {"base_url": base_url, "model": "babbler", "concurrency": 8},
        "prompts": PROMPTS,
        "parameters": {"temperature": [0, 0.7, 1.2], "top_p": ["default", 0.8], "max_tokens": [30, 80]},
        "request": {"seed": "per_replicate"},
        "replicates": 4,
        "seed": 7,
        "choose": {"require": {"truncation_rate": {"max": 0.9, "by": "mean"}}, "prefer": {"distinct_2": {"goal": "maximize"}}},
    }
    return check({name: value for name, value in (data | changes).items() if value is not None})


def swept(folder: Path, **changes: object) -> Run:
    """A run of the embedded model."""
    assert sweep(experiment(**changes), folder) is not None
    return load(folder)


def hostile(folder: Path) -> Run:
    """A run whose answers, prompts, names of models and levels are all hostile; some requests fail with hostile words."""

    def answer(asked: Asked) -> tuple[int, dict[str, str], bytes]:
        number = asked.number % (len(HOSTILE) + 1)
        headers = {"Content-Type": "application/json"}
        if number == len(HOSTILE):
            body = json.dumps({"error": {"message": HOSTILE[asked.number % len(HOSTILE)], "type": HOSTILE[0]}})
            return 422, headers, body.encode("utf-8", "surrogatepass" if body.isascii() else "replace")
        text = HOSTILE[number] if number % 9 else HOSTILE[number] + " 1 MB: " + "x" * (1 << 20 if number == 9 else 10)
        return 200, headers, completion(text, model=HOSTILE[number % 40], system_fingerprint=HOSTILE[0])

    clean = [text.encode("utf-8", "replace").decode() for text in HOSTILE]
    printable = [text for text in clean if text.isprintable() and text.strip()]
    prompts = [{"id": f"{number} {printable[number]}"[:90].strip(), "user": clean[number + 30]} for number in range(0, 24, 4)]
    with serving(answer) as endpoint:
        chosen = experiment(
            endpoint.url,
            prompts=prompts,
            parameters={"temperature": [0.5, 1.0], "user": [clean[0], clean[35], clean[39]]},
            endpoint={"base_url": endpoint.url, "model": clean[4], "concurrency": 4},
            request=None,
            choose={"prefer": {"length_chars": {"goal": "minimize", "because": clean[1]}}},
        )
        assert sweep(chosen, folder) is not None
    return load(folder)
