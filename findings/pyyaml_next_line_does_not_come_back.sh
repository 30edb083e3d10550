#!/usr/bin/env bash
# A text does not come back from what PyYAML wrote of it, and no error says so (package PyYAML 6.0.4).
#
# safe_dump(..., allow_unicode=True) writes the control character U+0085, NEXT LINE, as it stands into a single-quoted scalar and folds the line there;
# safe_load takes the fold for a blank: "a", NEXT LINE, "b" comes back as "a b", and two of them in a row as one line feed. The line separator U+2028
# comes back from the same quotes, and so does NEXT LINE where a blank stands beside it, for then double quotes with an escape are chosen. Without
# allow_unicode everything comes back. Double quotes help: a representer that asks for style
# '"' wherever str.isprintable() is false.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q PyYAML==6.0.4
"$folder/venv/bin/python" - <<'PYTHON'
import yaml

NEXT_LINE, SEPARATOR = chr(0x85), chr(0x2028)
TEXTS = {
    "a next line": f"a{NEXT_LINE}b",
    "two of them": f"a{NEXT_LINE}{NEXT_LINE}b",
    "one with blanks around it": f"a {NEXT_LINE} b",
    "a line separator": f"a{SEPARATOR}b",
}
came_back = {}
for name, text in TEXTS.items():
    for unicode in (True, False):
        written = yaml.safe_dump([text], allow_unicode=unicode)
        (read,) = yaml.safe_load(written)
        came_back[name, unicode] = read == text
        print(f"{name:26} allow_unicode={unicode!s:5} {text!r} -> {written!r} -> {read!r}")
assert [one for one, same in came_back.items() if not same] == [("a next line", True), ("two of them", True)], "this has changed"
PYTHON
