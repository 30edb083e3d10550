"""Rehearsed trouble, seen on a socket: each fault and each quirk does what its name says, as often as its share says."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.local import BODY, Served, api, events, in_thread, say

from evalkit.local import rehearsal
from evalkit.local.errors import ApiError
from evalkit.local.faults import Trouble
from evalkit.local.quirks import Quirk, twist
from evalkit.local.rehearsal import Fault, Rehearsal, RehearsalError, check
from evalkit.local.server import app

CHAT = "/v1/chat/completions"
SHORT = {**BODY, "max_tokens": 12, "seed": 1, "logit_bias": {"0": -100}}
STREAM = {**SHORT, "stream": True}
EMBED = {"model": "hashed-tfidf", "input": ["a slice", "a list"]}


@contextlib.contextmanager
def serving(*faults, quirks=(), seed=0):
    """The application with such a rehearsal."""
    with in_thread(app(api(), rehearsal=check({"seed": seed, "faults": list(faults), "quirks": list(quirks)}))) as server:
        yield server


def counts(server):
    return server.ask("GET", "/faults").json


def always(name, **more):
    return {"fault": name, "share": 1, **more}


@contextlib.contextmanager
def response_to(server, body, timeout=20):
    """The response to `body`, its headers read and the rest not yet."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request("POST", CHAT, json.dumps(body))
        with connection.getresponse() as response:
            yield response
    finally:
        connection.close()


# Faults, each on a socket


@pytest.mark.parametrize("body", [SHORT, STREAM])
def test_rate_limited(body):
    with serving(always("rate_limited", retry_after_s=1.2)) as server:
        reply = server.ask("POST", CHAT, body)
    assert (reply.status, reply.error["type"], reply.error["code"]) == (429, "requests", "rate_limit_exceeded")
    assert (reply.headers["retry-after"], reply.headers["retry-after-ms"]) == ("2", "1200")


@pytest.mark.parametrize("body", [SHORT, STREAM])
def test_server_error(body):
    with serving(always("server_error")) as server:
        reply = server.ask("POST", CHAT, body)
    assert (reply.status, reply.error["type"]) == (500, "server_error")


def test_slow_first_token_of_a_stream():
    begun = time.monotonic()
    with serving(always("slow_first_token", seconds=0.5)) as server, response_to(server, STREAM) as response:
        assert json.loads(response.readline()[6:])["choices"][0]["delta"]["role"] == "assistant"
        assert response.readline() == b"\n"
        assert json.loads(response.readline()[6:])["choices"][0]["delta"]["content"]
        assert time.monotonic() - begun > 0.5
        assert response.read().endswith(b"data: [DONE]\n\n")


def test_slow_first_token_of_a_plain_answer():
    with serving(always("slow_first_token", seconds=0.5)) as server:
        begun = time.monotonic()
        assert server.ask("POST", CHAT, SHORT).json["choices"][0]["message"]["content"] == say(SHORT)[0][0]
        assert time.monotonic() - begun > 0.5


@pytest.mark.parametrize("body", [SHORT, STREAM, {**SHORT, "max_tokens": 1, "stream": True}, {**STREAM, "logit_bias": {"0": 100}}])
def test_stall(body):
    with serving(always("stall", seconds=60)) as server, response_to(server, body, timeout=0.7) as response:
        assert response.status == 200
        received = until_silence(response)
        assert received
        assert b"[DONE]" not in received
        assert b'finish_reason":"' not in received


def until_silence(response):
    """What arrives before nothing does any more."""
    received = b""
    try:
        while piece := response.read1():
            received += piece
    except TimeoutError:
        return received
    raise AssertionError("the response ended")


@pytest.mark.parametrize("body", [SHORT, STREAM])
def test_a_stall_ends_in_a_disconnect(body):
    with serving(always("stall", seconds=0.2)) as server, response_to(server, body) as response, pytest.raises(http.client.IncompleteRead):
        response.read()


@pytest.mark.parametrize("body", [SHORT, STREAM, {**STREAM, "logit_bias": {"0": 100}}])
def test_disconnect(body):
    with serving(always("disconnect")) as server, response_to(server, body) as response:
        assert response.status == 200
        with pytest.raises(http.client.IncompleteRead) as cut:
            response.read()
        assert cut.value.partial
        assert b"[DONE]" not in cut.value.partial
        assert b'finish_reason":"' not in cut.value.partial


