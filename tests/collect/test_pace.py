"""The pace: told what happens and when, it says when the next call may start. Time is a number here, and nothing waits."""

from __future__ import annotations

import heapq
import random
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.client.headers import Limits, limits_of
from evalkit.collect.pace import Pace, backoff


def answered(pace: Pace, now: float, *, started: float | None = None, in_flight: int | None = None, took_s: float = 0.1, **more: object) -> None:
    pace.started(now)
    about = {"tokens": 100.0, "limits": None, **more}
    pace.answered(now, now - took_s if started is None else started, pace.limit if in_flight is None else in_flight, took_s, **about)


def test_a_fixed_number_is_kept_whatever_happens() -> None:
    pace = Pace(7, now=0.0)
    for now in range(1, 40):
        answered(pace, now)
        pace.throttle(now + 0.5, now + 0.1, 0.1)
    assert (pace.limit, pace.adaptive, pace.highest) == (7, False, 7)


def test_it_starts_low_and_doubles_a_round_while_all_places_are_used() -> None:
    pace = Pace(now=0.0, most=64)
    assert pace.limit == 4
    for expected in (8, 16, 32, 64, 64):
        for _ in range(pace.limit):
            answered(pace, 1.0)
        assert pace.limit == expected
    assert pace.highest == 64


def test_places_that_nobody_used_are_no_reason_to_grow() -> None:
    pace = Pace(now=0.0)
    for _ in range(50):
        answered(pace, 1.0, in_flight=2)
    assert pace.limit == 4


def test_a_429_cuts_once_for_all_that_were_under_way_and_then_it_grows_by_one_a_round() -> None:
    pace = Pace(now=0.0)
    while pace.limit < 32:
        answered(pace, 1.0)
    for _ in range(10):
        pace.throttle(2.0, 1.5, 0.0)
    assert pace.limit == 22
    assert pace.throttled == 10
    for _ in range(22):
        answered(pace, 3.0, started=2.5)
    assert pace.limit == 23
    assert [change.why for change in pace.history][:2] == ["start", "throttled"]


def test_a_fault_of_the_server_pauses_the_growth_and_cuts_nothing() -> None:
    pace = Pace(now=0.0)
    for now in range(20):
        pace.faulted()
        answered(pace, now)
    assert pace.limit == 4
    for now in range(3):
        answered(pace, 20.0 + now)
    assert pace.limit == 6


def test_answers_that_take_ever_longer_cut_it() -> None:
    """A server that works through a queue: what is asked at once only waits longer."""
    pace = Pace(now=0.0)
    now = 0.0
    for _ in range(4000):
        now += 0.1
        answered(pace, now, took_s=0.1 * pace.limit)
    assert pace.limit <= 32
    assert "answers take over twice as long" in [change.why for change in pace.history]


def test_answers_of_unlike_length_do_not() -> None:
    pace = Pace(now=0.0, most=64)
    for number in range(4000):
        answered(pace, 0.1 * number, took_s=(0.2, 0.7)[number % 2])
    assert pace.limit == 64


@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=30))
def test_no_call_starts_before_the_wait_that_was_asked_for(waits: list[float]) -> None:
    pace, now, until = Pace(now=0.0), 0.0, 0.0
    for wait_s in waits:
        at = pace.reserve(now)
        assert at >= until - 1e-9
        now = at + 0.01
        pace.started(now)
        pace.throttle(now, at, wait_s)
        until = max(until, now + wait_s)
        assert pace.held(until - 0.001)
        assert not pace.held(until + 0.001)


@given(st.integers(1, 600), st.integers(1, 64))
def test_a_bound_on_requests_a_minute_is_never_passed(per_minute: int, at_once: int) -> None:
    pace = Pace(at_once, requests_per_minute=per_minute, now=0.0)
    starts = [pace.reserve(0.0) for _ in range(50)]
    assert min(b - a for a, b in pairwise(starts)) >= 60 / per_minute - 1e-9


