"""The experiment file: what is read, and one clear message for whatever is wrong, before anything is sent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.process import ROOT

from evalkit.errors import EvalkitError, ExperimentError, PromptError
from evalkit.experiment.endpoint import Endpoint, expand
from evalkit.experiment.experiment import Experiment, check, load
from evalkit.experiment.parameters import NO_KEY_HERE
from evalkit.experiment.schema import json_schema
from evalkit.experiment.strict_yaml import parse

GOOD = """\
name: small
endpoint:
  base_url: local
  model: babbler
prompts: [{id: a, user: Hello}]
parameters:
  temperature: [0, 1.0]
request:
  max_tokens: 20
"""
SECRETS = (
    "sk-Zx81Kq04Vb77Lm23Qw90Er56",
    "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "hf_AbCdEfGhIjKlMnOpQrStUvWx",
    "0123456789abcdef0123456789abcdef",
    "AB12CD34EF56GH78IJ90KL12",
    "my.secret.key",
    "Bearer abcdef",
    "p4ssw0rd!",
    "${PARADIGM_API_KEY}",
    "$PARADIGM_API_KEY",
)

KEYS = (
    "expected one of anchor, cells, checks, choose, design, embeddings, endpoint, endpoints, exclude, interval, judges, margins, name, parameters, "
    "prompts, reference, replicates, request, scorers, search, seed"
)


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(text, name="x.yaml"):
    path = Path(name)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def told(text, *settings, kind=ExperimentError):
    """The message that loading the file x.yaml with this text ends with."""
    with pytest.raises(EvalkitError) as caught:
        load(write(text), settings)
    assert type(caught.value) is kind
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return str(caught.value)


def with_(**tables):
    """The good file with other top-level tables, each in YAML; None leaves one out."""
    parts = {
        "name": "small",
        "endpoint": "{base_url: local, model: babbler}",
        "prompts": "[{id: a, user: Hello}]",
        "parameters": "{temperature: [0, 1.0]}",
        "request": "{max_tokens: 20}",
    } | tables
    return "".join(f"{name}: {text}\n" for name, text in parts.items() if text is not None)


# What is read


def test_every_field_of_the_contract_is_read():
    write('- {id: a, user: "Hello"}\n', "set.yaml")
    experiment = load(
        write(
            """\
name: quickstart
endpoint: {base_url: "${SOME_URL:-http://127.0.0.1:1/v1/}", api_key_env: PARADIGM_API_KEY, model: "m-${V:-4}", concurrency: 8}
prompts: set.yaml
parameters:
  temperature: [0, 0.5, default]
  top_p: default
  stop: ["\\n", [a, b]]
  model: [m, default]
