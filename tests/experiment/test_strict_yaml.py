"""YAML as people expect it, and a clear word where it is not."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.process import ROOT

from evalkit.errors import ExperimentError, PromptError
from evalkit.experiment.strict_yaml import named, parse, read_text

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
NEL = "\x85"


def data(text):
    return parse(text, "x.yaml").data


def fault(text):
    with pytest.raises(ExperimentError) as caught:
        parse(text, "x.yaml")
    return str(caught.value)


# What is read


@given(PLAIN)
def test_every_json_text_reads_as_json_does(value):
    assert data(json.dumps(value, ensure_ascii=True)) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("# only a remark\n", None),
        ("''", ""),
        ("12", 12),
        ("-12", -12),
        ("+12", 12),
        ("0", 0),
        ("007", "007"),  # as in a CSV file: an id's zeros are not lost
        ("00.5", 0.5),
        ("1_000", "1_000"),
        ("0x10", "0x10"),
        ("0o17", "0o17"),
        ("12:30", "12:30"),
        ("2024-01-31", "2024-01-31"),
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5e1", -5.0),
        (".", "."),
        ("-", [None]),
        ("1.2.3", "1.2.3"),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("inf", "inf"),
        ("nan", "nan"),
        ("=", "="),
        ("x: <<", {"x": "<<"}),
        ("!!str 12", "12"),
        ("!!int '12'", 12),
        ("'\\ud800'", "\\ud800"),
        (r'"\ud83d\ude00"', "😀"),  # a pair of escapes, as JSON writes it
        (r'"\U0001F600"', "😀"),
        ('{50256: -100, "50257": 1}', {"50256": -100, "50257": 1}),
        ("? a\n: b", {"a": "b"}),
        ("[" * 3 + "]" * 3, [[[]]]),
        ("é: ü", {"é": "ü"}),
        ("a: |\n  one\n  two\n", {"a": "one\ntwo\n"}),
        ("a: >-\n  one\n  two\n", {"a": "one two"}),
        ("---\na: 1\n...\n", {"a": 1}),
        ("%YAML 1.1\n---\na: 1", {"a": 1}),
        ("a: &x {b: 1}\nc: *x", {"a": {"b": 1}, "c": {"b": 1}}),
        ("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}", {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}}),
        ("<<: {1: a}", {"1": "a"}),
        ("&k a: 1\nb: *k", {"a": 1, "b": "a"}),
        ("&k 1: 1\nb: *k", {"1": 1, "b": 1}),
    ],
)
def test_scalars_are_what_they_look_like(text, value):
    found = data(text)
    assert found == value
    assert type(found) is type(value)


def test_not_a_number_is_read_so_that_it_can_be_refused_by_name():
    assert math.isnan(data(".nan"))


def test_every_node_is_marked_with_its_line():
    marks = parse("# first\na: 1\nb:\n  - c\n  - {d: e}\n7: x\n", "x.yaml").marks
    assert marks == {(): 2, ("a",): 2, ("b",): 3, ("b", 0): 4, ("b", 1): 5, ("b", 1, "d"): 5, ("7",): 6}


# What is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "x.yaml: a: the key stands twice, on lines 1 and 2; keep one"),
        ("a:\n  b: 1\n  c: 2\n  'b': 3", "x.yaml: a.b: the key stands twice, on lines 2 and 4; keep one"),
        ('1: a\n"1": b', "x.yaml: 1: the key stands twice, on lines 1 and 2; keep one"),
        ("[{a: 1, a: 2}]", "x.yaml: [0].a: the key stands twice, on lines 1 and 1; keep one"),
        ("<<: {a: 1}\n<<: {b: 1}", "x.yaml: <<: the key stands twice, on lines 1 and 2; keep one"),
        ("<<: {a: 1, a: 2}", "x.yaml: a: the key stands twice, on lines 1 and 1; keep one"),
        ("name: x\n\tseed: 1", "x.yaml: line 2, column 1: a tab stands here; YAML wants spaces"),
        ("a:\n  b: 1\n\t  c: 2", "x.yaml: line 3, column 1: a tab stands here; YAML wants spaces"),
        ("name:\tx", "x.yaml: line 1, column 6: a tab stands here; YAML wants spaces"),
        ("a: [1, 2", "x.yaml: line 1, column 9: not valid YAML: a ',' or a ']' is missing before this place"),
        ("a: [", "x.yaml: line 1, column 5: not valid YAML: a value is missing here, or a '[' or a '{' is never closed"),
        ("- {a: Why?, b: 1}", "x.yaml: line 1, column 10: not valid YAML: within { } and [ ], a text that holds a '?' stands in quotes, '...?'"),
        ("a: {b: 1", "x.yaml: line 1, column 9: not valid YAML: a ',' or a '}' is missing before this place"),
        (
            "a: b: c",
            "x.yaml: line 1, column 5: not valid YAML: a ':' where none is expected; put a text that holds ': ' in quotes, or mend the indentation",
        ),
        (
            "a: 1\n b: 2",
            "x.yaml: line 2, column 3: not valid YAML: a ':' where none is expected; put a text that holds ': ' in quotes, or mend the indentation",
        ),
        ("a:\n  - b\n c: 1", "x.yaml: line 3, column 2: not valid YAML: this does not belong here; mend the indentation, or put the text in quotes"),
        ('a: "b" c', "x.yaml: line 1, column 8: not valid YAML: this does not belong here; mend the indentation, or put the text in quotes"),
        (
            "  a: 1\nb: 2",
            "x.yaml: line 2, column 1: not valid YAML: this does not belong to the lines above; mend the indentation, or put the text in quotes",
        ),
        ("a: b\nc\n", "x.yaml: line 3, column 1: not valid YAML: a ':' is missing; expected 'key: value'"),
        ("a: - b", "x.yaml: line 1, column 4: not valid YAML: no list can begin here; put the '-' on a line of its own, or the text in quotes"),
        ("a: 'b\nc: d\n", "x.yaml: line 1, column 4: not valid YAML: the quote that opens here is never closed"),
        (
            "a: *bold text",
            "x.yaml: line 1, column 4: not valid YAML: a '*' here means an alias, and none of this name is defined; put the text in quotes",
        ),
        (
            "a: *bold* text",
            "x.yaml: line 1, column 9: not valid YAML: '&', '*' and '!' have a meaning here; put a text that begins with one in quotes",
        ),
        ("a: *", "x.yaml: line 1, column 5: not valid YAML: '&', '*' and '!' have a meaning here; put a text that begins with one in quotes"),
        ("a: @b", "x.yaml: line 1, column 4: not valid YAML: no value can begin with this character; put the text in quotes"),
        ("a: `b`", "x.yaml: line 1, column 4: not valid YAML: no value can begin with this character; put the text in quotes"),
        (
            "a: |b",
            "x.yaml: line 1, column 5: not valid YAML: the text of '|' or '>' begins on the next line; a text that begins with one belongs in quotes",
        ),
        (
            "a: > b",
            "x.yaml: line 1, column 6: not valid YAML: the text of '|' or '>' begins on the next line; a text that begins with one belongs in quotes",
        ),
        (r'a: "C:\new\data"', "x.yaml: line 1, column 12: not valid YAML: a backslash in double quotes begins an escape; use single quotes"),
        (r'a: "C:\Users"', "x.yaml: line 1, column 9: not valid YAML: a backslash in double quotes begins an escape; use single quotes"),
        (r'a: "\UFFFFFFFF"', "x.yaml: line 1: not valid YAML: a number or an escape that stands for nothing; mend or remove it"),
        (
            r'a: ["\ud800"]',
            r"x.yaml: a[0]: holds half a character (a lone \ud800 to \udfff), which cannot be sent; write the character itself (line 1)",
        ),
        (
            r'"\udfff": 1',
            r"x.yaml: top level: holds half a character (a lone \ud800 to \udfff), which cannot be sent; write the character itself (line 1)",
        ),
        ("a: {{name}}", "x.yaml: a: a key must be a plain word; put a text that begins with '{' or '[' in quotes (line 1)"),
        (
            "a: {{name}} b",
            "x.yaml: line 1, column 13: not valid YAML: put a text with {{ }} in quotes, '...', and write the name within {{ }} without quotes",
        ),
        ("a: 1\n---\na: 2", "x.yaml: line 2, column 1: a second document begins here; expected one, without a '---' between"),
        (
            "a: 1\n...\nb: 2",
            "x.yaml: line 3, column 1: not valid YAML: this does not belong to the lines above; mend the indentation, or put the text in quotes",
        ),
        ("? [1]\n: a", "x.yaml: top level: a key must be a plain word; put a text that begins with '{' or '[' in quotes (line 1)"),
        ("a:\n  ? {b: 1}\n  : c", "x.yaml: a: a key must be a plain word; put a text that begins with '{' or '[' in quotes (line 2)"),
        ("true: 1", "x.yaml: top level: the key 'true' must be a word; put it in quotes (line 1)"),
        ("a: {~: 1}", "x.yaml: a: the key '~' must be a word; put it in quotes (line 1)"),
        ("a: {? : 1}", "x.yaml: a: the key '' must be a word; put it in quotes (line 1)"),
        ("a: ? b", "x.yaml: line 1, column 4: not valid YAML: '?' has a meaning here; put a text that begins with it in quotes"),
        (
            "a: &x 1\nb: &x 2",
            "x.yaml: line 2, column 4: not valid YAML: two anchors have the same name; a text that begins with '&' belongs in quotes",
        ),
        ("a: !b{c d", "x.yaml: line 1, column 6: not valid YAML: '!' has a meaning here; put a text that begins with it in quotes"),
        ("1.5: 1", "x.yaml: top level: the key '1.5' must be a word; put it in quotes (line 1)"),
        ("{t: 0, 0.7}", "x.yaml: top level: found '0.7' where a key should be; to list several values, write t: [0, 0.7] (line 1)"),
        ("a: {t: 0, 1, 2, b: 3}", "x.yaml: a: found '1' where a key should be; to list several values, write t: [0, 1, 2] (line 1)"),
        (".nan: 1", "x.yaml: top level: the key '.nan' must be a word; put it in quotes (line 1)"),
        ("<<: 4", "x.yaml: line 1, column 5: not valid YAML: '<<' takes a mapping, or a list of mappings"),
        ("a: x\x01y", "x.yaml: line 1: found the character U+0001, which YAML forbids; remove it"),
        ("a: 1\nb: \x00", "x.yaml: line 2: found the character U+0000, which YAML forbids; remove it"),
        ("a: \x7f", "x.yaml: line 1: found the character U+007F, which YAML forbids; remove it"),
        ("a: \ud800", "x.yaml: line 1: found the character U+D800, which YAML forbids; remove it"),
        ("a: " + "9" * 10_000, "x.yaml: a: found a number of 10,000 digits; expected at most 40 (line 1)"),
        ("a: &x [*x]", "x.yaml: line 1: an alias contains itself; write its value out"),
        ("a: &x {b: *x}", "x.yaml: line 1: an alias contains itself; write its value out"),
        ("[" * 5_000, "x.yaml: nested over 64 deep; expected plain lists and mappings"),
        ("[" * 65 + "]" * 65, "x.yaml: nested over 64 deep; expected plain lists and mappings"),
        ("{a: " * 64 + "1" + "}" * 64, "x.yaml: nested over 64 deep; expected plain lists and mappings"),
        (
            "%YAML 1." + "9" * 5_000 + "\n---\na: 1",
            "x.yaml: line 1: not valid YAML: a number or an escape that stands for nothing; mend or remove it",
        ),
        ("%YAML 2.0\n---\na: 1", "x.yaml: line 1, column 1: not YAML 1.1; remove the line that begins with %YAML"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_is_no_yaml_is_told_with_its_place_and_what_to_do(text, message):
    assert fault(text) == message


TAG = "found a tag ('!...') that does not belong here; remove it, or put a text that begins with '!' in quotes (line 1)"


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['true']",
        "!!python/name:os.system",
        "!!binary aGk=",
        "!!timestamp 2024-01-31",
        "!!set {b, c}",
        "!!omap [b: 1]",
        "!!int 0x10",
        "!!int ten",
        "!!float ten",
        "!!bool maybe",
        "!!null something",
        "!!map [1]",
        "!important b",
        "!include b.yaml",
    ],
)
def test_a_tag_never_makes_anything(value):
    assert fault(f"a: {value}") == f"x.yaml: a: {TAG}"
    assert fault(f"<<: {{a: {value} }}") == f"x.yaml: a: {TAG}"


def test_a_bomb_of_aliases_is_refused_before_it_is_unfolded():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30))
    assert fault(bomb) == "x.yaml: its aliases unfold to over 200,000 values; write it without them"
    merges = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}\n" for n in range(1, 30))
    assert fault(merges) == "x.yaml: its aliases unfold to over 200,000 values; write it without them"


def test_a_chain_of_aliases_is_as_deep_as_it_unfolds():
    chain = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 80))
    assert fault(chain) == "x.yaml: nested over 64 deep; expected plain lists and mappings"


def test_aliases_in_measure_are_welcome():
    text = "base: &base {temperature: 1}\n" + "".join(f"x{n}: *base\n" for n in range(1000))
    assert data(text)["x999"] == {"temperature": 1}


def test_too_many_values_are_refused_without_reading_them_all():
    assert parse("[" + "1," * 99 + "]", "x.yaml", most_values=100).data == [1] * 99
    with pytest.raises(ExperimentError) as caught:
        parse("[" + "1," * 10_000 + "@", "x.yaml", most_values=100)
    assert str(caught.value) == "x.yaml: line 1, column 200: the file holds over 100 values; a prompt set this big reads better from a .jsonl file"


@pytest.mark.parametrize("end", ["\n", NEL, "\u2028"])
def test_the_line_of_a_tab_is_found_whatever_ends_the_lines(end):
    assert "a tab stands here" in fault(f"a: 1{end}b: 2{end}\tc: 3")


LIKE_A_KEY = "sk-Zx81Kq04Vb77Lm23"


@pytest.mark.parametrize(
    "text",
    [
        f"key: {LIKE_A_KEY}: x",
        f"key: '{LIKE_A_KEY}",
        f"key: *{LIKE_A_KEY}",
        f"key: !{LIKE_A_KEY}",
        f"key: !{LIKE_A_KEY}!x",
        f"key: [{LIKE_A_KEY} {{",
        f'key: "{LIKE_A_KEY}" {LIKE_A_KEY}',
        f'key: "\\{LIKE_A_KEY}"',
        f"key: &{LIKE_A_KEY} &{LIKE_A_KEY} x",
        f"%TAG ! {LIKE_A_KEY}\n%TAG ! {LIKE_A_KEY}\n---\na",
        f"key: @{LIKE_A_KEY}",
        f"key: |{LIKE_A_KEY}",
        f"key: {LIKE_A_KEY}\n\tother: {LIKE_A_KEY}",
        f"key: {LIKE_A_KEY}\x01",
        f"? [{LIKE_A_KEY}]\n: {LIKE_A_KEY}",
    ],
)
def test_a_broken_file_is_not_quoted_for_it_may_hold_a_secret(text):
    assert LIKE_A_KEY not in fault(text)


def test_another_type_of_error_is_raised_where_asked_for():
    with pytest.raises(PromptError, match=r"^p\.yaml: a: the key stands twice, on lines 1 and 2; keep one$"):
        parse("a: 1\na: 2", "p.yaml", PromptError)


SAMPLES = [
    (ROOT / "experiments/quickstart.yaml").read_text(encoding="utf-8"),
    (ROOT / "experiments/prompts/quickstart.yaml").read_text(encoding="utf-8"),
]
JUNK = [
    "\t",
    "\n",
    " ",
    '"',
    "'",
    "[",
    "]",
    "{",
    "}",
    ": ",
    "- ",
    "#",
    "&a ",
    "*a",
    "!!set ",
    "|",
    ">",
    "%",
    "---\n",
    "\\",
    '"\\ud800"',
    "\x00",
    "é",
    ",",
    "<<: *a",
]


@given(st.randoms(use_true_random=False))
def test_a_file_with_slips_of_the_keyboard_is_read_or_refused_in_one_line(rng: random.Random):
    text = rng.choice(SAMPLES)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice(JUNK) + text[at + rng.choice([0, 0, 1, 5]) :]
    try:
        parse(text, "x.yaml")
    except ExperimentError as error:
        message = str(error)
        assert message.startswith("x.yaml: ")
        assert message.isprintable()
        assert len(message) < 300


# Files


def refused(path, **more):
    with pytest.raises(ExperimentError) as caught:
        read_text(Path(path), **more)
    return str(caught.value)


def test_a_byte_order_mark_and_line_ends_of_windows_are_no_part_of_the_text(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: |\r\n  c\r\n  d\r\re: 2")
    assert read_text(path) == "a: 1\nb: |\n  c\n  d\n\ne: 2"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb: caf\xe9", "line 2: a byte here is not UTF-8; save the file as UTF-8"),
        (b"\xff\xfea\x00", "the file is UTF-16; save it as UTF-8"),
        (b"\xfe\xff\x00a", "the file is UTF-16; save it as UTF-8"),
        (b"a: \xed\xa0\x80", "line 1: a byte here is not UTF-8; save the file as UTF-8"),
        (b"PK\x03\x04\x14\x00\x9c", "line 1: a byte here is not UTF-8; save the file as UTF-8"),
    ],
)
def test_a_file_that_is_not_utf_8_is_told(tmp_path, content, message):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    assert refused(path) == f"{path}: {message}"


def test_what_is_no_readable_file_is_told(tmp_path):
    assert refused(tmp_path / "x.yaml") == f"{tmp_path}/x.yaml: no such file; check the path"
    assert refused(tmp_path) == f"{tmp_path}: this is a folder; expected a file"
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe") == f"{tmp_path}/pipe: this is a pipe or a device; expected a file"
    assert refused("/dev/zero") == "/dev/zero: this is a pipe or a device; expected a file"
    (tmp_path / "loop").symlink_to("loop")
    assert refused(tmp_path / "loop").startswith(f"{tmp_path}/loop: cannot be read: ")
    (tmp_path / "file").touch()
    assert refused(tmp_path / "file/x.yaml") == f"{tmp_path}/file/x.yaml: cannot be read: Not a directory; check the path and the file's permissions"
    assert refused(tmp_path / ("x" * 5000)).endswith(": cannot be read: File name too long; check the path and the file's permissions")
    assert len(refused(tmp_path / ("x" * 5000))) < 200
    assert refused("a\0b.yaml") == r"'a\x00b.yaml': this is no path of a file; check it"


def test_a_file_without_permission_is_told(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    # Root may read everything, so a child reads it as nobody; the modules are loaded before it gives its rights up.
    code = f"""
import os
from pathlib import Path
from evalkit.experiment.strict_yaml import read_text
from evalkit.errors import ExperimentError
os.geteuid() or os.setuid(65534)
try:
    read_text(Path({str(path)!r}))
except ExperimentError as error:
    print(error)
"""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == tmp_path.owner() and folder.name.startswith(("pytest-", "popen-")):
            folder.chmod(0o755)
    tmp_path.chmod(0o755)
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == f"{path}: cannot be read: Permission denied; check the path and the file's permissions\n"


def test_a_huge_file_is_refused_unread(tmp_path):
    path = tmp_path / "x.yaml"
    with path.open("wb") as file:
        file.truncate(50_000_000_000)
    assert refused(path) == (f"{path}: the file has 50,000 MB; expected at most 20 MB; a prompt set this big reads better from a .jsonl file")
    assert refused(path, most_bytes=500_000_000) == f"{path}: the file has 50,000 MB; expected at most 500 MB"


def test_a_path_is_named_in_one_printable_line():
    assert named(Path("a b/é.yaml")) == "a b/é.yaml"
    assert named(Path("a\nb.yaml")) == r"'a\nb.yaml'"
    assert named(Path("caf\udce9.yaml")) == r"'caf\udce9.yaml'"
