"""Log probabilities are those the tokens were drawn with: compared with plain loops over the full vocabulary."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.local import BODY, TIED, Served, api, conditioned, made_up_model, real_model, say

from evalkit.local.completion import Answer
from evalkit.local.errors import ApiError
from evalkit.local.logprobs import likeliest
from evalkit.local.model import BREAK, END, Model
from evalkit.local.sampler import Settings

END_TEXT = "<|end|>"


def shaped(probs, counts, wanted):
    """The distribution that is drawn from, one token after the other; at temperature 0 the model's own."""
    if wanted.temperature == 0:
        return dict(enumerate(probs))
    weights = {}
    for token, p in enumerate(probs.tolist()):
        logit = math.log(p) - counts.get(token, 0) * wanted.frequency_penalty - (token in counts) * wanted.presence_penalty
        weights[token] = (logit + wanted.logit_bias.get(token, 0)) / wanted.temperature
    highest = max(weights.values())
    weights = {token: math.exp(weight - highest) for token, weight in weights.items()}
    whole, mass, kept = math.fsum(weights.values()), 0.0, {}
    for token in sorted(weights, key=lambda token: (-weights[token], token)):
        kept[token] = weights[token]
        mass += weights[token]
        if wanted.top_p < 1 and mass >= wanted.top_p * whole:
            break
    left = math.fsum(kept.values())
    return {token: weight / left for token, weight in kept.items() if weight}


def written(model, wanted, seed=0, limit=25, **options):
    answer = Answer(model, wanted, np.random.default_rng(seed), limit=limit, **options)
    return "".join(answer), answer


SETTINGS = {
    "defaults": Settings(),
    "cold": Settings(temperature=0.3),
    "hot": Settings(temperature=1.8),
    "greedy": Settings(temperature=0),
    "greedy, penalised": Settings(temperature=0, frequency_penalty=1.5),
    "nucleus": Settings(top_p=0.7),
    "penalties": Settings(frequency_penalty=0.8, presence_penalty=0.5),
    "rewards": Settings(presence_penalty=-1.0),
    "bias": Settings(temperature=0.8, logit_bias={5: 4.0, 9: -2.0}),
    "all": Settings(temperature=0.7, top_p=0.8, frequency_penalty=0.4, presence_penalty=-0.3, logit_bias={7: 3.0}),
    "far down": Settings(temperature=0.04, top_p=0.9),
}


@pytest.mark.parametrize("model", [made_up_model().condition([]), conditioned()], ids=["made up", "real"])
@pytest.mark.parametrize("wanted", SETTINGS.values(), ids=SETTINGS)
def test_each_is_the_log_of_the_probability_the_token_was_drawn_with(wanted, model):
    vocabulary = model.model.vocabulary
    ids = {text: token for token, text in enumerate(vocabulary)} | {END_TEXT: END}
    seeds, limit = (range(5), 25) if len(vocabulary) < 100 else (range(2), 8)
    for seed in seeds:
        text, answer = written(model, wanted, seed, limit, logprobs=4)
        assert "".join(entry["token"] for entry in answer.scores) == text
        context, counts = [BREAK], {}
        for entry in answer.scores:
            expected = shaped(model.probabilities(context[-3:]), counts, wanted)
            token = ids[entry["token"]]
            assert entry["logprob"] == pytest.approx(math.log(expected[token]), rel=1e-9, abs=1e-9)
            assert entry["bytes"] == list(entry["token"].encode())
            top = entry["top_logprobs"]
            best = sorted(expected, key=lambda token: (-expected[token], token))[:4]
            assert [one["logprob"] for one in top] == pytest.approx([math.log(expected[token]) for token in best], rel=1e-9, abs=1e-9)
            # Of equals but for rounding, either may come first.
            assert [expected[ids[one["token"]]] for one in top] == pytest.approx([expected[token] for token in best])
            assert math.fsum(math.exp(one["logprob"]) for one in top) <= 1 + 1e-9
            counts[token] = counts.get(token, 0) + 1
            context.append(token)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 20))
def test_the_likeliest_are_possible_and_equals_stand_in_order(weights, most):
    order = sorted(range(len(weights)), key=lambda token: (-weights[token], token))
    assert likeliest(np.array(weights, float), most) == [token for token in order if weights[token]][:most]


def test_equals_stand_in_the_order_of_their_ids():
    model = Model(TIED)
    _, answer = written(model.condition([]), Settings(), logprobs=20)
    for entry in answer.scores:
        ids = [END if one["token"] == END_TEXT else model.vocabulary.index(one["token"]) for one in entry["top_logprobs"]]
        values = [one["logprob"] for one in entry["top_logprobs"]]
        assert sorted(zip([-value for value in values], ids, strict=True)) == list(zip([-value for value in values], ids, strict=True))