request: {seed: per_replicate, max_tokens: 200.0, top_k: 5}
replicates: 8
seed: 7
"""
        )
    )
    assert experiment.endpoint == Endpoint(base_url="http://127.0.0.1:1/v1", api_key_env="PARADIGM_API_KEY", model="m-4", concurrency=8)
    assert [prompt.id for prompt in experiment.prompts] == ["a"]
    assert experiment.parameters == {"temperature": (0, 0.5, "default"), "top_p": ("default",), "stop": ("\n", ["a", "b"]), "model": ("m", "default")}
    assert experiment.request == {"seed": "per_replicate", "max_tokens": 200, "top_k": 5}
    assert isinstance(experiment.request["max_tokens"], int)
    assert (experiment.replicates, experiment.seed) == (8, 7)


def test_what_may_be_left_out_has_its_default():
    experiment = load(write(with_(parameters=None, request=None)))
    assert (experiment.parameters, experiment.request, experiment.replicates, experiment.seed) == ({}, {}, 1, 0)
    assert (experiment.endpoint.api_key_env, experiment.endpoint.concurrency) == (None, None)


def test_the_shipped_experiments_are_read_and_warn_of_nothing():
    for path in sorted((ROOT / "experiments").glob("*.yaml")):
        assert load(path).warnings() == []


def test_prompts_are_looked_for_beside_the_experiment():
    Path("deep/sets").mkdir(parents=True)
    write('{"id": "a", "user": "x"}\n', "deep/sets/p.jsonl")
    assert load(write(with_(prompts="sets/p.jsonl"), "deep/x.yaml")).prompts[0].id == "a"
    assert load(write(with_(prompts=str(Path("deep/sets/p.jsonl").resolve())))).prompts[0].id == "a"


def test_line_ends_of_windows_a_byte_order_mark_and_aliases_are_welcome():
    text = GOOD.replace("temperature: [0, 1.0]", "temperature: &t [0, 1.0]\n  frequency_penalty: *t").replace("\n", "\r\n")
    assert load(write(b"\xef\xbb\xbf" + text.encode())).parameters["frequency_penalty"] == (0, 1.0)


def test_whole_numbers_count_by_value():
    experiment = load(write(GOOD + "replicates: 2.0\nseed: 1e3\n"))
    assert (repr(experiment.replicates), repr(experiment.seed)) == ("2", "1000")


# The file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "x.yaml: found nothing; expected a mapping with name, endpoint, prompts and parameters"),
        ("\n# later\n", "x.yaml: found nothing; expected a mapping with name, endpoint, prompts and parameters"),
        ("---\n", "x.yaml: found nothing; expected a mapping with name, endpoint, prompts and parameters"),
        ("hello", "x.yaml: found a text; expected a mapping with name, endpoint, prompts and parameters"),
        ("[1]", "x.yaml: found a list; expected a mapping with name, endpoint, prompts and parameters"),
        ("3", "x.yaml: found 3; expected a mapping with name, endpoint, prompts and parameters"),
        ("name: [x", "x.yaml: line 1, column 9: not valid YAML: a ',' or a ']' is missing before this place"),
        ("name: x\n\tseed: 1", "x.yaml: line 2, column 1: a tab stands here; YAML wants spaces"),
        (GOOD + "name: y", "x.yaml: name: the key stands twice, on lines 1 and 10; keep one"),
        (GOOD + "---\n" + GOOD, "x.yaml: line 10, column 1: a second document begins here; expected one, without a '---' between"),
        (
            GOOD + "seed: !!python/object/apply:os.system [ls]",
            "x.yaml: seed: found a tag ('!...') that does not belong here; remove it, or put a text that begins with '!' in quotes (line 10)",
        ),
        (GOOD + "seed: \x07", "x.yaml: line 10: found the character U+0007, which YAML forbids; remove it"),
        (GOOD + "seed: " + "9" * 10_000, "x.yaml: seed: found a number of 10,000 digits; expected at most 40 (line 10)"),
        (GOOD + "? [a]\n: 1", "x.yaml: top level: a key must be a plain word; put a text that begins with '{' or '[' in quotes (line 10)"),
        (b"name: caf\xe9", "x.yaml: line 1: a byte here is not UTF-8; save the file as UTF-8"),
        (GOOD.encode("utf-16"), "x.yaml: the file is UTF-16; save it as UTF-8"),
        (
            "a: &a [x, x]\n" + "".join(f"{n}: &a{n} [{', '.join(['*a' if n == 0 else f'*a{n - 1}'] * 10)}]\n" for n in range(9)),
            "x.yaml: its aliases unfold to over 200,000 values; write it without them",
        ),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_what_is_no_experiment_file_is_told(text, message):
    assert told(text) == message


def test_what_is_no_file_is_told():
    def refused(path):
        with pytest.raises(ExperimentError) as caught:
            load(path)
        return str(caught.value)

    assert refused("none.yaml") == "none.yaml: no such file; check the path"
    Path("folder.yaml").mkdir()
    assert refused("folder.yaml") == "folder.yaml: this is a folder; expected a file"
    os.mkfifo("pipe")
    assert refused("pipe") == "pipe: this is a pipe or a device; expected a file"
    assert refused(r"C:\experiments\x.yaml") == r"C:\experiments\x.yaml: no such file; check the path"
    assert refused("a\0b") == r"'a\x00b': this is no path of a file; check it"
    assert refused("a\nb") == r"'a\nb': no such file; check the path"


# The top level


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (with_(name=None), "name: is missing; add it"),
        (with_(endpoint=None), "endpoint: is missing; add it"),
        (with_(prompts=None), "prompts: is missing; add it"),
        (with_(name="2024"), "name: found 2024; expected a string (line 1)"),
        (with_(name="true"), "name: found true; expected a string (line 1)"),
        (with_(name=""), "name: found nothing (null); expected a string (line 1)"),
        (with_(name="''"), "name: found ''; expected letters, digits, '.', '_' and '-', the first a letter or digit, 100 at most (line 1)"),
        (with_(name="../up"), "name: found '../up'; expected letters, digits, '.', '_' and '-', the first a letter or digit, 100 at most (line 1)"),
        (with_(name="my run"), "name: found 'my run'; expected letters, digits, '.', '_' and '-', the first a letter or digit, 100 at most (line 1)"),
        (with_(name='"a\\n"'), r"name: found 'a\n'; expected letters, digits, '.', '_' and '-', the first a letter or digit, 100 at most (line 1)"),
        (with_(name="é"), "name: found 'é'; expected letters, digits, '.', '_' and '-', the first a letter or digit, 100 at most (line 1)"),
        (
            with_(name="x" * 101),
            "name: found '" + "x" * 57 + "...'; expected letters, digits, '.', '_' and '-', the first a letter or digit, 100 at most (line 1)",
        ),
        (with_(replicates="0"), "replicates: found 0; expected a number of at least 1 (line 6)"),
        (with_(replicates="-1"), "replicates: found -1; expected a number of at least 1 (line 6)"),
        (with_(replicates="1.5"), "replicates: found 1.5; expected a whole number (line 6)"),
        (with_(replicates="true"), "replicates: found true; expected a whole number (line 6)"),
        (with_(replicates=".nan"), "replicates: found .nan; expected a whole number (line 6)"),
        (with_(replicates=".inf"), "replicates: found .inf; expected a whole number (line 6)"),
        (with_(replicates="many"), "replicates: found 'many'; expected a whole number (line 6)"),
        (with_(replicates="'8'"), "replicates: found '8'; expected a whole number; write it without quotes (line 6)"),
        (with_(replicates="[8]"), "replicates: found a list; expected a whole number (line 6)"),
        (with_(replicates=""), "replicates: found nothing (null); expected a whole number (line 6)"),
        (with_(replicates="1000001"), "replicates: found 1000001; expected a number of at most 1000000 (line 6)"),
        (with_(seed="-1"), "seed: found -1; expected a number of at least 0 (line 6)"),
        (with_(seed=str(2**53)), "seed: found 9007199254740992; expected a number below 9007199254740992 (line 6)"),
        (with_(seed="9" * 40), "seed: found a huge number; expected a number below 9007199254740992 (line 6)"),
        (with_(seed="1e400"), "seed: found .inf; expected a whole number (line 6)"),
        (with_(seed="007"), "seed: found '007'; expected a whole number (line 6)"),
        (with_(replicate="8"), "replicate: unknown key; did you mean 'replicates'? (line 6)"),
        (with_(Name="8"), "Name: unknown key; did you mean 'name'? (line 6)"),
        (
            with_(colour="8"),
            f"colour: unknown key; {KEYS} (line 6)",
        ),
        (
            with_(**{'"\\e[2J"': "8"}),
            r"'\x1b[2J': unknown key; " + f"{KEYS} (line 6)",
        ),
        (
            with_(temperature="1"),
            "temperature: unknown key here; it belongs under 'parameters' (swept) or 'request' (fixed) (line 6)",
        ),
        (with_(model="m"), "model: unknown key here; it belongs under 'endpoint' (line 6)"),
        (with_(concurrency="4"), "concurrency: unknown key here; it belongs under 'endpoint' (line 6)"),
        (with_(n="4"), "n: evalkit sends one answer a request; use 'replicates' at the top level (line 6)"),
        (with_(api_key="abc"), f"api_key: {NO_KEY_HERE} (line 6)"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_is_wrong_at_the_top_level_is_told(text, message):
    assert told(text) == f"x.yaml: {message}"


# The endpoint


URL = "expected 'local' or one like https://host/v1"


NO_COMMAND = (
    "this is not a list of a program and its arguments, all of them texts; no shell reads it: write it like [gcloud, auth, print-access-token]"
)


@pytest.mark.parametrize(
    ("endpoint", "message"),
    [
        ("{model: m}", "base_url: is missing; add it"),
        ("{base_url: local}", "model: is missing; add it"),
        ("{base_url: 3, model: m}", "base_url: found 3; expected a string"),
        ("{base_url: , model: m}", "base_url: found nothing (null); expected a string"),
        ("{base_url: [local], model: m}", "base_url: found a list; expected a string"),
        ("{base_url: '', model: m}", f"base_url: this is not an http URL; {URL}"),
        ("{base_url: Local, model: m}", f"base_url: this is not an http URL; {URL}"),
        ("{base_url: localhost:8080/v1, model: m}", f"base_url: this is not an http URL; {URL}"),
        ("{base_url: api.example.org, model: m}", f"base_url: this is not an http URL; {URL}"),
        ("{base_url: 'ftp://host/v1', model: m}", f"base_url: this is not an http URL; {URL}"),
        ("{base_url: 'file:///etc/passwd', model: m}", f"base_url: this is not an http URL; {URL}"),
        ("{base_url: 'https://', model: m}", f"base_url: this is not an http URL; {URL}"),
        ("{base_url: 'https:///v1', model: m}", f"base_url: this is not an http URL; {URL}"),
        ("{base_url: 'https://ho st/v1', model: m}", f"base_url: this is not an http URL; {URL}"),
        ('{base_url: "https://host/v1\\n", model: m}', f"base_url: this is not an http URL; {URL}"),
        ('{base_url: "https://ho\\x01st/v1", model: m}', f"base_url: this is not an http URL; {URL}"),
        ("{base_url: 'https://host:99999/v1', model: m}", f"base_url: this is not a URL; {URL}"),
        ("{base_url: 'https://host:port/v1', model: m}", f"base_url: this is not a URL; {URL}"),
        ("{base_url: 'https://[::1/v1', model: m}", f"base_url: this is not a URL; {URL}"),
        (
            "{base_url: 'https://host/v1?key=abc', model: m}",
            "base_url: the URL has a '?' or '#' part; expected one that ends with its path, like https://host/v1, or with ?api-version=",
        ),
        (
            "{base_url: 'https://host/v1?api-version=2024-10-21&key=abc', model: m}",
            "base_url: the URL has a '?' or '#' part; expected one that ends with its path, like https://host/v1, or with ?api-version=",
        ),
        (
            "{base_url: 'https://host/v1/chat/completions?api-version=2024-10-21', model: m}",
            "base_url: the URL ends in /chat/completions; leave that part out, evalkit adds it",
        ),
        ("{base_url: local, model: m, api_key_command: gcloud auth print}", f"api_key_command: {NO_COMMAND}"),
        ("{base_url: local, model: m, api_key_command: []}", f"api_key_command: {NO_COMMAND}"),
        ("{base_url: local, model: m, api_key_command: [sleep, 3]}", f"api_key_command: {NO_COMMAND}"),
        ("{base_url: local, model: m, api_key_command: [gcloud, '']}", f"api_key_command: {NO_COMMAND}"),
        ("{base_url: local, model: m, api_key_command: {gcloud: auth}}", f"api_key_command: {NO_COMMAND}"),
        ("{base_url: local, model: m, api_key_env: A, api_key_command: [b]}", "api_key_command: stands beside api_key_env; keep one of the two"),
        (
            "{base_url: 'https://host/v1#x', model: m}",
            "base_url: the URL has a '?' or '#' part; expected one that ends with its path, like https://host/v1, or with ?api-version=",
        ),
        (
            "{base_url: 'https://host/v1/chat/completions/', model: m}",
            "base_url: the URL ends in /chat/completions; leave that part out, evalkit adds it",
        ),
        (
            "{base_url: 'https://ada:secret@host/v1', model: m}",
            "base_url: the URL holds a user name or password; put the key into an environment variable and name it in api_key_env",
        ),
        (
            "{base_url: '${NOT_SET_HERE}', model: m}",
            "base_url: the environment variable NOT_SET_HERE is not set; set it, or write ${NOT_SET_HERE:-a default}",
        ),
        (
            "{base_url: local, model: '${NOT_SET_HERE}'}",
            "model: the environment variable NOT_SET_HERE is not set; set it, or write ${NOT_SET_HERE:-a default}",
        ),
        ("{base_url: '${}', model: m}", "base_url: a ${...} holds no variable's name; expected ${NAME} or ${NAME:-default}"),
        ("{base_url: '${A B}', model: m}", "base_url: a ${...} holds no variable's name; expected ${NAME} or ${NAME:-default}"),
        ("{base_url: '${A', model: m}", "base_url: the URL holds a '${' that is not filled in; expected ${NAME} or ${NAME:-default}, once"),
        (
            "{base_url: 'https://${A:-${B}}/v1', model: m}",
            "base_url: the URL holds a '${' that is not filled in; expected ${NAME} or ${NAME:-default}, once",
        ),
        ("{base_url: local, model: 'm${A'}", "model: the name holds a '${' that is not filled in; expected ${NAME} or ${NAME:-default}, once"),
        ("{base_url: local, model: ''}", "model: found ''; expected a text that is not empty"),
        ("{base_url: local, model: '${A:-}'}", "model: found ''; expected a text that is not empty"),
        ("{base_url: local, model: ' m'}", "model: found ' m'; expected a name without spaces around it, line breaks and control characters"),
        ("{base_url: local, model: 4}", "model: found 4; expected a string"),
        (
            "{base_url: local, model: [m]}",
            "model: found a list; name one model here, and to compare several put models under parameters: {model: [m]}",
        ),
        ("{base_url: local, model: m, concurrency: 0}", "concurrency: found 0; expected a number of at least 1"),
        ("{base_url: local, model: m, concurrency: 1025}", "concurrency: found 1025; expected a number of at most 1024"),
        ("{base_url: local, model: m, concurrency: true}", "concurrency: found true; expected a whole number"),
        ("{base_url: local, model: m, concurrency: .nan}", "concurrency: found .nan; expected a whole number"),
        ("{base_url: local, model: m, concurency: 3}", "concurency: unknown key; did you mean 'concurrency'?"),
        ("{base_url: local, model: m, timeout: 3}", "timeout: unknown key; did you mean 'timeout_s'?"),
        ("{base_url: local, model: m, timeuot_s: 0}", "timeuot_s: unknown key; did you mean 'timeout_s'?"),
        ("{base_url: local, model: m, timeout_s: 0}", "timeout_s: found 0; expected a number above 0.0"),
        ("{base_url: local, model: m, max_tokens_field: n}", "max_tokens_field: found 'n'; expected 'max_tokens' or 'max_completion_tokens'"),
        ("{base_url: local, model: m, replicates_per_call: 0}", "replicates_per_call: found 0; expected a number of at least 1"),
        (
            "{base_url: local, model: m, headers: {X-Api-Key: abc123}}",
            "headers.X-Api-Key: not shown here, for it may be a secret; keep it out of the file: export it and write ${NAME}",
        ),
        ("{base_url: local, model: m, headers: {Host: a}}", "headers.Host: evalkit sets this header itself; leave it out"),
        ("{base_url: local, model: m, strip: ['(']}", "strip[0]: found '('; not a regular expression: missing ) at position 1"),
        ("{base_url: local, model: m, extra_body: {n: 2}}", "extra_body.n: evalkit sends one answer a request; use 'replicates' at the top level"),
        ("{base_url: local, model: m, extra_body: {model: x}}", "extra_body.model: the model stands under endpoint.model"),
        ("{base_url: local, model: m, replicates: 3}", "replicates: unknown key here; it belongs at the top level"),
        (
            "{base_url: local, model: m, top_p: 3}",
            "top_p: unknown key here; it belongs under 'parameters' (swept) or 'request' (fixed)",
        ),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_is_wrong_with_the_endpoint_is_told(endpoint, message):
    assert told(with_(endpoint=endpoint)) == f"x.yaml: endpoint.{message} (line 2)"


def test_an_endpoint_is_a_mapping():
    assert told(with_(endpoint="https://host/v1")) == "x.yaml: endpoint: found a text; expected a mapping with base_url and model (line 2)"
    assert told(with_(endpoint="3")) == "x.yaml: endpoint: found 3; expected a mapping (line 2)"
    assert told(with_(endpoint="")) == "x.yaml: endpoint: found nothing (null); expected a mapping (line 2)"
    assert told(with_(endpoint="[]")) == "x.yaml: endpoint: found an empty list; expected a mapping (line 2)"


def test_a_url_is_kept_in_one_spelling():
    for written in ("https://host.example/v1", "https://host.example/v1/", "HTTPS://Host.Example/v1//", "${SOME_URL:-https://host.example/v1}"):
        assert Endpoint(base_url=written, model="m").base_url == "https://host.example/v1"
    assert Endpoint(base_url="http://[::1]:80/V1/a%20b", model="m").base_url == "http://[::1]:80/V1/a%20b"
    assert Endpoint(base_url="http://host", model="m").base_url == "http://host"


def test_the_environment_fills_in(monkeypatch):
    monkeypatch.setenv("SOME_NAME", "a b")
    monkeypatch.setenv("EMPTY_NAME", "")
    assert expand("x${SOME_NAME}${SOME_NAME:-c}$y{z}") == "xa ba b$y{z}"
    assert expand("${EMPTY_NAME:-d}${OTHER_NAME:-}${OTHER_NAME:-:-}") == "d:-"
    with pytest.raises(ValueError, match="EMPTY_NAME is not set"):
        expand("${EMPTY_NAME}")


def test_what_the_environment_fills_in_is_checked_and_not_filled_in_again(monkeypatch):
    monkeypatch.setenv("SOME_URL", "https://ada:secret@host/v1")
    message = told(with_(endpoint="{base_url: '${SOME_URL}', model: m}"))
    assert message.startswith("x.yaml: endpoint.base_url: the URL holds a user name or password; ")
    assert "secret" not in message
    monkeypatch.setenv("SOME_URL", "https://${OTHER}/v1")
    assert "a '${' that is not filled in" in told(with_(endpoint="{base_url: '${SOME_URL}', model: m}"))
    monkeypatch.setenv("SOME_MODEL", "m\udcff")
    assert "endpoint.model: holds half a character" in told(with_(endpoint="{base_url: local, model: '${SOME_MODEL}'}"))


# Keys do not belong in files


NOT_A_NAME = (
    "this is not the name of an environment variable, and not shown here, for it may be the key itself; "
    "keep keys out of files: export the key as, say, PARADIGM_API_KEY and write api_key_env: PARADIGM_API_KEY"
)


@pytest.mark.parametrize("secret", SECRETS)
def test_a_key_in_place_of_its_variable_s_name_is_refused_and_never_shown(secret):
    message = told(with_(endpoint=f"{{base_url: local, model: m, api_key_env: '{secret}'}}"))
    assert message == f"x.yaml: endpoint.api_key_env: {NOT_A_NAME} (line 2)"
    assert secret not in message


@pytest.mark.parametrize("value", ["123456789012345678901234567890", "''", "[sk-Zx81Kq04Vb77Lm23]", "{sk: 1}", "true", "1.5"])
def test_a_key_that_is_no_text_is_not_shown_either(value):
    assert told(with_(endpoint=f"{{base_url: local, model: m, api_key_env: {value}}}")) == f"x.yaml: endpoint.api_key_env: {NOT_A_NAME} (line 2)"


@pytest.mark.parametrize("name", ["PARADIGM_API_KEY", "OPENAI_API_KEY_2024", "_k", "key", "Some_Team_Key_of_2025", "INTERNATIONALIZATION_TEAM_KEY_1"])
def test_the_name_of_a_variable_is_taken(name):
    assert Endpoint(base_url="local", model="m", api_key_env=name).api_key_env == name


def test_a_name_that_looks_like_a_key_is_taken_where_such_a_variable_is_set(monkeypatch):
    monkeypatch.setenv("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "x")
    assert Endpoint(base_url="local", model="m", api_key_env="sk_live_4eC39HqLyjWDarjtT1zdp7dc").api_key_env


SECRET = SECRETS[0]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        (with_(endpoint=f"{{base_url: local, model: m, api_key: {SECRET}}}"), "endpoint.api_key"),
        (with_(endpoint=f"{{base_url: local, model: m, API-Key: {SECRET}}}"), "endpoint.API-Key"),
        (with_(endpoint=f"{{base_url: local, model: m, token: {SECRET}}}"), "endpoint.token"),
        (with_(api_key=SECRET), "api_key"),
        (with_(password=SECRET), "password"),
        (with_(request=f"{{api_key: {SECRET}}}"), "request.api_key"),
        (with_(request=f"{{Authorization: Bearer {SECRET}}}"), "request.Authorization"),
        (with_(parameters=f"{{token: [{SECRET}]}}"), "parameters.token"),
    ],
)
def test_a_key_under_a_name_of_its_own_is_refused_and_not_shown(text, where):
    message = told(text)
    assert message.startswith(f"x.yaml: {where}: {NO_KEY_HERE} (line ")
    assert SECRET not in message


def test_a_version_of_the_api_stays_in_the_url():
    for url in ("https://Host/openai/v1/?api-version=preview", "https://host/openai/v1?api-version=preview"):
        made = Endpoint(base_url=url, model="m")
        assert made.base_url == "https://host/openai/v1?api-version=preview"
        assert Endpoint(base_url=made.base_url, model="m") == made


def test_a_command_for_keys_is_a_list_that_reads_back_as_it_is():
    made = load(write(with_(endpoint="{base_url: 'https://host/v1', model: m, api_key_command: [gcloud, auth, print-access-token]}")))
    assert made.endpoint.api_key_command == ("gcloud", "auth", "print-access-token")
    assert check(made.resolved()) == made


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        with_(endpoint=f"{{base_url: local, model: m, api_key_command: {SECRET}}}"),
        with_(endpoint=f"{{base_url: local, model: m, api_key_command: [echo, {SECRET}]}}"),
        with_(endpoint=SECRET),
        with_(endpoint=f"{{base_url: {SECRET}, model: m}}"),
        with_(endpoint=f"{{base_url: 'https://{SECRET}@host/v1', model: m}}"),
        with_(endpoint=f"{{base_url: 'https://host/v1?api_key={SECRET}', model: m}}"),
        with_(endpoint=f"{{base_url: '${{{SECRET}}}', model: m}}"),
        with_(endpoint=f"{{base_url: local, model: m, headers: {{Authorization: {SECRET}}}}}"),
        with_(endpoint=f"{{base_url: local, model: m, api_key_env: {SECRET}: {SECRET}}}"),
        with_(endpoint=f"{{base_url: local, model: m, api_key_env: '{SECRET}}}"),
        with_(request=f"{{extra_headers: {{Authorization: {SECRET}}}}}"),
    ],
)
def test_no_message_shows_what_may_be_a_key(text):
    assert SECRET not in told(text)


def test_an_endpoint_made_in_python_does_not_show_a_key_either():
    for fields in ({"api_key_env": SECRET}, {"base_url": f"https://{SECRET}@host"}):
        with pytest.raises(ValidationError) as caught:
            Endpoint(**({"base_url": "local", "model": "m"} | fields))
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize("name", ["organization", "project"])
@pytest.mark.parametrize("value", ["", " a", "a\nb", "é"])
def test_a_name_that_no_header_can_carry_is_refused(name, value):
    with pytest.raises(ValidationError, match="expected a name that a header can carry"):
        Endpoint(base_url="local", model="m", **{name: value})


def test_a_setting_that_holds_a_key_does_not_show_it():
    assert SECRET not in told(GOOD, f"endpoint.api_key_env={SECRET}")
    assert SECRET not in told(GOOD, f"endpoint.api_key_env {SECRET}")
    assert SECRET not in told(GOOD, f"endpoint.api_key_env={SECRET}: [")
    assert SECRET not in told(GOOD, f"endpoint={SECRET}")


# Parameters and request


RANGE = "expected a number from 0 to 2"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ("", "parameters: found nothing (null); expected a mapping"),
        ("[]", "parameters: found an empty list; expected a mapping"),
        ("hot", "parameters: found 'hot'; expected a mapping"),
        ("{temprature: 1}", "parameters.temprature: unknown parameter; did you mean 'temperature'?"),
        ("{n: [1, 2]}", "parameters.n: evalkit sends one answer a request; use 'replicates' at the top level"),
        ("{temperature: []}", "parameters.temperature: the list of levels is empty; expected at least one level"),
        ("{temperature: 5}", f"parameters.temperature: found 5; {RANGE}"),
        ("{temperature: [0, 5]}", f"parameters.temperature[1]: found 5; {RANGE}"),
        ("{temperature: [-0.1]}", f"parameters.temperature[0]: found -0.1; {RANGE}"),
        ("{temperature: true}", f"parameters.temperature: found true; {RANGE}"),
        ("{temperature: [.nan]}", f"parameters.temperature[0]: found .nan; {RANGE}"),
        ("{temperature: .inf}", f"parameters.temperature: found .inf; {RANGE}"),
        ("{temperature: hot}", f"parameters.temperature: found 'hot'; {RANGE}"),
        ("{temperature: '0.5'}", f"parameters.temperature: found '0.5'; {RANGE}; write it without quotes"),
        ("{temperature: defualt}", f"parameters.temperature: found 'defualt'; {RANGE}; did you mean default?"),
        ("{temperature: [[0.5]]}", f"parameters.temperature[0]: found a list; {RANGE}"),
        (
            "{temperature: {from: 0, to: 1}}",
            "parameters.temperature: found a mapping that is no range; write {min: 0, max: 1, step: 0.25}, or list the levels, like [0, 0.5, 1]",
        ),
        (
            "{temperature: {min: 0, max: 2}}",
            "parameters.temperature: this range has no step; write how far apart its levels are, like {min: 0, max: 2, step: 0.25}, "
            "list the levels, like [0, 2], or draw from it: design: {kind: sobol, points: 24}, or search: {method: bayes}",
        ),
        ("{temperature: [0, 5%]}", f"parameters.temperature[1]: found '5%'; {RANGE}; write 0.05 for 5 %"),
        ("{temperature: '0, 0.7'}", f"parameters.temperature: found '0, 0.7'; {RANGE}; write [0, 0.7]"),
        ("{temperature: }", "parameters.temperature: found nothing (null); to leave the parameter out, write default"),
        ("{temperature: [0, null]}", "parameters.temperature[1]: found nothing (null); to leave the parameter out, write default"),
        ("{temperature: [1, 1.0]}", "parameters.temperature[1]: the level 1.0 stands twice; keep one"),
        ("{temperature: [default, default]}", "parameters.temperature[1]: the level 'default' stands twice; keep one"),
        ("{logit_bias: [{a: 1, b: 2}, {b: 2.0, a: 1}]}", "parameters.logit_bias[1]: the level a mapping stands twice; keep one"),
        ("{top_p: [0, 1.5]}", "parameters.top_p[1]: found 1.5; expected a number from 0 to 1"),
        ("{presence_penalty: -2.5}", "parameters.presence_penalty: found -2.5; expected a number from -2 to 2"),
        ("{frequency_penalty: 3}", "parameters.frequency_penalty: found 3; expected a number from -2 to 2"),
        ("{max_tokens: [0]}", "parameters.max_tokens[0]: found 0; expected a whole number of at least 1"),
        ("{max_tokens: 1.5}", "parameters.max_tokens: found 1.5; expected a whole number of at least 1"),
        ("{seed: per_replicate}", "parameters.seed: found 'per_replicate'; expected a whole number; per_replicate stands under 'request'"),
        ("{stop: ['']}", "parameters.stop[0]: found ''; expected a string that is not empty, or a list of 1 to 4 of them"),
        ("{stop: [[a, b, c, d, e]]}", "parameters.stop[0]: found a list; expected a string that is not empty, or a list of 1 to 4 of them"),
        ("{model: [m, 4]}", "parameters.model[1]: found 4; expected a string that is not empty"),
        ("{model: [default, babbler]}", "parameters.model: default stands for endpoint.model, 'babbler', which is a level too; keep one"),
        ("{replicates: [1]}", "parameters.replicates: this is a key of the top level; move it there"),
        ("{max_tokens: [1], request: {a: 1}}", "parameters.request: this is a key of the top level; move it there"),
        ("{'': 1}", "parameters.'': this is no parameter's name; expected letters, digits and '_', the first a letter"),
        ("{some_field: [.nan]}", "parameters.some_field[0]: found .nan; expected a finite number"),
        (
            "{user: [bob]}\nseed: x",
            "seed: found 'x'; expected a whole number (line 5)\nx.yaml: parameters.user: stands under 'request' too; keep one of the two",
        ),
        ("{user: [bob]}", "parameters.user: stands under 'request' too; keep one of the two"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_is_wrong_with_the_parameters_is_told(parameters, message):
    assert told(with_(parameters=parameters, request="{user: ada}")) == f"x.yaml: {message} (line 4)"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("", "request: found nothing (null); expected a mapping"),
        ("[stop]", "request: found a list; expected a mapping"),
        ("{top-p: 1}", "request.top-p: unknown parameter; did you mean 'top_p'?"),
        ("{n: 2}", "request.n: evalkit sends one answer a request; use 'replicates' at the top level"),
        ("{stream: true}", "request.stream: evalkit decides how an answer is fetched; leave it out"),
        ("{messages: []}", "request.messages: messages come from the prompt set; write them under 'prompts'"),
        ("{model: m}", "request.model: the model stands under endpoint.model (or under 'parameters', to sweep it)"),
        ("{extra_body: {top_k: 3}}", "request.extra_body: write the fields themselves here, without extra_body"),
        ("{max_tokens: }", "request.max_tokens: found nothing (null); to leave max_tokens out of every request, leave out this line"),
        (
            "{stop: default}",
            "request.stop: found 'default', which is a level under 'parameters'; to leave stop out of every request, leave out this line",
        ),
        ("{max_tokens: [1, 2]}", "request.max_tokens: found a list; expected a whole number of at least 1"),
        ("{stop: []}", "request.stop: found an empty list; expected a string that is not empty, or a list of 1 to 4 of them"),
        ("{seed: random}", "request.seed: found 'random'; expected a whole number, or per_replicate"),
        ("{seed: true}", "request.seed: found true; expected a whole number, or per_replicate"),
        ("{seed: 9223372036854775808}", "request.seed: found 9223372036854775808; expected a whole number of at most 64 bits, or per_replicate"),
        ("{seed: }", "request.seed: found nothing (null); to leave seed out of every request, leave out this line"),
        ("{logit_bias: {1: .nan}}", "request.logit_bias: found .nan; expected a finite number"),
        ("{user: per_replicat, temperature: 5}", f"request.temperature: found 5; {RANGE}"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_is_wrong_with_the_request_is_told(request_, message):
    assert told(with_(parameters=None, request=request_)) == f"x.yaml: {message} (line 4)"


def test_a_grid_beyond_reason_is_refused_before_it_is_made():
    levels = "[" + ", ".join(map(str, range(1, 101))) + "]"
    text = with_(parameters=f"{{max_completion_tokens: {levels}, top_k: {levels}, min_tokens: {levels}}}")
    assert (
        told(text)
        == "x.yaml: parameters: the levels make 1,000,000 combinations; expected at most 100,000: sweep fewer parameters or levels (line 4)"
    )
    text = with_(parameters="{" + ", ".join(f"field{n}xyz: {levels}" for n in range(200)) + "}")
    assert "the levels make more than 10^15 combinations" in told(text)
    assert load(write(with_(parameters=f"{{max_completion_tokens: {levels}, top_k: {levels}}}"))).parameters


# Prompts


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ("none.yaml", "none.yaml: no such file; check the path (named by x.yaml: prompts)"),
        ("'~/none.yaml'", "~/none.yaml: no such file; check the path (named by x.yaml: prompts)"),
        (r"C:\sets\none.yaml", r"C:\sets\none.yaml: no such file; check the path (named by x.yaml: prompts)"),
        (
            "folder",
            "folder: found a name without an ending; expected a prompt set in a "
            ".yaml, .yml, .json, .jsonl, .ndjson, .csv, .tsv, .txt or .parquet file",
        ),
        ("folder.yaml", "folder.yaml: this is a folder; expected a file"),
        ("pipe.csv", "pipe.csv: this is a pipe or a device; expected a file"),
        ("empty.jsonl", "empty.jsonl: the prompt set is empty; expected at least one prompt"),
        ("latin.csv", "latin.csv: line 2: a byte here is not UTF-8; save the file as UTF-8"),
        ('"a\\0b.yaml"', r"'a\x00b.yaml': this is no path of a file; check it"),
        ('"a\\nb.yaml"', r"'a\nb.yaml': no such file; check the path (named by x.yaml: prompts)"),
        ("[]", "x.yaml: prompts: the prompt set is empty; expected at least one prompt (line 3)"),
        ("", "x.yaml: prompts: found nothing (null); expected a file's path, a mapping with one, or a list of prompts (line 3)"),
        ("''", "x.yaml: prompts: found ''; expected a file's path, a mapping with one, or a list of prompts (line 3)"),
        ("3", "x.yaml: prompts: found 3; expected a file's path, a mapping with one, or a list of prompts (line 3)"),
        ("{file: p.csv, usr: b}", "x.yaml: prompts.usr: unknown key; did you mean 'user'? (line 3)"),
        ("{user: b}", "x.yaml: prompts.file: is missing; add it (line 3)"),
        ("{file: p.csv, sample: {n: 0}}", "x.yaml: prompts.sample.n: found 0; expected a number of at least 1 (line 3)"),
        ("[none.yaml]", "x.yaml: prompts[0]: found 'none.yaml'; expected a mapping with an id and messages, or an id and a user text (line 3)"),
        (
            "[{id: a, user: b}, {id: a, user: c}]",
            "x.yaml: prompts[1].id: the id 'a' stands twice, first at prompts[0], line 3; ids must differ (line 3)",
        ),
        (
            "\n- id: a\n  messages:\n  - {role: usr, content: x}",
            "x.yaml: prompts[0].messages[0].role: found 'usr'; expected 'system', 'developer', 'user', 'assistant' or 'tool' (line 6)",
        ),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_what_is_wrong_with_the_prompts_is_told(prompts, message):
    Path("folder").mkdir()
    Path("folder.yaml").mkdir()
    os.mkfifo("pipe.csv")
    write("", "empty.jsonl")
    write(b"id,user\na,\x81", "latin.csv")
    assert told(with_(prompts=prompts), kind=PromptError) == message


def test_two_prompts_of_one_id_are_refused_in_python_too():
    with pytest.raises(ValidationError, match="two prompts have the same id"):
        Experiment(name="x", endpoint={"base_url": "local", "model": "m"}, prompts=[{"id": "a", "user": "b"}] * 2)


# All at once


def test_all_faults_of_a_file_are_told_at_once():
    text = """\