def test_malformed_json_of_a_plain_answer():
    with serving(always("malformed_json")) as server:
        reply = server.ask("POST", CHAT, SHORT)
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    assert reply.body.startswith(b'{"id":')
    with pytest.raises(json.JSONDecodeError):
        reply.json  # noqa: B018 (it decodes)


def test_malformed_json_in_a_stream_is_one_broken_event():
    with serving(always("malformed_json")) as server:
        reply = server.ask("POST", CHAT, STREAM)
    *lines, done = reply.body.removesuffix(b"\n\n").split(b"\n\n")
    assert done == b"data: [DONE]"
    broken = []
    for line in lines:
        try:
            json.loads(line.removeprefix(b"data: "))
        except json.JSONDecodeError:
            broken.append(line)
    assert len(broken) == 1
    assert len(lines) == 12 + 2


@pytest.mark.parametrize("body", [SHORT, STREAM])
def test_wrong_content_type(body):
    with serving(always("wrong_content_type")) as server:
        reply = server.ask("POST", CHAT, body)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert reply.body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("name", rehearsal.FAULTS)
def test_every_fault_strikes_embeddings_and_wrong_requests_too(name):
    with serving(always(name, **({"seconds": 0.05} if "seconds" in rehearsal.FAULTS[name] else {}))) as server:
        for path, body in (("/api/v2/embeddings", EMBED), (CHAT, {**SHORT, "temperature": 9}), (CHAT, b"{")):
            with contextlib.suppress(http.client.IncompleteRead):
                reply = server.ask("POST", path, body)
                assert name in ("slow_first_token", "malformed_json", "wrong_content_type", "rate_limited", "server_error")
                assert reply.body
        assert server.ask("GET", "/v1/models").status == 200  # which costs nothing, and fails nobody's run
        assert counts(server) == {"requests": 3, "answered": 0, "faults": {name: 3}, "quirks": {}}


# How often


SHARES = {"rate_limited": 0.1, "server_error": 0.02, "stall": 0.05, "disconnect": 0.3}


@pytest.mark.parametrize("seed", [0, 1, 7])
def test_faults_strike_as_often_as_their_shares_say(seed):
    requests = 20_000
    faults = tuple(Fault(name, share) for name, share in SHARES.items())
    trouble = Trouble(Rehearsal(seed, faults))
    drawn = Counter(fault.name if (fault := trouble.draw(trouble.next())) else "answered" for _ in range(requests))
    for name, share in {**SHARES, "answered": 1 - sum(SHARES.values())}.items():
        assert abs(drawn[name] - requests * share) < 4.5 * math.sqrt(requests * share * (1 - share))  # binomial: 1 in 100,000
    assert trouble.told()["faults"] == {name: drawn[name] for name in SHARES}


def test_the_seed_and_the_number_of_a_request_decide_its_fault():
    faults = tuple(Fault(name, share) for name, share in SHARES.items())

    def drawn(seed, numbers):
        trouble = Trouble(Rehearsal(seed, faults))
        return {number: trouble.draw(number) for number in numbers}

    assert drawn(1, range(200)) == drawn(1, reversed(range(200)))
    assert drawn(1, range(200)) != drawn(2, range(200))


def test_on_a_socket_too_and_the_counts_tell_what_was_done():
    shares = [{"fault": "rate_limited", "share": 0.2}, {"fault": "server_error", "share": 0.1}, {"fault": "wrong_content_type", "share": 0.1}]
    seen = []
    for _ in range(2):
        with serving(*shares, seed=3) as server:
            replies = [server.ask("POST", CHAT, {**SHORT, "max_tokens": 1}) for _ in range(150)]
            seen.append([(reply.status, reply.headers["content-type"]) for reply in replies])
            told = counts(server)
            assert server.ask("GET", "/v1/faults").json == told
    assert seen[0] == seen[1]
    found = Counter(seen[0])
    expected = {"rate_limited": 30, "server_error": 15, "wrong_content_type": 15}
    by_reply = {
        "rate_limited": found[429, "application/json"],
        "server_error": found[500, "application/json"],
        "wrong_content_type": found[200, "text/html; charset=utf-8"],
    }
    assert told == {"requests": 150, "answered": found[200, "application/json"], "faults": by_reply, "quirks": {}}
    for name, count in by_reply.items():
        assert abs(count - expected[name]) < 4.5 * math.sqrt(expected[name])


