"""Several servers that answer alike: all are called, each at its own pace, and one that fails costs no request its answer."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.endpoints import JSON, Answer, Asked, Endpoint, completion, nobody, serving
from support.sweeps import sweep

from evalkit.errors import EndpointError, ExperimentError
from evalkit.experiment.experiment import Experiment, check
from evalkit.plan.requests import Plan
from evalkit.run import Run
from evalkit.store.records import Completion, read

FINE = Answer(200, JSON, completion("fine"), delay_s=0.01)
NO_MODEL = Answer(404, JSON, b'{"error": {"message": "The model `m` does not exist.", "code": "model_not_found"}}')
GONE = Answer(fault="hang up")
BUSY = Answer(429, {**JSON, "Retry-After": "30"}, b'{"error": {"message": "too many requests"}}')


def experiment(*urls: str, replicates: int = 10, **endpoint: object) -> Experiment:
    return check(
        {
            "name": "several",
            "endpoint": {"base_urls": list(urls), "model": "m", "concurrency": 4, **endpoint},
            "prompts": [{"id": f"p{number}", "user": f"Say {number}."} for number in range(4)],
            "parameters": {"temperature": [0.2, 0.8]},
            "replicates": replicates,
            "anchor": {"every": 0},
        }
    )


def swept(tmp_path: Path, *answers: Callable[[Asked], Answer], more: tuple[str, ...] = (), **options: object) -> tuple[Run, list[Endpoint]]:
    with ExitStack() as stack:
        servers = [stack.enter_context(serving(answer)) for answer in answers]
        run = sweep(experiment(*(one.url for one in servers), *more), tmp_path / "run", **options)
    return run, servers


def outcomes(folder: Path) -> Counter[str]:
    """How often each key was answered; fails where anything else is recorded."""
    out: Counter[str] = Counter()
    for record in read(folder):
        assert isinstance(record.outcome, Completion), record.outcome
        out[record.key] += 1
    return out


def test_all_are_called_and_a_faster_one_answers_more(tmp_path: Path) -> None:
    _, (slow, quick) = swept(tmp_path, lambda _: FINE._replace(delay_s=0.08), lambda _: FINE)
    assert set(outcomes(tmp_path / "run").values()) == {1}
    assert len(slow.seen) + len(quick.seen) == 80 == len(outcomes(tmp_path / "run"))
    assert 4 <= len(slow.seen) < len(quick.seen)
    assert max(slow.most_at_once, quick.most_at_once) <= 4, "the bound holds for each"


@pytest.mark.parametrize("ill", [0, 1], ids=["the first", "the second"])
def test_one_that_dies_leaves_what_it_was_asked_to_the_others(tmp_path: Path, ill: int) -> None:
    def dying(asked: Asked) -> Answer:
        return FINE if asked.number < 12 else GONE

    both = [lambda _: FINE, lambda _: FINE]
    both[ill] = dying
    run, _ = swept(tmp_path, *both)
    assert outcomes(tmp_path / "run") == Counter(dict.fromkeys(outcomes(tmp_path / "run"), 1))
    assert len(outcomes(tmp_path / "run")) == 80
    assert [str(one) for one in run.notes if "the others go on" in str(one)], "it is told"


@pytest.mark.parametrize("look", [True, False], ids=["a look", "no look"])
def test_one_that_was_never_there_costs_nothing(tmp_path: Path, look: bool) -> None:
    began = time.monotonic()
    with nobody() as url:
        run, _ = swept(tmp_path, lambda _: FINE, more=(url,), look=look)
    assert len(outcomes(tmp_path / "run")) == 80
    assert all(record.outcome.tries <= 15 for record in read(tmp_path / "run") if isinstance(record.outcome, Completion))
    assert time.monotonic() - began < 20
    assert run.choice is None


def test_where_the_first_is_not_there_the_look_goes_to_the_next(tmp_path: Path) -> None:
    with nobody() as url, serving(lambda _: FINE) as there:
        run = sweep(experiment(url, there.url), tmp_path / "run", patience_s=0.2)
    assert len(outcomes(tmp_path / "run")) == 80
    assert any("the next address is tried" in str(one) for one in run.notes)


def test_one_without_the_model_is_called_no_more(tmp_path: Path) -> None:
    run, (_, without) = swept(tmp_path, lambda _: FINE, lambda _: NO_MODEL)
    assert len(outcomes(tmp_path / "run")) == 80
    assert 1 <= len(without.seen) <= 4
    said = [str(one) for one in run.notes if "is called no more" in str(one)]
    assert len(said) == 1
    assert "The model `m` does not exist." in said[0]
    assert without.url in said[0]


REFUSALS = {
    "the key": Answer(401, JSON, b'{"error": {"message": "no such key"}}'),
    "the account": Answer(402, JSON, b'{"error": {"message": "no credit"}}'),
    "what was used": Answer(429, JSON, b'{"error": {"message": "over your quota", "code": "insufficient_quota"}}'),
    "the model": NO_MODEL,
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)
def test_one_that_refuses_all_since_it_has_answered_is_called_no_more(tmp_path: Path, refusal: Answer) -> None:
    refusing = 0 if refusal.status == 402 else 12  # of the rest, what is refused at once is held above and below
    with serving(lambda _: FINE) as fine, serving(lambda asked: FINE if asked.number < refusing else refusal) as ill:
        run = sweep(experiment(fine.url, ill.url, replicates=4), tmp_path / "run")
    assert len(outcomes(tmp_path / "run")) == 32, "nothing is recorded as failed"
    assert len([one for one in run.notes if "is called no more" in str(one)]) == 1


def test_all_workers_of_one_that_hangs_end_with_the_work(tmp_path: Path) -> None:
    began = time.monotonic()
    with serving(lambda _: FINE) as fine, serving(lambda asked: FINE if asked.number < 12 else FINE._replace(delay_s=60)) as ill:
        sweep(experiment(fine.url, ill.url, replicates=5, timeout_s=1), tmp_path / "run")
    assert len(outcomes(tmp_path / "run")) == 40
    assert time.monotonic() - began < 20, "and not with the patience"


def test_a_wait_that_one_asks_for_holds_for_it_alone(tmp_path: Path) -> None:
    began = time.monotonic()
    _, (_, busy) = swept(tmp_path, lambda _: FINE, lambda asked: FINE if asked.number < 6 else BUSY)
    assert len(outcomes(tmp_path / "run")) == 80
    assert time.monotonic() - began < 20, "nobody waited for it"
    refused = [asked.at for asked in busy.seen[6:]]
    assert max(refused) - min(refused) < 1, "and it was not called again meanwhile"


def test_a_request_that_none_answers_ends_as_failed(tmp_path: Path) -> None:
    def all_but_one(asked: Asked) -> Answer:
        ill = "Say 2." in json.dumps(asked.body.get("messages")) and asked.body.get("temperature") == 0.8
        return Answer(500, JSON, b'{"error": {"message": "this one is too much"}}') if ill else FINE

    with serving(all_but_one) as one, serving(all_but_one) as other:
        run = sweep(experiment(one.url, other.url, max_tries=2), tmp_path / "run")
    kinds = Counter(getattr(record.outcome, "kind", "completion") for record in read(tmp_path / "run"))
    assert kinds == {"completion": 70, "server": 10}
    assert len(one.seen) + len(other.seen) <= 70 + 10 * 2 + 4
    assert run.choice is None


def test_the_end_does_not_wait_for_one_that_hangs(tmp_path: Path) -> None:
    """A look whether a server is back is a call that may hang for as long as any."""

    def hanging(asked: Asked) -> Answer:
        return FINE if asked.number < 8 else GONE if asked.number < 40 else Answer(fault="stall")

    began = time.monotonic()
    swept(tmp_path, lambda _: FINE._replace(delay_s=0.1), hanging)
    assert len(outcomes(tmp_path / "run")) == 80
    assert time.monotonic() - began < 20


def test_where_all_are_down_patience_ends_the_run(tmp_path: Path) -> None:
    def dying(asked: Asked) -> Answer:
        return FINE if asked.number < 10 else GONE

    run, _ = swept(tmp_path, dying, dying, patience_s=0.5)
    assert 10 <= sum(isinstance(record.outcome, Completion) for record in read(tmp_path / "run")) <= 20
    assert any("has been down for 0.5 s" in str(one) for one in run.notes)


def test_a_key_that_each_refuses_ends_the_run(tmp_path: Path) -> None:
    refused = Answer(401, JSON, b'{"error": {"message": "Incorrect API key"}}')
    with pytest.raises(EndpointError, match="Incorrect API key"):
        swept(tmp_path, lambda _: refused, lambda _: refused)


def test_where_the_first_refuses_the_key_the_look_goes_to_the_next(tmp_path: Path) -> None:
    refused = Answer(401, JSON, b'{"error": {"message": "Incorrect API key"}}')
    with serving(lambda _: refused) as first, serving(lambda _: FINE) as second:
        run = sweep(experiment(first.url, second.url, replicates=2), tmp_path / "run")
    assert len(outcomes(tmp_path / "run")) == 16
    assert any("Incorrect API key; the next address is tried" in str(one) for one in run.notes)


def test_with_an_identity_servers_come_and_go(tmp_path: Path) -> None:
    with serving(lambda _: FINE) as one, serving(lambda _: FINE) as other:
        first, second = (experiment(*urls, identity="https://models.example.org/v1") for urls in ((one.url, other.url), (other.url,)))
        assert [request.key for request in Plan(first)] == [request.key for request in Plan(second)]
        assert first.digest() == second.digest()
        sweep(first, tmp_path / "run")
        seen = len(one.seen) + len(other.seen)
        sweep(second, tmp_path / "run")
        assert len(one.seen) + len(other.seen) == seen, "nothing is asked again"


def test_of_several_the_first_is_what_keys_hold() -> None:
    several, alone = experiment("http://a.example/v1", "http://b.example/v1"), experiment("http://a.example/v1")
    assert [request.key for request in Plan(several)] == [request.key for request in Plan(alone)]
    assert several.endpoint.base_url == "http://a.example/v1"
    assert check(several.resolved()) == several


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        ({"base_urls": []}, "endpoint.base_urls: "),
        ({"base_urls": ["local"]}, "endpoint.base_urls[0]: 'local' is one server and stands alone"),
        ({"base_urls": ["http://a/v1", "http://A/v1/"]}, "endpoint.base_urls[1]: is the same as base_urls[0]"),
        ({"base_urls": ["http://a/v1", "b"]}, "endpoint.base_urls[1]: this is not an http URL"),
        ({"base_urls": ["http://u:secret@a/v1"]}, "endpoint.base_urls[0]: the URL holds a user name"),
        ({"base_urls": "http://a/v1"}, "endpoint.base_urls: found 'http://a/v1'"),
        ({"base_url": "http://b/v1", "base_urls": ["http://a/v1"]}, "endpoint.base_urls: stands beside base_url"),
        ({"base_url": "local", "identity": "here"}, "endpoint.identity: stands beside base_url: local"),
        ({"base_url": "http://a/v1", "identity": "local"}, "endpoint.identity: 'local' stands for the embedded model"),
        ({"base_url": "http://a/v1", "identity": "http://u:secret@a"}, "endpoint.identity: expected a name"),
        ({"base_url": "http://a/v1", "identity": "sk-secret-0123456789abcdef"}, "endpoint.identity: expected a name"),
    ],
)
def test_what_cannot_be_is_told(endpoint: dict[str, object], told: str) -> None:
    with pytest.raises(ExperimentError) as fault:
        check({"name": "x", "endpoint": {"model": "m", **endpoint}, "prompts": [{"id": "a", "user": "a"}]})
    assert told in str(fault.value)
    assert "secret" not in str(fault.value)
