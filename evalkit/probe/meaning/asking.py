"""Asking for first tokens and for short texts, and whether two requests mean the same."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from evalkit.client.reply import Reply
from evalkit.probe.endpoint import GONE, NO_MORE, Probed, about, gathered, visible
from evalkit.stats.permutation import more_often
from evalkit.stats.sequential import noise_again
from evalkit.store.records import Completion

LEVEL = 0.01
"""A difference between first tokens counts where chance alone brings as much at most this often."""

_LEVEL_OF_LONGER = 0.02
"""The same between longer answers, of which fewer can be asked for."""

_PAIRS = 4
_BRIEF, _LONG = 8, 2
TOKENS = 24
"""Of a longer answer, in most comparisons."""

_MOST_TOP = 20
_MOST_LONGER = 60
_QUIET = 12  # plain repeats of which none brought another text, after which what differs is not asked again one by one
_ODDS_OF_SHOWING = 0.5

_QUESTIONS = ("What is a loop?", "Describe a city.", "Begin a story.")

Fields = Mapping[str, Any]
Messages = Sequence[Mapping[str, Any]]


class GoneError(Exception):
    """The endpoint answers no more; the message is its last failure."""


class OutOfLongerError(Exception):
    """The calls that may have more than one token are used up; the others go on."""


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
        longer: calls so far that allowed more than that.
        primed: a text is asked for right after its prompt alone: answers repeat only so.
    """

    def __init__(self, endpoint: Probed) -> None:
        self.endpoint = endpoint
        self.off: dict[str, Any] = {"top_p": 1}
        self.filters: list[str] = []
        self.basis: Literal["seed", "greedy"] | None = None
        self.differed, self.repeats = 0, 0
        self.least = 1
        self.longer = 0
        self.primed = False
        self.logprobs = False
        self.hottest = 2.0
        self.seeds = [self.seed() for _ in range(24)]
        self._known: dict[str, str | None] = {}
        self._last: Messages = ()

    def seed(self) -> int:
        """A seed far from all others."""
        return int(self.endpoint.rng.integers(2**31 - 100))

    async def ask(self, messages: Messages, fields: Fields) -> Reply:
        """One call.

        Raises:
            RejectedError: it is refused.
            GoneError: one after the other fails.
            OutOfLongerError: it may have more than one token, and so many have been asked for already.
        """
        body = self.endpoint.body(**fields)
        if self._allowed(body) > self.least:
            if self.longer >= _MOST_LONGER:
                raise OutOfLongerError(f"the {_MOST_LONGER} calls of more than one token were used up before it was sure")
            self.longer += 1
        self._last = messages
        reply = await self.endpoint.ask(body, messages)
        if self.endpoint.failed_in_a_row >= GONE:
            raise GoneError(f"{NO_MORE}{self.endpoint.why()}")
        return reply

    @staticmethod
    def _allowed(body: Fields) -> float:
        """The larger of the limits that are sent; where that is none or 0, there may be no limit."""
        return max((body[name] for name in ("max_tokens", "max_completion_tokens") if body.get(name)), default=math.inf)

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
            if self.primed and messages != self._last:
                await self.ask(messages, {**sent, "tokens": self.least})
            reply = await self.ask(messages, sent)
            text = visible(reply.completions[0]) if reply.completions else None
            if again:
                return text
            self._known[key] = text
        return self._known[key]

    @property
    def _quiet(self) -> bool:
        """Plain repeats have shown no noise."""
        return self.repeats >= _QUIET and not self.differed

    def forget(self) -> None:
        """Ask again for what was asked before it was known what makes answers repeat."""
        self._known.clear()

    async def same(self, one: Fields, other: Fields, *, pairs: int = _PAIRS, topics: Sequence[Messages] = ()) -> Same:
        """Do two requests mean the same? Their texts are compared under the same seeds; what differs is asked again, until noise is known.

        Equal texts say 'the same' where all pairs are equal. Different ones say 'not the same' where each comes again, and more pairs differ
        than plain repeats explain (Fisher's exact test) or than noise would that comes again itself. Longer answers are not asked again where
        `_QUIET` repeats in a row have brought no other text.
        """
        topics = topics or prompts()
        differ = of = 0
        p: float | None = None
        brief = one.get("tokens", self.least) == self.least
        level = LEVEL if brief else _LEVEL_OF_LONGER
        confirmed = brief or not self._quiet
        for number in range(3 * pairs):
            if number >= pairs and not differ:
                break
            talk = topics[number % len(topics)]
            texts = [await self.text(talk, number, fields) for fields in (one, other)]  # one at a time: a batch is noise on some servers
            if None in texts:
                continue
            of += 1
            if texts[0] != texts[1]:
                differ += (not confirmed and self._quiet) or await self._again(talk, number, (one, other), texts)
            p = more_often(differ, of, self.differed, self.repeats)
            if confirmed:
                p = min(p, noise_again(differ, of, self.differed, self.repeats))
            if differ >= 2 and p <= level:
                return Same(False, differ, of, p)
        if of < min(2, pairs):
            return Same(None, differ, of, None)
        # So many equal ones would come with 2 ** -of where a difference shows in every other answer.
        return Same(True if not differ else None, differ, of, p if differ else _ODDS_OF_SHOWING**of)

    async def alike(self, one: Fields, other: Fields) -> tuple[Same, str]:
        """As `same`, by first tokens, which cost least; where all of these are the same, by a few longer answers too. And that in words."""
        brief = await self.same(one, other, pairs=_BRIEF)
        words = f"same question and seed: of first tokens {brief}"
        if not brief.verdict:
            return brief, words
        long = {"tokens": TOKENS}
        whole = await self.same({**one, **long}, {**other, **long}, pairs=_LONG)
        return brief if whole.verdict else whole, f"{words}; of answers of {TOKENS} tokens {whole}"

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
                return False if not confirm or self._quiet or await self._again(talk, number, (one, other), texts) else None
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
    sound: dict[str, float] = {}
    for token, value in pairs:
        if isinstance(token, str) and isinstance(value, int | float) and -50 < value <= 1e-6:
            # Parts of characters may be told by one sign for all.
            sound[token] = math.exp(value) + sound.get(token, 0.0)
    return {token: min(0.0, math.log(value)) for token, value in sorted(sound.items(), key=lambda pair: -pair[1])}


def shown(tokens: Counter[str], most: int = 3) -> str:
    """The commonest tokens with their counts, for evidence."""
    return ", ".join(f"{token!r} {count}" for token, count in tokens.most_common(most)) + (", ..." if len(tokens) > most else "")