# Quirks


def with_quirks(*quirks, seed=0):
    return serving(quirks=quirks, seed=seed)


def text(reply):
    return reply.json["choices"][0]["message"]["content"]


def test_an_ignored_parameter_is_as_good_as_left_out():
    quirks = [{"quirk": "ignore", "parameter": name} for name in ("presence_penalty", "top_k", "stop", "n", "tools", "logprobs", "response_format")]
    spoilt = {
        **SHORT, "presence_penalty": 2, "top_k": -5, "stop": 7, "n": 3, "tools": "none", "tool_choice": "required",
        "logprobs": True, "top_logprobs": 3, "response_format": {"type": "xml"},
    }  # fmt: skip
    with with_quirks(*quirks) as server:
        reply = server.ask("POST", CHAT, spoilt)
        assert [one["message"]["content"] for one in reply.json["choices"]] == say(SHORT)[0]
        assert reply.json["choices"][0]["logprobs"] is None
        assert server.ask("POST", CHAT, {**SHORT, "top_p": 7}).error["param"] == "top_p"
        assert counts(server)["quirks"] == {f"ignore {quirk['parameter']}": 1 for quirk in quirks}


def test_an_ignored_stream_is_a_plain_answer():
    with with_quirks({"quirk": "ignore", "parameter": "stream"}) as server:
        reply = server.ask("POST", CHAT, {**STREAM, "stream_options": {"include_usage": True}})
    assert reply.headers["content-type"] == "application/json"
    assert text(reply) == say(SHORT)[0][0]


def test_a_rejected_parameter_is_named():
    with with_quirks({"quirk": "reject", "parameter": "seed"}) as server:
        reply = server.ask("POST", CHAT, SHORT)
        assert (reply.status, reply.error["param"], reply.error["code"]) == (400, "seed", "unsupported_parameter")
        for harmless in (None, ...):
            body = {**SHORT, "seed": harmless} if harmless is None else {name: value for name, value in SHORT.items() if name != "seed"}
            assert server.ask("POST", CHAT, body).status == 200
        assert counts(server)["quirks"] == {"reject seed": 1}


def test_a_clamped_parameter_stays_between_its_ends():
    with with_quirks({"quirk": "clamp", "parameter": "temperature", "low": 0.3, "high": 1.0}) as server:
        for asked, meant in ((1.7, 1.0), (0, 0.3), (0.5, 0.5), (1e9, 1.0)):
            assert text(server.ask("POST", CHAT, {**SHORT, "temperature": asked})) == say({**SHORT, "temperature": meant})[0][0]
        assert text(server.ask("POST", CHAT, SHORT)) == say(SHORT)[0][0]
        assert server.ask("POST", CHAT, {**SHORT, "temperature": "hot"}).error["param"] == "temperature"
        assert counts(server)["quirks"] == {"clamp temperature": 3}
    with with_quirks({"quirk": "clamp", "parameter": "max_tokens", "high": 4}) as server:
        assert server.ask("POST", CHAT, SHORT).json["usage"]["completion_tokens"] == 4


def test_a_default_is_what_an_omitted_parameter_really_is():
    with with_quirks(
        {"quirk": "default", "parameter": "temperature", "value": 0}, {"quirk": "default", "parameter": "dimensions", "value": 3}
    ) as server:
        assert text(server.ask("POST", CHAT, SHORT)) == say({**SHORT, "temperature": 0})[0][0]
        assert text(server.ask("POST", CHAT, {**SHORT, "temperature": 1})) == say(SHORT)[0][0]
        assert len(server.ask("POST", "/v1/embeddings", EMBED).json["data"][0]["embedding"]) == 3


def test_no_done():
    with with_quirks({"quirk": "no_done"}) as server:
        reply = server.ask("POST", CHAT, STREAM)
        assert b"[DONE]" not in reply.body
        assert b'"finish_reason":"length"' in reply.body
        assert server.ask("POST", CHAT, SHORT).status == 200
        assert counts(server)["quirks"] == {"no_done": 1}


