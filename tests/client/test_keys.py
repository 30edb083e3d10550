"""Keys of a command: when it is run, what counts as a key, and that neither it nor what it printed is shown."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.endpoints import JSON, Answer, Asked, completion, serving

from evalkit.client import keys
from evalkit.client.client import Client
from evalkit.client.connection import bearer_key
from evalkit.client.keys import KeyCommand, NoKeyError, printed, read_key
from evalkit.client.reply import Reply
from evalkit.errors import AuthError
from evalkit.experiment.experiment import Experiment
from evalkit.store import embeddings, judgements
from evalkit.store.folder import load_experiment

Command = Callable[..., CompletedProcess[str]]


def counting(folder: Path, says: str = "k7f3q9z2x8-$n-of-many", wait_s: float = 0) -> list[str]:
    """A command that prints another key each time; it counts in ``<folder>/runs``."""
    script = folder / "key.sh"
    script.write_text(f'echo run >> "{folder}/runs"\nn=$(($(wc -l < "{folder}/runs")))\nsleep {wait_s}\necho "{says}"\n')
    return ["/bin/sh", str(script)]


def runs(folder: Path) -> int:
    path = folder / "runs"
    return len(path.read_text().splitlines()) if path.exists() else 0


def bearer(asked: Asked) -> str | None:
    return asked.headers.get("authorization")


def taking(*good: str) -> Callable[[Asked], Answer]:
    """Answers where one of these keys is sent, else 401."""

    def answer(asked: Asked) -> Answer:
        if bearer(asked) in [f"Bearer {key}" for key in good]:
            return Answer(200, JSON, completion("fine"))
        return Answer(401, JSON, json.dumps({"error": {"message": f"no such key: {bearer(asked)}"}}).encode())

    return answer


async def called(client: Client, times: int = 1) -> list[Reply]:
    return list(await asyncio.gather(*(client.call({"model": "m"}, [{"role": "user", "content": "Hi"}]) for _ in range(times))))


def calls(url: str, command: KeyCommand, times: int = 1) -> list[Reply]:
    async def go() -> list[Reply]:
        async with Client(url, command, concurrency=8) as client:
            return await called(client, times)

    return asyncio.run(go())


# What is a key


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="\"'{"), min_size=1, max_size=3000))
def test_one_line_is_the_key_whatever_ends_it(key: str) -> None:
    for end in ("", "\n", "\r\n", "\n\n", "  \n"):
        assert read_key((key + end).encode()) == (key, None)
    assert read_key(json.dumps({"token": key, "expires_at": 1_900_000_000, "type": "Bearer"}, indent=2).encode()) == (key, 1_900_000_000.0)


@pytest.mark.parametrize(
    ("told", "moment"),
    [
        ("2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC).timestamp()),
        ("2030-01-31T14:00:00+02:00", datetime(2030, 1, 31, 12, tzinfo=UTC).timestamp()),
        ("2030-01-31 12:00:00.000000", datetime(2030, 1, 31, 12, tzinfo=UTC).timestamp()),
        (1900000000, 1900000000.0),
        ("1900000000", 1900000000.0),
        (1900000000.5, 1900000000.5),
        (None, None),
    ],
)
def test_when_a_key_expires_is_told_in_several_ways(told: object, moment: float | None) -> None:
    assert read_key(json.dumps({"token": "abc", "expires_at": told}).encode()) == ("abc", moment)
    assert read_key(b'{"token": "abc"}') == ("abc", None)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (b"", "printed nothing"),
        (b" \n\n", "printed nothing"),
        (b"planted-1\nplanted-2\n", "printed several lines"),
        (b"planted: please log in first", "a line that is no key"),
        (b'"planted"', "a line that is no key"),
        ("plant\u00e9d".encode(), "a line that is no key"),
        (b"\xff\xfeplanted", "a line that is no key"),
        (b"planted\x00", "a line that is no key"),
        (b'["planted"]', "a line that is no key"),
        (b'{"token": "planted"', "a '{' and no JSON object"),
        (b'{"access": "planted"}', "a JSON object without a token"),
        (b'{"token": ["planted"]}', "a JSON object without a token"),
        (b'{"token": ""}', "a JSON object without a token"),
        (b'{"token": "planted\\nplanted"}', "printed several lines"),
        (b'{"token": "planted", "expires_at": "soon planted"}', "an expires_at that is no time"),
        (b'{"token": "planted", "expires_at": true}', "an expires_at that is no time"),
        (b'{"token": "planted", "expires_at": NaN}', "an expires_at that is no time"),
        (b'{"token": "planted", "expires_at": [1]}', "an expires_at that is no time"),
    ],
)
def test_anything_else_is_one_clear_error_that_shows_nothing_of_it(output: bytes, said: str) -> None:
    with pytest.raises(NoKeyError) as caught:
        read_key(output)
    assert said in str(caught.value)
    assert "planted" not in str(caught.value)
    assert len(str(caught.value)) <= 200, "a message of a failure is kept to that length"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["/bin/sh", "-c", "echo planted; echo planted >&2; exit 3"], "ended with status 3"),
        (["/bin/sh", "-c", "kill -9 $$"], "ended by signal 9"),
        (["/no/such/program"], "cannot be started: No such file or directory"),
        (["/etc"], "cannot be started: Permission denied"),
        (["/bin/sh", "-c", "yes planted"], "printed far more than a key"),
        (["/bin/sh", "-c", "echo planted; sleep 60"], "did not end within 0.5 s"),
        (["/bin/sh", "-c", "sleep 60 & echo planted"], "did not end within 0.5 s"),
    ],
)
def test_a_command_that_fails_hangs_or_floods_is_ended_and_told(monkeypatch: pytest.MonkeyPatch, command: list[str], said: str) -> None:
    monkeypatch.setattr(keys, "TIMEOUT_S", 0.5)
    began = time.monotonic()
    with pytest.raises(NoKeyError) as caught:
        asyncio.run(printed(command))
    assert said in str(caught.value)
    assert "planted" not in str(caught.value)
    assert time.monotonic() - began < 10


def test_no_shell_reads_the_arguments_and_nothing_is_typed_into_it() -> None:
    script = "import sys; print(sys.argv[1] + repr(sys.stdin.read()))"
    assert asyncio.run(printed([sys.executable, "-c", script, "$HOME;`id` *"])) == b"$HOME;`id` *''\n"


# When it is run


def test_it_is_run_once_for_all_who_call_and_not_before_a_call(tmp_path: Path) -> None:
    command = KeyCommand(counting(tmp_path, wait_s=0.2))
    with serving(taking("k7f3q9z2x8-1-of-many")) as endpoint:
        assert runs(tmp_path) == 0
        assert all(reply.completions for reply in calls(endpoint.url, command, 8))
        assert all(reply.completions for reply in calls(endpoint.url, command)), "in another event loop"
    assert runs(tmp_path) == 1
    assert {bearer(asked) for asked in endpoint.seen} == {"Bearer k7f3q9z2x8-1-of-many"}


def test_a_key_that_is_refused_is_renewed_once_and_all_who_met_it_are_answered(tmp_path: Path) -> None:
    command = KeyCommand(counting(tmp_path, wait_s=0.1))
    with serving(taking("k7f3q9z2x8-2-of-many")) as endpoint:
        assert all(reply.completions for reply in calls(endpoint.url, command, 8))
        sent = [bearer(asked) for asked in endpoint.seen]
    assert runs(tmp_path) == 2
    assert sent.count("Bearer k7f3q9z2x8-2-of-many") == 8


def test_who_learns_late_that_an_older_key_was_refused_takes_the_present_one(tmp_path: Path) -> None:
    command = KeyCommand(counting(tmp_path))

    def answer(asked: Asked) -> Answer:
        slow = asked.number == 0
        reply = taking("k7f3q9z2x8-2-of-many")(asked)
        return reply._replace(delay_s=1.0) if slow else reply

    with serving(answer) as endpoint:
        assert all(reply.completions for reply in calls(endpoint.url, command, 2))
    assert runs(tmp_path) == 2


def test_a_key_that_every_time_is_refused_ends_in_the_refusal(tmp_path: Path) -> None:
    with serving(taking()) as endpoint:
        (reply,) = calls(endpoint.url, KeyCommand(counting(tmp_path)))
        assert reply.fault == "key"
        assert reply.failure is not None
        assert "k7f3q9z2x8" not in reply.failure.message
        assert runs(tmp_path) <= 3
        fixed = KeyCommand(counting(tmp_path, "always-the-same-1"))
        before, seen = runs(tmp_path), len(endpoint.seen)
        (reply,) = calls(endpoint.url, fixed)
        assert reply.fault == "key"
    assert (runs(tmp_path) - before, len(endpoint.seen) - seen) == (2, 1), "the same key is not sent again"


@pytest.mark.parametrize("status", [403, 400, 500])
def test_nothing_but_a_401_has_a_key_renewed(tmp_path: Path, status: int) -> None:
    with serving(lambda _: Answer(status, JSON, b'{"error": {"message": "no"}}')) as endpoint:
        calls(endpoint.url, KeyCommand(counting(tmp_path)))
        assert len(endpoint.seen) == 1
    assert runs(tmp_path) == 1


def test_a_401_in_the_body_of_a_200_has_it_renewed_too(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        reply = taking("k7f3q9z2x8-2-of-many")(asked)
        return reply if reply.status == 200 else Answer(200, JSON, b'{"error": {"code": 401, "message": "token expired"}}')

    with serving(answer) as endpoint:
        (reply,) = calls(endpoint.url, KeyCommand(counting(tmp_path)))
    assert reply.completions
    assert runs(tmp_path) == 2


def test_a_key_is_renewed_before_it_expires(tmp_path: Path) -> None:
    said = '{\\"token\\": \\"k7f3q9z2x8-$n-of-many\\", \\"expires_at\\": $(($(date +%s) + 3))}'
    command = KeyCommand(counting(tmp_path, said))
    with serving(taking("k7f3q9z2x8-1-of-many", "k7f3q9z2x8-2-of-many")) as endpoint:
        calls(endpoint.url, command, 4)
        assert runs(tmp_path) == 1
        time.sleep(3)
        assert all(reply.completions for reply in calls(endpoint.url, command, 4))
    assert runs(tmp_path) == 2
    assert {bearer(asked) for asked in endpoint.seen[4:]} == {"Bearer k7f3q9z2x8-2-of-many"}


def test_a_key_that_expired_long_ago_by_its_own_word_is_used_until_it_is_refused(tmp_path: Path) -> None:
    said = '{\\"token\\": \\"k7f3q9z2x8-$n-of-many\\", \\"expires_at\\": 12}'
    command = KeyCommand(counting(tmp_path, said))
    with serving(taking("k7f3q9z2x8-1-of-many")) as endpoint:
        for _ in range(3):
            assert all(reply.completions for reply in calls(endpoint.url, command))
    assert runs(tmp_path) == 1


def test_every_key_that_it_ever_gave_is_masked(tmp_path: Path) -> None:
    command = KeyCommand(counting(tmp_path))
    said = [f"k7f3q9z2x8-{number}-of-many" for number in (1, 2)]

    def answer(asked: Asked) -> Answer:
        good = bearer(asked) == f"Bearer {said[1]}"
        return Answer(200, JSON, completion(f"both: {said}")) if good else Answer(401, JSON, json.dumps({"detail": f"{said}"}).encode())

    with serving(answer) as endpoint:
        for reply in (*calls(endpoint.url, command), *calls(endpoint.url, command)):
            assert reply.completions[0].masked
            assert not [one for one in said if one in reply.completions[0].text]


def test_a_list_of_models_is_asked_for_with_the_key_too() -> None:
    async def go(url: str) -> Any:
        async with Client(url, KeyCommand(["/bin/sh", "-c", "echo planted; exit 1"]), concurrency=1) as client:
            return await client.models()

    with serving(lambda _: Answer(200, JSON, completion("fine"))) as endpoint, pytest.raises(AuthError, match="ended with status 1"):
        asyncio.run(go(endpoint.url))
    assert not endpoint.seen


# From whom it is taken


def experiment(url: str, command: object, **more: Any) -> dict[str, Any]:
    return {
        "name": "x",
        "endpoint": {"base_url": url, "model": "tiny", "api_key_command": command, "concurrency": 2},
        "prompts": [{"id": "a", "user": "Say it."}],
        "parameters": {"temperature": [0.5, 1]},
        "replicates": 3,
    } | more


def written(folder: Path, data: dict[str, Any]) -> Path:
    path = folder / "x.yaml"
    path.write_text(json.dumps(data))
    return path


def test_a_sweep_outlives_its_first_key(tmp_path: Path, evalkit: Command) -> None:
    def answer(asked: Asked) -> Answer:
        return taking("k7f3q9z2x8-1-of-many" if asked.number < 4 else "k7f3q9z2x8-2-of-many")(asked)

    with serving(answer) as endpoint:
        done = evalkit("sweep", written(tmp_path, experiment(endpoint.url, counting(tmp_path))))
    assert done.returncode == 0, done.stderr
    assert "6 answers (" in done.stdout
    assert runs(tmp_path) == 2
    kept = "".join(path.read_text(errors="replace") for path in (tmp_path / "results" / "x").iterdir() if path.is_file())
    assert "k7f3q9z2x8" not in done.stdout + done.stderr + kept


def test_a_sweep_without_a_key_ends_with_one_clear_message_before_anything_is_sent(tmp_path: Path, evalkit: Command) -> None:
    with serving(taking()) as endpoint:
        path = written(tmp_path, experiment(endpoint.url, ["/bin/sh", "-c", "echo planted-1; echo planted-2"]))
        assert evalkit("plan", path).returncode == 0
        done = evalkit("sweep", path)
        assert not endpoint.seen
    assert done.returncode == 2
    assert "error: endpoint.api_key_command printed several lines" in done.stderr
    assert "planted" not in done.stdout + done.stderr


def test_a_command_that_fails_in_mid_run_stops_it_and_keeps_what_was_answered(tmp_path: Path, evalkit: Command) -> None:
    script = counting(tmp_path)
    with Path(script[1]).open("a") as file:
        file.write("test $n = 1\n")

    def answer(asked: Asked) -> Answer:
        return taking("k7f3q9z2x8-1-of-many" if asked.number < 4 else "none")(asked)

    with serving(answer) as endpoint:
        done = evalkit("sweep", written(tmp_path, experiment(endpoint.url, script)))
    assert done.returncode == 3
    assert "stopped: endpoint.api_key_command ended with status 1" in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "results/x/responses.jsonl").read_text().splitlines()]
    assert [row["outcome"]["type"] for row in rows] == ["completion"] * len(rows)


def test_no_command_is_run_from_a_results_folder(tmp_path: Path, evalkit: Command) -> None:
    command = counting(tmp_path, "always-the-same-1")
    with serving(taking("always-the-same-1")) as endpoint:
        judge = {"name": "tone", "rubric": "Kind?", "scale": {"min": 1, "max": 5}}
        judge["endpoint"] = {"base_url": endpoint.url, "model": "j", "api_key_command": command, "concurrency": 1}
        path = written(tmp_path, experiment(endpoint.url, command, judges=[judge], embeddings=judge["endpoint"]))
        assert evalkit("sweep", path).returncode == 0
        before, seen = runs(tmp_path), len(endpoint.seen)
        assert before >= 2, "of the endpoint and of the judge each its own"
        for name in (judgements.FILE, embeddings.FILE):
            (tmp_path / "results" / "x" / name).unlink(missing_ok=True)
        done = evalkit("score", "results/x")
        assert evalkit("report", "results/x").returncode == 0
        assert (runs(tmp_path), len(endpoint.seen)) == (before, seen)
    assert "judge tone stopped: endpoint.api_key_command stands in a results folder" in done.stderr
    assert "embeddings stopped: endpoint.api_key_command stands in a results folder" in done.stderr
    stored = load_experiment(tmp_path / "results" / "x")
    for one in (stored.endpoint, stored.judges[0].endpoint, stored.embeddings, stored.model_copy(update={"replicates": 9}).endpoint):
        assert one is not None
        with pytest.raises(AuthError, match="only from an experiment file that you name"):
            bearer_key(one)


def test_the_command_is_no_part_of_what_identifies_a_run() -> None:
    made = [Experiment.build(**experiment("https://host/v1", command)) for command in (["one"], ["two", "three"], None)]
    assert len({one.digest() for one in made}) == 1


def test_the_environment_is_the_command_s_own_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN_FILE", str(tmp_path / "token"))
    (tmp_path / "token").write_text("from-a-file-1\n")
    assert asyncio.run(KeyCommand(["/bin/sh", "-c", 'cat "$SOME_TOKEN_FILE"']).present()) == "from-a-file-1"
    assert os.environ["SOME_TOKEN_FILE"]