nmae: x
endpoint:
  base_url: nowhere
  api_key: abc
  concurrency: 0
prompts:
  - id: a
    user: ""
  - usr: "{{x}}"
parameters:
  temprature: [0, 1]
  top_p: [0.5, 2, null]
  seed: []
  max_tokens: 5
request:
  n: 3
  stop: 4
  max_tokens: 5
replicates: none
"""
    assert told(text).split("\n") == [
        "x.yaml: prompts[0].user: the message is empty; expected a text (line 8)",
        "x.yaml: prompts[1]: neither 'messages' nor 'user' is given; expected one of them (line 9)",
        "x.yaml: prompts[1].usr: unknown key; did you mean 'user'? (line 9)",
        "x.yaml: name: is missing; add it",
        f"x.yaml: endpoint.base_url: this is not an http URL; {URL} (line 3)",
        "x.yaml: endpoint.model: is missing; add it (line 2)",
        "x.yaml: endpoint.concurrency: found 0; expected a number of at least 1 (line 5)",
        f"x.yaml: endpoint.api_key: {NO_KEY_HERE} (line 4)",
        "x.yaml: parameters.temprature: unknown parameter; did you mean 'temperature'? (line 11)",
        "x.yaml: parameters.top_p[1]: found 2; expected a number from 0 to 1 (line 12)",
        "x.yaml: parameters.top_p[2]: found nothing (null); to leave the parameter out, write default (line 12)",
        "x.yaml: parameters.seed: the list of levels is empty; expected at least one level (line 13)",
        "x.yaml: request.n: evalkit sends one answer a request; use 'replicates' at the top level (line 16)",
        "x.yaml: request.stop: found 4; expected a string that is not empty, or a list of 1 to 4 of them (line 17)",
        "x.yaml: replicates: found 'none'; expected a whole number (line 19)",
        "x.yaml: nmae: unknown key; did you mean 'name'? (line 1)",
        "x.yaml: parameters.max_tokens: stands under 'request' too; keep one of the two (line 14)",
    ]


def test_faults_of_the_prompt_file_are_told_with_the_others():
    write("- {id: a, usr: x}", "p.yaml")
    assert told(with_(prompts="p.yaml", replicates="0")).split("\n") == [
        "p.yaml: [0]: neither 'messages' nor 'user' is given; expected one of them (line 1)",
        "p.yaml: [0].usr: unknown key; did you mean 'user'? (line 1)",
        "x.yaml: replicates: found 0; expected a number of at least 1 (line 6)",
    ]


# Settings of the command line


def test_a_setting_changes_what_the_file_says_and_nothing_else():
    path = write(GOOD)
    experiment = load(
        path, ["parameters.temperature=[0.5, default]", "replicates=3", "endpoint.model=other", "request.stop=[a, 'b=c']", "parameters.top_p=0.5"]
    )
    assert experiment.parameters == {"temperature": (0.5, "default"), "top_p": (0.5,)}
    assert (experiment.replicates, experiment.endpoint.model, experiment.endpoint.base_url) == (3, "other", "local")
    assert experiment.request == {"max_tokens": 20, "stop": ["a", "b=c"]}
    assert load(path).replicates == 1
    assert load(path, ["parameters={}"]).parameters == {}
    assert load(write(with_(parameters="", request=None)), ["parameters.top_p=1", "request.seed=per_replicate"]).parameters == {"top_p": (1,)}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("replicates", "--set replicates: expected a.dotted.path=value, like parameters.temperature=[0,1]"),
        ("=3", "--set: expected a.dotted.path=value, like parameters.temperature=[0,1]"),
        ("a..b=3", "--set: expected a.dotted.path=value, like parameters.temperature=[0,1]"),
        ("parameters.=3", "--set parameters.: expected a.dotted.path=value, like parameters.temperature=[0,1]"),
        ("replicates=[", "--set replicates: line 1, column 2: not valid YAML: a value is missing here, or a '[' or a '{' is never closed"),
        ("replicates=\udcff", "--set replicates: line 1: found the character U+DCFF, which YAML forbids; remove it"),
        ("replicates=0", "x.yaml: replicates: found 0; expected a number of at least 1 (given by --set)"),
        ("replicates=", "x.yaml: replicates: found nothing (null); expected a whole number (given by --set)"),
        (
            "temperature=0",
            "x.yaml: temperature: unknown key here; it belongs under 'parameters' (swept) or 'request' (fixed) (given by --set)",
        ),
        ("parameters.temperature=[0,5]", "x.yaml: parameters.temperature[1]: found 5; expected a number from 0 to 2 (given by --set)"),
        ("parameters.max_tokens=5", "x.yaml: parameters.max_tokens: stands under 'request' too; keep one of the two (given by --set)"),
        ("name.first=x", "--set name.first: 'name' is a text, which has nothing below it; set name as a whole"),
        ("prompts.0.user=x", "--set prompts.0.user: 'prompts' is a list, which has nothing below it; set prompts as a whole"),
        (
            "\x1b[2J=1",
            r"x.yaml: '\x1b[2J': unknown key; " + f"{KEYS} (given by --set)",
        ),
    ],
)
def test_what_is_wrong_with_a_setting_is_told(setting, message):
    assert told(GOOD, setting) == message


# Warnings


def test_what_is_legal_and_likely_not_meant_is_warned_of():
    experiment = check(
        {
            "name": "x",
            "endpoint": {"base_url": "local", "model": "m"},
            "prompts": [{"id": "a", "user": "b"}],
            "parameters": {"temperature": [0, 1], "top_k": [1, 5], "seed": [1, 2]},
            "request": {"top_p": 0.5, "mirostat": 2},
            "replicates": 3,
        }
    )
    sent = "is not one of OpenAI's parameters; it is sent as it stands, and a server may ignore or refuse it"
    assert experiment.warnings() == [
        f"parameters.top_k {sent}",
        f"request.mirostat {sent}",
        "request.top_p has no effect at temperature 0, and is left out of the requests there",
        "a fixed seed with 3 replicates: a server that honours it gives the same answer 3 times; write seed: per_replicate under 'request'",
    ]


def test_prompts_without_what_a_check_compares_with_are_named():
    prompts = [{"id": "a", "user": "b", "expect": "c"}, {"id": "d", "user": "e"}]
    base = {"name": "x", "endpoint": {"base_url": "local", "model": "m"}, "prompts": prompts}
    told = "of 2 prompts, 1 ('d') have no 'expect' to compare with; their answers are left out there"
    assert check(base).warnings() == [f"contains: {told}"]
    assert check(base | {"checks": ["equals", "facts"]}).warnings() == [f"equals and facts: {told}"]
    assert check(base | {"checks": ["is_json", {"contains": "x"}], "prompts": prompts[1:]}).warnings() == []


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"request": {"seed": 3}, "replicates": 2}, True),
        ({"request": {"seed": 3.0}, "replicates": 2}, True),
        ({"request": {"seed": 3}}, False),
        ({"request": {"seed": "per_replicate"}, "replicates": 2}, False),
        ({"parameters": {"seed": ["default", 3]}, "replicates": 2}, True),
        ({"parameters": {"seed": "default"}, "replicates": 2}, False),
        ({"request": {"temperature": 0, "top_p": 1}}, True),
        ({"request": {"temperature": 0.1, "top_p": 1}}, False),
        ({"parameters": {"temperature": ["default"]}, "request": {"top_p": 1}}, False),
    ],
)
def test_there_is_no_warning_without_cause(changes, warned):
    base = {"name": "x", "endpoint": {"base_url": "local", "model": "m"}, "prompts": [{"id": "a", "user": "b"}]}
    assert bool(check(base | changes).warnings()) == warned


# Plain data and back


LEVELS = {
    "temperature": st.floats(0, 2) | st.just("default"),
    "stop": st.text(st.characters(codec="utf-8"), min_size=1, max_size=4) | st.lists(st.just("x"), min_size=1, max_size=4),
    "max_tokens": st.integers(1, 500),
    "tools": st.just([{"type": "function", "function": {"strict": None}}]),
    "some_field": st.booleans() | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=3), st.none() | st.integers(-9, 9), max_size=3),
}
EXPERIMENTS = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
        "endpoint": st.fixed_dictionaries(
            {
                "base_url": st.sampled_from(["local", "http://127.0.0.1:8080/v1/", "https://Host.example"]),
                "model": st.sampled_from(["m", "org/model"]),
            },
            optional={"api_key_env": st.sampled_from(["SOME_KEY", None]), "concurrency": st.integers(1, 1024)},
        ),
        "prompts": st.lists(
            st.fixed_dictionaries(
                {"id": st.integers(0, 99), "user": st.just("Hello {{a}}")},
                optional={"system": st.just("Be brief."), "vars": st.just({"a": "b"}), "tags": st.lists(st.just("t"), max_size=2)},
            ),
            min_size=1,
            max_size=3,
            unique_by=lambda prompt: prompt["id"],
        ),
    },
    optional={
        "parameters": st.fixed_dictionaries(
            {}, optional={name: st.lists(level, min_size=1, max_size=3, unique_by=repr) for name, level in LEVELS.items() if name != "temperature"}
        ),
        "request": st.fixed_dictionaries(
            {},
            optional={
                "temperature": st.floats(0, 2) | st.integers(0, 2),
                "seed": st.just("per_replicate") | st.integers(0, 9),
                "top_k": st.just(1.0),
            },
        ),
        "replicates": st.integers(1, 9),
        "seed": st.integers(0, 2**53 - 1),
    },
)


@given(EXPERIMENTS)
def test_an_experiment_as_plain_data_reads_back_as_an_equal_one(data):
    experiment = check(data)
    plain = experiment.resolved()
    assert json.loads(json.dumps(plain)) == plain
    again = check(plain)
    assert again == experiment
    assert again.resolved() == plain
    assert again.digest() == experiment.digest()
    assert check(json.loads(json.dumps(plain))) == experiment


def test_the_environment_is_filled_in_once_and_kept(monkeypatch):
    monkeypatch.setenv("SOME_URL", "https://host/v1")
    experiment = load(write(with_(endpoint="{base_url: '${SOME_URL}', model: m}")))
    monkeypatch.delenv("SOME_URL")
    assert check(experiment.resolved()) == experiment


def test_the_digest_is_of_what_is_sent():
    base = load(write(GOOD))
    assert len(base.digest()) == 16
    assert base.digest() == load(write(GOOD), ["endpoint.concurrency=3", "endpoint.api_key_env=SOME_KEY", "parameters.temperature=[0.0, 1]"]).digest()
    changes = ["replicates=2", "endpoint.model=other", "parameters.temperature=[0]", "request.max_tokens=21", "prompts=[{id: a, user: Hullo}]"]
    assert len({base.digest(), *(load(write(GOOD), [change]).digest() for change in changes)}) == 6


def test_an_experiment_is_not_changed_by_accident():
    experiment = load(write(GOOD))
    with pytest.raises(ValidationError):
        experiment.replicates = 3


# The schema for editors


@pytest.fixture(scope="module")
def schema():
    jsonschema.Draft202012Validator.check_schema(json_schema())
    return jsonschema.Draft202012Validator(json_schema())


def test_the_schema_says_which_draft_it_is():
    assert json_schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(json_schema())) == json_schema()


@pytest.mark.parametrize("name", ["quickstart", "paradigm"])
def test_the_schema_accepts_the_shipped_experiments(schema, name):
    text = (ROOT / f"experiments/{name}.yaml").read_text(encoding="utf-8")
    assert list(schema.iter_errors(parse(text, name).data)) == []


@given(data=EXPERIMENTS)
def test_the_schema_accepts_what_the_loader_accepts(schema, data):
    assert list(schema.iter_errors(data)) == []
    assert list(schema.iter_errors(check(data).resolved())) == []


@pytest.mark.parametrize(
    "text",
    [
        with_(name=None),
        with_(name="../up"),
        with_(name="3"),
        with_(endpoint=None),
        with_(endpoint="local"),
        with_(endpoint="{base_url: local}"),
        with_(endpoint="{base_url: local, model: ''}"),
        with_(endpoint="{base_url: local, model: m, concurrency: 0}"),
        with_(endpoint="{base_url: local, model: m, concurency: 3}"),
        with_(endpoint="{base_url: local, model: m, api_key: x}"),
        with_(endpoint="{base_url: local, model: m, api_key_env: sk-a.b}"),
        with_(prompts=None),
        with_(prompts="[]"),
        with_(prompts="3"),
        with_(prompts="''"),
        with_(prompts="[hello]"),
        with_(prompts="[{id: a}]"),
        with_(prompts="{user: a}"),
        with_(prompts="{file: 3}"),
        with_(prompts="{file: a.csv, usr: b}"),
        with_(prompts="{file: a.csv, sample: {n: 0}}"),
        with_(prompts="[{id: a, user: ''}]"),
        with_(prompts="[{id: 1.5, user: b}]"),
        with_(prompts="[{id: '', user: b}]"),
        with_(prompts="[{id: a, user: b, tgas: [c]}]"),
        with_(prompts="[{id: a, user: b, tags: c}]"),
        with_(prompts="[{id: a, user: b, vars: [c]}]"),
        with_(prompts="[{id: a, messages: []}]"),
        with_(prompts="[{id: a, messages: [{role: usr, content: b}]}]"),
        with_(prompts="[{id: a, messages: [{content: b}]}]"),
        with_(prompts="[{id: a, messages: [{role: user, content: [b]}]}]"),
        with_(prompts="[{id: a, messages: [{role: assistant, tool_calls: []}]}]"),
        with_(parameters="[]"),
        with_(parameters="{temperature: 5}"),
        with_(parameters="{temperature: [0, 5]}"),
        with_(parameters="{temperature: []}"),
        with_(parameters="{temperature: true}"),
        with_(parameters="{temperature: hot}"),
        with_(parameters="{temperature: null}"),
        with_(parameters="{temperature: [[0.5]]}"),
        with_(parameters="{stop: [[]]}"),
        with_(parameters="{stop: [[a, b, c, d, e]]}"),
        with_(parameters="{max_tokens: 0}"),
        with_(parameters="{max_tokens: [1.5]}"),
        with_(parameters="{n: 2}"),
        with_(parameters="{tools: []}"),
        with_(parameters="{tools: [null]}"),
        with_(parameters="{some_field: []}"),
        with_(parameters="{some_field: [null]}"),
        with_(parameters="{some_field: }"),
        with_(parameters="{replicates: 3}"),
        with_(request="{n: 2}"),
        with_(request="{model: m}"),
        with_(request="{stream: true}"),
        with_(request="{api_key: x}"),
        with_(request="{stop: default}"),
        with_(request="{some_field: default}"),
        with_(request="{some_field: null}"),
        with_(request="{seed: random}"),
        with_(request="{max_tokens: [1, 2]}"),
        with_(replicates="0"),
        with_(replicates="many"),
        with_(replicates="1.5"),
        with_(replicates="true"),
        with_(seed="-1"),
        with_(sede="1"),
        with_(temperature="1"),
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(schema, text):
    told(text, kind=PromptError if "prompts" in schema_path(schema, text) else ExperimentError)


def schema_path(schema, text):
    """Where the schema finds its fault."""
    errors = list(schema.iter_errors(parse(text, "x").data))
    assert errors, "the schema accepts it"
    return [step for error in errors for step in error.absolute_path]


ANSWERED = [
    {"id": "gold", "messages": [{"role": "user", "content": "Capital of France?"}, {"role": "assistant", "content": "Paris."}]},
    {"id": "asked", "messages": [{"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Capital of France?"}]},
]


def test_conversations_that_end_with_an_answer_are_told_and_others_are_not():
    def warned(prompts):
        made = Experiment.build(name="x", endpoint={"base_url": "local", "model": "m"}, prompts=prompts)
        return [text for text in made.warnings() if "assistant" in text]

    (text,) = warned(ANSWERED)
    assert text.startswith("of 2 prompts, 1 ('gold') end with a message of the assistant")
    assert warned(ANSWERED[1:]) == []
    (text,) = warned([ANSWERED[0] | {"id": f"p{number}"} for number in range(1200)])
    assert text.startswith("of 1,200 prompts, 1,200 ('p0', 'p1', 'p2', 'p3', 'p4', ...) end")


SMALL = {
    "name": "small",
    "endpoint": {"base_url": "local", "model": "babbler"},
    "prompts": [{"id": "a", "user": "Hello"}],
    "parameters": {"temperature": [0, 1]},
}
NEVER = {
    (
        "require",
        "truncation_rate",
        "max",
        5,
    ): "choose.require.truncation_rate.max: found 5, which truncation_rate never is: its values go from 0 to 1; it is a share, so write 0.05 for 5 %",
    ("require", "loop_rate", "min", -0.1): "found -0.1, which loop_rate never is",
    ("prefer", "length_words", "target", -1): "its values go from 0 on",
    ("require", "vendi_ngram", "max", 0.5): "its values go from 1 on",
    ("require", "contains", "min", 90): "write 0.9 for 90 %",
    ("require", "good", "min", 7): "its values go from 1 to 5",
}


@pytest.mark.parametrize(("section", "metric", "key", "number"), NEVER)
def test_a_bound_that_no_value_can_meet_or_miss_is_refused(section, metric, key, number):
    judge = {"name": "good", "rubric": "Good?", "scale": {"min": 1, "max": 5}, "endpoint": {"base_url": "local", "model": "babbler"}}
    wanted = {key: number} | ({"goal": "target"} if key == "target" else {})
    choose = {"profile": "brief", section: {metric: wanted}}
    with pytest.raises(ExperimentError) as told:
        check(SMALL | {"checks": [{"contains": "a"}], "judges": [judge], "choose": choose})
    assert NEVER[section, metric, key, number] in str(told.value)


@pytest.mark.parametrize("number", [0, 1, 0.5])
def test_the_ends_of_a_range_are_bounds_like_others(number):
    assert check(SMALL | {"choose": {"profile": "brief", "require": {"truncation_rate": {"max": number}}}}).choose is not None


@pytest.mark.parametrize("kind", ["contains", "not_contains", "equals"])
def test_a_check_without_anything_to_look_for_is_refused(kind):
    with pytest.raises(
        ExperimentError, match=rf"checks\[0\]: {kind} has nothing to look for, .*; write expect: a text under the prompts, or {kind}: a text"
    ):
        check(SMALL | {"checks": [kind]})
    prompts = [{"id": "a", "user": "2 + 2?", "expect": "4"}, {"id": "b", "user": "Hello"}]
    assert check(SMALL | {"checks": [kind], "prompts": prompts}).checks == (kind,)


TABLE = "Question,Anwser\nCapital of France?,Paris\nCapital of Italy?,Rome\n"
PREFERRED = {"checks": ["facts"], "choose": {"prefer": {"facts": {"goal": "maximize"}}}}
JUDGE = {"name": "polite", "rubric": "Polite?", "scale": {"min": 1, "max": 5}, "endpoint": {"base_url": "local", "model": "babbler"}}
CAUSES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "a column that is not there": (
        {"prompts": {"file": "q.csv", "expect": "Answre"}, **PREFERRED},
        ["q.csv: no column is called 'Answre', which 'expect' names; unknown column; did you mean 'Anwser'?"],
    ),
    "a column that nobody named": (
        {"prompts": "q.csv", **PREFERRED},
        [
            "checks[0]: facts has nothing to look for, because no prompt says what is expected; "
            "write prompts: {file: q.csv, expect: 'Anwser'}, or facts: [a text]"
        ],
    ),
    "a slip in a check": ({**PREFERRED, "checks": ["fact"]}, ["checks[0]: unknown check; did you mean 'facts'?"]),
    "a slip in a check with its argument": ({"checks": [{"contians": "a"}]}, ["checks[0]: unknown check; did you mean 'contains'?"]),
    "a slip that is preferred as well": (
        {"checks": ["fact"], "choose": {"prefer": {"fact": {"goal": "maximize"}}}, "margins": {"fact": 0.1}},
        ["checks[0]: unknown check; did you mean 'facts'?"],
    ),
    "a slip beside another": (
        {"checks": ["fact"], "choose": {"prefer": {"lenght_words": {"goal": "minimize"}}}},
        ["checks[0]: unknown check; did you mean 'facts'?", "choose.prefer.lenght_words: unknown metric; did you mean 'length_words'?"],
    ),
    "a judge that cannot be read": (
        {"judges": [{**JUDGE, "rubric": ""}], "choose": {"prefer": {"polite": {"goal": "maximize"}}}},
        ["judges[0].rubric: found ''; expected a text that is not empty"],
    ),
    "a check that was forgotten": (
        {"choose": {"prefer": {"is_json": {"goal": "maximize"}}}},
        ["choose.prefer.is_json: unknown metric; it is a check, so add it: checks: [is_json]"],
    ),
    "prompts that are at fault": (
        {"prompts": [{"usr": "2 + 2?"}], **PREFERRED},
        ["prompts[0]: neither 'messages' nor", "prompts[0].usr: unknown key"],
    ),
    "no prompts at all": ({"prompts": None, **PREFERRED}, ["prompts: found nothing (null); expected a file's path"]),
}


@pytest.mark.parametrize("what", CAUSES)
def test_a_cause_is_told_and_not_what_only_follows_from_it(what: str) -> None:
    write(TABLE, "q.csv")
    changes, expected = CAUSES[what]
    with pytest.raises(EvalkitError) as caught:
        check({**SMALL, **changes})
    lines = str(caught.value).split("\n")
    assert len(lines) == len(expected)
    for line, words in zip(lines, expected, strict=True):
        assert words in line


def test_prompts_that_are_missing_are_no_fault_of_the_checks() -> None:
    with pytest.raises(ExperimentError) as caught:
        check({name: value for name, value in {**SMALL, **PREFERRED}.items() if name != "prompts"})
    assert str(caught.value) == "prompts: is missing; add it"


def test_faults_of_prompts_come_before_others() -> None:
    with pytest.raises(ExperimentError) as caught:
        check({**SMALL, "prompts": {"file": "none.csv"}, "replicates": 0})
    assert [line.split(":")[0] for line in str(caught.value).split("\n")] == ["none.csv", "replicates"]


def test_tests_of_prompts_are_told_of_where_they_are_missing_or_no_python() -> None:
    def coded(*tests: Any, check: Any = "runs") -> Experiment:
        prompts = [{"id": str(at), "user": "x", "tests": one} for at, one in enumerate(tests)]
        return Experiment.build(name="coded", endpoint={"base_url": "local", "model": "babbler"}, prompts=prompts, checks=[check])

    assert coded("assert f(1)", ["x = 1", "assert f(x)"]).prompts[1].tests == "x = 1\nassert f(x)"
    assert "runs: of 2 prompts, 1 ('1') have no 'tests'; their answers are left out there" in coded("assert f(1)", None).warnings()
    lacking = coded(None, check={"runs": {"then": "assert {{name}}(1)"}}).warnings()
    assert any("lack a variable of its tests under 'vars'" in one for one in lacking)
    with pytest.raises(ExperimentError, match="the tests of prompt '1' are not Python: line 1: invalid syntax"):
        coded("assert f(1)", "assert f(1) is is 2")
    with pytest.raises(ExperimentError, match="runs has no tests to run; write tests: under the prompts"):
        coded(None)


def test_tests_decide_what_is_made_of_answers_and_not_what_is_asked(tmp_path: Path) -> None:
    table = tmp_path / "tasks.csv"
    table.write_text('id,question,test_list\na,Double it.,"assert double(2) == 4"\n', encoding="utf-8")
    endpoint = {"base_url": "local", "model": "babbler"}
    tested = Experiment.build(name="coded", endpoint=endpoint, prompts=str(table), checks=["runs"])
    assert tested.prompts[0].tests == "assert double(2) == 4"
    plain = Experiment.build(name="coded", endpoint=endpoint, prompts=[{"id": "a", "user": "Double it."}])
    assert tested.digest() == plain.digest()