def test_no_usage():
    with with_quirks({"quirk": "no_usage"}) as server:
        assert "usage" not in server.ask("POST", CHAT, SHORT).json
        assert "usage" not in server.ask("POST", "/v1/embeddings", EMBED).json
        chunks = events(server.ask("POST", CHAT, {**STREAM, "stream_options": {"include_usage": True}}).body)
        assert all(chunk["choices"] and "usage" not in chunk for chunk in chunks)


@pytest.mark.parametrize("settings", [{}, {"temperature": 0}])
def test_noise_is_the_same_noise_for_the_same_requests(settings):
    body = {**SHORT, **settings}
    seen = []
    for _ in range(2):
        with with_quirks({"quirk": "noisy", "share": 0.3}, seed=5) as server:
            seen.append([text(server.ask("POST", CHAT, body)) for _ in range(60)])
            unseeded = {name: value for name, value in SHORT.items() if name != "seed"}
            server.ask("POST", CHAT, unseeded)
            noisy = counts(server)["quirks"]["noisy"]
    assert seen[0] == seen[1]
    usual = say(body)[0][0]
    assert sum(one != usual for one in seen[0]) == noisy
    assert abs(noisy - 18) < 4.5 * math.sqrt(60 * 0.3 * 0.7)


def test_without_a_share_all_calls_are_noisy():
    with with_quirks({"quirk": "noisy"}) as server:
        assert len({text(server.ask("POST", CHAT, {**SHORT, "temperature": 0})) for _ in range(8)}) > 4


def test_quirks_come_one_after_the_other():
    quirks = [Quirk("default", "temperature", value=2.0), Quirk("clamp", "temperature", high=1.0), Quirk("ignore", "seed"), Quirk("reject", "seed")]
    twisted = twist({"seed": 1}, quirks, "chat", 0, 0)
    assert (twisted.body, twisted.refusal) == ({"temperature": 1.0}, None)
    assert [str(quirk) for quirk in twisted.by] == ["default temperature", "clamp temperature", "ignore seed"]
    reverse = twist({"seed": 1}, quirks[::-1], "chat", 0, 0)
    assert [str(quirk) for quirk in reverse.by] == ["reject seed"]
    with pytest.raises(ApiError, match="'seed' is not supported"):
        reverse.asked()


@settings(deadline=None)
@given(
    st.none() | st.booleans() | st.text() | st.lists(st.integers()) | st.dictionaries(st.sampled_from(["seed", "temperature", "stream"]), st.text())
)
def test_quirks_take_any_body_and_change_none_in_place(body):
    before = json.dumps(body)
    quirks = [
        *(Quirk(name, parameter, low=0.0, high=1.0, value=1) for name in ("ignore", "clamp", "default") for parameter in ("seed", "temperature")),
        *(Quirk(name) for name in ("no_done", "no_usage", "noisy")),
    ]
    for route in ("chat", "embeddings"):
        twist(body, quirks, route, 0, 1)
    assert json.dumps(body) == before


# The file


GOOD = """
seed: 4
faults:                 # each with a share of requests
  - {fault: rate_limited, share: 0.1, retry_after_s: 1}
  - {fault: slow_first_token, share: 0.2, seconds: 0}
quirks:
  - {quirk: ignore, parameter: top_k}
  - {quirk: clamp, parameter: temperature, high: 1.0}
  - {quirk: default, parameter: temperature, value: 0.2}
  - {quirk: noisy, share: 0.5}
"""


