"""The whole of a probe of meaning: its questions one after the other, within the budget."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from evalkit.probe.endpoint import OutOfCallsError, Probed, RejectedError, about
from evalkit.probe.meaning import counts, heat, order, penalties, seeds, stopping, truncation
from evalkit.probe.meaning.asking import Asking, GoneError, OutOfLongerError, prompts
from evalkit.probe.meaning.contexts import Context, contexts
from evalkit.probe.meaning.corners import CALLS_OF_CORNERS, Corners
from evalkit.probe.meaning.found import QUESTIONS, Answered, nothing, told, unsure
from evalkit.store.meanings import Corner, Meaning

MOST_CALLS_OF_MEANING = 460
"""Calls at the most: some 400 of one token and 60 longer ones."""
USUAL_CALLS_OF_MEANING = 370

_LEAST = (1, 2, 4, 16)
_OFF = {"top_k": (0, -1), "min_p": (0,)}


class Found(NamedTuple):
    """What a probe of meaning has found; `corners` as many as were asked for, `ended` why it ended early, empty where it did not."""

    meaning: list[Meaning]
    corners: list[Corner]
    ended: str


async def ask_meaning(
    endpoint: Probed,
    progress: Callable[[Meaning], None] = lambda _: None,
    corners: Sequence[Mapping[str, Any]] = (),
    sampled: bool = False,
) -> Found:
    """What each question of `QUESTIONS` comes to at an endpoint that has given a first answer; each is told to `progress` when it is made.

    Then how far first tokens are from the definition at the corners: with log probabilities, or, where `sampled`, with many answers in their place.

    Never raises for what the endpoint refuses, nor where it dies half-way or the calls are used up: what was not found out is inconclusive.

    Raises:
        EndpointError: the key is refused.
    """
    reserved = min(CALLS_OF_CORNERS, endpoint.most_calls // 2) if sampled and corners else 0
    endpoint.most_calls -= reserved
    work = _Survey(Asking(endpoint), progress)
    await work.begin(lambda: _prepare(work.asking))
    await work.find("seed_repeats", lambda: seeds.repeats(work.asking))
    await work.find("seed_beside", lambda: seeds.beside(work.asking))
    ranked: list[Context] = []

    async def rank() -> None:
        ranked.extend(await contexts(work.asking))

    await work.begin(rank)
    for question, asked in _asked(work.asking, ranked, work.known):
        await work.find(question, asked)
    measured = Corners(work.asking, ranked)
    asked_for = corners if work.asking.logprobs or sampled else ()
    endpoint.most_calls += reserved
    distances = [await work.corner(measured, sent) for sent in asked_for]
    return Found([work.found[question] for question in QUESTIONS], distances, work.gone)


Asked = Callable[[], Awaitable[Answered]]


def _asked(asking: Asking, ranked: list[Context], known: Mapping[str, Answered]) -> Iterator[tuple[str, Asked]]:
    """What is asked, in order: first what others hang on, last what takes most; few calls may be longer, so what takes few of those stands early."""
    yield "temperature_ceiling", lambda: heat.ceiling(asking, ranked)
    yield "order_top_p", lambda: order.of_top_p(asking, ranked, known)
    if known["temperature_ceiling"].answer is None and asking.basis is None:
        yield "temperature_ceiling", lambda: heat.ceiling(asking, ranked)  # there is more to go by now
    yield "hidden_top_p", lambda: truncation.hidden(asking, "top_p", ranked)
    yield "hidden_top_k", lambda: truncation.hidden(asking, "top_k", ranked)
    yield "hidden_min_p", lambda: truncation.hidden(asking, "min_p", ranked)
    yield "left_out_temperature", lambda: truncation.left_out_temperature(asking, ranked)
    yield "count_hidden", lambda: counts.hidden(asking)
    yield "limit_both", lambda: counts.both(asking, known)
    yield "limit_0", lambda: counts.none(asking, known)
    yield "stop_cut", lambda: stopping.cut(asking)
    yield "stop_most", lambda: stopping.most(asking)
    yield "count_stop", lambda: counts.stopped(asking, known)
    yield "seed_choices", lambda: seeds.choices(asking)
    yield "temperature_beyond", lambda: heat.beyond(asking)
    yield "penalties_kind", lambda: penalties.kind(asking)
    yield "penalties_count", lambda: penalties.counted(asking, ranked, known)
    if known["penalties_count"].answer == "prompt too" and asking.basis is not None:
        yield "penalties_count", lambda: penalties.answers_too(asking, known)
    yield "temperature_0", lambda: heat.zero(asking, ranked)
    yield "penalties_apart", lambda: penalties.apart(asking, known)
    yield "penalties_at_0", lambda: penalties.at_zero(asking, known)
    yield "seed_near", lambda: seeds.near(asking, ranked)
    yield "seed_none", lambda: seeds.unseeded(asking)
    yield "logprobs", lambda: order.of_logprobs(asking, ranked)
    yield "temperature_small", lambda: heat.small(asking, ranked)
    yield "top_p_0", lambda: heat.lowest_top_p(asking, ranked)
    yield "count_end", lambda: counts.end(asking, known)
    if known["penalties_kind"].answer == "additive" and known["penalties_apart"].answer == "presence ignored":
        yield "penalties_kind", lambda: penalties.kind_by_odds(asking, ranked, known)
    yield "order_min_p", lambda: order.of_min_p(asking, ranked, known)
    yield "penalties_window", lambda: penalties.window(asking, ranked, known)


class _Survey:
    """The findings so far, and why no more is asked, where that is so."""

    def __init__(self, asking: Asking, progress: Callable[[Meaning], None]) -> None:
        self.asking, self._progress = asking, progress
        self.known: dict[str, Answered] = {}
        self.found: dict[str, Meaning] = {}
        self._ended = self.gone = ""

    async def begin(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do what findings stand on; where that ends the calls or the endpoint, all that is left is inconclusive."""
        try:
            if not self._ended:
                await work()
        except GoneError as gone:
            self._ended = self.gone = str(gone)
        except OutOfCallsError:
            self._ended = f"the {self.asking.endpoint.most_calls} calls were used up at the start"
        except OutOfLongerError as used_up:
            self._ended = str(used_up)

    async def find(self, question: str, asked: Asked) -> None:
        """Ask one question."""
        endpoint = self.asking.endpoint
        before = endpoint.calls
        try:
            answered = unsure(self._ended) if self._ended else await asked()
        except RejectedError as refusal:
            answered = nothing(f"refused: {refusal}")
        except GoneError as gone:
            self._ended = self.gone = str(gone)
            answered = unsure(self._ended)
        except OutOfCallsError:
            answered = unsure(f"the {endpoint.most_calls} calls were used up before it was sure")
        except OutOfLongerError as used_up:
            answered = unsure(str(used_up))
        self.known[question] = answered
        earlier = self.found[question].calls if question in self.found else 0  # it may be asked a second time, with more to go by
        self.found[question] = told(question, answered, earlier + endpoint.calls - before)
        self._progress(self.found[question])

    async def corner(self, corners: Corners, sent: Mapping[str, Any]) -> Corner:
        """Measure one corner."""
        try:
            if not self.gone:
                return await corners.measure(sent)
        except GoneError as gone:
            self._ended = self.gone = str(gone)
        except OutOfCallsError:
            return corners.unmeasured(sent, f"the {self.asking.endpoint.most_calls} calls were used up before it was sure")
        return corners.unmeasured(sent, self.gone)


async def _prepare(asking: Asking) -> None:
    """Which limit, which highest temperature and which of the other parameters are taken at all."""
    endpoint = asking.endpoint
    for least in _LEAST:
        asking.least = least
        if await _taken(asking, {}):
            break
    if not await _taken(asking, {"seed": asking.seeds[0]}):
        endpoint.unusable.add("seed")
    for hottest in (2.0, 1.5, 1.0):
        asking.hottest = hottest
        if await _taken(asking, {"temperature": hottest}):
            break
    if not await _taken(asking, {"temperature": 1, "top_p": 1}):
        asking.off.pop("top_p")
    for name, values in _OFF.items():
        for value in values:
            if await _taken(asking, {name: value}):
                asking.off[name] = value
                asking.filters.append(name)
                break
    try:
        asking.logprobs = bool(await asking.likely(prompts()[0], {"temperature": 1}))
    except RejectedError:
        asking.logprobs = False


async def _taken(asking: Asking, fields: dict[str, object]) -> bool:
    try:
        await asking.ask(about(0), {"tokens": asking.least, "seed": None, **fields})
    except RejectedError:
        return False
    return True
