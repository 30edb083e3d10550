"""The hub by itself, told what workers would report: who gets what, who is believed, and what a lost worker leaves."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.collect.allowance import Budget
from evalkit.collect.budget import Used
from evalkit.collect.pace import Pace
from evalkit.collect.runner import Policy
from evalkit.collect.tally import Tally
from evalkit.engine.granted import UNHEARD_S, Granted
from evalkit.engine.hub import EXPIRES_S, Hub
from evalkit.engine.messages import Answered, Ended, Orders, Report, Throttled
from evalkit.engine.shares import shared
from evalkit.plan.requests import Request
from evalkit.store.journal import line_of
from evalkit.store.records import Completion, Failure, Outcome, record_of


def request(number: int) -> Request:
    return Request(f"{number:032x}", 0, number, f"p{number}", {}, 0, None, "tiny", {"model": "tiny"}, [])


@cache
def line(number: int, outcome: Outcome | None = None) -> bytes:
    return line_of(record_of(request(number), outcome or Completion(text="yes", finish_reason="stop", usage=None, latency_s=0.1, tries=1)))


def answered(numbers: Iterable[int], **more: object) -> Report:
    some = list(numbers)
    return Report(outcomes=tuple((f"{one:032x}", None, 1) for one in some), lines=tuple(map(line, some)), used=Used(requests=len(some)), **more)  # type: ignore[arg-type]


class Made:
    """A hub of `count` requests with workers ``a``, ``b`` and so on, `at_once` calls for all; `written` is what it keeps."""

    def __init__(self, count: int, names: str = "ab", at_once: int = 8, policy: Policy = Policy(), **pace: float) -> None:  # noqa: B008 (immutable)
        self.written: list[bytes] = []
        self.tally = Tally(count)
        self.pace = Pace(at_once, now=0.0, **pace)  # type: ignore[arg-type]
        self.hub = Hub(map(request, range(count)), self.pace, policy, self.tally, self.written.append, now=0.0)
        for one in names:
            self.hub.join(one, 0.0)

    def numbers(self, orders: Orders) -> list[int]:
        return [int(one.key, 16) for job in orders.lease for one in job]


@given(st.integers(0, 500), st.lists(st.integers(0, 60), max_size=20))
def test_what_is_shared_is_all_there_is_and_even(whole: int, wants: list[int]) -> None:
    parts = shared(whole, wants)
    assert sum(parts) == min(whole, sum(wants))
    assert all(0 <= part <= want for part, want in zip(parts, wants, strict=True))
    least = min((part for part, want in zip(parts, wants, strict=True) if part < want), default=None)
    assert least is None or max(parts) <= least + 1


def test_each_request_is_leased_to_one_and_the_calls_at_once_are_divided() -> None:
    made = Made(100, "abc")
    orders = [made.hub.orders(one, 2.0) for one in "abc"]
    leased = [number for one in orders for number in made.numbers(one)]
    assert len(leased) == len(set(leased))
    assert sorted(one.share for one in orders) == [2, 3, 3]
    assert not orders[0].timed


def test_what_may_be_asked_for_in_one_call_is_leased_together() -> None:
    requests = [request(number)._replace(prompt_index=number // 5, replicate=number % 5) for number in range(20)]
    hub = Hub(requests, Pace(8, now=0.0), Policy(), Tally(20), lambda _: None, now=0.0, together=3)
    hub.join("a", 0.0)
    jobs: list[list[int]] = []
    while lease := hub.orders("a", 2.0).lease:
        jobs += [[int(one.key, 16) for one in job] for job in lease]
        numbers = [number for job in jobs[-len(lease) :] for number in job]
        hub.heard("a", answered(numbers), 2.0)
    assert jobs == [found for first in range(0, 20, 5) for found in ([first, first + 1, first + 2], [first + 3, first + 4])]


def test_what_a_lost_worker_wrote_counts_and_the_rest_goes_to_others() -> None:
    made = Made(40)
    mine = made.numbers(made.hub.orders("a", 2.0))
    assert len(mine) >= 4
    made.hub.heard("a", answered(mine[:1]), 2.1)
    torn = line(mine[2])[:-9]
    again = made.hub.lost("a", line(mine[0]) + line(mine[1]) + torn, 2.2)
    assert again == len(mine) - 2
    assert made.tally.completed == 2
    assert b"".join(made.written) == line(mine[0]) + line(mine[1])
    leased: list[int] = []
    while more := made.numbers(made.hub.orders("b", 3.0)):
        leased += more
        made.hub.heard("b", answered(more), 3.0)
    assert sorted([*leased, *mine[:2]]) == list(range(40))
    assert made.hub.finished
    assert made.tally.completed == 40
    assert not made.hub.twice


def test_of_two_answers_to_one_request_the_first_counts_and_a_late_failure_is_nobodys() -> None:
    made = Made(1)
    assert made.numbers(made.hub.orders("a", 2.0)) == [0]
    made.hub.lost("a", b"", 2.1)
    made.hub.orders("b", 2.2)
    assert made.numbers(made.hub.orders("b", 2.2)) == [] != made.hub.members
    failure = Failure(kind="server", message="no", tries=1)
    made.hub.heard("a", Report(outcomes=((request(0).key, "server", 0),), lines=(line(0, failure),)), 2.3)
    assert made.tally.done == 0
    made.hub.heard("a", answered([0]), 2.4)
    made.hub.heard("b", answered([0]), 2.5)
    assert (made.tally.completed, len(made.written), made.hub.twice) == (1, 1, 1)


def test_a_wait_that_one_meets_holds_all_at_once() -> None:
    made = Made(100)
    for one in "ab":
        made.hub.orders(one, 2.0)
    assert made.hub.heard("a", Report(events=(Throttled(0.2, 0.0, 5.0),), used=Used(requests=1)), 2.5)
    assert set(made.hub.waiting(2.5)) >= {"b"}
    assert made.hub.orders("b", 2.6).hold_s == pytest.approx(4.9, abs=0.01)
    assert not made.hub.orders("b", 2.7).places


def test_nobody_is_told_what_he_knows() -> None:
    made = Made(4)
    for one in "ab":
        made.hub.orders(one, 2.0)
        made.hub.orders(one, 2.0)
    assert made.hub.waiting(2.1) == []
    made.hub.heard("a", Report(events=(Throttled(0.2, 0.0, 5.0),), used=Used(requests=1), backlog=2), 2.5)
    for one in "ab":
        made.hub.orders(one, 2.5)
    assert made.hub.waiting(3.0) == made.hub.waiting(9.0) == []


def test_places_are_as_many_as_the_rate_allows_and_a_budget_counts_each() -> None:
    made = Made(1000, at_once=200, requests_per_minute=6000)
    given_out: list[float] = []
    for step in range(50):
        now = 2.0 + step / 50
        for one in "ab":
            orders = made.hub.orders(one, now)
            assert orders.timed
            given_out += [now + place for place in orders.places]
            made.hub.heard(one, Report(backlog=400, received=10**6), now)
    assert 100 <= len(given_out) <= 100 * 1.3
    bounded = Made(1000, at_once=200, policy=Policy(budget=Budget(requests=7)))
    places = 0
    for _ in range(3):
        for one in "ab":
            places += len(bounded.hub.orders(one, 2.0 + places).places)
            bounded.hub.heard(one, Report(backlog=400, places=places), 2.0)
    assert places == 7


def test_silence_is_noticed_by_both_and_by_the_worker_first() -> None:
    made = Made(10)
    orders = made.hub.orders("a", 2.0)
    pace = Granted(0.0, lambda _: None)
    pace.take(orders, 0.0)
    assert pace.reserve(1.0) is not None
    assert pace.reserve(UNHEARD_S + 0.1) is None
    assert UNHEARD_S < EXPIRES_S


def test_a_place_is_used_in_its_time_or_not_at_all() -> None:
    pace = Granted(0.0, lambda _: None)
    pace.take(Orders(share=4, timed=True, places=(0.0, 0.1, 0.2, 2.0)), 10.0)
    assert pace.places(10.0) == 4
    assert pace.reserve(10.4) == pytest.approx(10.4)  # that of 10.2; the two before it are stale
    assert pace.reserve(10.4) == pytest.approx(12.0)
    assert pace.reserve(10.4) is None
    pace.started(10.4)
    assert pace.places(10.4) == 1
    pace.throttle(10.5, 10.4, 3.0)
    pace.take(Orders(share=4, timed=True, places=(0.1,)), 10.6)
    assert pace.reserve(10.8) is None
    assert pace.held(10.8)


def test_who_finds_the_endpoint_down_alone_is_let_go() -> None:
    made = Made(100)
    for one in "ab":
        made.hub.orders(one, 2.0)
    made.hub.heard("b", answered([], events=(Answered(0.1, 0.0, True, 0.1, None, None, 0),)), 2.5)
    made.hub.heard("a", Report(paused="paused: 8 calls in a row failed"), 2.5)
    made.hub.heard("a", Report(ended=Ended("the endpoint has been down for 600 s")), 3.0)
    assert made.hub.stopped is None
    assert made.hub.members == ["b"]
    made.hub.heard("b", Report(ended=Ended("the account has no more credit")), 3.5)
    assert made.hub.stopped == "the account has no more credit"
    assert made.hub.finished
