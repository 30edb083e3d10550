"""How often does `evalkit probe` find the one quirk that is planted in an endpoint, and how often does it blame a sound one?

    python benchmarks/probe_calibration.py [--seeds 40] [--sound 200] [--quirks NAME ...] [--outcomes FILE] [--smallest]

A trial is a whole probe over real sockets of an embedded endpoint, which runs in the same process. Its seed decides the probe's own draws
and the answers of the model to requests without a seed. It is right where

- the planted parameter gets the planted verdict ('inconclusive' is wrong),
- no other parameter is called ignored, rejected or clamped,
- at most two others are inconclusive, and at most 200 calls were made.

Each outcome is appended to FILE as a line of JSON when it is known; trials that stand there already are not run again. `--smallest` runs one
trial with one quirk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn

from evalkit.client.client import Client
from evalkit.local import rehearsal
from evalkit.local.api import MODEL_NAME, Api
from evalkit.local.corpus import sections
from evalkit.local.model import Model
from evalkit.local.server import app
from evalkit.probe import MOST_CALLS, Probe, probe

SOUND = "none"
IGNORED = (
    *("temperature", "top_p", "frequency_penalty", "presence_penalty", "max_tokens", "stop", "seed", "n"),
    *("logit_bias", "logprobs", "stream", "response_format", "tools"),
)
# name: (the quirk as in a file for `serve --faults`, the parameter, the right verdict, the value from which on it is clamped)
QUIRKS: dict[str, tuple[dict[str, Any], str, str, float | None]] = {
    **{f"{name} ignored": ({"quirk": "ignore", "parameter": name}, name, "ignored", None) for name in IGNORED},
    **{f"{name} rejected": ({"quirk": "reject", "parameter": name}, name, "rejected", None) for name in ("presence_penalty", "seed", "top_p")},
    "temperature clamped": ({"quirk": "clamp", "parameter": "temperature", "high": 1.0}, "temperature", "clamped", 1.0),
    "frequency_penalty clamped": ({"quirk": "clamp", "parameter": "frequency_penalty", "high": 0.5}, "frequency_penalty", "clamped", None),
    "max_tokens clamped": ({"quirk": "clamp", "parameter": "max_tokens", "low": 16}, "max_tokens", "clamped", 16.0),
    "usage never": ({"quirk": "no_usage"}, "stream_options.include_usage", "ignored", None),
}
# What must follow from a quirk and is no blame of another: the two limits are read alike where one was forgotten or clamped by its own
# name, and where nothing streams, usage in a stream cannot be asked for.
FOLLOWS = {
    "max_tokens ignored": {"max_completion_tokens"},
    "max_tokens clamped": {"max_completion_tokens"},
    "stream ignored": {"stream_options.include_usage"},
}
LIMIT = 0.95


def wrong(name: str, result: Probe) -> list[str]:
    """What is wrong with the result of probing an endpoint with the quirk `name`, a line each."""
    verdicts = {one.parameter: one for one in result.findings}
    follows = FOLLOWS.get(name, set())
    out = []
    planted = None
    if name != SOUND:
        _, planted, verdict, beyond = QUIRKS[name]
        found = verdicts[planted]
        if found.verdict != verdict:
            out.append(f"{planted} is called {found.verdict}: {found.evidence}")
        elif beyond is not None and found.beyond != beyond:
            out.append(f"{planted} is said to be clamped at {found.beyond}, not {beyond}")
    others = [one for one in result.findings if one.parameter != planted and one.parameter not in follows]
    out += [f"{one.parameter} is called {one.verdict}: {one.evidence}" for one in others if one.verdict in ("ignored", "rejected", "clamped")]
    unsure = [one.parameter for one in others if one.verdict == "inconclusive"]
    if len(unsure) > 2:
        out.append(f"{len(unsure)} others are inconclusive: {', '.join(unsure)}")
    if result.calls > MOST_CALLS:
        out.append(f"{result.calls} calls")
    return out


async def trial(model: Model, name: str, seed: int) -> tuple[Probe, float]:
    """The result of one probe, and the seconds it took."""
    quirks = [] if name == SOUND else [QUIRKS[name][0]]
    api = Api(model, draw=random.Random(f"{name}/{seed}").getrandbits)
    served = app(api, rehearsal=rehearsal.check({"seed": seed, "quirks": quirks}))
    server = uvicorn.Server(uvicorn.Config(served, port=0, log_config=None, log_level="critical", lifespan="off", ws="none"))
    server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]  # an interrupt is for this process
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    started = time.perf_counter()
    try:
        base_url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
        async with Client(base_url, None, concurrency=8, loopback=True) as client:
            rng = np.random.default_rng([seed, *name.encode()])
            return await probe(client, base_url=base_url, model=MODEL_NAME, at="", rng=rng), time.perf_counter() - started
    finally:
        server.should_exit = True
        await serving


def outcome(name: str, seed: int, result: Probe, seconds: float) -> dict[str, Any]:
    unsure = [one.parameter for one in result.findings if one.verdict == "inconclusive"]
    faults = wrong(name, result)
    return {"quirk": name, "seed": seed, "calls": result.calls, "seconds": round(seconds, 2), "inconclusive": unsure, "wrong": faults}


def table(outcomes: list[dict[str, Any]]) -> bool:
    """Print the rates; whether every limit is kept."""
    kept = True
    print(f"{'planted':28} {'right':>5} {'of':>4} {'rate':>6} {'limit':>5}       {'calls':>9}  also inconclusive, in how many")
    for name in dict.fromkeys(one["quirk"] for one in outcomes):
        trials = [one for one in outcomes if one["quirk"] == name]
        right = sum(not one["wrong"] for one in trials)
        limit = 1.0 if name == SOUND else LIMIT
        good = right >= limit * len(trials)
        kept &= good
        calls = [one["calls"] for one in trials]
        unsure = Counter(parameter for one in trials for parameter in one["inconclusive"])
        told = ", ".join(f"{parameter} {count}" for parameter, count in unsure.most_common(4))
        verdict = "PASS" if good else "FAIL"
        print(f"{name:28} {right:5} {len(trials):4} {right / len(trials):6.3f} {limit:5.2f} {verdict} {min(calls):4}-{max(calls):<4}  {told}")
    for fault, count in Counter(f"{one['quirk']}: {fault}"[:190] for one in outcomes for fault in one["wrong"]).most_common(30):
        print(f"  {count} x {fault}")
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quirks", nargs="*", default=[*QUIRKS, SOUND], choices=[*QUIRKS, SOUND], metavar="NAME", help=f"of: {', '.join(QUIRKS)}")
    parser.add_argument("--seeds", type=int, default=40, help="trials with each quirk")
    parser.add_argument("--sound", type=int, default=200, help="trials without any")
    parser.add_argument("--outcomes", type=Path, help="keep outcomes there, and go on from what stands there")
    parser.add_argument("--smallest", action="store_true", help="one trial with one quirk")
    options = parser.parse_args()
    if options.smallest:
        options.quirks, options.seeds, options.sound = ["stop ignored"], 1, 0
    known: list[dict[str, Any]] = []
    if options.outcomes and options.outcomes.exists():
        known = [json.loads(line) for line in options.outcomes.read_text().splitlines()]
    done = {(one["quirk"], one["seed"]): one for one in known}
    model = Model(sections())
    outcomes: list[dict[str, Any]] = []
    # All quirks at one seed before the next seed: rates of all of them early on.
    planned = [(name, seed) for seed in range(max(options.seeds, options.sound)) for name in options.quirks]
    planned = [(name, seed) for name, seed in planned if seed < (options.sound if name == SOUND else options.seeds)]
    for number, (name, seed) in enumerate(planned, 1):
        if (name, seed) not in done:
            done[name, seed] = outcome(name, seed, *asyncio.run(trial(model, name, seed)))
            if options.outcomes:
                with options.outcomes.open("a") as file:
                    file.write(json.dumps(done[name, seed]) + "\n")
        outcomes.append(done[name, seed])
        for fault in outcomes[-1]["wrong"]:
            print(f"{name}, seed {seed}: {fault}", flush=True)
        if number % 100 == 0:
            right = sum(not one["wrong"] for one in outcomes)
            print(f"{number} of {len(planned)} trials, {right} right", flush=True)
    return 0 if table(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
