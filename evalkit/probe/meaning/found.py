"""What is made of one question, and the sentences for people, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from evalkit.store.meanings import Meaning, Standing


class Answered(NamedTuple):
    """What is made of one question; `answer` None is 'not found out', and with `there` False there is nothing to find out."""

    answer: str | None
    evidence: str
    p: float | None = None
    ratio: float | None = None
    there: bool = True


def unsure(evidence: str) -> Answered:
    """The calls do not tell."""
    return Answered(None, evidence)


def nothing(evidence: str) -> Answered:
    """There is nothing to find out."""
    return Answered(None, evidence, there=False)


def hangs(known: Mapping[str, Answered], question: str, words: str) -> Answered:
    """What is made of a question that another one stands before, which has no answer of use."""
    return unsure(f"{words}, as far as is known") if known[question].answer is None and known[question].there else nothing(words)


# question: (what it is about, {answer by definition: sentence}, {other answer: sentence}); '*' is any other answer, {} stands for it.
QUESTIONS: dict[str, tuple[str, dict[str, str], dict[str, str]]] = {
    "seed_repeats": (
        "the same seed again",
        {"repeats": "the same seed gives the same answer"},
        {
            "after itself": "the same seed repeats its answer only right after a request with the same prompt",
            "does not": "the same seed gives other answers",
        },
    ),
    "seed_beside": (
        "a seed beside other calls",
        {"repeats": "it does beside other calls too"},
        {"only alone": "a seed repeats its answer only while no other call runs"},
    ),
    "seed_near": (
        "neighbouring seeds",
        {"independent": "neighbouring seeds give independent answers"},
        {"copies": "neighbouring seeds give copies of one answer: spread the seeds"},
    ),
    "seed_choices": (
        "choices of one call",
        {"differ": "the choices of one call are different answers"},
        {"copies": "the choices of one call with a seed are copies"},
    ),
    "seed_none": (
        "no seed",
        {"varies": "without a seed answers vary"},
        {"fixed": "without a seed all answers are copies: send seed: per_replicate"},
    ),
    "order_top_p": (
        "order of temperature and top_p",
        {"temperature first": "temperature acts before top_p"},
        {"top_p first": "top_p acts before temperature here: a recommendation with both may not carry over to another server"},
    ),
    "order_min_p": (
        "order of temperature and min_p",
        {"temperature first": "temperature acts before min_p"},
        {"min_p first": "min_p acts before temperature here: a recommendation with both may not carry over to another server"},
    ),
    "logprobs": (
        "log probabilities",
        {
            "raw": "log probabilities are of the model's own distribution, whatever the temperature",
            "tempered": "log probabilities are of the distribution after the temperature",
            "drawn": "log probabilities are of the distribution that is drawn from",
        },
        {},
    ),
    "left_out_temperature": (
        "temperature left out",
        {"1": "left out, temperature is 1"},
        {"other": "left out, temperature is none of the usual values: send it", "*": "left out, temperature is {} here, not 1: send it"},
    ),
    "hidden_top_p": (
        "top_p left out",
        {"off": "left out, top_p cuts nothing"},
        {"some": "a top_p is on where none is sent: send top_p", "*": "top_p {} is on where none is sent: send top_p"},
    ),
    "hidden_top_k": (
        "top_k left out",
        {"off": "left out, top_k cuts nothing"},
        {"some": "a top_k is on where none is sent: send top_k", "*": "top_k {} is on where none is sent: send top_k"},
    ),
    "hidden_min_p": (
        "min_p left out",
        {"off": "left out, min_p cuts nothing"},
        {"some": "a min_p is on where none is sent: send min_p", "*": "min_p {} is on where none is sent: send min_p"},
    ),
    "temperature_0": (
        "temperature 0",
        {"greedy": "temperature 0 gives the likeliest token"},
        {"not greedy": "temperature 0 is not greedy here: answers at 0 vary"},
    ),
    "temperature_small": (
        "temperature 0.01",
        {"as 0": "a temperature of 0.01 is as good as 0"},
        {"raised": "small temperatures are raised in silence: 0.01 varies"},
    ),
    "temperature_ceiling": (
        "high temperatures",
        {"none to 2": "temperatures up to 2 are taken as they are"},
        {"refused": "temperatures above 1 are refused", "*": "temperatures above {} are lowered to it in silence"},
    ),
    "temperature_beyond": (
        "temperature 2.5",
        {"refused": "temperatures above 2 are refused"},
        {"taken": "temperatures above 2 are taken as they are", "clamped": "temperatures above 2 are lowered in silence"},
    ),
    "top_p_0": (
        "top_p 0",
        {"one token": "top_p 0 leaves the likeliest token", "refused": "top_p 0 is refused"},
        {"off": "top_p 0 switches it off: it cuts nothing"},
    ),
    "penalties_kind": (
        "what a frequency penalty does",
        {"additive": "a frequency penalty is subtracted"},
        {
            "multiplicative": "frequency_penalty is a multiplier here: 1 does nothing, and below 1 it invites repetition",
            "a factor above 1": "a frequency penalty is not subtracted here but weighs far more, as a factor of 1 + its value does: smaller values",
        },
    ),
    "penalties_apart": (
        "presence and frequency",
        {"apart": "presence and frequency penalties are told apart"},
        {"alike": "presence and frequency penalties do the same here", "presence ignored": "presence_penalty does nothing here"},
    ),
    "penalties_at_0": (
        "penalties at temperature 0",
        {"act": "penalties act at temperature 0"},
        {"do not": "penalties do nothing at temperature 0"},
    ),
    "penalties_count": (
        "what penalties count",
        {"answer": "penalties count the answer alone"},
        {
            "prompt too": "penalties count the prompt too: words of the question are penalised",
            "prompt alone": "penalties count the prompt alone: words of the question are penalised, and what an answer repeats is not",
        },
    ),
    "penalties_window": (
        "how far penalties look back",
        {"over 300": "penalties look back 300 tokens and more"},
        {"*": "penalties count the last {} tokens alone"},
    ),
    "count_hidden": (
        "tokens that are not shown",
        {"none": "completion_tokens counts what is shown"},
        {"*": "completion_tokens counts {} tokens that are not shown"},
    ),
    "count_end": (
        "the end mark",
        {"not counted": "completion_tokens does not count the end mark", "counted": "completion_tokens counts the end mark"},
        {},
    ),
    "count_stop": (
        "a trimmed stop sequence",
        {"counted": "completion_tokens counts a trimmed stop sequence", "not counted": "completion_tokens does not count a trimmed stop sequence"},
        {},
    ),
    "limit_both": (
        "both limits sent",
        {
            "max_completion_tokens": "of two limits max_completion_tokens wins",
            "smaller": "of two limits the smaller one wins",
            "refused": "both are refused",
        },
        {"max_tokens": "of two limits max_tokens wins", "larger": "of two limits the larger one wins"},
    ),
    "limit_0": (
        "max_tokens 0",
        {"refused": "max_tokens 0 is refused", "none": "max_tokens 0 gives no text"},
        {"one": "max_tokens 0 gives one token", "unlimited": "max_tokens 0 is no limit at all"},
    ),
    "stop_cut": (
        "where a stop sequence cuts",
        {"trimmed": "a stop sequence ends an answer and is not shown"},
        {
            "kept": "a stop sequence is shown, to the end of its token",
            "missed inside a token": "a stop sequence inside one token is missed",
            "ignored": "stop sequences are ignored",
        },
    ),
    "stop_most": (
        "how many stop sequences",
        {"4": "4 stop sequences are taken, and more refused"},
        {"*": "{} stop sequences are taken"},
    ),
}
"""All that is asked, in this order where nothing else stands against it."""


def told(question: str, answered: Answered, calls: int) -> Meaning:
    """The finding of one question, with its sentence."""
    about, defined, own = QUESTIONS[question]
    answer = answered.answer
    standing: Standing
    if answer is None:
        standing = "inconclusive" if answered.there else "not there"
        says = f"{about}: {'the calls do not tell' if answered.there else 'nothing to find out'}"
    else:
        standing = "defined" if answer in defined else "own"
        says = defined.get(answer) or own.get(answer) or own["*"].format(answer)
    return Meaning(
        question=question,
        standing=standing,
        answer=answer,
        says=says,
        evidence=answered.evidence,
        calls=calls,
        p=answered.p,
        ratio=answered.ratio,
    )
