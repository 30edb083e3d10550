"""How far first tokens are from what the definition says, at corners of the levels that are wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.experiment.parameters import DEFAULT
from evalkit.probe.endpoint import RejectedError
from evalkit.probe.meaning.asking import Asking, shown
from evalkit.probe.meaning.contexts import Context
from evalkit.probe.meaning.definition import Floats, Rest, categories, defined, gathered_by, rest_at, sampled_rest
from evalkit.stats.distance import Distance, distance
from evalkit.stats.sequential import share_bounds
from evalkit.store.meanings import Corner, Standing

CALLS_OF_CORNERS = 380
"""Calls at the most that corners take where no log probabilities are given: answers at temperature 1, at a high one, and at three corners."""

_LOOKS = (20, 40, 60)
_REFERENCE, _FEWEST, _KNOWN = 120, 3, 0.5
_OTHERS = 40
_WIDE = 0.1
_ERROR = 0.025
_LEVEL = 0.001
_CLOSE = 0.3
_GUESSES = 400
_OFF = {"top_k": (0, -1), "min_p": (0,)}

FIXED: tuple[Mapping[str, Any], ...] = ({"temperature": 1.5, "top_p": 0.5}, {"temperature": 0.5})
"""Where no levels are wanted: a hot one that is cut, and a cold one."""


def corners_of(levels: Mapping[str, Sequence[Any]]) -> list[Mapping[str, Any]]:
    """What to send at up to three corners of these levels: the hottest with the lowest and the highest top_p, and the coldest with the lowest.

    0 of either leaves one token and is asked about on its own. What else is sent to every setting goes along where the definition knows it.
    """
    heats, cuts = [_numbers(levels.get(name, [DEFAULT])) for name in ("temperature", "top_p")]
    if not heats or not cuts:
        return []
    along: dict[str, Any] = {}
    for name, values in levels.items():
        if len(values) == 1 and (name in ("frequency_penalty", "presence_penalty") or values[0] in _OFF.get(name, ())) and values[0] != DEFAULT:
            along[name] = values[0]
    picked = [(heats[-1], cuts[0]), (heats[-1], cuts[-1]), (heats[0], cuts[0])]
    named = [{"temperature": heat, "top_p": cut} for heat, cut in dict.fromkeys(picked)]
    return [{**{name: value for name, value in one.items() if value is not None}, **along} for one in named]


def _numbers(levels: Sequence[Any]) -> list[float | None]:
    """The levels above 0, rising; None for one that is left out, which counts as 1."""
    sound = [None if level == DEFAULT else level for level in levels if level == DEFAULT or (isinstance(level, int | float) and level > 0)]
    return sorted(sound, key=lambda level: 1 if level is None else level)


Counts = NDArray[np.int64]


class _Reference(NamedTuple):
    """What is known of first tokens at temperature 1: tokens with their probabilities, a bound of all others', and how often each was counted."""

    context: Context
    tokens: list[str]
    listed: Floats
    rest: Rest
    counted: Counts | None = None