def test_a_bound_on_tokens_a_minute_is_kept_by_what_answers_were_seen_to_use() -> None:
    pace = Pace(8, tokens_per_minute=6000, now=0.0)
    pace.expect(500)
    assert pace.rate(0.0) == pytest.approx(100 / 500)
    for now in range(200):
        answered(pace, now, tokens=50)
    assert pace.rate(200.0) == pytest.approx(100 / 50, rel=0.01)


def test_a_limit_of_the_endpoint_is_learned_and_met_at_its_edge() -> None:
    """A token bucket of 20 a second, answers after 100 ms, Retry-After of a second: used well, and seldom refused."""
    pace, bucket, at, served, refused = Pace(64, now=0.0), 20.0, 0.0, [], []
    for _ in range(4000):
        now = pace.reserve(at)
        bucket, at = min(20.0, bucket + (now - at) * 20), now
        pace.started(now)
        if bucket >= 1:
            bucket -= 1
            served.append(now)
            pace.answered(now + 0.1, now, 2, 0.1, 100, None)
        else:
            refused.append(now)
            pace.throttle(now + 0.001, now, 1.0)
        if now > 100:
            break
    late = [now for now in served if now >= 10]
    assert len(late) / 90 >= 0.9 * 20
    assert sum(now >= 10 for now in refused) / len(late) <= 0.05


def test_refusals_at_random_do_not_make_it_crawl() -> None:
    """Eight in a hundred calls are refused whatever the pace: what remains is most of what there was."""
    rng = random.Random(1)  # noqa: S311
    pace, at, served = Pace(8, now=0.0), 0.0, 0
    while at < 120:
        now = at = max(pace.reserve(at), at + 0.01)
        pace.started(now)
        if rng.random() < 0.08:
            pace.throttle(now + 0.005, now, 0.05)
        else:
            served += 1
            pace.answered(now + 0.02, now, 4, 0.02, 100, None)
    assert served / 120 > 30


def test_two_refused_together_by_chance_are_no_limit_by_time() -> None:
    """Three at once, one in thirteen refused whatever the pace: seldom is a limit found, and none that makes it crawl."""
    rng = random.Random(2)  # noqa: S311
    pace, now, served = Pace(3, now=0.0), 0.0, 0
    while now < 120:
        starts = [max(pace.reserve(now), now)]
        starts += [pace.reserve(starts[0]), pace.reserve(starts[0])]
        refusals = [rng.random() < 0.075 for _ in starts]
        for start in starts:
            pace.started(start)
        for start, refused in zip(starts, refusals, strict=True):
            now = max(now, start + 0.02)
            if refused:
                pace.throttle(now, start, 0.2)
            else:
                served += 1
                pace.answered(now, start, 3, 0.02, 100, None)
    assert sum(change.why == "a limit by time is found" for change in pace.history) <= 3
    assert served / 120 > 30


def test_what_the_endpoint_says_is_left_is_spread_over_the_time_until_there_is_more() -> None:
    pace = Pace(8, now=0.0)
    answered(pace, 5.0, uncounted=3, limits=Limits(requests=100, requests_reset_s=10))
    assert pace.reserve(5.0) == 5.0, "plenty is left"
    answered(pace, 6.0, uncounted=3, limits=Limits(requests=7, requests_reset_s=10))
    assert pace.reserve(6.0) == pytest.approx(6 + 10 / 5)
    answered(pace, 20.0, uncounted=3, limits=Limits(tokens=150, tokens_reset_s=4))
    assert pace.reserve(20.0) == pytest.approx(24.0), "what is in flight will use it up"
    answered(pace, 20.1, uncounted=0, limits=Limits(tokens=15000, tokens_reset_s=4))
    assert not pace.held(20.1), "the newest word counts"


