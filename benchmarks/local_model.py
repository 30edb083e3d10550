"""How much CPU the local model takes: to be trained, and for a token under a prompt that it has not met before.

Process CPU time, not wall time, so that other work on the machine counts little. Each figure is taken once a round, the rounds
interleave them, and the median is held against its limit.

    python benchmarks/local_model.py [--rounds 7] [--smallest]

Exit status: 0 where every limit is kept, 1 where one is not. With `--smallest` each figure is taken once, of one answer, and no limit is held.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count

from evalkit.local.api import MODEL_NAME, Api
from evalkit.local.corpus import sections
from evalkit.local.model import Model

PROMPTS_A_ROUND = 24
"""About 5,000 tokens of answers: left to itself, the model writes some 200 at a time."""

TRAINING = """
import time
from evalkit.local.corpus import sections
from evalkit.local.model import Model
started = time.process_time()
Model(sections())
print(time.process_time() - started)
"""

COLD = "cold prompt, temperature 1"
# name: (limit or None, what is asked for beside the prompt)
SETTINGS: dict[str, tuple[float | None, dict[str, object]]] = {
    COLD: (60.0, {}),
    "cold prompt, temperature 0, at most 200 tokens": (None, {"temperature": 0, "max_tokens": 200}),
    "cold prompt, temperature 0.3": (None, {"temperature": 0.3, "max_tokens": 400}),
    "cold prompt, temperature 0.7, top_p 0.9": (None, {"temperature": 0.7, "top_p": 0.9, "max_tokens": 400}),
    "cold prompt, temperature 1.5, top_p 0.95": (None, {"temperature": 1.5, "top_p": 0.95, "max_tokens": 400}),
    "cold prompt, temperature 2": (None, {"temperature": 2, "max_tokens": 400}),
    "cold prompt, penalties 0.5": (None, {"frequency_penalty": 0.5, "presence_penalty": 0.5, "max_tokens": 400}),
    "cold prompt, penalties -0.5": (None, {"frequency_penalty": -0.5, "presence_penalty": -0.5, "max_tokens": 200}),
    "cold prompt, a bias": (None, {"logit_bias": {"5": 1}, "max_tokens": 200}),
    "the same prompt again, temperature 1": (None, {}),
}

WIDTH = 64


def main() -> int:
    options = argparse.ArgumentParser(description="Measure the CPU time of the local model.")
    options.add_argument("--rounds", type=int, default=7, metavar="N", help="how often each figure is taken [default: 7]")
    options.add_argument("--smallest", action="store_true", help="one round of one answer each; no limit is held")
    chosen = options.parse_args()
    rounds, at_once = (1, 1) if chosen.smallest else (chosen.rounds, PROMPTS_A_ROUND)

    api, prompts = Api(Model(sections())), _prompts()
    training: list[float] = []
    tokens: dict[str, list[float]] = {name: [] for name in SETTINGS}
    _microseconds_a_token(api, ["Warm up."], {})
    for _ in range(rounds):
        training.append(_seconds_of_training())
        for name, (_, wanted) in SETTINGS.items():
            some = [next(prompts) for _ in range(at_once)] if name.startswith("cold") else ["What is a list?"] * at_once
            tokens[name].append(_microseconds_a_token(api, some, wanted))

    print(f"{f'CPU time, {rounds} rounds':<{WIDTH}} {'median':>8} {'lowest':>8} {'highest':>8} {'limit':>8}")
    kept = [_line("training, seconds", training, 0.5, "{:.3f}")]
    kept += [_line(f"{name}, µs a token", tokens[name], limit, "{:.1f}") for name, (limit, _) in SETTINGS.items()]
    return 0 if all(kept) or chosen.smallest else 1


def _prompts() -> Iterator[str]:
    """Questions without end, no two alike."""
    subjects = [
        "a slice",
        "an exception",
        "the import statement",
        "a coroutine",
        "a class",
        "the with statement",
        "a generator",
        "a name",
        "a string",
    ]
    acts = [
        "How do I use",
        "Explain",
        "Write a short text about",
        "What are the pitfalls of",
        "When should one avoid",
        "Compare other languages with",
    ]
    for number in count():
        yield f"{acts[number % len(acts)]} {subjects[number % len(subjects)]}, given {number} values in a list? Consider case {number * 7}."


def _seconds_of_training() -> float:
    """CPU seconds from the text to the trained model, in a process that has read nothing yet."""
    return float(subprocess.run([sys.executable, "-c", TRAINING], check=True, capture_output=True, text=True).stdout)


def _microseconds_a_token(api: Api, prompts: list[str], wanted: dict[str, object]) -> float:
    """CPU time from the request to the whole answer, for each token of it; a prompt's conditioning included."""
    written = 0
    started = time.process_time()
    for seed, prompt in enumerate(prompts):
        chat = api.chat({"model": MODEL_NAME, "messages": [{"role": "user", "content": prompt}], "seed": seed, **wanted})
        for answer in api.answers(chat):
            for _ in answer:
                pass
            written += answer.tokens
    return (time.process_time() - started) / written * 1e6


def _line(name: str, figures: list[float], limit: float | None, form: str) -> bool:
    """Print one figure; whether it keeps its limit."""
    median = statistics.median(figures)
    kept = limit is None or median <= limit
    shown = [form.format(value) for value in (median, min(figures), max(figures))]
    verdict = "" if limit is None else f"{limit:>8g} {'PASS' if kept else 'FAIL'}"
    print(f"{name:<{WIDTH}} {shown[0]:>8} {shown[1]:>8} {shown[2]:>8} {verdict}".rstrip())
    return kept


if __name__ == "__main__":
    sys.exit(main())