def test_a_good_file(tmp_path):
    path = tmp_path / "trouble.yaml"
    path.write_text(GOOD)
    assert rehearsal.load(path) == Rehearsal(
        4,
        (Fault("rate_limited", 0.1, retry_after_s=1), Fault("slow_first_token", 0.2, seconds=0)),
        (
            Quirk("ignore", "top_k"),
            Quirk("clamp", "temperature", high=1.0),
            Quirk("default", "temperature", value=0.2),
            Quirk("noisy", share=0.5),
        ),
    )
    assert check({}) == Rehearsal()
    assert check({"faults": [{"fault": "stall", "share": 1}]}).faults[0].seconds == 30


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "top level: found nothing; expected a mapping with seed, faults, quirks"),
        ([], "top level: found a list; expected a mapping"),
        ({"fault": []}, "fault: unknown key; did you mean 'faults'?"),
        ({"seed": "a"}, "seed: found 'a'; expected a whole number"),
        ({"seed": True}, "seed: found true; expected a whole number"),
        ({"faults": {}}, "faults: found a mapping; expected a list"),
        ({"faults": ["stall"]}, "faults[0]: found 'stall'; expected a mapping, like {fault: rate_limited, ...}"),
        ({"faults": [{"share": 1}]}, "faults[0].fault: is missing; expected one of rate_limited, server_error,"),
        ({"faults": [{"fault": "stal", "share": 1}]}, "faults[0].fault: found 'stal'; did you mean 'stall'?"),
        ({"faults": [{"fault": "zzz", "share": 1}]}, "faults[0].fault: found 'zzz'; expected a fault, one of disconnect, malformed_json,"),
        ({"faults": [{"fault": "stall"}]}, "faults[0].share: is missing; expected a number from 0 to 1"),
        ({"faults": [{"fault": "stall", "share": 2}]}, "faults[0].share: found 2; expected a number from 0 to 1"),
        ({"faults": [{"fault": "stall", "share": "half"}]}, "faults[0].share: found 'half'; expected a number from 0 to 1"),
        ({"faults": [{"fault": "stall", "share": math.nan}]}, "faults[0].share: found nan; expected a number from 0 to 1"),
        ({"faults": [{"fault": "stall", "share": 1, "second": 1}]}, "faults[0].second: unknown key; did you mean 'seconds'?"),
        ({"faults": [{"fault": "server_error", "share": 1, "seconds": 1}]}, "faults[0].seconds: unknown key; expected a key, one of fault, share"),
        ({"faults": [{"fault": "stall", "share": 1, "seconds": -1}]}, "faults[0].seconds: found -1; expected a number from 0 to 86400"),
        ({"faults": [{"fault": "stall", "share": 0.6}] * 2}, "faults: their shares add up to 1.2; expected at most 1"),
        ({"quirks": [{"quirk": "ignore"}]}, "quirks[0].parameter: is missing; add it"),
        ({"quirks": [{"quirk": "ignor", "parameter": "n"}]}, "quirks[0].quirk: found 'ignor'; did you mean 'ignore'?"),
        ({"quirks": [{"quirk": "ignore", "parameter": "temprature"}]}, "quirks[0].parameter: found 'temprature'; did you mean 'temperature'?"),
        ({"quirks": [{"quirk": "ignore", "parameter": "messages"}]}, "found 'messages'; expected a parameter that a request may leave out"),
        ({"quirks": [{"quirk": "ignore", "parameter": 3}]}, "quirks[0].parameter: found 3; expected the name of a parameter"),
        (
            {"quirks": [{"quirk": "clamp", "parameter": "stop", "low": 1}]},
            "quirks[0].parameter: found 'stop'; expected a number to clamp: dimensions,",
        ),
        ({"quirks": [{"quirk": "clamp", "parameter": "temperature"}]}, "quirks[0]: has neither low nor high; expected one or both"),
        ({"quirks": [{"quirk": "clamp", "parameter": "temperature", "high": 3}]}, "quirks[0].high: found 3; expected a number from 0 to 2"),
        ({"quirks": [{"quirk": "clamp", "parameter": "n", "high": 1.5}]}, "quirks[0].high: found 1.5; expected a whole number from 1 to 128"),
        (
            {"quirks": [{"quirk": "clamp", "parameter": "top_p", "low": 1, "high": 0}]},
            "quirks[0]: low is 1 and high 0; expected low to be at most high",
        ),
        ({"quirks": [{"quirk": "default", "parameter": "temperature"}]}, "quirks[0].value: is missing; add it"),
        ({"quirks": [{"quirk": "default", "parameter": "temperature", "value": 3}]}, "quirks[0].value: Invalid 'temperature': decimal above maximum"),
        ({"quirks": [{"quirk": "default", "parameter": "dimensions", "value": 0}]}, "quirks[0].value: Invalid 'dimensions': integer below minimum"),
        (
            {"quirks": [{"quirk": "default", "parameter": "top_k", "value": 3}]},
            "quirks[0].parameter: found 'top_k'; expected one that may stand alone",
        ),
        ({"quirks": [{"quirk": "no_done", "share": 1}]}, "quirks[0].share: unknown key; expected a key, one of quirk"),
        ({"quirks": [{"quirk": "noisy", "share": 1.1}]}, "quirks[0].share: found 1.1; expected a number from 0 to 1"),
    ],
    ids=ascii,
)
def test_what_is_wrong_in_a_file_is_told(data, said):
    with pytest.raises(RehearsalError) as caught:
        check(data)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_everything_wrong_is_told_at_once():
    with pytest.raises(RehearsalError) as caught:
        check({"seed": [], "faults": [{"fault": "stal"}, {"fault": "stall", "share": 7}], "quirks": 1})
    assert [line.split(":")[0] for line in str(caught.value).split("\n")] == ["seed", "faults[0].fault", "faults[1].share", "quirks"]


