#!/usr/bin/env bash
# `transformers serve` (5.24.0, torch 2.14.1) takes frequency_penalty for a repetition penalty that counts the prompt, and drops presence_penalty.
#
# By OpenAI's description both lower tokens by how often they stand in the answer so far, so neither can move its first token. The server sets
# repetition_penalty = 1 + frequency_penalty, which divides the logits of all tokens of prompt and answer, however often they stand there. A model of
# random weights is asked at temperature 0 for a token after prompts of 150 random words of its own. Seen: with frequency_penalty 0.5 the first token
# is another one for 8 of 8 prompts that hold it and 0 of 32 that do not; with presence_penalty 2 for none. So a setting does not carry over.
set -euo pipefail
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q 'transformers[serving]==5.24.0' torch==2.14.1
export HF_HUB_OFFLINE=1 HF_HOME=$folder/home OMP_NUM_THREADS=1
"$folder/venv/bin/python" - "$folder/tiny" <<'PYTHON'
import sys, torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

tokenizer = Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1} | {f"word{number}": number for number in range(2, 602)}, unk_token="<s>"))
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
words = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<s>")
words.chat_template = "{% for message in messages %}{{ message.content }} {% endfor %}"
torch.manual_seed(0)
sizes = {"vocab_size": 602, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
model = LlamaForCausalLM(LlamaConfig(bos_token_id=0, eos_token_id=1, pad_token_id=1, **sizes))
torch.nn.init.normal_(model.lm_head.weight, 0, 0.3)
torch.nn.init.normal_(model.model.embed_tokens.weight, 0, 1)
words.save_pretrained(sys.argv[1]), model.save_pretrained(sys.argv[1])
PYTHON
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/venv/bin/transformers" serve "$folder/tiny" --host 127.0.0.1 --port "$port" >"$folder/log" 2>&1 &
server=$!
python3 - "$port" "$folder/tiny" <<'PYTHON'
import json, random, sys, time, urllib.request

def first_token(prompt, **fields):
    body = {"model": sys.argv[2], "messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": 1, **fields}
    address = f"http://127.0.0.1:{sys.argv[1]}/v1/chat/completions"
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=120))["choices"][0]["message"]["content"].strip()

for _ in range(180):
    try:
        first_token("word2")
        break
    except OSError:
        time.sleep(1)
moved = {"frequency_penalty 0.5": {True: [], False: []}, "presence_penalty 2": {True: [], False: []}}
for seed in range(40):
    prompt = " ".join(f"word{number}" for number in random.Random(seed).choices(range(2, 602), k=150))
    plain = first_token(prompt)
    for name, seen in moved.items():
        seen[plain in prompt.split()].append(first_token(prompt, **{name.split()[0]: float(name.split()[1])}) != plain)
for name, seen in moved.items():
    counts = [f"{sum(seen[held])} of {len(seen[held])}" for held in (True, False)]
    print(f"{name}: another first token for {counts[0]} prompts that hold it, {counts[1]} that do not")
frequency, presence = moved.values()
assert len(presence[True]) > 4 and all(frequency[True]) and not any(frequency[False] + presence[True] + presence[False]), "this has changed"
PYTHON