def test_the_end_has_a_name_and_no_bytes():
    _, answer = written(Model(TIED).condition([]), Settings(), logprobs=20)
    ends = [one for entry in answer.scores for one in entry["top_logprobs"] if one["token"] == END_TEXT]
    assert ends
    assert all(one["bytes"] is None for one in ends)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.lists(st.sampled_from([" the", "a", "e ", " of a", ".", "is", "th"]), min_size=1, max_size=3))
def test_tokens_that_a_stop_swallows_or_cuts_are_not_told(seed, stop):
    text, answer = written(conditioned(), Settings(), seed, stop=stop, logprobs=0)
    told = "".join(entry["token"] for entry in answer.scores)
    assert text.startswith(told)
    whole, _ = written(conditioned(), Settings(), seed, logprobs=0)
    rest = whole[len(told) :]
    assert text == whole or (told + rest).startswith(text)
    assert answer.tokens - len(answer.scores) <= max(map(len, stop))


@pytest.mark.parametrize("changes", [{}, {"temperature": 0}, {"top_p": 0.8, "frequency_penalty": 1}, {"stop": [" the"]}])
def test_asking_for_them_changes_no_token(changes):
    body = {**BODY, "seed": 3, "max_tokens": 60, "n": 2, **changes}
    assert say(body)[0] == say({**body, "logprobs": True, "top_logprobs": 5})[0]


def test_a_plain_answer_holds_them_in_the_form_of_openai():
    texts, answer = say({**BODY, "seed": 3, "max_tokens": 8, "n": 2, "logprobs": True, "top_logprobs": 2})
    for text, choice in zip(texts, answer["choices"], strict=True):
        assert list(choice["logprobs"]) == ["content", "refusal"]
        assert choice["logprobs"]["refusal"] is None
        entries = choice["logprobs"]["content"]
        assert "".join(entry["token"] for entry in entries) == text
        for entry in entries:
            assert list(entry) == ["token", "logprob", "bytes", "top_logprobs"]
            assert [list(one) for one in entry["top_logprobs"]] == [["token", "logprob", "bytes"]] * 2
    bare = say({**BODY, "seed": 3, "max_tokens": 8, "logprobs": True})[1]["choices"][0]["logprobs"]["content"]
    assert all(entry["top_logprobs"] == [] for entry in bare)


@pytest.mark.parametrize("stop", [[], [" the", ". ", "o"]])
def test_a_stream_brings_each_with_the_text_it_belongs_to(stop):
    body = {**BODY, "seed": 4, "max_tokens": 30, "n": 3, "logprobs": True, "top_logprobs": 3, "stop": stop}
    _, plain = say(body)
    chat = api().chat({**body, "stream": True})
    entries = {0: [], 1: [], 2: []}
    for chunk in api().chunks(chat, api().answers(chat)):
        for choice in chunk["choices"] if chunk else []:
            if choice["logprobs"]:
                entries[choice["index"]] += choice["logprobs"]["content"]
                if not stop:
                    assert "".join(one["token"] for one in choice["logprobs"]["content"]) == choice["delta"]["content"]
    assert list(entries.values()) == [choice["logprobs"]["content"] for choice in plain["choices"]]


@pytest.mark.parametrize(
    ("changes", "param", "code"),
    [
        ({"logprobs": 1}, "logprobs", "invalid_type"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "integer_above_max_value"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs", "integer_below_min_value"),
        ({"top_logprobs": 2}, "top_logprobs", None),
        ({"logprobs": False, "top_logprobs": 2}, "top_logprobs", None),
        ({"logprobs": True, "response_format": {"type": "json_schema", "json_schema": {"name": "a"}}}, "logprobs", "unsupported_value"),
    ],
)
def test_what_is_refused(changes, param, code):
    with pytest.raises(ApiError) as caught:
        api().chat({**BODY, **changes})
    assert (caught.value.status, caught.value.body["error"]["param"], caught.value.body["error"]["code"]) == (400, param, code)


def test_the_official_client_reads_them(monkeypatch):
    import openai

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    options = {**BODY, "seed": 2, "max_tokens": 10, "logprobs": True, "top_logprobs": 5}
    with Served() as server, openai.OpenAI(api_key="any", base_url=server.url, max_retries=0) as client:
        plain = client.chat.completions.create(**options).choices[0]
        streamed = [
            entry
            for chunk in client.chat.completions.create(**options, stream=True)
            if chunk.choices[0].logprobs
            for entry in chunk.choices[0].logprobs.content
        ]
    assert plain.logprobs.content == streamed
    assert all(len(entry.top_logprobs) == 5 and entry.logprob <= 0 for entry in streamed)
    assert set("".join(entry.token for entry in streamed)) <= set("".join(real_model().vocabulary))