keys = st.sampled_from(["fault", "quirk", "faults", "quirks", "share", "parameter", "value"])
plain_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from(["stall", "ignore", "seed"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner),
    max_leaves=10,
)


@settings(deadline=None)
@given(plain_data)
def test_any_file_is_a_rehearsal_or_told_what_is_wrong(data):
    with contextlib.suppress(RehearsalError):
        check(data)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"seed: 1\nseed: 2\n", ": line 2: not valid YAML: the key 'seed' stands twice; keep one"),
        (b"faults: [\n", ": line 2: not valid YAML"),
        (b"\tseed: 1\n", ": line 1: not valid YAML"),
        (b"a: *b\n", ": line 1: not valid YAML: found undefined alias"),
        (b"\xff\xfe\x00", ": the file is not UTF-8; save it as UTF-8"),
        (b"a: " + b"[" * 2000, ": not valid YAML"),
        (b"seed: 1\x00", ": not valid YAML"),
        (b"? {}\n", ": not valid YAML"),
        (b"", ": top level: found nothing; expected a mapping"),
        (b"#" * 1_000_001, ": the file is larger than 1000000 bytes"),
    ],
    ids=lambda value: ascii(value[:20]),
)
def test_a_file_that_cannot_be_read_is_told(tmp_path, content, said):
    path = tmp_path / "trouble.yaml"
    path.write_bytes(content)
    with pytest.raises(RehearsalError) as caught:
        rehearsal.load(path)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)


def test_the_command_line_serves_a_rehearsal(tmp_path):
    path = tmp_path / "trouble.yaml"
    path.write_text("faults:\n  - {fault: disconnect, share: 1}\nquirks:\n  - {quirk: no_usage}\n")
    with Served("--faults", str(path)) as server:
        for _ in range(3):
            with pytest.raises(http.client.IncompleteRead):
                server.ask("POST", CHAT, SHORT)
        assert server.ask("GET", "/faults").json == {"requests": 3, "answered": 0, "faults": {"disconnect": 3}, "quirks": {"no_usage": 3}}
        assert server.end() == ""


def test_without_a_rehearsal_there_are_no_counts():
    with Served() as server:
        assert server.ask("GET", "/faults").error["type"] == "invalid_request_error"
        assert server.ask("GET", "/v1/faults").status == 404


def test_the_command_line_tells_what_is_wrong(evalkit, tmp_path):
    done = evalkit("serve", "--port", 0, "--faults", tmp_path / "nowhere.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {tmp_path / 'nowhere.yaml'}: cannot be read: No such file or directory; check the path\n"
    path = tmp_path / "trouble.yaml"
    path.write_text("faults: [{fault: stal}]\nquirks: [{quirk: no_don}]\n")
    done = evalkit("serve", "--port", 0, "--faults", path)
    assert done.returncode == 2
    assert done.stderr == (
        f"error: {path}: faults[0].fault: found 'stal'; did you mean 'stall'?\n{path}: quirks[0].quirk: found 'no_don'; did you mean 'no_done'?\n"
    )
    assert "--faults FILE" in evalkit("serve", "--help").stdout


def test_the_counts_want_the_key_too(tmp_path):
    path = tmp_path / "trouble.yaml"
    path.write_text("faults: [{fault: server_error, share: 1}]")
    with Served("--faults", str(path), "--api-key-env", "KEY_OF_A_TEST", KEY_OF_A_TEST="k") as server:
        assert server.ask("GET", "/faults").status == 401
        assert server.ask("POST", CHAT, SHORT).status == 401
        told = server.ask("GET", "/faults", Authorization="Bearer k").json
        assert (told["requests"], told["answered"]) == (0, 0)