@pytest.mark.parametrize("counted_s", [0.0, 0.1], ids=["counted as it comes", "counted as it is answered"])
@pytest.mark.parametrize("took_s", [0.1, 0.35])
def test_a_limit_that_is_told_in_headers_is_used_well_and_never_run_into(counted_s: float, took_s: float) -> None:
    """40 requests in each two seconds, from a server that tells what is left of them."""
    pace, now, window, used, served, refused, in_flight, waits = Pace(now=0.0), 0.0, 0, 0, 0, 0, 0, False
    events: list[tuple[float, int, str, tuple[Any, ...]]] = []
    order = count()

    def send() -> None:
        nonlocal in_flight
        in_flight += 1
        heapq.heappush(events, (now + counted_s, next(order), "counted", (now, in_flight, pace.started(now), None)))

    while now < 60:
        while in_flight < pace.limit and not waits:
            if (at := pace.reserve(now)) > now:
                waits = True
                heapq.heappush(events, (at, next(order), "its place", ()))
            else:
                send()
        now, _, what, about = heapq.heappop(events)
        if what == "its place":
            waits = False
            if not pace.held(now):
                send()
        elif what == "counted":
            window, used = (int(now / 2), 0) if int(now / 2) > window else (window, used)
            used += 1
            left = Limits(requests=max(0, 40 - used), requests_reset_s=2 * (window + 1) - now)
            heapq.heappush(events, (about[0] + took_s, next(order), "answered" if used <= 40 else "refused", (*about[:3], left)))
        else:
            in_flight -= 1
            began, at_once, number, left = about
            served, refused = served + (what == "answered"), refused + (what == "refused")
            pace.answered(now, began, at_once, took_s, 100.0, left, max(in_flight, pace.since(number)))
    assert refused == 0
    assert served / (60 * 20) > 0.8


def sent_in_turn(pace: Pace, count: int, say: Any, refuse: Any = lambda _: False) -> tuple[float, int]:
    """When so many calls were answered one after the other, each in 10 ms, and how many were refused; `say` gives the limits of an answer."""
    now, answers, refused = 0.0, 0, 0
    while answers < count:
        started = max(now, pace.reserve(now))
        pace.started(started)
        now = started + 0.01
        if refuse(started):
            refused += 1
            pace.throttle(now, started, None)
        else:
            pace.answered(now, started, 1, 0.01, 100.0, say(answers), 0)
            answers += 1
    return now, refused


@pytest.mark.parametrize(
    "say",
    [
        lambda _: Limits(requests=0, requests_reset_s=3600),
        lambda _: Limits(requests=0, requests_reset_s=30),
        lambda _: Limits(requests=1, requests_reset_s=3600),
        lambda _: Limits(tokens=0, tokens_reset_s=3600),
        lambda _: Limits(requests=0, requests_reset_s=60, tokens=0, tokens_reset_s=60),
        lambda number: Limits(requests=max(0, 6 - number), requests_reset_s=3600),
        lambda number: Limits(requests=max(0, 6 - number), requests_reset_s=3600 - number),
    ],
    ids=["nothing left", "nothing for half a minute", "one left", "no tokens", "neither", "counted down to nothing", "and the time runs"],
)
def test_where_answers_keep_coming_though_nothing_is_left_its_words_are_not_heeded(say: Any) -> None:
    took_s, _ = sent_in_turn(Pace(now=0.0), 40, say)
    counted_down = 60.0 if say(0).requests == 6 else 0.0  # what is left of a counter that counts is spread at first
    assert took_s < 8 + 6 * counted_down


def test_where_a_refusal_follows_what_is_said_is_heeded() -> None:
    """One call in each ten seconds is taken, and each answer says that nothing is left."""
    pace, taken = Pace(now=0.0), [-10.0]

    def refuse(started: float) -> bool:
        if started - taken[0] < 10:
            return True
        taken[0] = started
        return False

    took_s, refused = sent_in_turn(pace, 20, lambda _: Limits(requests=0, requests_reset_s=10), refuse)
    assert refused <= 6
    assert took_s < 19 * 10 * 1.2


