"""What each sampling parameter means, exactly, over the full vocabulary.

`shape` is the definition, on a dense vector: penalties and biases are subtracted from or added to the logits, the result is
divided by the temperature, and the nucleus of `top_p` is cut out. `Sampler` draws from that same distribution without
building the vector, wherever the tokens the model singles out settle the matter, and builds it where they do not. Where an
endpoint has manners of its own (`Manners`), it always builds it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from evalkit.local.manners import PLAIN, Manners, Tokens
from evalkit.local.model import Conditioned, Raised

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Count = TypeVar("Count", float, NDArray[np.float64])

_TRIES_IN_TAIL = 24
_GREATEST_POWER = 20.0


@dataclass(frozen=True)
class Settings:
    """Sampling parameters in the ranges of the chat API; the defaults change nothing, and `manners` says what they mean."""

    temperature: float = 1.0
    top_p: float = 1.0
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    top_k: int = 0
    min_p: float = 0.0
    manners: Manners = PLAIN

    def penalty(self, count: Count) -> Count:
        """What a token's logit loses after it has occurred `count` times in the answer, for one count or many."""
        frequency = count if self.manners.apart else count > 0
        return frequency * self.frequency_penalty + (count > 0) * self.presence_penalty

    def penalised(self, logits: Floats, counts: Floats) -> Floats:
        """The logits of tokens that have occurred so often, in the manner of the endpoint; both of one shape."""
        if self.temperature == 0 and not self.manners.at_zero:
            return logits
        if self.manners.kind == "additive":
            return logits - self.penalty(counts)
        factor = self.frequency_penalty or 1.0  # 0 is how a body that holds none is read
        return np.where(counts > 0, np.where(logits < 0, logits * factor, logits / factor), logits)

    @property
    def by_definition(self) -> bool:
        """Whether `penalty`, temperature and `top_p` alone, in this order, say all."""
        return not (self.manners.samples_oddly or self.top_k > 0 or self.min_p > 0)


def nucleus(probs: Floats, top_p: float) -> Floats:
    """The smallest set of most probable tokens whose mass reaches `top_p` of the whole, others 0; ties go to the lower id.

    `probs` has shape (V,) and need not be normalised; neither is the result. The top token always stays.
    Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration".
    """
    if top_p >= 1:
        return probs
    falling = np.sort(probs)[::-1]
    running = np.cumsum(falling)
    place = min(int(np.searchsorted(running, top_p * running[-1])), len(probs) - 1)
    threshold = falling[place]
    kept = np.where(probs > threshold, probs, 0.0)
    ties = np.flatnonzero(probs == threshold)[: place + 1 - int(np.searchsorted(-falling, -threshold))]
    kept[ties] = threshold
    return kept


def cut(probs: Floats, settings: Settings) -> Floats:
    """What `top_k`, `min_p` and `top_p` leave of `probs`, others 0; shape (V,), not normalised."""
    if 0 < settings.top_k < len(probs):
        first = np.argsort(-probs, kind="stable")[: settings.top_k]
        kept = np.zeros(len(probs))
        kept[first] = probs[first]
        probs = kept
    if settings.min_p > 0:
        probs = np.where(probs >= settings.min_p * probs.max(), probs, 0.0)
    return nucleus(probs, settings.top_p)


def shape(probs: Floats, counts: Mapping[int, int], settings: Settings) -> Floats:
    """The distribution that is sampled from, shape (V,), summing to 1, given the model's `probs` and the answer's token `counts`.

    At temperature 0 all mass is on the most probable token (the lowest id among equals), whatever `top_p` is.
    """
    return _heated(_logits(probs, counts, settings), settings)


def tempered(probs: Floats, counts: Mapping[int, int], settings: Settings) -> Floats:
    """The same before anything is cut out of it."""
    return _heated(_logits(probs, counts, settings), replace(settings, top_p=1.0, top_k=0, min_p=0.0))


def _logits(probs: Floats, counts: Mapping[int, int], settings: Settings) -> Floats:
    logits = np.log(probs)
    if counts:
        ids = np.fromiter(counts, np.int64, len(counts))
        logits[ids] = settings.penalised(logits[ids], np.fromiter(counts.values(), np.float64, len(counts)))
    if settings.logit_bias:
        biases = np.fromiter(settings.logit_bias.values(), np.float64, len(settings.logit_bias))
        logits[np.fromiter(settings.logit_bias, np.int64, len(settings.logit_bias))] += biases
    return logits


def _heated(logits: Floats, settings: Settings) -> Floats:
    if settings.temperature == 0:
        greedy = np.zeros(len(logits))
        greedy[int(np.argmax(logits))] = 1.0
        return greedy
    with np.errstate(over="ignore"):  # at the lowest temperatures a quotient is -inf, and its power 0, as it should be
        shaped = np.exp((logits - logits.max()) / settings.temperature)
    first = settings.manners.cuts_first
    shaped = np.where(cut(np.exp(logits - logits.max()), settings) > 0, shaped, 0.0) if first else cut(shaped, settings)
    return np.asarray(shaped / shaped.sum())