class Corners:
    """The corners of one probe; what one has learnt of the prompts serves the next."""

    def __init__(self, asking: Asking, ranked: Sequence[Context]) -> None:
        self._asking, self._ranked = asking, ranked
        self._sampled: tuple[Context, Counter[str]] | None = None
        self._hot: dict[float, tuple[Context, Counter[str]]] = {}

    async def measure(self, sent: Mapping[str, Any]) -> Corner:
        """One corner. Raises as `Asking.ask`, but for a refusal, which makes it inconclusive."""
        before = self._asking.endpoint.calls
        heat, cut = float(sent.get("temperature", 1)), float(sent.get("top_p", 1))
        found: Distance | None = None
        try:
            reference = await self._reference(heat)
            if isinstance(reference, str):
                evidence = reference
            else:
                found, evidence = await self._held(sent, heat, cut, reference)
        except RejectedError as refusal:
            evidence = f"refused: {refusal}"
        return _corner(sent, found, evidence, self._asking.endpoint.calls - before, self._asking.logprobs)

    def unmeasured(self, sent: Mapping[str, Any], why: str) -> Corner:
        """A corner that could not be measured."""
        return _corner(sent, None, why, 0, self._asking.logprobs)

    async def _reference(self, heat: float) -> _Reference | str:
        told = [one for one in self._ranked if one.told]
        if told:
            known = [_of_told(one, heat) for one in told]
            sharp = [one for one in known if _width(defined(one.listed, heat, 1, one.rest)) <= _WIDE]
            if sharp:  # the more tokens may come, the more shows
                return max(sharp, key=lambda one: _entropy(defined(one.listed, heat, 1, one.rest).mean(axis=0)))
            best = min(known, key=lambda one: _width(defined(one.listed, heat, 1, one.rest)))
            return await self._with_others(best, heat)
        if not self._ranked:
            return "no prompt was found"
        sampled = await self._by_samples(heat)
        return sampled if isinstance(sampled, str) else await self._with_others(sampled, heat)

    async def _by_samples(self, heat: float) -> _Reference | str:
        """First tokens of answers at temperature 1; those that came a few times are listed."""
        if self._sampled is None:
            context = self._ranked[0]
            drawn = await self._asking.tokens(context.messages, _REFERENCE, {"temperature": 1, **self._asking.off})
            self._sampled = context, drawn
        context, drawn = self._sampled
        tokens = [token for token, count in drawn.most_common() if count >= _FEWEST]
        if drawn.total() < _REFERENCE / 2:
            return f"too few answers came{self._asking.endpoint.why()}"
        counted = np.array([*(drawn[token] for token in tokens), drawn.total() - sum(drawn[token] for token in tokens)])
        if counted[:-1].sum() < _KNOWN * drawn.total():
            return f"the first tokens of {drawn.total()} answers at temperature 1 are too many different ones to know how likely each is"
        shares = counted / drawn.total()
        low, high = share_bounds(int(counted[-1]), drawn.total(), _ERROR)
        largest = (2 * _FEWEST - 1) / drawn.total()
        ends = [rest_at(shares[:-1] * ((1 - mass) / shares[:-1].sum()), heat, largest) for mass in (low, high)]
        rest = Rest(min(one.low for one in ends), max(one.high for one in ends))
        return _Reference(context, tokens, shares[:-1], rest, counted)

    async def _with_others(self, reference: _Reference, heat: float) -> _Reference:
        """With what answers at that temperature say of the tokens that are not listed, where their share is open and nothing is cut."""
        if heat <= 1 or _width(defined(reference.listed, heat, 1, reference.rest)) <= _WIDE:
            return reference
        asking, context = self._asking, reference.context
        if heat not in self._hot or self._hot[heat][0] is not context:
            fields = {"temperature": heat, **asking.off, **self._named()}
            self._hot[heat] = context, await asking.tokens(context.messages, _OTHERS, fields)
        drawn = self._hot[heat][1]
        others = drawn.total() - sum(drawn[token] for token in reference.tokens)
        return reference._replace(rest=sampled_rest(reference.rest, reference.listed, heat, share_bounds(others, drawn.total(), _ERROR)))

    def _named(self) -> dict[str, Any]:
        """Fields with which an answer tells its first token by the name that it has among the listed ones."""
        return {"logprobs": True} if self._asking.logprobs else {}

    async def _held(self, sent: Mapping[str, Any], heat: float, cut: float, reference: _Reference) -> tuple[Distance | None, str]:
        """Answers at the corner held against the definition, until it is sure or there are enough."""
        asking = self._asking
        rows = defined(reference.listed, heat, cut, reference.rest)
        category = categories(reference.listed, rows)
        candidates = gathered_by(category, rows)
        counted, rng = reference.counted, asking.endpoint.rng
        guesses = None if counted is None else gathered_by(category, _guessed(reference, counted, heat, cut, rng))
        place = {token: int(category[number]) for number, token in enumerate(reference.tokens)}
        seen: Counter[str] = Counter()
        found: Distance | None = None
        for look in _LOOKS:
            seen += await asking.tokens(reference.context.messages, look - seen.total(), {**sent, **self._named()})
            if seen.total() < look / 2:
                break
            counts = np.zeros(candidates.shape[1], dtype=np.int64)
            for token, count in seen.items():
                counts[place.get(token, int(category[-1]))] += count
            found = distance(counts, candidates, rng, guesses)
            found = found._replace(high=min(1.0, found.high + _width(candidates)))
            if found.p <= _LEVEL or found.high <= _CLOSE:
                break
        expected = rows.mean(axis=0)
        likeliest = ", ".join(f"{token!r} {expected[number]:.0%}" for number, token in enumerate(reference.tokens[:3]) if expected[number] > 0)
        words = f"by the definition {likeliest}, others {max(0.0, 1 - expected[:3].sum()):.0%}; of {seen.total()} answers {shown(seen)}"
        return found, words if found is not None else f"too few answers came{asking.endpoint.why()}"


def _of_told(context: Context, heat: float) -> _Reference:
    listed = np.array(list(context.told.values()))
    return _Reference(context, list(context.told), listed, rest_at(listed, heat))


def _guessed(reference: _Reference, counted: Counts, heat: float, cut: float, rng: np.random.Generator) -> Floats:
    """What the definition might as well be, had other answers been counted; shape (B, C, K + 1)."""
    again = rng.multinomial(counted.sum(), counted / counted.sum(), _GUESSES)[:, :-1]
    return defined(np.maximum(again, 0.5) / counted.sum(), heat, cut, reference.rest)


def _width(rows: Floats) -> float:
    """The largest total variation distance between two of the rows, shape (C, K)."""
    return float((0.5 * np.abs(rows[:, None] - rows[None]).sum(axis=-1)).max())


def _entropy(shares: Floats) -> float:
    known = shares[shares > 0]
    return float(-(known * np.log(known)).sum())


def _corner(sent: Mapping[str, Any], found: Distance | None, evidence: str, calls: int, told: bool) -> Corner:
    heat, cut = sent.get("temperature"), sent.get("top_p")
    where = f"at {named(heat, cut)} "
    standing: Standing = "inconclusive"
    says = f"{where}the calls do not tell how far first tokens are from the definition"
    if found is not None and found.p <= _LEVEL:
        standing = "own"
        says = f"{where}first tokens are {found.estimate:.0%} away from the definition ({found.low:.0%} to {found.high:.0%})"
    elif found is not None and found.high <= _CLOSE:
        standing, says = "defined", f"{where}first tokens are at most {found.high:.0%} away from the definition"
    elif found is not None:
        says = f"{where}no distance from the definition shows, but up to {found.high:.0%} would not have to"
    known = found._asdict() if found is not None else {}
    estimate = known.pop("estimate", None)
    by: Any = "log probabilities" if told else "samples"
    return Corner(temperature=heat, top_p=cut, standing=standing, says=says, evidence=evidence, calls=calls, by=by, distance=estimate, **known)


def named(temperature: float | None, top_p: float | None) -> str:
    """A corner in words."""
    return ", ".join(f"{name} {'left out' if value is None else f'{value:g}'}" for name, value in (("temperature", temperature), ("top_p", top_p)))
