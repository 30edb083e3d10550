"""The probe names the quirk that is planted in an endpoint, and no other."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
from rich.console import Console
from support.endpoints import Answer, Asked, completion, serving
from support.local import api, in_thread, real_model
from support.process import ROOT

from evalkit.experiment.experiment import check
from evalkit.local import rehearsal
from evalkit.local.api import Api, Chat
from evalkit.local.server import app
from evalkit.present.terminal.probe import of_probe
from evalkit.probe import KNOWN, Finding, Probe, only_model, subject

Command = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.slow

# planted: (the quirk, what it makes of which parameter)
QUIRKS: dict[str, tuple[str, dict[str, str]]] = {
    "none": ("", {}),
    "temperature ignored": ("{quirk: ignore, parameter: temperature}", {"temperature": "ignored"}),
    "top_p ignored": ("{quirk: ignore, parameter: top_p}", {"top_p": "ignored"}),
    "frequency_penalty ignored": ("{quirk: ignore, parameter: frequency_penalty}", {"frequency_penalty": "ignored"}),
    "presence_penalty ignored": ("{quirk: ignore, parameter: presence_penalty}", {"presence_penalty": "ignored"}),
    "max_tokens ignored": ("{quirk: ignore, parameter: max_tokens}", {"max_tokens": "ignored"}),
    "stop ignored": ("{quirk: ignore, parameter: stop}", {"stop": "ignored"}),
    "seed ignored": ("{quirk: ignore, parameter: seed}", {"seed": "ignored"}),
    "n ignored": ("{quirk: ignore, parameter: n}", {"n": "ignored"}),
    "logit_bias ignored": ("{quirk: ignore, parameter: logit_bias}", {"logit_bias": "ignored"}),
    "logprobs ignored": ("{quirk: ignore, parameter: logprobs}", {"logprobs": "ignored"}),
    "stream ignored": ("{quirk: ignore, parameter: stream}", {"stream": "ignored"}),
    "response_format ignored": ("{quirk: ignore, parameter: response_format}", {"response_format": "ignored"}),
    "tools ignored": ("{quirk: ignore, parameter: tools}", {"tools": "ignored"}),
    "usage never": ("{quirk: no_usage}", {"stream_options.include_usage": "ignored"}),
    "presence_penalty rejected": ("{quirk: reject, parameter: presence_penalty}", {"presence_penalty": "rejected"}),
    "seed rejected": ("{quirk: reject, parameter: seed}", {"seed": "rejected"}),
    "temperature clamped": ("{quirk: clamp, parameter: temperature, high: 1.0}", {"temperature": "clamped"}),
    "frequency_penalty clamped": ("{quirk: clamp, parameter: frequency_penalty, high: 0.5}", {"frequency_penalty": "clamped"}),
    "max_tokens clamped": ("{quirk: clamp, parameter: max_tokens, low: 16}", {"max_tokens": "clamped"}),
}


class Capped(Api):
    """An endpoint that ends each answer after 400 tokens: where a limit is ignored, the embedded model would write thousands."""

    def chat(self, body: object, *manners: Any) -> Chat:
        found = super().chat(body, *manners)
        return found._replace(limit=min(found.limit, 400))


@contextmanager
def served(folder: Path, quirk: str) -> Iterator[str]:
    """An endpoint with one quirk, on a real socket."""
    rehearsed = None
    if quirk:
        (folder / "faults.yaml").write_text(f"quirks:\n  - {quirk}\n")
        rehearsed = rehearsal.load(folder / "faults.yaml")
    model = Capped(real_model(), ("babbler",)) if quirk == QUIRKS["max_tokens ignored"][0] else api()
    with in_thread(app(model, rehearsal=rehearsed)) as server:
        yield f"http://127.0.0.1:{server.port}/v1"


def probed(base_url: str, **more: object) -> Probe:
    result, _ = subject.probe(subject.subject_of_probe(None, base_url, "babbler", None), **more)
    return result


@pytest.mark.parametrize("name", QUIRKS)
def test_the_planted_quirk_is_named_and_nothing_else_is_called_ignored_rejected_or_clamped(tmp_path: Path, name: str) -> None:
    quirk, expected = QUIRKS[name]
    with served(tmp_path, quirk) as base_url:
        result = probed(base_url)
    verdicts = {one.parameter: one.verdict for one in result.findings}
    assert list(verdicts) == list(KNOWN)
    odd = {parameter: verdict for parameter, verdict in verdicts.items() if verdict not in ("honoured", "inconclusive")}
    if name == "stream ignored":  # where nothing streams, usage in a stream cannot be asked for
        odd.pop("stream_options.include_usage", None)
    if name in ("max_tokens ignored", "max_tokens clamped"):
        odd.pop("max_completion_tokens", None)
    assert odd == expected, [one for one in result.findings if one.verdict != "honoured"]
    assert sum(verdict == "inconclusive" for verdict in verdicts.values()) <= 2
    assert result.calls <= 200


def test_what_a_left_out_parameter_equals_is_told(tmp_path: Path) -> None:
    with served(tmp_path, "{quirk: default, parameter: temperature, value: 0.2}") as base_url:
        result = probed(base_url)
    equals = {one.parameter: one.equals for one in result.left_out}
    assert equals == {"temperature": 0.2, "top_p": 1.0, "frequency_penalty": 0.0, "presence_penalty": 0.0}


def found(answer: Callable[[Asked], Answer]) -> dict[str, Finding]:
    with serving(answer) as endpoint:
        result, _ = subject.probe(subject.subject_of_probe(None, endpoint.url, "tiny", None))
    return {one.parameter: one for one in result.findings}


def test_answers_that_are_short_by_nature_say_nothing_of_limits_and_stops() -> None:
    findings = found(lambda _: Answer(body=completion("Hello")))
    unsure = {name: findings[name].verdict for name in ("max_tokens", "stop", "seed")}
    assert unsure == dict.fromkeys(unsure, "inconclusive")
    assert findings["temperature"].verdict == "ignored"


def test_words_are_not_taken_for_tokens() -> None:
    def answer(asked: Asked) -> Answer:
        # A word is two tokens here, and nobody counts them.
        limit = asked.body.get("max_tokens", asked.body.get("max_completion_tokens", 48))
        return Answer(body=completion("word " * (limit // 2), finish_reason="length", usage=None))

    finding = found(answer)["max_tokens"]
    assert finding.verdict == "honoured"
    assert "words (the endpoint counts no tokens)" in finding.evidence


def test_tools_of_which_only_any_can_be_demanded_are_honoured() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    choice = {"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}

    def answer(asked: Asked) -> Answer:
        if isinstance(asked.body.get("tool_choice"), dict):
            return Answer(400, body=b'{"error": {"message": "tool_choice must be a string", "param": "tool_choice"}}')
        return Answer(body=completion("x y", choices=[choice])) if "tools" in asked.body else Answer(body=completion("x y"))

    finding = found(answer)["tools"]
    assert finding.verdict == "honoured"
    assert "tool_choice must be a string" in finding.evidence


def test_streams_without_done_are_a_note(tmp_path: Path) -> None:
    with served(tmp_path, "{quirk: no_done}") as base_url:
        result = probed(base_url)
    assert "streams end without [DONE]" in result.notes


def test_the_budget_of_calls_is_kept_and_what_was_not_reached_is_inconclusive(tmp_path: Path) -> None:
    with served(tmp_path, "") as base_url:
        result = probed(base_url, most_calls=40)
    assert result.calls == 40
    assert result.findings[-1].verdict == "inconclusive"
    assert "used up" in result.findings[-1].evidence


def test_the_command_exits_1_where_an_experiment_sweeps_what_is_ignored(evalkit: Command, tmp_path: Path) -> None:
    with served(tmp_path, "{quirk: ignore, parameter: presence_penalty}") as base_url:
        text = (ROOT / "experiments/quickstart.yaml").read_text().replace("base_url: local", f"base_url: {base_url}")
        text = text.replace("prompts: prompts/quickstart.yaml", "prompts: [{id: a, user: b}]")
        (tmp_path / "x.yaml").write_text(text)
        done = evalkit("probe", "x.yaml")
        fine = evalkit("probe", "--base-url", base_url, "--model", "babbler", "-o", "probe.json")
    assert done.returncode == 1
    assert "presence_penalty is ignored" in done.stderr
    stored = json.loads((tmp_path / "results/quickstart/probe.json").read_text())
    assert {one["parameter"]: one["verdict"] for one in stored["findings"]}["presence_penalty"] == "ignored"
    assert fine.returncode == 0
    assert (tmp_path / "probe.json").exists()


def test_a_dry_run_sends_nothing(evalkit: Command) -> None:
    done = evalkit("probe", "--base-url", "http://127.0.0.1:9/v1", "--model", "m", "--dry-run")
    assert done.returncode == 0
    assert "at most 200 calls, usually about 175" in done.stdout
    assert "temperature, top_p" in done.stdout


def test_the_only_model_listed_is_probed_and_how_many_calls_are_told_before(evalkit: Command, tmp_path: Path) -> None:
    with served(tmp_path, "") as base_url:
        done = evalkit("probe", "--base-url", base_url, "--calls", "60")
    assert done.returncode == 0
    first, *progress = done.stderr.splitlines()
    assert first == f"Probing babbler at {base_url}: at most 60 calls, usually about 60."
    assert all(re.fullmatch(r"[0-9]+ of 15 parameters, [0-9]+ calls on them; [a-z_.]+ is [a-z]+", line) for line in progress)
    assert "p: how probable" in done.stdout
    assert "inconclusive: these calls could not tell" in done.stdout


@pytest.mark.parametrize(
    ("listed", "only"),
    [
        (["babbler", "hashed-tfidf"], "babbler"),
        (["alfred-4", "text-embedding-3-small", "bge-reranker"], "alfred-4"),
        (["alfred-4", "alfred-5"], None),
        (["text-embedding-3-small"], None),
        ([], None),
    ],
)
def test_a_model_is_taken_only_where_there_is_no_choice(listed: list[str], only: str | None) -> None:
    assert only_model(listed) == only


def test_where_no_model_can_be_told_one_is_asked_for(evalkit: Command) -> None:
    assert "it lists none; give --model M" in evalkit("probe", "--base-url", "http://127.0.0.1:9/v1").stderr


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_keeps_to_the_width_and_names_stay_whole(columns: int) -> None:
    finding = Finding(parameter="max_completion_tokens", verdict="inconclusive", evidence="words " * 40 + "(p = 0.5)", calls=1)
    long = Finding(parameter="stream_options.include_usage", verdict="honoured", evidence="short", calls=1)
    about = {"base_url": "http://127.0.0.1/v1", "model": "m", "at": "", "calls": 2, "repeats_under_seed": "yes", "repeats_at_temperature_0": "yes"}
    console = Console(width=columns, file=StringIO())
    console.print(of_probe(Probe(**about, findings=[finding, long], left_out=[], notes=[])))
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= columns
    for whole in ("max_completion_tokens ", "stream_options. ", "include_usage "):
        assert any(line.startswith(whole) for line in lines)
    evidence = next(line for line in lines if line.startswith("max_completion_tokens ")).partition("inconclusive")[2].strip()
    assert len(evidence) >= columns // 2 - 6  # a line of it is not a word


def test_nothing_to_probe_and_two_things_are_told(evalkit: Command) -> None:
    assert "nothing to probe" in evalkit("probe").stderr
    assert "one or the other" in evalkit("probe", ROOT / "experiments/quickstart.yaml", "--model", "m").stderr


def test_own_parameters_of_an_experiment_are_probed_too() -> None:
    experiment = check(
        {"name": "x", "endpoint": {"base_url": "local", "model": "babbler"}, "prompts": [{"id": "a", "user": "b"}], "parameters": {"top_k": [5, 50]}}
    )
    assert subject.subject_of_probe(experiment, None, None, None).names()[-1] == "top_k"


WORDS = ["a", "list", "holds", "values", "in", "order", "and", "gives", "slices", "of", "them", "to", "names", "or", "classes", "raise", "errors"]


def babble(seed: object = None, number: int = 12) -> str:
    """Words that a seed decides, or chance where there is none."""
    return " ".join(np.random.default_rng(None if seed is None else list(str(seed).encode())).choice(WORDS, number))


def by_seed(asked: Asked) -> str:
    """Greedy at temperature 0, by the seed above it, and by chance without one."""
    hot = asked.body.get("temperature", 1)
    question = asked.body["messages"][0]["content"]
    seed = asked.body.get("seed", uuid4()) if hot else 0
    return babble((question, hot, seed))


def test_seeds_that_repeat_only_alone_are_honoured_and_told() -> None:
    running, lock = [0], threading.Lock()

    def answer(asked: Asked) -> Answer:
        with lock:
            running[0] += 1
            disturbed = running[0] > 1
        time.sleep(0.02)
        with lock:
            disturbed = disturbed or running[0] > 1
            running[0] -= 1
        return Answer(body=completion(babble() if disturbed and asked.body.get("temperature", 1) else by_seed(asked)))

    finding = found(answer)["seed"]
    assert finding.verdict == "honoured"
    assert finding.remark == "repeats only alone, one call at a time"
    assert "while other calls run" in finding.evidence


def test_neighbouring_seeds_that_give_copies_and_a_fixed_seed_are_told() -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(body=completion(babble((asked.body["messages"][0]["content"], asked.body.get("seed", 0) // 1000))))

    finding = found(answer)["seed"]
    assert finding.verdict == "honoured"
    assert "one fixed seed" in finding.remark
    assert "neighbouring seeds give copies" in finding.remark


def test_seeds_that_change_nothing_are_ignored_after_they_were_tried_alone() -> None:
    finding = found(lambda _: Answer(body=completion(babble(None, 40))))["seed"]
    assert finding.verdict == "ignored"
    assert "one call at a time" in finding.evidence


def test_answers_that_begin_alike_under_one_seed_are_no_ignored_seed() -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(body=completion(f"{babble(asked.body.get('seed'), 20)} {babble(None, 3)}"))

    finding = found(answer)["seed"]
    assert finding.verdict == "honoured"
    assert "begin alike" in finding.remark


@pytest.mark.parametrize(("inner", "remark"), [(False, "keeps the whole token"), (True, "misses a sequence within one token")])
def test_stop_sequences_that_are_kept_or_missed_within_a_token_are_told(inner: bool, remark: str) -> None:
    def answer(asked: Asked) -> Answer:
        text = by_seed(asked)
        for sequence in asked.body.get("stop", ()):
            if inner and sequence == " ":
                continue
            before, stop, after = text.partition(sequence)
            text = before if inner else before + stop + after.split(" ")[0]
        return Answer(body=completion(text))

    finding = found(answer)["stop"]
    assert finding.verdict == "honoured"
    assert remark in finding.remark


def test_what_always_fails_is_rejected_with_its_status() -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(500, body=b'{"error": "no"}') if {"logit_bias", "n"} & set(asked.body) else Answer(body=completion(by_seed(asked)))

    findings = found(answer)
    for name in ("logit_bias", "n"):
        assert findings[name].verdict == "rejected"
        assert findings[name].evidence.startswith("HTTP 500")


def test_too_few_answers_name_the_status() -> None:
    asked_before = [0]

    def answer(asked: Asked) -> Answer:
        if "presence_penalty" not in asked.body:
            return Answer(body=completion(by_seed(asked)))
        asked_before[0] += 1
        return Answer(503, body=b'{"error": "busy"}') if asked_before[0] > 2 else Answer(body=completion(by_seed(asked)))

    finding = found(answer)["presence_penalty"]
    assert finding.verdict == "inconclusive"
    assert "HTTP 503" in finding.evidence


@pytest.mark.parametrize("reason", ["length", "MAX_TOKENS", None])
def test_tools_are_not_called_ignored_where_the_limit_cut_the_answer_off(reason: str | None) -> None:
    def answer(asked: Asked) -> Answer:
        if "tools" not in asked.body:
            return Answer(body=completion(by_seed(asked)))
        limit = asked.body["max_tokens"]
        usage = {"prompt_tokens": 90, "completion_tokens": limit, "total_tokens": 90 + limit}
        return Answer(body=completion("let me think " * 20, finish_reason=reason, usage=usage))

    finding = found(answer)["tools"]
    assert finding.verdict == "inconclusive"
    assert "cut off before they could" in finding.evidence


def test_a_limit_is_known_to_be_kept_by_any_word_for_it() -> None:
    def answer(asked: Asked) -> Answer:
        limit = asked.body.get("max_tokens", asked.body.get("max_completion_tokens"))
        usage = {"prompt_tokens": 3, "completion_tokens": limit, "total_tokens": 3 + limit}
        return Answer(body=completion("word " * limit, finish_reason="max_output_tokens", usage=usage))

    assert "limit 8: answers of 8 tokens, 3 of 3 cut off" in found(answer)["max_tokens"].evidence


@pytest.mark.parametrize("verdict", ["honoured", "inconclusive"])
def test_the_table_stays_on_a_small_screen(verdict: str) -> None:
    findings = [Finding(parameter=name, verdict=verdict, evidence="words " * 60 + "(p = 0.5)", calls=9, remark="so " * 50) for name in KNOWN]
    about = {"base_url": "http://127.0.0.1/v1" * 9, "model": "m" * 99, "at": "", "calls": 2}
    noise = {"repeats_under_seed": "only one call at a time: 6 of 6 differ", "repeats_at_temperature_0": "yes, in 6 of 6 repetitions"}
    console = Console(width=80, file=StringIO())
    console.print(of_probe(Probe(**about, **noise, findings=findings, left_out=[], notes=[])))
    lines = console.file.getvalue().splitlines()
    assert len(lines) <= 24  # one more says where the evidence is
    assert max(map(len, lines)) <= 80
