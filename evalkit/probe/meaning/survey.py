"""The whole of a probe of meaning: its questions one after the other, within the budget."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from evalkit.probe.endpoint import OutOfCallsError, Probed, RejectedError, about
from evalkit.probe.meaning import counts, heat, order, penalties, seeds, stopping, truncation
from evalkit.probe.meaning.asking import Asking, GoneError, prompts
from evalkit.probe.meaning.contexts import Context, contexts
from evalkit.probe.meaning.found import QUESTIONS, Answered, nothing, told, unsure
from evalkit.store.meanings import Meaning

MOST_CALLS_OF_MEANING = 460
"""Calls at the most: some 400 of one token and 60 longer ones."""
USUAL_CALLS_OF_MEANING = 290

_LEAST = (1, 2, 4, 16)
_OFF = {"top_k": (0, -1), "min_p": (0,)}


async def ask_meaning(endpoint: Probed, progress: Callable[[Meaning], None] = lambda _: None) -> list[Meaning]:
    """What each question of `QUESTIONS` comes to at an endpoint that has given a first answer; each is told to `progress` when it is made.

    Never raises for what the endpoint refuses, nor where it dies half-way or the calls are used up: what was not found out is inconclusive.

    Raises:
        EndpointError: the key is refused.
    """
    asking = Asking(endpoint)
    out: dict[str, Meaning] = {}
    known: dict[str, Answered] = {}
    ended = ""

    async def find(question: str, asked: Callable[[], Awaitable[Answered]]) -> None:
        nonlocal ended
        before = endpoint.calls
        try:
            answered = unsure(ended) if ended else await asked()
        except RejectedError as refusal:
            answered = nothing(f"refused: {refusal}")
        except GoneError as gone:
            ended = str(gone)
            answered = unsure(ended)
        except OutOfCallsError:
            answered = unsure(f"the {endpoint.most_calls} calls were used up before it was sure")
        known[question] = answered
        out[question] = told(question, answered, endpoint.calls - before)
        progress(out[question])

    ranked: list[Context] = []
    try:
        await _prepare(asking)
    except GoneError as gone:
        ended = str(gone)
    except OutOfCallsError:
        ended = f"the {endpoint.most_calls} calls were used up at the start"
    await find("seed_repeats", lambda: seeds.repeats(asking))
    await find("seed_beside", lambda: seeds.beside(asking))
    try:
        ranked = [] if ended else await contexts(asking)
    except GoneError as gone:
        ended = str(gone)
    except OutOfCallsError:
        ended = f"the {endpoint.most_calls} calls were used up at the start"
    await find("temperature_ceiling", lambda: heat.ceiling(asking, ranked))
    await find("order_top_p", lambda: order.of_top_p(asking, ranked, known))
    if known["temperature_ceiling"].answer is None and asking.basis is None:
        await find("temperature_ceiling", lambda: heat.ceiling(asking, ranked))  # there is more to go by now
    for name in ("top_p", "top_k", "min_p"):
        await find(f"hidden_{name}", lambda name=name: truncation.hidden(asking, name, ranked))  # type: ignore[misc]
    await find("left_out_temperature", lambda: truncation.left_out_temperature(asking, ranked))
    await find("penalties_kind", lambda: penalties.kind(asking))
    await find("penalties_count", lambda: penalties.counted(asking, ranked, known))
    await find("temperature_0", lambda: heat.zero(asking, ranked))
    await find("penalties_apart", lambda: penalties.apart(asking, known))
    await find("penalties_at_0", lambda: penalties.at_zero(asking, known))
    await find("seed_near", lambda: seeds.near(asking))
    await find("seed_choices", lambda: seeds.choices(asking))
    await find("seed_none", lambda: seeds.unseeded(asking))
    await find("logprobs", lambda: order.of_logprobs(asking, ranked))
    await find("temperature_beyond", lambda: heat.beyond(asking))
    await find("temperature_small", lambda: heat.small(asking, ranked))
    await find("top_p_0", lambda: heat.lowest_top_p(asking, ranked))
    await find("count_hidden", lambda: counts.hidden(asking))
    await find("limit_both", lambda: counts.both(asking, known))
    await find("limit_0", lambda: counts.none(asking, known))
    await find("stop_cut", lambda: stopping.cut(asking))
    await find("stop_most", lambda: stopping.most(asking))
    await find("count_stop", lambda: counts.stopped(asking, known))
    await find("count_end", lambda: counts.end(asking, known))
    await find("order_min_p", lambda: order.of_min_p(asking, ranked, known))
    await find("penalties_window", lambda: penalties.window(asking, ranked, known))
    return [out[question] for question in QUESTIONS]


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
