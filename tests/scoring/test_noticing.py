"""What a run shows of its endpoint is told: copies, caches, other models, thoughts without answers; and nothing where nothing is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from support.records import completion, experiment, record

from evalkit.plan.requests import Plan, Request
from evalkit.scoring.noticing import Noticed
from evalkit.store.records import Completion, Usage

LONG = "the river runs a long way to the sea"


def told(answer: Callable[[Request], Completion], parameters: dict[str, Any] | None = None, **more: Any) -> list[str]:
    plan = Plan(experiment(parameters or {"temperature": [0, 0.9]}, **({"replicates": 4} | more)))
    noticed = Noticed(plan)
    for request in plan:
        noticed.see(request.cell_index, request.prompt_index, record(request, answer(request)))
    return [str(one) for one in noticed.notes()]


def varied(request: Request) -> Completion:
    return completion(f"{LONG} {request.prompt_index} {request.replicate}")


def test_nothing_is_told_of_answers_that_differ_and_of_copies_at_temperature_0() -> None:
    assert told(varied) == []
    assert told(lambda request: completion(LONG) if request.cell["temperature"] == 0 else varied(request)) == []


def test_short_answers_may_be_alike() -> None:
    assert told(lambda _: completion("yes")) == []


@pytest.mark.parametrize(("seed", "why"), [(None, "the endpoint's seed is fixed, or a cache answers"), (7, "the seed is fixed")])
def test_replicates_that_are_copies_are_told(seed: int | None, why: str) -> None:
    (one,) = told(lambda request: completion(f"{LONG} {request.prompt_index}"), request={} if seed is None else {"seed": seed})
    assert "all replicates are copies, letter by letter, in 1 of 1 setting above temperature 0" in one
    assert why in one


def test_copies_in_some_settings_alone_are_not_laid_to_a_fixed_seed() -> None:
    narrow = {"temperature": [0.7], "top_p": [0.01, 1.0]}
    (one,) = told(lambda request: completion(LONG) if request.cell["top_p"] == 0.01 else varied(request), narrow)
    assert "in 1 of 2 settings above temperature 0: little may be left to draw from there" in one
    assert "seed" not in one


def test_equal_ids_are_a_cache_unless_the_endpoint_gives_no_ids_of_its_own() -> None:
    def cached(request: Request) -> Completion:
        return msgspec.structs.replace(completion(f"{LONG} {request.prompt_index}"), id=f"c{request.prompt_index}")

    (one,) = told(cached)
    assert "a cache before the endpoint answers" in one
    assert told(lambda request: msgspec.structs.replace(varied(request), id="always")) == []


@pytest.mark.parametrize(
    ("asked", "says"), [("gpt-4o", "gpt-4o-2024-08-06"), ("none", "models/none"), ("llama3.2", "llama3.2:latest"), ("m", "/x/m.gguf")]
)
def test_versions_and_paths_of_a_model_are_the_model(asked: str, says: str) -> None:
    more = {"endpoint": {"base_url": "http://127.0.0.1:9/v1", "model": asked}}
    assert told(lambda request: msgspec.structs.replace(varied(request), model=says), **more) == []


def test_another_model_is_told() -> None:
    (one,) = told(lambda request: msgspec.structs.replace(varied(request), model="mistral-7b"))
    assert one == "warning: 16 answers to 'none' came from another model: the endpoint says 'mistral-7b'"


def test_one_model_for_all_levels_of_model_is_told() -> None:
    (one,) = told(lambda request: msgspec.structs.replace(varied(request), model="same"), {"model": ["one", "two"]})
    assert "every level of model is answered by one model, 'same'" in one


def test_thoughts_without_an_answer_are_told() -> None:
    (one,) = told(lambda request: msgspec.structs.replace(varied(request), text="" if request.replicate else LONG, reasoning="hm"))
    assert "12 answers of 16 hold thoughts alone" in one


@pytest.mark.parametrize(
    ("tokens", "lowest", "finish", "idle"),
    [(12, 40, "stop", True), (12, 12, "stop", False), (40, 40, "length", False), (12, 40, "length", False), (None, 40, "stop", False)],
)
def test_a_limit_that_no_answer_comes_near_is_said_to_change_nothing(tokens: int | None, lowest: int, finish: str, idle: bool) -> None:
    def answer(request: Request) -> Completion:
        usage = None if tokens is None else Usage(prompt_tokens=3, completion_tokens=tokens, total_tokens=tokens + 3)
        return msgspec.structs.replace(varied(request), usage=usage, finish_reason=finish)

    said = [one for one in told(answer, {"max_tokens": [lowest, 120]}) if "changed nothing" in one]
    assert len(said) == idle
    if idle:
        assert "max_tokens changed nothing: no answer came near its lowest level, 40 (the longest has 12 tokens)" in said[0]
    assert not any("changed nothing" in one for one in told(answer, request={"max_tokens": lowest})), "nothing is swept"


@pytest.mark.parametrize(
    ("mark", "every", "is_told"),
    [("<|im_end|>", 1, True), ("<end_of_turn>", 1, True), ("[/INST]", 4, True), ("<|im_end|>", 9, False), ("<b>", 1, False)],
)
def test_answers_full_of_a_templates_marks_are_told(mark: str, every: int, is_told: bool) -> None:
    seen = iter(range(1_000))

    def answer(request: Request) -> Completion:
        text = f"{LONG} {request.prompt_index} {request.replicate} {request.cell['temperature']}"
        return completion(f"{text} {mark} admin" if next(seen) % every == 0 else text)

    said = [one for one in told(answer, {"temperature": [0.5, 0.9]}, replicates=16) if "chat template" in one]
    assert len(said) == is_told
    assert all(f"like {mark}:" in one for one in said)
