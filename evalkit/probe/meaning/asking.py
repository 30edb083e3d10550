"""Asking for first tokens and for short texts, and whether two requests mean the same."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from evalkit.client.reply import Reply
from evalkit.probe.endpoint import Probed, about, gathered, visible
from evalkit.probe.meaning.found import NO_MORE
from evalkit.stats.permutation import more_often
from evalkit.store.records import Completion

LEVEL = 0.01
"""A difference counts where chance alone brings as much at most this often."""

_GONE = 4  # failures in a row after which nothing more is asked
_PAIRS = 4
_MOST_TOP = 20
_ODDS_OF_SHOWING = 0.5

_QUESTIONS = ("What is a loop?", "Describe a city.", "Begin a story.")

Fields = Mapping[str, Any]
Messages = Sequence[Mapping[str, Any]]


class GoneError(Exception):
    """The endpoint answers no more; the message is its last failure."""


class Same(NamedTuple):
    """Do two requests mean the same? None where it is not sure; of so many comparisons so many differ; p of a difference."""

    verdict: bool | None
    differ: int
    of: int
    p: float | None

    def __str__(self) -> str:
        chance = "" if self.p is None or not self.differ else f", p = {self.p:.2g}"
        return f"{self.differ} of {self.of} differ{chance}"


def prompts() -> list[Messages]:
    """Conversations that leave the first word open."""
    return [*(about(topic) for topic in range(5)), *([{"role": "user", "content": words}] for words in _QUESTIONS)]


class Asking:
    """The calls of a probe of meaning, and what it has learnt of the endpoint so far.

    Attributes:
        off: fields that switch off whatever would cut the distribution, as far as they are taken.
        filters: which of `top_k` and `min_p` are taken.
        basis: what makes answers repeat.
        noise: plain repeats that were made, and how many of them brought another text.
        least: the smallest limit that is taken: 1, unless answers of one token are refused.
    """

    def __init__(self, endpoint: Probed) -> None:
        self.endpoint = endpoint
        self.off: dict[str, Any] = {"top_p": 1}
        self.filters: list[str] = []
        self.basis: Literal["seed", "greedy"] | None = None
        self.differed, self.repeats = 0, 0
        self.least = 1
        self.logprobs = False
        self.hottest = 2.0
        self.seeds = [self.seed() for _ in range(24)]
        self._known: dict[str, str | None] = {}
        self._failed = 0

    def seed(self) -> int:
        """A seed far from all others."""
        return int(self.endpoint.rng.integers(2**31 - 100))

    async def ask(self, messages: Messages, fields: Fields) -> Reply:
        """One call; raises `RejectedError` where it is refused, and `GoneError` where one after the other fails."""
        sent = dict(fields)
        reply = await self.endpoint.ask(self.endpoint.body(**sent), messages)
        self._failed = 0 if reply.completions else self._failed + 1
        if self._failed >= _GONE:
            raise GoneError(f"{NO_MORE}{self.endpoint.why()}")
        return reply

    async def token(self, messages: Messages, fields: Fields) -> str | None:
        """The first token of an answer, as text; under a fresh seed where `fields` name none. None for a failure."""
        reply = await self.ask(messages, {"tokens": self.least, "seed": self.seed(), **fields})
        return _first(reply.completions[0], self.least) if reply.completions else None

    async def tokens(self, messages: Messages, count: int, fields: Fields) -> Counter[str]:
        """First tokens of so many answers, each under a seed of its own."""
        drawn = await gathered([self.token(messages, fields) for _ in range(count)])
        return Counter(one for one in drawn if one is not None)

    async def likely(self, messages: Messages, fields: Fields) -> dict[str, float]:
        """Log probabilities of the likeliest first tokens, as the endpoint tells them; empty where it does not."""
        reply = await self.ask(messages, {"tokens": self.least, "seed": self.seed(), "logprobs": True, "top_logprobs": _MOST_TOP, **fields})
        return top_logprobs(reply.completions[0]) if reply.completions else {}

    async def text(self, messages: Messages, number: int, fields: Fields, *, again: bool = False) -> str | None:
        """The text that answers a request under the seed of that number; asked once, unless `again`. None for a failure."""
        fixed: dict[str, Any] = {"seed": self.seeds[number]} if self.basis != "greedy" else {"temperature": 0, "seed": None}
        sent = {"tokens": self.least, **fields, **fixed}
        key = json.dumps([list(messages), sent], sort_keys=True, default=str)
        if again or key not in self._known:
            reply = await self.ask(messages, sent)
            text = visible(reply.completions[0]) if reply.completions else None
            if again:
                return text
            self._known[key] = text
        return self._known[key]

    async def same(self, one: Fields, other: Fields, *, pairs: int = _PAIRS, topics: Sequence[Messages] = ()) -> Same:
        """Do two requests mean the same? Their texts are compared under the same seeds; what differs is asked again.

        Equal texts say 'the same' where all pairs are equal. Different ones say 'not the same' where each comes again, and more pairs differ
        than plain repeats explain (Fisher's exact test at `LEVEL`).
        """
        topics = topics or prompts()
        differ = of = 0
        p: float | None = None
        for number in range(3 * pairs):
            if number >= pairs and not differ:
                break
            talk = topics[number % len(topics)]
            texts = [await self.text(talk, number, fields) for fields in (one, other)]  # one at a time: a batch is noise on some servers
            if None in texts:
                continue
            of += 1
            if texts[0] != texts[1]:
                differ += await self._again(talk, number, (one, other), texts)
            p = more_often(differ, of, self.differed, self.repeats)
            if differ >= 2 and p <= LEVEL:
                return Same(False, differ, of, p)
        if of < min(2, pairs):
            return Same(None, differ, of, None)
        # So many equal ones would come with 2 ** -of where a difference shows in every other answer.
        return Same(True if not differ else None, differ, of, p if differ else _ODDS_OF_SHOWING**of)

    async def equal(self, one: Fields, other: Fields, pairs: int, *, confirm: bool = True) -> bool | None:
        """Whether two requests bring equal texts in all of so many pairs; the first that differs ends it, for there are more values to try.

        None where one differs and does not come again: then it may be noise. Without `confirm` it is not asked again.
        """
        talks = prompts()
        for number in range(pairs):
            talk = talks[number % len(talks)]
            texts = [await self.text(talk, number, fields) for fields in (one, other)]
            if None in texts:
                return None
            if texts[0] != texts[1]:
                return False if not confirm or await self._again(talk, number, (one, other), texts) else None
        return True

    async def _again(self, talk: Messages, number: int, sides: Sequence[Fields], texts: Sequence[str | None]) -> bool:
        """Whether both texts come again; each is a plain repeat, which tells of the noise."""
        repeated = [await self.text(talk, number, fields, again=True) for fields in sides]
        moved = sum(bool(a is not None and a != b) for a, b in zip(repeated, texts, strict=True))
        self.repeats += len(repeated)
        self.differed += moved
        return not moved


def _first(answer: Completion, least: int) -> str:
    """The first token of an answer, or its first word where the text is of several tokens and no token is told."""
    if answer.logprobs and isinstance(answer.logprobs[0], dict) and isinstance(answer.logprobs[0].get("token"), str):
        return str(answer.logprobs[0]["token"])
    text = visible(answer)
    return text if least == 1 else (re.findall(r"\s*\S+", text) or [text])[0]


def top_logprobs(answer: Completion) -> dict[str, float]:
    """Log probabilities of the likeliest first tokens of an answer, falling; what is no number or no token is left out."""
    entry = answer.logprobs[0] if answer.logprobs else None
    listed = entry.get("top_logprobs") if isinstance(entry, dict) else None
    pairs = [(one.get("token"), one.get("logprob")) for one in listed or () if isinstance(one, dict)]
    sound = {token: float(value) for token, value in pairs if isinstance(token, str) and isinstance(value, int | float) and -50 < value <= 1e-6}
    return {token: min(0.0, value) for token, value in sorted(sound.items(), key=lambda pair: -pair[1]) if math.isfinite(value)}


def shown(tokens: Counter[str], most: int = 3) -> str:
    """The commonest tokens with their counts, for evidence."""
    return ", ".join(f"{token!r} {count}" for token, count in tokens.most_common(most)) + (", ..." if len(tokens) > most else "")
