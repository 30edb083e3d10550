"""Endpoints in this process with manners that are planted, and what a probe of their meaning must find there."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np

from evalkit.client.reply import Reply
from evalkit.local import rehearsal
from evalkit.local.api import MODEL_NAME, Api
from evalkit.local.errors import ApiError
from evalkit.local.quirks import twist
from evalkit.probe.endpoint import Probed
from evalkit.probe.meaning.corners import FIXED
from evalkit.probe.meaning.survey import MOST_CALLS_OF_MEANING, Found, ask_meaning
from evalkit.store.meanings import Meaning
from evalkit.store.records import Completion, Failure, Usage

Planted = Sequence[Mapping[str, Any]]

PLAIN: dict[str, str | None] = {
    "seed_repeats": "repeats",
    "seed_beside": "repeats",
    "seed_near": "independent",
    "seed_choices": "differ",
    "seed_none": "varies",
    "order_top_p": "temperature first",
    "order_min_p": None,
    "logprobs": "drawn",
    "left_out_temperature": "1",
    "hidden_top_p": "off",
    "hidden_top_k": None,
    "hidden_min_p": None,
    "temperature_0": "greedy",
    "temperature_small": "as 0",
    "temperature_ceiling": "none to 2",
    "temperature_beyond": "refused",
    "top_p_0": "one token",
    "penalties_kind": "additive",
    "penalties_apart": "apart",
    "penalties_at_0": "act",
    "penalties_count": "answer",
    "penalties_window": None,
    "count_hidden": "none",
    "count_end": "not counted",
    "count_stop": "counted",
    "limit_both": "max_completion_tokens",
    "limit_0": "refused",
    "stop_cut": "trimmed",
    "stop_most": "4",
}
"""What is right where nothing is planted; None: there is nothing to find out."""

# name: (the quirk, what of `PLAIN` it changes)
MANNERS: dict[str, tuple[dict[str, Any], dict[str, str | None]]] = {
    "filters": ({"quirk": "filters"}, {"order_min_p": "temperature first", "hidden_top_k": "off", "hidden_min_p": "off"}),
    "order": ({"quirk": "order", "value": "top_p_first"}, {"order_top_p": "top_p first", "order_min_p": "min_p first"}),
    "hidden both": ({"quirk": "hidden", "top_k": 40, "min_p": 0.05}, {"hidden_top_k": "40", "hidden_min_p": "0.05"}),
    "hidden top_k": ({"quirk": "hidden", "top_k": 50}, {"hidden_top_k": "50"}),
    "hidden min_p": ({"quirk": "hidden", "min_p": 0.1}, {"hidden_min_p": "0.1"}),
    "hidden top_p": ({"quirk": "hidden", "top_p": 0.9}, {"hidden_top_p": "0.9"}),
    "hidden odd": ({"quirk": "hidden", "top_k": 33}, {"hidden_top_k": "some"}),
    "temperature 0.7": ({"quirk": "default", "parameter": "temperature", "value": 0.7}, {"left_out_temperature": "0.7"}),
    "temperature left at 0": ({"quirk": "default", "parameter": "temperature", "value": 0}, {"left_out_temperature": "0"}),
    "counts prompt": ({"quirk": "penalties", "count": "both"}, {"penalties_count": "prompt too", "penalties_window": "over 300"}),
    "counts prompt alone": ({"quirk": "penalties", "count": "prompt"}, {"penalties_count": "prompt alone", "penalties_window": "over 300"}),
    "window 64": (
        {"quirk": "penalties", "count": "both", "window": 64},
        {"penalties_count": "prompt too", "penalties_window": "30 to 100"},
    ),
    "multiplied": (
        {"quirk": "penalties", "kind": "multiplicative"},
        {"penalties_kind": "multiplicative", "penalties_apart": "presence ignored"},
    ),
    "alike": ({"quirk": "penalties", "apart": False}, {"penalties_apart": "alike"}),
    "not at 0": ({"quirk": "penalties", "at_zero": False}, {"penalties_at_0": "do not"}),
    "0 is unset": ({"quirk": "ends", "zero": "unset"}, {"temperature_0": "not greedy", "penalties_at_0": None}),
    "raised": ({"quirk": "ends", "least": 0.5}, {"temperature_small": "raised"}),
    "ceiling": ({"quirk": "ends", "most": 1.0}, {"temperature_ceiling": "1", "order_top_p": "unsure", "order_min_p": "unsure"}),
    "ceiling 1.5": ({"quirk": "ends", "most": 1.5}, {"temperature_ceiling": "1.5"}),
    "beyond taken": ({"quirk": "ends", "beyond": "taken"}, {"temperature_beyond": "taken"}),
    "beyond clamped": ({"quirk": "ends", "beyond": "clamped"}, {"temperature_beyond": "clamped"}),
    "top_p 0 off": ({"quirk": "ends", "top_p_zero": "all"}, {"top_p_0": "off"}),
    "top_p 0 refused": ({"quirk": "ends", "top_p_zero": "refused"}, {"top_p_0": "refused"}),
    "fixed": ({"quirk": "default", "parameter": "seed", "value": 42}, {"seed_none": "fixed"}),
    "neighbours": ({"quirk": "seeding", "value": "neighbours"}, {"seed_near": "copies"}),
    "alone": ({"quirk": "seeding", "value": "alone"}, {"seed_beside": "only alone"}),
    "copies": ({"quirk": "seeding", "value": "copies"}, {"seed_choices": "copies"}),
    "counts end": ({"quirk": "counting", "end": True}, {"count_end": "counted"}),
    "trimmed not counted": ({"quirk": "counting", "trimmed": False}, {"count_stop": "not counted"}),
    "hidden tokens": ({"quirk": "counting", "hidden": 12}, {"count_hidden": "12"}),
    "max_tokens wins": ({"quirk": "counting", "wins": "max_tokens"}, {"limit_both": "max_tokens"}),
    "smaller wins": ({"quirk": "counting", "wins": "smaller"}, {"limit_both": "smaller"}),
    "0 is none": ({"quirk": "counting", "zero": "none"}, {"limit_0": "none"}),
    "0 is one": ({"quirk": "counting", "zero": "one"}, {"limit_0": "one"}),
    "0 is unlimited": ({"quirk": "counting", "zero": "unlimited"}, {"limit_0": "unlimited"}),
    "kept": ({"quirk": "stopping", "value": "kept"}, {"stop_cut": "kept", "count_stop": None}),
    "missed": ({"quirk": "stopping", "value": "missed"}, {"stop_cut": "missed inside a token"}),
    "many stops": ({"quirk": "stopping", "most": 16}, {"stop_most": "16 to 31"}),
    "raw": ({"quirk": "probabilities", "of": "raw"}, {"logprobs": "raw"}),
    "tempered": ({"quirk": "probabilities", "of": "tempered"}, {"logprobs": "tempered"}),
}
NO_LOGPROBS = {"quirk": "reject", "parameter": "logprobs"}
_FILTERS = _CUTS = {"order", "hidden both", "hidden top_k", "hidden min_p", "hidden top_p", "hidden odd"}
"""What takes top_k and min_p along, and cuts in a manner of its own."""


def expected(names: Sequence[str], logprobs: bool = True) -> dict[str, str | None]:
    """What is right where these manners are planted; 'unsure': an honest answer is that it does not know."""
    right = dict(PLAIN)
    if not _FILTERS.isdisjoint(names):
        right |= MANNERS["filters"][1]
    for name in sorted(names, key=lambda one: one != "filters"):
        right |= MANNERS[name][1]
    if right["order_top_p"] == "top_p first":
        right["order_min_p"] = "min_p first"
    if "ceiling" in names:  # then nothing is hot enough to tell orders apart
        right["order_top_p"] = "unsure"
        right["order_min_p"] = "unsure" if not {"filters", *_FILTERS}.isdisjoint(names) else None
    if "multiplied" in names and "alike" in names:
        right["penalties_apart"] = "presence ignored"
    if {"ceiling", "ceiling 1.5"} & set(names):
        right["temperature_beyond"] = "clamped"
    if "kept" in names:
        right["count_stop"] = None
    if not logprobs:
        right["logprobs"] = None
    return right


def combined(seed: int) -> list[str]:
    """A random combination of manners that do not speak of the same field."""
    random = Random(seed)
    names: list[str] = []
    fields: set[str] = set()
    for name in random.sample([*MANNERS], random.randint(2, 7)):
        quirk, _ = MANNERS[name]
        touched = {f"{quirk['quirk']}.{field}" for field in quirk if field != "quirk"} | ({quirk["quirk"]} if quirk["quirk"] == "hidden" else set())
        touched = {f"default.{quirk['parameter']}"} if quirk["quirk"] == "default" else touched
        if touched & fields or {"0 is unset", "temperature left at 0"} <= {*names, name}:
            continue
        fields |= touched
        names.append(name)
    return names


class InProcess:
    """Calls of an endpoint in this process; no sockets. Every one gives way to others first, so that calls can run side by side."""

    def __init__(self, api: Api, quirks: Planted, seed: int = 0) -> None:
        self._api, self._quirks, self._seed = api, rehearsal.check({"quirks": [*quirks]}).quirks, seed
        self._number = self._inside = 0

    async def call(self, body: Mapping[str, Any], messages: Sequence[Any], *, stream: bool = False) -> Reply:
        """As `evalkit.client.client.Client.call`."""
        self._inside += 1
        try:
            await asyncio.sleep(0)
            return self._answered({**body, "messages": [*messages]})
        finally:
            self._inside -= 1

    def _answered(self, body: dict[str, Any]) -> Reply:
        self._number += 1
        try:
            twisted = twist(body, self._quirks, "chat", self._seed, self._number, max(0, self._inside - 1))
            chat = self._api.chat(twisted.asked(), twisted.manners)
            answers = self._api.answers(chat)
            texts = ["".join(answer) for answer in answers]
        except ApiError as error:
            kind = "rejected" if error.status < 500 else "server"
            return Reply(failure=Failure(kind=kind, message=str(error), tries=1, status=error.status))
        made = self._api.completion(chat, answers, texts)
        usage = Usage(**made["usage"])
        return Reply(tuple(self._completion(choice, usage, len(texts)) for choice in made["choices"]), usage=usage)

    @staticmethod
    def _completion(choice: Mapping[str, Any], usage: Usage, given: int) -> Completion:
        logprobs = choice["logprobs"]["content"] if choice["logprobs"] else None
        return Completion(
            text=choice["message"]["content"],
            finish_reason=choice["finish_reason"],
            usage=usage,
            latency_s=1e-3,
            tries=1,
            logprobs=logprobs,
            usage_shared_by=given,
        )


CORNERS = ("corner hot", "corner cold")


def probed(api: Api, quirks: Planted, seed: int, most_calls: int = MOST_CALLS_OF_MEANING) -> tuple[dict[str, Meaning], int]:
    """What a probe of meaning finds at such an endpoint, by question, and the calls it made."""
    found, calls = probed_whole(api, quirks, seed, most_calls)
    return {one.question: one for one in found.meaning}, calls


def probed_whole(api: Api, quirks: Planted, seed: int, most_calls: int, sampled: bool = False) -> tuple[Found, int]:
    """The same with distances from the definition at two corners; where no log probabilities are given only if `sampled`."""
    endpoint = Probed(InProcess(api, quirks, seed), MODEL_NAME, most_calls, 8, np.random.default_rng([7, seed]))
    return asyncio.run(ask_meaning(endpoint, corners=FIXED, sampled=sampled)), endpoint.calls


_UNMOVED = {"own": "wrong", "defined": "right", "inconclusive": "inconclusive"}


def judged_corners(found: Found, names: Sequence[str]) -> dict[str, str]:
    """Of each corner: where a manner moves first tokens, a distance is right, and where none does it is wrong; how far it moves them is not known."""
    moved = not {"ceiling", *_CUTS}.isdisjoint(names)
    verdicts = {
        "own": "right" if moved else "wrong",
        "defined": "nothing" if moved else "right",
        "inconclusive": "nothing" if moved else "inconclusive",
    }
    return {name: verdicts[one.standing] for name, one in zip(CORNERS, found.corners, strict=False)}


def judged(found: Mapping[str, Meaning], right: Mapping[str, str | None]) -> dict[str, str]:
    """Of each question: right, wrong, or inconclusive. Nothing to find out is no finding."""
    out = {}
    for question, answer in right.items():
        one = found[question]
        if one.standing == "inconclusive":
            out[question] = "right" if answer == "unsure" else "nothing" if answer is None else "inconclusive"
        elif answer is None or one.standing == "not there":
            out[question] = "nothing" if one.answer is None and answer in (None, "unsure") else "wrong"
        else:
            out[question] = "right" if one.answer == answer else "wrong"
    return out
