"""What a probe of meaning says of planted manners, of a plain endpoint, and of endpoints that give it trouble."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import random
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest
from rich.console import Console
from support.local import api, in_thread, real_model
from support.process import ROOT

from evalkit.client.reply import Reply
from evalkit.errors import RecordError
from evalkit.local import rehearsal
from evalkit.local.api import MODEL_NAME, Api
from evalkit.local.server import app
from evalkit.present.terminal.meaning import of_compared, of_meaning
from evalkit.probe import KNOWN, VERSION, Finding, LeftOut, Probe, subject, survey
from evalkit.probe.endpoint import Probed
from evalkit.probe.findings import read_probe, with_earlier
from evalkit.probe.meaning import penalties
from evalkit.probe.meaning.asking import Asking
from evalkit.probe.meaning.contexts import Context
from evalkit.probe.meaning.found import QUESTIONS, Answered
from evalkit.probe.meaning.survey import ask_meaning
from evalkit.store.meanings import Corner, Meaning, read_meanings
from evalkit.store.records import Completion, Failure, Usage

Command = Callable[..., subprocess.CompletedProcess[str]]


def _worlds() -> ModuleType:
    spec = importlib.util.spec_from_file_location("meaning_worlds", ROOT / "benchmarks" / "meaning_worlds.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WORLDS = _worlds()
SEVERAL = (
    ["order", "hidden both", "window 64", "max_tokens wins", "kept", "counts end", "0 is unset", "temperature 0.7", "copies", "raw"],
    ["multiplied", "not at 0", "hidden top_p", "ceiling 1.5", "top_p 0 off", "alone", "fixed", "0 is none", "missed", "hidden tokens", "tempered"],
    ["alike", "raised", "beyond taken", "neighbours", "temperature left at 0", "trimmed not counted", "many stops", "smaller wins", "filters"],
)
"""All kinds of manners, in three endpoints."""


def quirks_of(names: Sequence[str]) -> list[dict[str, Any]]:
    return [WORLDS.MANNERS[name][0] for name in names]


def drawing(seed: int) -> Api:
    return Api(real_model(), draw=random.Random(seed).getrandbits)  # noqa: S311 (to be the same each time)


def found_at(caller: Any, most_calls: int = 460) -> tuple[dict[str, Meaning], Probed]:
    endpoint = Probed(caller, MODEL_NAME, most_calls, 8, np.random.default_rng(4))
    return {one.question: one for one in asyncio.run(ask_meaning(endpoint)).meaning}, endpoint


TRIALS = [([], True), (SEVERAL[0], True), (SEVERAL[0], False), (SEVERAL[1], False), (SEVERAL[2], True)]


@pytest.mark.slow
@pytest.mark.parametrize(("names", "logprobs"), TRIALS, ids=["plain", "like llama.cpp", "the same without logprobs", "like transformers", "others"])
def test_the_planted_manners_are_told_and_no_others(names: list[str], logprobs: bool) -> None:
    quirks = [*quirks_of(names), *([] if logprobs else [WORLDS.NO_LOGPROBS])]
    found, calls = WORLDS.probed(drawing(1), quirks, 1, 600)
    verdicts = WORLDS.judged(found, WORLDS.expected(names, logprobs))
    assert list(found) == list(QUESTIONS)
    assert not {question: (found[question].answer, found[question].evidence) for question, verdict in verdicts.items() if verdict == "wrong"}
    assert sum(verdict == "inconclusive" for verdict in verdicts.values()) <= 3
    assert calls <= (460 if logprobs else 600)


def test_every_answer_has_its_evidence_its_calls_and_a_sentence() -> None:
    found, calls = WORLDS.probed(drawing(2), quirks_of(["order", "counts prompt"]), 2)
    assert sum(one.calls for one in found.values()) <= calls
    assert found["order_top_p"].ratio is not None
    assert found["order_top_p"].ratio > 500
    assert "top_p acts before temperature here" in found["order_top_p"].says
    assert found["penalties_count"].p is not None
    assert found["penalties_count"].p < 0.01
    assert all(one.evidence and one.says for one in found.values())


@pytest.mark.parametrize(("count", "answer"), [("prompt", "prompt alone"), ("both", "prompt too")])
def test_whether_an_answer_counts_beside_its_prompt_is_told(count: str, answer: str) -> None:
    found, _ = WORLDS.probed(drawing(5), [{"quirk": "penalties", "count": count}], 5)
    assert (found["penalties_count"].standing, found["penalties_count"].answer) == ("own", answer)
    assert "after a prompt of one mark" in found["penalties_count"].evidence
    assert found["penalties_window"].answer == "over 300"


def test_the_calls_are_bounded_and_what_was_not_reached_is_inconclusive() -> None:
    found, endpoint = found_at(WORLDS.InProcess(drawing(3), []), 60)
    assert endpoint.calls == 60
    assert found["seed_repeats"].answer == "repeats"
    assert found["count_end"].standing == "inconclusive"
    assert "60 calls were used up" in found["count_hidden"].evidence


@pytest.mark.parametrize("told", [True, False], ids=["seeds ignored", "seeds refused"])
def test_without_seeds_orders_are_sampled_and_the_rest_is_honest(told: bool) -> None:
    seeds = {"quirk": "ignore" if told else "reject", "parameter": "seed"}
    found, _ = found_at(WORLDS.InProcess(drawing(5), [{"quirk": "order", "value": "top_p_first"}, {"quirk": "penalties", "count": "both"}, seeds]))
    assert found["seed_repeats"].answer == "does not"
    assert found["order_top_p"].answer == "top_p first"
    assert found["temperature_0"].answer == "greedy"
    assert found["penalties_count"].answer in ("prompt too", None)
    right = WORLDS.expected(["order", "counts prompt"]) | dict.fromkeys(("seed_repeats", "seed_beside", "seed_near"))
    wrong = {question for question, verdict in WORLDS.judged(found, right).items() if verdict == "wrong"}
    assert wrong <= {"seed_repeats"}  # which the plain endpoint of `right` has


class Unrepeating:
    """Answers that say no word twice, unless a penalty below 0 invites it; a penalty changes them, and which one is no matter before a third time."""

    def __init__(self, refuses: bool) -> None:
        self._refuses = refuses

    async def call(self, body: Mapping[str, Any], messages: Sequence[Any], **_: Any) -> Reply:
        which, value = next(((name, body[name]) for name in ("frequency_penalty", "presence_penalty") if name in body), ("", 0))
        if value < 0 and self._refuses:
            return Reply(failure=Failure(kind="rejected", message="below 0", tries=1, status=400))
        chance = random.Random(f"{body['seed']} {value} {which if value < 0 else ''} {messages}")  # noqa: S311 (to be the same each time)
        words = [f"w{number}" for number in chance.sample(range(10**6), 30)]
        text = " ".join(words + words[:9] * 2 * (value < 0))
        return Reply((Completion(text=text, finish_reason="length", usage=None, latency_s=1e-3, tries=1),))


@pytest.mark.parametrize(("refuses", "answer"), [(True, None), (False, "apart")])
def test_penalties_are_alike_only_where_words_come_a_third_time(refuses: bool, answer: str | None) -> None:
    asking = Asking(Probed(Unrepeating(refuses), "m", 100, 8, np.random.default_rng(1)))
    asking.basis, asking.repeats = "seed", 20
    found = asyncio.run(penalties.apart(asking, {"penalties_kind": Answered("additive", "")}))
    assert (found.answer, found.there) == (answer, True)
    assert "words were said a third time or more 0 times there" in found.evidence


class OfManyTokens:
    """Answers one word, which every prompt may hold, and counts three tokens for each 'ok' of a prompt."""

    def __init__(self, sees: int) -> None:
        self._sees, self.fillers = sees, set[int]()

    async def call(self, body: Mapping[str, Any], messages: Sequence[Any], **_: Any) -> Reply:
        times = messages[-1]["content"].count(" ok")
        self.fillers.add(times)
        text = "other" if "frequency_penalty" in body and 3 * times <= self._sees else "word"
        answer = Completion(text=text, finish_reason="length", usage=None, latency_s=1e-3, tries=1)
        return Reply((answer,), usage=Usage(prompt_tokens=5 + 3 * times, completion_tokens=1, total_tokens=6 + 3 * times))


@pytest.mark.parametrize(("sees", "answer"), [(400, "over 300"), (60, "30 to 100"), (10, "0 to 30"), (-1, None)])
def test_how_far_back_is_counted_in_tokens_of_the_endpoint(sees: int, answer: str | None) -> None:
    caller = OfManyTokens(sees)
    asking = Asking(Probed(caller, "m", 200, 8, np.random.default_rng(1)))
    context = Context([{"role": "user", "content": "Say a word."}], warm=Counter(word=9))
    known = {"penalties_count": Answered("prompt too", ""), "penalties_kind": Answered("additive", "")}
    found = asyncio.run(penalties.window(asking, [context], known))
    assert (found.answer, found.there) == (answer, True)
    assert caller.fillers <= {0, 30, 10, 33, 100}  # the first two tell that each is three tokens


class Refusing:
    """An endpoint that does with a call what `refusal` says: nothing, or the reply that it gets instead."""

    def __init__(self, inner: Any, refusal: Callable[[int, Mapping[str, Any]], Failure | None]) -> None:
        self._inner, self._refusal, self._number = inner, refusal, 0

    async def call(self, body: Mapping[str, Any], messages: Sequence[Any], *, stream: bool = False) -> Reply:
        self._number += 1
        failure = self._refusal(self._number, body)
        if failure is None:
            return await self._inner.call(body, messages, stream=stream)
        return Reply(failure=failure, again=failure.kind == "rate_limited", wait_s=0.001 if failure.kind == "rate_limited" else None)


def test_where_answers_of_one_token_are_refused_the_first_word_of_longer_ones_is_looked_at() -> None:
    def refusal(_: int, body: Mapping[str, Any]) -> Failure | None:
        short = 0 < body.get("max_tokens", 99) < 16
        return Failure(kind="rejected", message="max_tokens must be at least 16", tries=1, status=400) if short else None

    found, _ = found_at(Refusing(WORLDS.InProcess(drawing(6), [{"quirk": "order", "value": "top_p_first"}, WORLDS.NO_LOGPROBS]), refusal), 120)
    assert found["order_top_p"].answer in ("top_p first", None)
    assert found["seed_repeats"].answer == "repeats"
    assert not any("Traceback" in one.evidence for one in found.values())


def test_an_endpoint_that_dies_half_way_leaves_what_was_found() -> None:
    def refusal(number: int, _: Mapping[str, Any]) -> Failure | None:
        return Failure(kind="connection", message="connection refused", tries=1) if number > 90 else None

    found, endpoint = found_at(Refusing(WORLDS.InProcess(drawing(7), []), refusal))
    assert found["order_top_p"].answer == "temperature first"
    assert found["count_end"].standing == "inconclusive"
    assert "it answers no more (connection: connection refused)" in found["count_end"].evidence
    assert endpoint.calls < 110


def test_calls_that_are_limited_are_made_again() -> None:
    def refusal(number: int, _: Mapping[str, Any]) -> Failure | None:
        return Failure(kind="rate_limited", message="slow down", tries=1, status=429) if number % 9 == 0 and number < 40 else None

    found, _ = found_at(Refusing(WORLDS.InProcess(drawing(8), []), refusal))
    right = WORLDS.judged(found, WORLDS.PLAIN)
    assert "wrong" not in right.values()
    assert list(right.values()).count("inconclusive") <= 2


# The file, and what is shown


def probe_of(meaning: Sequence[Meaning] = (), **more: Any) -> Probe:
    fields = {"base_url": "http://a/v1", "model": "m", "at": "", "calls": 0, "repeats_under_seed": "", "repeats_at_temperature_0": "", "notes": []}
    return Probe(**{**fields, "findings": [], "left_out": [], "meaning": list(meaning), **more})


def meaning(question: str, answer: str | None, standing: Any = "own") -> Meaning:
    return Meaning(question=question, standing=standing, answer=answer, says=f"says {answer}", evidence="seen", calls=3, p=0.001)


def test_an_older_probe_is_told_and_what_it_found_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "probe.json"
    old = {"v": 1, "base_url": "local", "model": "babbler", "at": "", "calls": 9, "repeats_under_seed": "yes", "repeats_at_temperature_0": "yes"}
    finding = {"parameter": "temperature", "verdict": "honoured", "evidence": "seen", "calls": 9}
    path.write_text(json.dumps({**old, "findings": [finding], "left_out": [], "notes": []}))
    found, told = read_probe(path)
    assert (found.v, found.findings[0].parameter, found.meaning) == (VERSION, "temperature", [])
    assert "older evalkit (version 1)" in told[0]
    assert read_meanings(path) == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "not JSON"),
        ("[]", "found version None"),
        ('{"v": 99}', "found version 99; expected at most 3"),
        ('{"v": 2}', "no probe"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_probe_is_told_as_what_it_is(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "probe.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(RecordError, match=said):
        read_probe(path)
    assert read_meanings(path) == {}


def screen(part: Any) -> str:
    console = Console(file=StringIO(), width=100)
    console.print(part)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_manner_of_its_own_stands_first_and_two_endpoints_beside_each_other() -> None:
    one = probe_of([meaning("order_top_p", "top_p first"), meaning("seed_repeats", "repeats", "defined"), meaning("logprobs", None, "inconclusive")])
    text = screen(of_meaning(one))
    assert text.index("says top_p first") < text.index("By the definition") < text.index("Not found out: log probabilities")
    other = probe_of([meaning("order_top_p", "temperature first", "defined"), meaning("seed_repeats", "repeats", "defined")], model="[red]n")
    table = screen(of_compared(one, other))
    assert "top_p first" in table
    assert "temperature first" in table
    assert "[red]n" in table
    assert "2 questions were asked of both; the two differ in 1 thing" in table
    assert "differ in nothing" in screen(of_compared(one, one))
    further = probe_of([meaning("order_top_p", "top_p first"), meaning("logprobs", "raw", "own")])
    beneath = " ".join(screen(of_compared(one, further)).split())
    assert "the two differ in nothing; 1 found out on one side alone may be the same" in beneath
    assert "was not asked of both" in screen(of_compared(one, probe_of()))


def test_an_endpoint_that_died_is_told_of() -> None:
    dead = msgspec.structs.replace(meaning("logprobs", None, "inconclusive"), evidence="it answers no more (connection: refused)")
    assert "The endpoint did not live to answer all: it answers no more (connection: refused)." in screen(of_meaning(probe_of([dead])))


@pytest.mark.slow
def test_one_depth_leaves_in_the_file_what_the_other_found(tmp_path: Path) -> None:
    place = tmp_path / "probe.json"
    with in_thread(app(api(), rehearsal=rehearsal.check({"quirks": [{"quirk": "hidden", "top_k": 40}]}))) as server:
        probed = subject.subject_of_probe(None, f"http://127.0.0.1:{server.port}/v1", "babbler", None)
        first, _ = subject.probe(probed, place, depth="meaning", most_calls=110)
        second, _ = subject.probe(probed, place, most_calls=20)
    assert {one.question: one.answer for one in first.meaning}["hidden_top_k"] == "40"
    assert (second.meaning, first.calls_of_meaning) == (first.meaning, 110)
    assert second.findings
    assert read_probe(place) == (second, [])


@pytest.mark.slow
def test_the_command_compares_two_files_and_wants_a_depth_that_there_is(evalkit: Command, tmp_path: Path) -> None:
    path = tmp_path / "probe.json"
    path.write_bytes(msgspec.json.encode(probe_of([meaning("order_top_p", "top_p first")])))
    done = evalkit("probe", "--compare", str(path), str(path))
    assert (done.returncode, "the two differ in nothing" in done.stdout) == (0, True)


def test_a_probe_of_either_depth_says_why_it_ended_early_and_keeps_what_it_found() -> None:
    def refusal(number: int, _: Mapping[str, Any]) -> Failure | None:
        return Failure(kind="connection", message="connection refused", tries=1) if number > 40 else None

    for depth in (survey.probe, survey.probe_meaning):
        caller = Refusing(WORLDS.InProcess(drawing(9), []), refusal)
        found = asyncio.run(depth(caller, base_url="http://a/v1", model=MODEL_NAME, at="", rng=np.random.default_rng(1)))
        assert found.ended == "it answers no more (connection: connection refused)"
        assert found.calls + found.calls_of_meaning < 60
        told = [one.evidence for one in found.findings] + [one.evidence for one in found.meaning]
        assert told[-1].startswith("it answers no more")
        assert any(one.verdict == "honoured" for one in found.findings) or any(one.standing == "defined" for one in found.meaning)


def test_what_a_probe_did_not_come_to_is_kept_from_the_one_before_and_told() -> None:
    gone = "it answers no more (connection: refused)"
    corner = Corner(temperature=1.5, top_p=0.5, standing="own", says="far", evidence="seen", calls=60, by="samples")
    asked = {one: meaning(one, "found") for one in ("order_top_p", "logprobs", "limit_0", "stop_cut")}
    before = probe_of([*asked.values()], at="May", corners=[corner], findings=[Finding(parameter="n", verdict="honoured", evidence="seen", calls=2)])
    lost = {"order_top_p": gone, "logprobs": "the 40 calls were used up before it was sure", "limit_0": "answers differ"}
    now = [msgspec.structs.replace(meaning(one, None, "inconclusive"), evidence=why) for one, why in lost.items()] + [meaning("stop_cut", "other")]
    dead = msgspec.structs.replace(corner, standing="inconclusive", evidence=gone, calls=0)
    found = with_earlier(probe_of(now, at="June", corners=[dead], ended=gone), before)
    assert [(one.question, one.answer) for one in found.meaning] == [
        ("order_top_p", "found"),
        ("logprobs", "found"),
        ("limit_0", None),
        ("stop_cut", "other"),
    ]
    assert (found.meaning[0].evidence, found.corners[0].evidence) == ("seen (kept from May)", "seen (kept from May)")
    assert (found.at, found.ended, found.findings) == ("June", gone, before.findings)
    assert found.notes == [
        "kept from the probe of May, for this one did not come to it: order_top_p, logprobs, distance at temperature 1.5, top_p 0.5"
    ]
    once_more = with_earlier(probe_of(now, at="July", ended=gone), found)
    assert once_more.meaning[0].evidence == "seen (kept from May)"
    assert with_earlier(probe_of(now, model="another"), before).meaning == now


def test_a_usual_probe_that_dies_keeps_what_was_found_of_parameters() -> None:
    def refusal(number: int, _: Mapping[str, Any]) -> Failure | None:
        return Failure(kind="connection", message="connection refused", tries=1) if number > 40 else None

    asked = {"base_url": "http://a/v1", "model": MODEL_NAME}
    caller = Refusing(WORLDS.InProcess(drawing(9), []), refusal)
    dead = asyncio.run(survey.probe(caller, at="June", rng=np.random.default_rng(1), **asked))
    whole = [Finding(parameter=name, verdict="honoured", evidence="seen", calls=2) for name in KNOWN]
    left_out = [LeftOut(parameter="top_p", equals=1, evidence="seen")]
    found = with_earlier(dead, probe_of(**asked, at="May", findings=whole, left_out=left_out))
    assert not [one for one in found.findings if one.verdict == "inconclusive"]
    assert [one for one in found.findings if "kept from May" in one.evidence]
    assert [one for one in found.findings if "kept from May" not in one.evidence]
    assert (found.left_out, found.ended) == (left_out, dead.ended)


class Dying(BaseHTTPRequestHandler):
    """Answers so many requests, and no more."""

    left = 12

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        Dying.left -= 1
        self.answer({"choices": [{"index": 0, "message": {"role": "assistant", "content": f"word {Dying.left}"}, "finish_reason": "stop"}]})

    def do_GET(self) -> None:
        self.answer({"data": [{"id": "mortal"}]})

    def answer(self, content: Mapping[str, Any]) -> None:
        body = json.dumps(content if Dying.left > 0 else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.slow
def test_the_command_ends_with_3_where_the_endpoint_dies_half_way(evalkit: Command, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Dying) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        place = tmp_path / "probe.json"
        done = evalkit("probe", "--depth", "meaning", "--base-url", f"http://127.0.0.1:{server.server_port}/v1", "-o", str(place))
        server.shutdown()
    assert done.returncode == 3, done.stderr
    assert "the probe is incomplete: it answers no more" in done.stderr
    assert "what was found is kept" in done.stderr
    assert read_probe(place)[0].ended
    thread.join()


def test_a_probe_of_the_version_before_keeps_what_it_found_and_is_told(tmp_path: Path) -> None:
    path = tmp_path / "probe.json"
    data = msgspec.to_builtins(probe_of([meaning("order_top_p", "top_p first")]))
    path.write_text(json.dumps({**{name: value for name, value in data.items() if name not in ("corners", "ended")}, "v": 2}))
    found, told = read_probe(path)
    assert (found.v, found.meaning[0].answer, found.corners) == (VERSION, "top_p first", [])
    assert "older evalkit (version 2)" in told[0]
    assert "how far first tokens are from the definition" in told[0]
    assert read_meanings(path)["order_top_p"].answer == "top_p first"


def test_distances_are_shown_and_compared() -> None:
    far = Corner(temperature=1.5, top_p=0.5, standing="own", says="at a corner far away", evidence="seen", calls=40, by="samples")
    far = msgspec.structs.replace(far, distance=0.4, low=0.3, high=0.6, p=0.0005)
    near = msgspec.structs.replace(far, standing="defined", distance=0.0, low=0.0, high=0.2, p=0.9)
    asked = [meaning("seed_repeats", "repeats", "defined")]
    assert "At a corner far away (p = 0.0005)" in screen(of_meaning(probe_of(asked, corners=[far])))
    table = screen(of_compared(probe_of(asked, corners=[far]), probe_of(asked, corners=[near], model="n")))
    assert "40% (30% to 60%)" in table
    assert "differ in 1 thing" in table