LIES = {
    "nothing left": Limits(requests=0, requests_reset_s=3600),
    "nothing for half a minute": Limits(requests=0, requests_reset_s=30),
    "one left": Limits(requests=1, requests_reset_s=60),
    "neither": Limits(requests=0, requests_reset_s=60, tokens=0, tokens_reset_s=60),
    "thousands left": Limits(requests=5000, requests_reset_s=60, tokens=1e6, tokens_reset_s=60),
}


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.3])
def test_refusals_for_other_reasons_make_nobody_believe_a_lie_for_long(lie: str, share: float) -> None:
    """One call in so many is refused whatever the pace: against the same without a header, one wait of a minute at the most, and no flood."""
    took = {}
    for said in (LIES[lie], None):
        rng = random.Random(5)  # noqa: S311
        took[said is None] = sent_in_turn(Pace(4, now=0.0), 200, lambda _, said=said: said, lambda _, rng=rng: rng.random() < share)
    assert took[False][0] <= took[True][0] + 130
    assert took[False][1] <= 1.5 * took[True][1] + 5


@pytest.mark.parametrize("lie", LIES)
def test_a_limit_by_time_is_learned_beside_a_header_that_lies(lie: str) -> None:
    """Twenty in each ten seconds are taken."""
    taken: dict[int, int] = {}

    def refuse(started: float) -> bool:
        window = int(started / 10)
        taken[window] = taken.get(window, 0) + 1
        return taken[window] > 20

    took_s, refused = sent_in_turn(Pace(4, now=0.0), 400, lambda _: LIES[lie], refuse)
    assert took_s < 1.3 * 200 + 130
    assert refused < 0.3 * 400


def test_after_an_outage_it_starts_low_again() -> None:
    pace = Pace(now=0.0)
    while pace.limit < 64:
        answered(pace, 1.0)
    pace.throttle(2.0, 1.9, 100.0)
    pace.wake(5.0)
    assert pace.limit == 4
    assert pace.reserve(5.0) == 102.0, "a wait that was asked for still holds"


def test_the_history_is_bounded() -> None:
    pace = Pace(now=0.0)
    for now in range(2000):
        pace.throttle(float(now), now - 0.01, 0.0)
        pace.wake(now + 0.5)
    assert len(pace.history) <= 500


@given(st.integers(1, 200), st.floats(0.001, 10), st.one_of(st.none(), st.floats(0, 1000)))
def test_the_wait_before_a_try_grows_has_jitter_and_is_never_below_what_was_asked(tries: int, pause_s: float, wait_s: float | None) -> None:
    wait = backoff(tries, pause_s, wait_s)
    assert wait >= (wait_s or 0)
    assert wait >= 0.5 * pause_s * 2 ** min(tries - 1, 6)
    if wait_s is None:
        assert wait <= 1.5 * pause_s * 64


@pytest.mark.parametrize(
    ("headers", "limits"),
    [
        ({}, None),
        ({"x-ratelimit-limit-requests": "60"}, None),
        ({"x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s"}, Limits(59, 1.0)),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "6m0s"}, Limits(0, 360.0)),
        ({"x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": "20ms"}, Limits(None, None, 149984, 0.02)),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "1h2m3.5s"}, Limits(3, 3723.5)),
        ({"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "12"}, Limits(3, 12.0)),
        ({"x-ratelimit-remaining-requests": "many", "x-ratelimit-reset-requests": "soon"}, Limits()),
        ({"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "nan"}, Limits()),
    ],
)
def test_the_headers_of_limits_are_read_as_servers_write_them(headers: dict[str, str], limits: Limits | None) -> None:
    assert limits_of(headers) == limits


def test_a_limit_of_many_workers_makes_up_for_a_cut_in_seconds() -> None:
    pace = Pace(most=10_000, now=0.0)
    for _ in range(600):
        pace.answered(0.1, 0.0, pace.limit, 0.1, None, None)
    before = pace.limit
    pace.throttle(0.2, 0.15, 1.0)
    cut = pace.limit
    assert cut < 0.75 * before
    rounds = 0
    while pace.limit < before:
        rounds += 1
        for _ in range(pace.limit):
            pace.answered(2.0 + rounds / 10, 1.9 + rounds / 10, pace.limit, 0.1, None, None)
        assert pace.limit <= cut * (1 + 1 / 200) ** rounds + 1
    assert 80 < rounds < 100
