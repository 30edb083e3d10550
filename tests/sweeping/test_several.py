"""Several endpoints in one experiment: each is asked its own settings at its own pace, and one that fails leaves them to be asked later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.endpoints import JSON, Answer, Asked, Endpoint, completion, nobody, serving
from support.sweeps import sweep

from evalkit.collect.allowance import Budget
from evalkit.errors import AuthError, EndpointError, ExperimentError
from evalkit.experiment.experiment import Experiment, check
from evalkit.exports.formats import text_of
from evalkit.plan.cells import cell_text
from evalkit.plan.requests import Plan
from evalkit.plan.shard import Shard
from evalkit.probe.subject import subject_of_probe
from evalkit.run import Run
from evalkit.store.folder import load_experiment, read_run
from evalkit.store.merge import merge_runs
from evalkit.store.records import Completion, Record, read, standing
from evalkit.summary import summarise
from evalkit.sweeping.sweeping import run_shard

FINE = Answer(200, JSON, completion("a fine answer of six words"))
NO_KEY = Answer(401, JSON, b'{"error": {"message": "Incorrect API key provided.", "code": "invalid_api_key"}}')
GONE = Answer(fault="hang up")
TOO_HOT = Answer(400, JSON, b'{"error": {"message": "temperature must be at most 1", "param": "temperature", "type": "invalid_request_error"}}')

PROMPTS = [{"id": f"p{number}", "user": f"Say {number}."} for number in range(12)]


def saying(text: str) -> Callable[[Asked], Answer]:
    return lambda asked: Answer(200, JSON, completion(f"{text} {asked.number % 3}"))


def experiment(*urls: str, **changes: Any) -> Experiment:
    data: dict[str, Any] = {
        "name": "several",
        "endpoints": [{"name": name, "base_url": url, "model": f"m-{name}", "concurrency": 3} for name, url in zip("abc", urls, strict=False)],
        "prompts": [{"id": f"p{number}", "user": f"Say {number}."} for number in range(4)],
        "parameters": {"temperature": [0.2, 0.8]},
        "replicates": 3,
        "anchor": {"every": 0},
    }
    return check({key: value for key, value in {**data, **changes}.items() if value is not None})


def swept(tmp_path: Path, *answers: Callable[[Asked], Answer], changes: dict[str, Any] | None = None, **options: Any) -> tuple[Run, list[Endpoint]]:
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(answer)) for answer in answers]
        run = sweep(experiment(*(one.url for one in servers), **(changes or {})), tmp_path / "run", **options)
    assert run is not None
    return run, servers


def answered(folder: Path) -> Counter[tuple[str, Any]]:
    """How many answers each endpoint gave at each temperature; fails where a key was answered twice."""
    records: list[Record] = list(read(folder))
    assert max(Counter(one.key for one in records if isinstance(one.outcome, Completion)).values()) == 1
    return Counter((one.cell["endpoint"], one.cell["temperature"]) for one in records if isinstance(one.outcome, Completion))


def test_each_is_asked_its_own_settings_and_no_others(tmp_path: Path) -> None:
    run, (one, other) = swept(tmp_path, saying("one"), saying("other"))
    assert answered(tmp_path / "run") == {(name, level): 12 for name in "ab" for level in (0.2, 0.8)}
    assert {asked.body["model"] for asked in one.seen} == {"m-a"}
    assert {asked.body["model"] for asked in other.seen} == {"m-b"}
    assert not any("endpoint" in asked.body for asked in (*one.seen, *other.seen)), "which endpoint it is is no field of a request"
    assert max(one.most_at_once, other.most_at_once) <= 3, "the bound holds for each"
    assert run.complete
    assert any(verdict.parameter == "endpoint" for verdict in run.analysis.verdicts), "one decision spans both"
    sent = run.sent
    assert sent is not None
    assert {name: part.completed for name, part in sent.parts.items()} == {"a": 24, "b": 24}
    kept = (read_run(tmp_path / "run") or {})["sweeps"][-1]
    assert {name: (about["completions"], about["requests"]) for name, about in kept["endpoints"].items()} == {"a": (24, 24), "b": (24, 24)}
    assert kept["completions"] == 48 == kept["requests"]


def test_what_one_endpoint_answered_counts_when_others_come_beside_it(tmp_path: Path) -> None:
    with serving(saying("one")) as one, serving(saying("other")) as other:
        alone = check(
            {
                "name": "several",
                "endpoint": {"base_url": one.url, "model": "m-a"},
                "prompts": [{"id": "p0", "user": "Say 0."}],
                "parameters": {"temperature": [0.2, 0.8]},
                "replicates": 3,
            }
        )
        sweep(alone, tmp_path / "run")
        assert len(one.seen) == 6
        both = experiment(one.url, other.url, prompts=[{"id": "p0", "user": "Say 0."}])
        run = sweep(both, tmp_path / "run")
        assert (len(one.seen), len(other.seen)) == (6, 6), "nothing is paid for twice"
    assert run is not None
    assert run.complete


def test_a_name_is_no_part_of_what_identifies_a_request() -> None:
    one = experiment("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1")
    named = [{**told, "name": f"new-{told['name']}"} for told in one.resolved()["endpoints"]]
    other = check({**one.resolved(), "endpoints": named, "parameters": {"temperature": [0.2, 0.8]}})
    assert {request.key for request in Plan(one)} == {request.key for request in Plan(other)}
    assert len({request.key for request in Plan(one)}) == len(Plan(one)) == 48


@pytest.mark.parametrize("ill", [0, 1], ids=["the first", "the second"])
def test_one_that_dies_leaves_its_settings_pending_and_the_others_go_on(tmp_path: Path, ill: int) -> None:
    both: list[Callable[[Asked], Answer]] = [lambda _: FINE, lambda _: FINE]
    both[ill] = lambda asked: FINE if asked.number < 8 else GONE
    run, servers = swept(tmp_path, *both, patience_s=0.5)
    found, name = answered(tmp_path / "run"), "ab"[ill]
    assert sum(count for (of, _), count in found.items() if of != name) == 24, "the other one's are all there"
    assert sum(count for (of, _), count in found.items() if of == name) == 8
    said = [str(one) for one in run.notes]
    assert any(f"{name}: the endpoint has been down" in one and "the others go on" in one for one in said), said
    assert run.analysis.counts.missing + sum(run.analysis.counts.failures.values()) == 16
    assert [one.text for one in run.notes if one.level == "stopped"] == [f"{name}: asked no more; its warning says why"]
    with serving(lambda _: FINE) as again, serving(lambda _: FINE) as also:
        plain = experiment(*(server.url for server in servers)).resolved()
        for told, there in zip(plain["endpoints"], (again, also), strict=True):
            told.update(identity=told["base_url"], base_url=there.url)
        moved = check(plain)
        run = sweep(moved, tmp_path / "run")
    assert run is not None
    assert run.complete, "what was left is asked when it is back"
    assert len(again.seen) + len(also.seen) == 16


def test_one_that_refuses_the_key_at_once_is_told_and_the_others_go_on(tmp_path: Path) -> None:
    run, (_, refusing) = swept(tmp_path, lambda _: FINE, lambda _: NO_KEY)
    assert answered(tmp_path / "run") == {("a", 0.2): 12, ("a", 0.8): 12}
    assert len(refusing.seen) <= 2
    assert any(str(one).startswith("warning: b: ") and "the others go on" in str(one) for one in run.notes)
    assert any(one.level == "stopped" and "b: " in one.text for one in run.notes)
    assert sum("key" in one.text for one in run.notes) == 1, "the reason is told once"


def test_where_none_can_be_used_nothing_is_said_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(AuthError, match="key"):
        swept(tmp_path, lambda _: NO_KEY, lambda _: NO_KEY)
    with nobody() as one, nobody() as other, pytest.raises(EndpointError):
        sweep(experiment(one, other), tmp_path / "other", patience_s=0.3)


def test_only_what_is_left_of_one_that_stays_away_ends_with_its_error(tmp_path: Path) -> None:
    with serving(lambda _: FINE) as there, nobody() as url:
        sweep(experiment(there.url, url), tmp_path / "run", patience_s=0.3)
        with pytest.raises(EndpointError):
            sweep(experiment(there.url, url), tmp_path / "run", patience_s=0.3)
        assert len(there.seen) == 24


def test_a_level_that_one_alone_rejects_is_left_out_there(tmp_path: Path) -> None:
    def picky(asked: Asked) -> Answer:
        return TOO_HOT if asked.body.get("temperature", 0) > 1 else FINE

    changes = {"parameters": {"temperature": [0.2, 1.5]}}
    with pytest.raises(EndpointError, match=r"temperature=1\.5 is rejected by b \(HTTP 400\)"):
        swept(tmp_path / "first", lambda _: FINE, picky, changes=changes)
    run, _ = swept(tmp_path, lambda _: FINE, picky, changes=changes, skip_rejected=True)
    assert answered(tmp_path / "run") == {("a", 0.2): 12, ("a", 1.5): 12, ("b", 0.2): 12}
    assert run.complete
    assert load_experiment(tmp_path / "run").exclude == ({"endpoint": "b", "temperature": 1.5},)
    with serving(picky) as one, serving(picky) as other:
        run = sweep(experiment(one.url, other.url, **changes), tmp_path / "all", skip_rejected=True)
    assert run is not None
    assert run.experiment.parameters["temperature"] == (0.2,), "what all reject is no level any more"
    assert not run.experiment.exclude


def test_settings_are_paired_with_endpoints_by_name(tmp_path: Path) -> None:
    cells = {"quick": {"endpoint": "a", "temperature": 0}, "careful": {"endpoint": "b", "temperature": 0.7, "max_tokens": 50}}
    run, (one, other) = swept(tmp_path, saying("one"), saying("other"), changes={"parameters": None, "cells": cells})
    assert {(asked.body["temperature"], asked.body.get("max_tokens")) for asked in one.seen} == {(0, None)}
    assert {(asked.body["temperature"], asked.body.get("max_tokens")) for asked in other.seen} == {(0.7, 50)}
    assert [cell_text(Plan(run.experiment), index) for index in range(2)] == ["quick", "careful"]


def test_prices_are_each_ones_own_and_a_budget_holds_for_all(tmp_path: Path) -> None:
    def priced(urls: list[str], **changes: Any) -> Experiment:
        plain = experiment(*urls).resolved()
        prices = [{"input": 1, "output": 1}, {"input": 1000, "output": 1000}]
        return check({**plain, "endpoints": [{**told, "prices": its} for told, its in zip(plain["endpoints"], prices, strict=True)], **changes})

    with serving(lambda _: FINE) as one, serving(lambda _: FINE) as other:
        run = sweep(priced([one.url, other.url], choose={"prefer": {"cost": {"goal": "minimize"}}}), tmp_path / "run")
        assert run is not None
        costs = {row.cell_index: row.mean for row in run.analysis.by_cell if row.metric == "cost"}
        assert [costs[at] for at in range(4)] == pytest.approx([5e-6, 5e-6, 5e-3, 5e-3])
        found = summarise(run)
        assert {spending.name: spending.cost for spending in found.spent} == pytest.approx({"a": 24 * 5e-6, "b": 24 * 5e-3})
        assert found.cost == pytest.approx(24 * (5e-6 + 5e-3))
        assert run.choice is not None
        assert run.analysis.cells[run.choice.chosen or 0]["endpoint"] == "a", "the dearer one is not worth it"
        assert found.where == f"a: m-a at {one.url}"
        before = len(one.seen) + len(other.seen)
        sweep(priced([one.url, other.url], replicates=20), tmp_path / "run", budget=Budget(requests=30))
        assert len(one.seen) + len(other.seen) == before + 30, "one budget, however many endpoints"
        sweep(priced([one.url, other.url], replicates=40), tmp_path / "run", budget=Budget(cost=0.05))
        spent = (read_run(tmp_path / "run") or {})["sweeps"][-1]
        assert spent["cost"] <= 0.05 + 3 * 5e-3, "what is in flight at the dearest one is all that may come on top"
    with pytest.raises(ExperimentError, match=r"endpoints\[0\]\.prices"):
        sweep(experiment(one.url, other.url), tmp_path / "unpriced", budget=Budget(cost=1))


def test_a_race_asks_all_of_them_and_settles_on_one(tmp_path: Path) -> None:
    def wordy(asked: Asked) -> Answer:
        return Answer(200, JSON, completion(" ".join(f"word{(asked.number * 7 + place) % 97}" for place in range(40))))

    changes = {
        "prompts": PROMPTS,
        "parameters": {"temperature": [0.2, 0.4, 0.6, 0.8]},
        "choose": {"prefer": {"length_words": {"goal": "minimize"}}},
        "search": {"method": "race", "budget": "2/3"},
        "replicates": 2,
    }
    run, (short, long) = swept(tmp_path, saying("one"), wordy, changes=changes)
    assert run.choice is not None
    assert run.analysis.cells[run.choice.chosen or 0]["endpoint"] == "a"
    assert len(long.seen) < len(short.seen), "the settings of the other one left early"


def test_shards_hold_all_of_it_once_and_are_merged(tmp_path: Path) -> None:
    with serving(saying("one")) as one, serving(saying("other")) as other:
        planned = experiment(one.url, other.url)
        parts = [tmp_path / f"part{number}" for number in (1, 2, 3)]
        for number, part in enumerate(parts, 1):
            run_shard(planned, Shard(number, 3), part)
        assert (len(one.seen), len(other.seen)) == (24, 24)
    merge_runs(parts, tmp_path / "run")
    assert answered(tmp_path / "run") == {(name, level): 12 for name in "ab" for level in (0.2, 0.8)}
    there = standing(tmp_path / "run")
    assert all(there.answered(request.key) for request in Plan(load_experiment(tmp_path / "run")))


def test_each_ones_answers_are_stripped_as_it_asks(tmp_path: Path) -> None:
    def thinking(asked: Asked) -> Answer:
        return Answer(200, JSON, completion(f"<think>so and so</think>plain answer {asked.number}"))

    with serving(thinking) as one, serving(thinking) as other:
        plain = experiment(one.url, other.url).resolved()
        plain["endpoints"][1]["strip"] = ["<think>.*?</think>"]
        run = sweep(check(plain), tmp_path / "run")
    assert run is not None
    words = {row.cell_index: row.mean for row in run.analysis.by_cell if row.metric == "length_words"}
    assert words[0] > words[2] == 3


def test_each_has_anchors_of_its_own() -> None:
    plan = Plan(experiment("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1", anchor={"every": 5}))
    anchors = [request.cell["endpoint"] for request in plan.anchors()]
    assert Counter(anchors) == {"a": 4, "b": 4}
    assert plan.anchor_count == 8 == plan.tokens().anchors
    assert len(list(plan.sequence())) == 56 == len({request.key for request in plan.sequence()})
    whole, parts = list(plan), [list(part) for part in plan.parts]
    assert sum(map(len, parts)) == len(whole) == len(plan) == sum(map(len, plan.parts))
    for part in parts:
        keys = {request.key for request in part}
        assert [request.key for request in whole if request.key in keys] == [request.key for request in part], "the order of sending is one"


@pytest.mark.parametrize(
    ("way", "told"),
    [({"engine": "ray"}, "engine: goes to one endpoint, and a and b are asked"), ({}, "probe: asks one endpoint, and the experiment has a, b")],
)
def test_what_can_be_of_one_only_says_how(tmp_path: Path, way: dict[str, Any], told: str) -> None:
    both = experiment("http://127.0.0.1:1/v1", "http://127.0.0.1:2/v1")
    with pytest.raises(ExperimentError, match=told) as caught:
        _ = sweep(both, tmp_path / "run", **way) if way else subject_of_probe(both, None, None, None)
    assert "--set 'parameters.endpoint=[a]'" in str(caught.value)
    one = check(both.resolved() | {"parameters": {"temperature": [0.2], "endpoint": ["b"]}})
    assert subject_of_probe(one, None, None, None).endpoint.model == "m-b"
    assert [endpoint.model for endpoint in one.asked] == ["m-b"]


def test_exports_name_the_endpoint_that_each_setting_is_asked_of(tmp_path: Path) -> None:
    changes = {"prompts": PROMPTS, "choose": {"prefer": {"length_words": {"goal": "minimize"}}}}
    run, (one, other) = swept(tmp_path, saying("one or two more words"), saying("other"), changes=changes)
    for name in ("curl", "python", "promptfoo", "litellm"):
        text = text_of(run, name)
        assert other.url in text, name
        assert one.url not in text, name
    every = text_of(run, "promptfoo", ["0", "2"])
    assert one.url in every, "providers of one file may be asked at different addresses"
    assert other.url in every


def test_the_key_of_one_never_stands_in_what_another_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {"KEY_A": "zz9-AAAA1111bbbb2222", "KEY_B": "yy8-BBBB3333cccc4444"}
    for name, key in keys.items():
        monkeypatch.setenv(name, key)

    def telling(key: str) -> Callable[[Asked], Answer]:
        quoted = Answer(200, JSON, completion(f"the key of my neighbour is {key}"))
        return lambda asked: quoted if asked.number != 9 else Answer(400, JSON, b'{"error": {"message": "no: %b"}}' % key.encode())

    with serving(telling(keys["KEY_B"])) as one, serving(telling(keys["KEY_A"])) as other:
        plain = experiment(one.url, other.url).resolved()
        for told, name in zip(plain["endpoints"], keys, strict=True):
            told["api_key_env"] = name
        run = sweep(check(plain), tmp_path / "run")
    assert run is not None
    written = b"".join(path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert b"my neighbour is [key]" in written
    assert b"no: [key]" in written
    for key in keys.values():
        assert key.encode() not in written
        assert not any(key in str(one) for one in run.notes)


def test_one_that_asks_to_wait_holds_up_no_other_before_the_sweep(tmp_path: Path) -> None:
    later = Answer(429, {**JSON, "Retry-After": "30"}, b'{"error": {"message": "slow down"}}')
    run, (one, other) = swept(tmp_path, lambda _: FINE, lambda _: later, budget=Budget(seconds=1.5))
    assert answered(tmp_path / "run") == {("a", 0.2): 12, ("a", 0.8): 12}
    assert (len(one.seen), len(other.seen)) == (24, 1), "nor is it asked again before its time"
    assert [one.text for one in run.notes if one.level == "stopped"] == ["b: the time of budget.seconds is used up"]


def test_one_that_gives_no_answer_holds_up_no_other_before_the_sweep(tmp_path: Path) -> None:
    silent = Answer(fault="stall")
    with serving(lambda _: FINE) as one, serving(lambda _: silent) as other:
        plain = experiment(one.url, other.url).resolved()
        plain["endpoints"][1].update(timeout_s=1, max_tries=1)
        run = sweep(check(plain), tmp_path / "run", budget=Budget(seconds=1.5), patience_s=0.3)
    assert run is not None
    assert answered(tmp_path / "run") == {("a", 0.2): 12, ("a", 0.8): 12}
    assert len(one.seen) == 24
    assert other.seen
    assert any(str(said).startswith("b: the endpoint gives no answer before the sweep") for said in run.notes)


def test_what_ends_all_of_them_is_not_told_of_each(tmp_path: Path) -> None:
    late = Answer(200, JSON, completion("late"), delay_s=0.1)
    run, _ = swept(tmp_path, lambda _: late, lambda _: late, budget=Budget(seconds=0.5), changes={"replicates": 20})
    assert [one.text for one in run.notes if one.level == "stopped"] == ["the time of budget.seconds is used up"]
    assert not any("the others go on" in one.text for one in run.notes)
