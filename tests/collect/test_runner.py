"""The runner: tries, waits, how many at once, when a run is given up, and that what arrived is never lost."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.endpoints import JSON, Answer, Asked, Endpoint, completion, nobody, serving

from evalkit.client.client import Client
from evalkit.collect import runner
from evalkit.collect.allowance import Budget
from evalkit.collect.budget import Spent
from evalkit.collect.calls import call_of
from evalkit.collect.pace import Pace
from evalkit.collect.queue import Jobs
from evalkit.collect.runner import Policy
from evalkit.collect.tally import Tally
from evalkit.errors import AuthError, EndpointError, RecordError
from evalkit.experiment.endpoint import Prices
from evalkit.plan.requests import Request
from evalkit.store.records import Completion, Failure, Record
from evalkit.text.notes import Note

FINE = Answer(200, JSON, completion("fine"))
PATIENCE_S = 30.0
QUICK = Policy(max_tries=3, pause_s=0.001)


def request(number: int) -> Request:
    messages = [{"role": "user", "content": str(number)}]
    return Request(f"{number:032x}", 0, number, f"p{number}", {"temperature": 0.5}, 0, None, "tiny", {"model": "tiny", "temperature": 0.5}, messages)


def number_of(asked: Asked) -> int:
    return int(asked.body["messages"][0]["content"])


def refusing(status: int, words: str = "no", **headers: str) -> Answer:
    return Answer(status, JSON | headers, json.dumps({"error": {"message": words}}).encode())


@dataclass
class Ran:
    """What a run left behind; `ended` is its reason to stop, or the error that ended it."""

    endpoint: Endpoint
    tally: Tally
    records: list[Record] = field(default_factory=list)
    ended: Any = None
    notes: list[str] = field(default_factory=list)

    @property
    def tries(self) -> list[int]:
        return [one.outcome.tries for one in self.records]

    @property
    def kinds(self) -> Counter[str]:
        return Counter(one.outcome.kind if isinstance(one.outcome, Failure) else "completion" for one in self.records)


def ran(
    answer: Callable[[Asked], Answer],
    requests: list[Request] | Iterator[Request],
    concurrency: int = 1,
    *,
    url: str | None = None,
    record: Callable[[Ran, Record], None] = lambda _, __: None,
    progress: Callable[[Tally], None] = lambda _: None,
    policy: Policy = QUICK,
    proven: bool = False,
    note: Callable[[str], object] = lambda _: None,
    spent: Spent | None = None,
) -> Ran:
    """Run `requests` against an endpoint that gives `answer`; `record` is called with each record after it was kept."""
    with serving(answer) as endpoint:
        out = Ran(endpoint, Tally(len(requests) if isinstance(requests, list) else 1000, spent=spent or Spent()))

        def keep(one: Record) -> None:
            out.records.append(one)
            record(out, one)

        def tell(one: Note) -> None:
            out.notes.append(str(one))
            note(str(one))

        async def go() -> str | None:
            async with Client(url or endpoint.url, None, concurrency=concurrency, loopback=True, timeout_s=PATIENCE_S) as client:
                pace = Pace(concurrency, now=time.monotonic())
                calls = (call_of(one, keep) for one in requests)
                work = runner.run(calls, client, out.tally, pace=pace, policy=policy, progress=progress, proven=proven, tell=tell)
                return await asyncio.wait_for(work, 2 * PATIENCE_S)

        try:
            out.ended = asyncio.run(go())
        except (Exception, KeyboardInterrupt) as fault:
            out.ended = fault
    return out


def some(count: int) -> list[Request]:
    return [request(number) for number in range(count)]


# --- records and tries


def test_each_request_is_sent_once_and_recorded_with_what_was_asked() -> None:
    out = ran(lambda asked: Answer(200, JSON, completion(f"answer {number_of(asked)}")), some(20), 4)
    assert out.ended is None
    assert len(out.endpoint.seen) == 20
    by_key = {one.key: one for one in out.records}
    assert len(by_key) == 20
    for number in range(20):
        asked, one = request(number), by_key[request(number).key]
        assert (one.role, one.prompt_id, one.cell, one.replicate, one.seed, one.model) == ("sweep", f"p{number}", asked.cell, 0, None, "tiny")
        assert one.request == asked.body
        assert isinstance(one.outcome, Completion)
        assert one.outcome.text == f"answer {number}"
    assert (out.tally.completed, out.tally.failed, out.tally.done, out.tally.tokens) == (20, Counter(), 20, 40)


@pytest.mark.parametrize("failures", [0, 1, 2, 3])
def test_a_request_has_three_tries_and_the_record_counts_them(failures: int) -> None:
    out = ran(lambda asked: refusing(503, "down") if asked.number < failures else FINE, some(1))
    assert out.tries == [min(failures + 1, 3)] == [len(out.endpoint.seen)]
    assert out.kinds == (Counter(["server"]) if failures == 3 else Counter(["completion"]))
    assert out.ended is None
    assert len({asked.raw for asked in out.endpoint.seen}) == 1, "a further try sends the same"


@pytest.mark.parametrize(("status", "tries"), [(400, 1), (422, 1), (408, 3), (409, 3), (503, 3)])
def test_only_what_may_pass_is_tried_again(status: int, tries: int) -> None:
    out = ran(lambda asked: refusing(status) if number_of(asked) else FINE, some(2))
    assert out.tries == [1, tries]
    assert len(out.endpoint.seen) == 1 + tries


def test_a_request_that_fails_does_not_keep_others_from_being_sent() -> None:
    out = ran(lambda asked: refusing(500, "down") if number_of(asked) % 2 else FINE, some(10), 3)
    assert out.ended is None
    assert out.kinds == Counter(completion=5, server=5)
    assert out.tally.failed == Counter(server=5)


@pytest.mark.parametrize("headers", [{"Retry-After": "0.4"}, {"retry-after-ms": "400"}])
def test_a_server_that_asks_to_wait_is_obeyed(headers: dict[str, str]) -> None:
    out = ran(lambda asked: refusing(429, **headers) if asked.number < 2 else FINE, some(1))
    first, second, third = (asked.at for asked in out.endpoint.seen)
    assert second - first >= 0.4
    assert third - second >= 0.4
    assert out.tries == [3]


# --- how many at once


@pytest.mark.parametrize("concurrency", [1, 5])
def test_as_many_are_in_flight_as_asked_for_and_never_more(concurrency: int) -> None:
    together = threading.Barrier(concurrency)

    def answer(_: Asked) -> Answer:
        together.wait(PATIENCE_S)  # nobody is answered before all are there
        return FINE

    out = ran(answer, some(8 * concurrency), concurrency)
    assert out.tally.completed == 8 * concurrency
    assert out.endpoint.most_at_once == concurrency


def test_an_answer_is_recorded_when_it_arrives_and_not_when_its_neighbours_do() -> None:
    recorded = threading.Event()

    def answer(asked: Asked) -> Answer:
        if number_of(asked) == 0:
            assert recorded.wait(PATIENCE_S), "the others wait in memory for the slowest"
        return FINE

    def record(out: Ran, _: Record) -> None:
        if len(out.records) == 4:
            recorded.set()

    out = ran(answer, some(5), 2, record=record)
    assert [one.prompt_id for one in out.records] == ["p1", "p2", "p3", "p4", "p0"]


def test_requests_are_made_as_they_are_sent() -> None:
    done = 0
    ahead = []

    def requests() -> Iterator[Request]:
        for number in range(60):
            ahead.append(number + 1 - done)
            yield request(number)

    def record(out: Ran, _: Record) -> None:
        nonlocal done
        done = len(out.records)

    out = ran(lambda _: FINE, requests(), 4, record=record)
    assert len(out.records) == 60
    assert max(ahead) <= 4


def test_progress_is_told_after_every_outcome() -> None:
    told: list[int] = []
    ran(lambda asked: refusing(500) if number_of(asked) % 2 else FINE, some(6), progress=lambda tally: told.append(tally.done))
    assert told == [1, 2, 3, 4, 5, 6]


# --- when it is given up


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_refused_before_any_answer_ends_the_run_unrecorded(status: int) -> None:
    out = ran(lambda _: refusing(status, "who are you?"), some(50), 4)
    assert isinstance(out.ended, AuthError)
    assert str(out.ended) == f"the endpoint refuses the key (HTTP {status}): who are you?"
    assert out.records == []
    assert len(out.endpoint.seen) <= 4


def test_an_endpoint_that_is_not_there_ends_the_run_unrecorded() -> None:
    with nobody() as url:
        out = ran(lambda _: FINE, some(50), 4, url=url)
    assert type(out.ended) is EndpointError
    assert str(out.ended).startswith("the endpoint cannot be reached after 3 tries: Cannot connect to host 127.0.0.1")
    assert out.records == []


def test_an_address_or_model_that_does_not_exist_ends_the_run_unrecorded() -> None:
    out = ran(lambda _: refusing(404, "The model `tiny` does not exist"), some(50), 4)
    assert type(out.ended) is EndpointError
    assert (
        str(out.ended) == "the endpoint knows no such model or address (HTTP 404): The model `tiny` does not exist. Check endpoint.model and base_url"
    )
    assert out.records == []
    assert len(out.endpoint.seen) <= 4


NO_CHAT_API = {
    "a word": Answer(200, {"Content-Type": "text/plain"}, b"Ollama is running"),
    "a state": Answer(200, JSON, b'{"status": "ok"}'),
    "nothing": Answer(200, JSON, b""),
    "null": Answer(200, JSON, b"null"),
    "no content": Answer(204, {}, b""),
    "a page": Answer(200, {"Content-Type": "text/html"}, b"<!doctype html><title>Chat</title>"),
}


@pytest.mark.parametrize("name", NO_CHAT_API)
def test_answers_that_are_nothing_of_a_chat_apis_end_the_run_soon(name: str) -> None:
    out = ran(lambda _: NO_CHAT_API[name], some(50), 4)
    assert type(out.ended) is EndpointError
    assert str(out.ended).startswith("endpoint.base_url leads to no chat API: ")
    assert len(out.records) <= 4, "those whose three tries were over by then"
    assert len(out.endpoint.seen) < 8 + 4


def test_one_request_that_is_answered_with_nonsense_tells_only_of_itself() -> None:
    """Its three tries are over before the others, which are slow, have their answers."""
    out = ran(lambda asked: NO_CHAT_API["a word"] if number_of(asked) == 0 else FINE._replace(delay_s=0.3), some(12), 4)
    assert out.ended is None
    assert out.kinds == Counter(malformed=1, completion=11)


@pytest.mark.parametrize("body", [b'{"choices": null}', b'{"object": "chat.completion", "id": "x"}', b'{"id": "chatcmpl-1", "cho'])
def test_answers_that_are_broken_are_no_wrong_address(body: bytes) -> None:
    out = ran(lambda _: Answer(200, JSON, body), some(12), 4)
    assert out.ended is None
    assert out.kinds == Counter(malformed=12)


@pytest.mark.parametrize(("planned", "sent"), [(50, 8), (3, 3), (1, 1)])
def test_an_endpoint_that_refuses_all_of_the_first_requests_ends_the_run_with_them_recorded(planned: int, sent: int) -> None:
    out = ran(lambda _: refusing(400, "'top_k' is not supported"), some(planned))
    assert type(out.ended) is EndpointError
    assert f"refused the first {sent} requests, all it was sent (HTTP 400): 'top_k' is not supported. " in str(out.ended)
    assert "retry_failed" in str(out.ended)
    assert len(out.endpoint.seen) == len(out.records) == sent
    assert out.kinds == Counter(rejected=sent)


def test_several_at_once_are_given_up_when_the_last_of_them_is_refused() -> None:
    out = ran(lambda _: refusing(400, "no"), some(200), 5)
    assert type(out.ended) is EndpointError
    assert 8 <= len(out.records) == len(out.endpoint.seen) < 8 + 5


def test_quick_refusals_do_not_end_a_run_whose_slower_answers_are_under_way() -> None:
    many = threading.Event()

    def answer(asked: Asked) -> Answer:
        if asked.number == 8:
            many.set()
        if number_of(asked) == 0:
            assert many.wait(PATIENCE_S)
            return FINE._replace(delay_s=0.1)
        return refusing(400) if number_of(asked) < 20 else FINE

    out = ran(answer, some(40), 4)
    assert out.ended is None
    assert out.kinds == Counter(rejected=19, completion=21)


def test_refusals_among_other_failures_end_the_run_when_nothing_is_under_way() -> None:
    out = ran(lambda asked: refusing(500 if number_of(asked) % 2 else 400, "no"), some(60), 3)
    assert type(out.ended) is EndpointError
    assert "requests and answered none (HTTP 400): no. " in str(out.ended)
    assert out.kinds["rejected"] >= 8
    assert out.kinds["server"] > 0


def test_after_the_first_answer_refusals_and_lost_connections_are_recorded_and_the_run_goes_on() -> None:
    def answer(asked: Asked) -> Answer:
        return [FINE, refusing(400), refusing(404), Answer(fault="hang up"), Answer(200, JSON, completion("x"), fault="cut")][number_of(asked) % 5]

    out = ran(answer, some(30))
    assert out.ended is None
    assert out.kinds == Counter(completion=6, rejected=12, connection=6, interrupted=6)


def test_failures_that_may_pass_never_end_a_run() -> None:
    out = ran(lambda _: refusing(503, "loading"), some(12), 4)
    assert out.ended is None
    assert out.kinds == Counter(server=12)


def test_a_key_refused_after_the_first_answer_stops_the_run_and_keeps_what_is_under_way() -> None:
    refused = threading.Event()

    def answer(asked: Asked) -> Answer:
        match number_of(asked):
            case 1:
                threading.Timer(0.3, refused.set).start()
                return refusing(403, "expired")
            case 2:
                assert refused.wait(PATIENCE_S)
                return Answer(200, JSON, completion("late but paid for"))
            case _:
                return FINE

    out = ran(answer, [request(number) for number in (0, 2, 1, 3, 4, 5)], 2)
    assert out.ended == "the endpoint refuses the key since it has answered (HTTP 403): expired"
    assert [one.prompt_id for one in out.records] == ["p0", "p2"], "what met the refusal stays to be asked"
    assert out.kinds == Counter(completion=2)
    assert len(out.endpoint.seen) == 3


def test_a_run_that_stops_does_not_wait_for_those_that_wait_to_try_again() -> None:
    sent = threading.Event()

    def answer(asked: Asked) -> Answer:
        match number_of(asked):
            case 1:
                assert sent.wait(PATIENCE_S)
                return refusing(429, **{"Retry-After": "600"})
            case 2:
                sent.set()
                return refusing(401, "expired")._replace(delay_s=0.1)
            case _:
                return FINE

    out = ran(answer, some(6), 3)
    assert str(out.ended).startswith("the endpoint refuses the key since it has answered")
    assert out.kinds["auth"] == 0
    assert [one.outcome.tries for one in out.records if one.prompt_id == "p1"] == [1]


# --- when it is broken off


@pytest.mark.parametrize("fault", [RecordError("responses.jsonl: cannot be written: No space left on device"), OSError(5, "Input/output error")])
def test_a_disk_that_refuses_ends_the_run_with_its_own_error(fault: Exception) -> None:
    def record(out: Ran, _: Record) -> None:
        if len(out.records) >= 3:
            raise fault

    out = ran(lambda _: FINE, some(50), 4, record=record)
    assert out.ended is fault
    assert len(out.endpoint.seen) < 50


def test_progress_that_cannot_be_shown_ends_the_run_with_its_own_error() -> None:
    def progress(_: Tally) -> None:
        raise BrokenPipeError

    out = ran(lambda _: FINE, some(50), 4, progress=progress)
    assert isinstance(out.ended, BrokenPipeError)
    assert out.records


def test_an_interrupt_from_the_keyboard_leaves_what_arrived() -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(fault="stall") if number_of(asked) >= 6 else FINE

    def record(out: Ran, _: Record) -> None:
        if len(out.records) == 6:
            signal.raise_signal(signal.SIGINT)

    out = ran(answer, some(50), 3, record=record)
    assert isinstance(out.ended, KeyboardInterrupt)
    assert sorted(one.prompt_id for one in out.records) == [f"p{number}" for number in range(6)]
    assert len(out.endpoint.seen) <= 6 + 3


def test_a_cancelled_run_leaves_what_arrived_and_sends_nothing_more() -> None:
    records: list[Record] = []

    async def go(url: str) -> None:
        async with Client(url, None, concurrency=3, loopback=True, timeout_s=PATIENCE_S) as client:
            run = asyncio.create_task(
                runner.run((call_of(one, records.append) for one in some(50)), client, Tally(50), pace=Pace(3, now=time.monotonic()))
            )
            while len(records) < 6 and not run.done():
                await asyncio.sleep(0.001)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run

    with serving(lambda asked: Answer(fault="stall") if number_of(asked) >= 6 else FINE) as endpoint:
        asyncio.run(go(endpoint.url))
    assert sorted(one.prompt_id for one in records) == [f"p{number}" for number in range(6)]
    assert len(endpoint.seen) <= 6 + 3


# --- outages, budgets, and being asked to stop


def test_while_the_endpoint_is_down_the_run_waits_and_then_goes_on_with_nothing_lost() -> None:
    down = threading.Event()

    def answer(asked: Asked) -> Answer:
        if asked.number == 20:
            down.set()
            threading.Timer(1.5, down.clear).start()
        return refusing(503, "down for repairs") if down.is_set() else FINE

    out = ran(answer, some(200), 8, proven=True, policy=Policy(max_tries=3, pause_s=0.05, patience_s=30))
    assert out.ended is None
    assert out.kinds == Counter(completion=200), "none is given up for what everybody met"
    assert sorted(one.prompt_id for one in out.records) == sorted(f"p{number}" for number in range(200))
    assert [note.split(":")[0] for note in map(str, out.notes)] == ["paused", "the endpoint answers again after 1 s"] or len(out.notes) >= 2
    refused = len(out.endpoint.seen) - 200
    assert refused <= 60, "an endpoint that is down is asked now and then, not by everybody"


def test_an_endpoint_that_stays_down_ends_the_run_when_patience_does() -> None:
    def answer(asked: Asked) -> Answer:
        return FINE if asked.number < 10 else refusing(502, "bad gateway")

    out = ran(answer, some(50), 4, policy=Policy(max_tries=3, pause_s=0.05, patience_s=0.5))
    assert str(out.ended).startswith("the endpoint has been down for 0.5 s; the endpoint is down (server: bad gateway)")
    assert out.tally.completed == 10
    assert len(out.records) < 50


def test_requests_that_always_fail_are_no_outage() -> None:
    out = ran(lambda asked: refusing(503, "crash") if number_of(asked) >= 20 else FINE, some(40), 4, proven=True)
    assert out.ended is None
    assert out.kinds == Counter(completion=20, server=20)
    assert all(3 <= one.outcome.tries < 10 for one in out.records if isinstance(one.outcome, Failure)), "but for a false alarm, three each"


def test_an_answer_that_was_under_way_when_the_endpoint_went_down_does_not_tell_that_it_is_back() -> None:
    down = threading.Event()

    def answer(asked: Asked) -> Answer:
        if number_of(asked) == 3:
            assert down.wait(PATIENCE_S)
            return FINE._replace(delay_s=0.3)
        return refusing(503, "down") if 3 < asked.number < 20 else FINE

    out = ran(answer, some(40), 4, proven=True, policy=QUICK._replace(pause_s=0.1), note=lambda text: down.set() if "paused" in text else None)
    assert out.kinds == Counter(completion=40)
    assert [note.split(" ")[0].strip(":") for note in map(str, out.notes)] == ["paused", "the"], "down once, back once"


def test_what_finds_the_endpoint_back_is_recorded_and_not_asked_again() -> None:
    def answer(asked: Asked) -> Answer:
        return refusing(503, "down") if 10 <= asked.number < 20 else FINE

    out = ran(answer, some(60), 1, proven=True, policy=QUICK._replace(pause_s=0.05))
    assert out.kinds == Counter(completion=60)
    assert len(out.notes) == 2
    assert len(out.endpoint.seen) == 60 + 10, "as many calls as requests, beside those that met the outage"


def test_where_little_is_left_to_do_few_wait_for_it() -> None:
    """The last answers of many at once wake nobody."""
    woken = 0

    class Counting(runner._Run):
        async def _until(self, at: float) -> None:
            nonlocal woken
            woken += 1
            await super()._until(at)

    async def go(url: str) -> None:
        tally = Tally(64)
        async with Client(url, None, concurrency=64, loopback=True) as client:
            servers = [(client, Pace(64, now=time.monotonic()))]
            about = (tally, QUICK, lambda _: None, lambda _: None, False, None)
            await Counting(Jobs([call_of(one, lambda _: None) for one in some(64)]), servers, *about).whole()
        assert tally.completed == 64

    with serving(lambda asked: FINE._replace(delay_s=0.01 * (asked.number % 8))) as endpoint:
        asyncio.run(go(endpoint.url))
    assert woken == 0


def test_a_quota_that_is_spent_stops_the_run() -> None:
    body = json.dumps({"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}).encode()
    out = ran(lambda asked: FINE if asked.number < 3 else Answer(429, JSON, body), some(20))
    assert out.ended == "the account has no more credit (HTTP 429): You exceeded your quota"
    assert len(out.endpoint.seen) == 4
    assert len(out.records) == 3, "what met the empty account stays to be asked"


LOW = json.dumps({"error": {"message": "Your credit balance is too low to access the API", "type": "invalid_request_error"}}).encode()


def test_words_alone_that_sound_like_an_empty_account_are_believed_three_times_in_a_row() -> None:
    out = ran(lambda asked: FINE if asked.number < 3 else Answer(400, JSON, LOW), some(20))
    assert str(out.ended).startswith("the account has no more credit (HTTP 400): Your credit balance is too low")
    assert len(out.endpoint.seen) == 6
    assert len(out.records) == 3


def test_a_prompt_that_is_refused_in_such_words_while_others_are_answered_is_recorded() -> None:
    out = ran(lambda asked: Answer(400, JSON, LOW) if number_of(asked) == 2 else FINE, some(20))
    assert out.ended is None
    assert out.kinds == {"completion": 19, "account": 1}


@pytest.mark.parametrize("status", [401, 403])
def test_a_key_that_expires_stops_the_run_and_what_met_it_stays_to_be_asked(status: int) -> None:
    out = ran(lambda asked: FINE if asked.number < 5 else refusing(status, "expired"), some(20), 4)
    assert "refuses the key since it has answered" in str(out.ended)
    assert out.kinds == {"completion": 5}
    assert len(out.endpoint.seen) <= 5 + 4


def test_a_500_in_the_same_words_is_tried_as_often_as_any_other_trouble() -> None:
    out = ran(lambda _: refusing(500, "Connection error."), some(1), proven=True)
    assert out.tries == [QUICK.max_tries]


def test_a_wait_longer_than_patience_stops_the_run_and_says_so() -> None:
    out = ran(lambda asked: FINE if asked.number < 3 else refusing(429, "tomorrow", **{"Retry-After": "7200"}), some(20), 2)
    assert str(out.ended).startswith("the endpoint asks to wait 7200 s, longer than patience_s, ")


@pytest.mark.parametrize("most", [1, 2, 7, 30])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_never_one_call_above_the_budget_tries_included(most: int, concurrency: int) -> None:
    policy = QUICK._replace(budget=Budget(requests=most))
    out = ran(lambda asked: refusing(503, str(asked.number)) if asked.number % 3 == 1 else FINE, some(100), concurrency, policy=policy)
    assert len(out.endpoint.seen) == most == out.tally.spent.requests
    assert out.ended == f"the {most:,} requests of budget.requests are used up"


def test_tokens_are_overspent_by_what_is_in_flight_at_the_most() -> None:
    out = ran(lambda _: FINE, some(100), 4, policy=QUICK._replace(budget=Budget(tokens=50)))  # an answer uses five
    assert "tokens of budget.tokens are used up" in str(out.ended)
    assert 50 <= out.tally.spent.tokens <= 50 + 4 * 5


def test_money_is_overspent_by_what_is_in_flight_at_the_most() -> None:
    prices = Prices(input=1e6, output=1e6, currency="EUR")  # a token costs one, an answer five
    out = ran(lambda _: FINE, some(100), 4, policy=QUICK._replace(budget=Budget(cost=50.0)), spent=Spent(prices))
    assert "50.00 EUR of budget.cost are used up" in str(out.ended)
    assert out.tally.spent.cost is not None
    assert 50 <= out.tally.spent.cost <= 50 + 4 * 5
    assert len(out.endpoint.seen) * 5 == out.tally.spent.cost


def test_time_is_up_also_while_all_wait() -> None:
    policy = QUICK._replace(budget=Budget(seconds=0.5))
    began = time.monotonic()
    out = ran(lambda asked: FINE if asked.number < 3 else refusing(429, "wait", **{"Retry-After": "60"}), some(20), 2, policy=policy)
    assert "budget.seconds" in str(out.ended)
    assert time.monotonic() - began < 10
    assert out.tally.completed == 3


def test_asked_to_stop_it_waits_for_what_is_in_flight_and_sends_nothing_more() -> None:
    async def go(url: str) -> tuple[str | None, list[Record]]:
        records: list[Record] = []
        stop = asyncio.Event()
        async with Client(url, None, concurrency=4, loopback=True) as client:

            def record(one: Record) -> None:
                records.append(one)
                if len(records) == 10:
                    stop.set()

            ended = await runner.run((call_of(one, record) for one in some(100)), client, Tally(100), pace=Pace(4, now=time.monotonic()), stop=stop)
        return ended, records

    with serving(lambda _: FINE._replace(delay_s=0.02)) as endpoint:
        ended, records = asyncio.run(go(endpoint.url))
        sent = len(endpoint.seen)
    assert ended == "interrupted"
    assert 10 <= len(records) == sent <= 14


def test_a_request_past_its_deadline_is_not_tried_again() -> None:
    policy = Policy(max_tries=50, pause_s=0.05, deadline_s=0.4)
    out = ran(lambda asked: refusing(503, str(asked.number)) if number_of(asked) else FINE, some(2), policy=policy)
    (failed,) = (one.outcome for one in out.records if isinstance(one.outcome, Failure))
    assert 1 < failed.tries < 10


def test_a_request_that_waits_to_be_tried_again_keeps_nobody_from_being_sent() -> None:
    asked_before: Counter[int] = Counter()

    def answer(asked: Asked) -> Answer:
        asked_before[number_of(asked)] += 1
        return refusing(503, "busy", **{"Retry-After": "3"}) if number_of(asked) < 3 and asked_before[number_of(asked)] == 1 else FINE

    began = time.monotonic()
    out = ran(answer, some(60), 2)
    assert out.kinds == Counter(completion=60)
    order = [one.prompt_id for one in out.records]
    assert set(order[-3:]) == {"p0", "p1", "p2"}
    assert time.monotonic() - began >= 3.0


def test_a_429_counts_as_a_try_where_others_are_let_through_and_is_nobodys_fault_where_none_is() -> None:
    def often(asked: Asked) -> Answer:
        return refusing(429, **{"retry-after-ms": "1"}) if number_of(asked) == 0 else FINE._replace(delay_s=0.005)

    out = ran(often, some(300), 4)
    assert out.kinds == Counter(completion=299, rate_limited=1)
    out = ran(lambda asked: refusing(429, **{"retry-after-ms": "1"}) if asked.number < 30 else FINE, some(3), 1)
    assert out.kinds == Counter(completion=3), "all were refused thirty times, and none was given up"
    assert max(out.tries) > 3
    always = ran(lambda _: refusing(429, **{"retry-after-ms": "1"}), some(3), 1, policy=QUICK._replace(patience_s=0.3), proven=True)
    assert str(always.ended).startswith("the endpoint has refused every call for 0.3 s as one too many")