class Sampler:
    """Draws one answer's tokens from a conditioned model; remembers which it has drawn, and `heard`, the tokens of the prompt."""

    def __init__(self, model: Conditioned, settings: Settings, rng: np.random.Generator, heard: Sequence[int] = ()) -> None:
        self._model, self._settings, self._rng = model, settings, rng
        self._tokens = Tokens(settings.manners, heard)
        self._counts = self._tokens.counts
        self._penalised = bool(settings.frequency_penalty or settings.presence_penalty)
        if settings.temperature == 0:
            self._exponent = math.inf
        else:
            self._exponent = 1 / settings.temperature
        # A logit that can rise breaks the bound on what hides in the tail; a power beyond this one can underflow.
        self._always_dense = (
            any(settings.logit_bias.values())
            or not settings.by_definition
            or min(settings.frequency_penalty, settings.presence_penalty) < 0
            or _GREATEST_POWER < self._exponent < math.inf
        )
        self._factor: Floats | None = None
        if self._always_dense:
            return
        if self._penalised:
            self._factor = np.ones(len(model.unigram))
        if self._exponent < math.inf:
            raised, self._mass, self._running = model.powers(self._exponent)
            self._summed = self._mass
            self._proposal = raised
            self._raised = raised.copy() if self._penalised else raised

    def draw(self, context: Sequence[int]) -> int:
        """The next token's id after `context`; counted for the penalties."""
        if self._always_dense:
            token = self._draw_dense(context)
        elif self._exponent == math.inf:
            token = self._draw_greedy(context)
        else:
            token = self._draw_sparse(context)
        if self._penalised:
            self._count(token)
        return token

    def probabilities(self, context: Sequence[int]) -> Floats:
        """The distribution that is told of the next token, shape (V,): the one that `draw` draws from, unless the endpoint tells of another.

        At temperature 0, where that is one token, it is the model's own.
        """
        probs = self._model.probabilities(context)
        told = self._settings.manners.told
        if self._settings.temperature == 0 or told == "raw":
            return probs
        return (shape if told == "drawn" else tempered)(probs, self._counts, self._settings)

    def _count(self, token: int) -> None:
        self._tokens.say(token)
        count = self._counts[token]
        if self._factor is not None:
            factor = self._factor[token] = math.exp(-self._settings.penalty(count))
            if self._exponent < math.inf:
                before = self._raised.item(token)
                after = self._raised[token] = self._proposal.item(token) * factor**self._exponent
                self._mass += after - before
                if self._mass < self._summed / 2:  # what is left would drown in the rounding of what has gone
                    self._mass = self._summed = float(np.add.reduce(self._raised))

    def _draw_dense(self, context: Sequence[int]) -> int:
        return self._pick(shape(self._model.probabilities(context), self._counts, self._settings).cumsum())

    def _draw_greedy(self, context: Sequence[int]) -> int:
        step = self._model.step(context)
        spared = self._factor is None or self._model.model.followers(context[-1]).isdisjoint(self._counts)
        probs = step.probs if self._factor is None or spared else step.probs * self._factor[step.ids]
        if len(probs):
            best = int(probs.argmax())
            if probs[best] > step.tail * self._model.highest_elsewhere(context[-1]):
                return int(step.ids[best])
        return int(shape(self._model.probabilities(context), self._counts, self._settings).argmax())

    def _draw_sparse(self, context: Sequence[int]) -> int:
        raised = self._model.raised(context, self._exponent)
        if self._factor is not None and not raised.after.isdisjoint(self._counts):
            raised = self._penalised_step(raised, self._factor)
        ids = raised.ids
        elsewhere = max(0.0, raised.tail * (self._mass - raised.taken))
        if self._settings.top_p < 1:
            return self._draw_nucleus(context[-1], raised, elsewhere)
        running = raised.running
        mass = float(running[-1]) if len(ids) else 0.0
        if self._rng.random() * (mass + elsewhere) < mass:
            return int(ids[self._pick(running)])
        return self._draw_tail(ids, raised.tail)

    def _penalised_step(self, raised: Raised, factor: Floats) -> Raised:
        """The same with what the answer's own tokens have lost."""
        ids = raised.ids
        values = raised.probs * factor[ids]
        if self._exponent != 1:
            values = values**self._exponent
        return Raised(ids, raised.probs, raised.after, values, raised.tail, float(np.add.reduce(self._raised[ids])))

    def _draw_nucleus(self, last: int, raised: Raised, elsewhere: float) -> int:
        ids, seen, tail = raised.ids, raised.values, raised.tail
        order, running = raised.falling
        place = int(running.searchsorted(self._settings.top_p * (float(running[-1]) + elsewhere))) if len(ids) else 0
        bound = tail * self._model.highest_elsewhere(last) ** self._exponent
        if place < len(ids) and seen[order[place]] > bound:
            return int(ids[order[self._pick(running[: place + 1])]])
        # The nucleus reaches into the tail. Sorting the values alone costs a quarter of sorting their indices, and the
        # value drawn leads back to its token: equals stand in the order of their ids.
        full = tail * self._raised
        full[ids] = seen
        rising = np.sort(full)
        falling = rising[::-1]
        running = falling.cumsum()
        place = min(int(running.searchsorted(self._settings.top_p * float(running[-1]))), len(full) - 1)
        at = self._pick(running[: place + 1])
        value = falling[at]
        above = len(full) - int(rising.searchsorted(value, "right"))
        return int((full == value).nonzero()[0][at - above])

    def _draw_tail(self, ids: Ints, tail: float) -> int:
        """A token outside `ids`, by rejection from the unigram proposal; penalties only ever thin it out."""
        for _ in range(_TRIES_IN_TAIL):
            token = self._pick(self._running)
            at = int(ids.searchsorted(token))
            if at < len(ids) and ids[at] == token:
                continue
            if self._factor is None or self._rng.random() * self._proposal[token] < self._raised[token]:
                return token
        left = tail * self._raised
        left[ids] = 0.0
        return self._pick(left.cumsum())

    def _pick(self, running: Floats) -> int:
        """An index drawn in proportion to the steps of a running sum; never one of zero width."""
        total = float(running[-1])
        at = int(running.searchsorted(self._rng.random() * total, "right"))
        return at if at < len(running) else int(running.searchsorted(total))
