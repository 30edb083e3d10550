"""One sweep's sending: the look before it, the run itself, and what must go on beside it: the disk kept up, signals heeded."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from evalkit.client.connection import Access, bearer_key, opened
from evalkit.client.defaults import OwnDefaults
from evalkit.client.redaction import Secrets
from evalkit.collect.allowance import Budget
from evalkit.collect.budget import Spent
from evalkit.collect.calls import Call
from evalkit.collect.interruption import Interruption
from evalkit.collect.pace import MOST_AT_ONCE, Pace
from evalkit.collect.runner import INTERRUPTED, Policy, run
from evalkit.collect.tally import Tally
from evalkit.errors import EndpointError, ExperimentError
from evalkit.experiment.endpoint import Endpoint
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.parameters import level_text
from evalkit.plan.requests import Plan, Request
from evalkit.store.records import Failure, Outcome, Standing
from evalkit.text.notes import Note, Tell, nobody, note, warning

if TYPE_CHECKING:
    from evalkit.client.client import Client
    from evalkit.client.reply import Reply
    from evalkit.collect.preflight import Checked, Preflight

_SYNC_EVERY_S = 0.5
_SHOWN_EVERY_S = 1.0
_ELSEWHERE_S = 30.0
"""How long another address is waited for, which may be the right one."""
_LONGEST_LOOK_S = 60.0
"""How long one call of a look may take where others wait for it."""
_LONG_WAIT_S = 5.0
"""A wait that a user should be told of."""


class Looking:
    """A client whose calls are counted, end with the budget, and are held back while the endpoint asks to wait.

    Args:
        beside: others are looked at meanwhile, and wait for this one: asked to wait for long, or left without an answer, it looks no further, and
            what the endpoint takes is seen when it is asked.

    Attributes:
        not_before: until when it has asked for that.
    """

    def __init__(self, client: Client, spent: Spent, policy: Policy, tell: Tell, *, beside: bool = False) -> None:
        self._client, self._spent, self._policy, self.tell, self._beside = client, spent, policy, tell, beside
        self._began = self.not_before = time.monotonic()
        self._silent = False

    async def models(self) -> frozenset[str] | None:
        """The names of the models, None where there is no list."""
        return None if self._silent else await self._client.models()

    async def own_defaults(self) -> OwnDefaults | None:
        """What the server says is on where a request names nothing; None where it says nothing."""
        return None if self._silent else await self._client.own_defaults()

    async def send(self, request: Request, choices: int) -> Reply | None:
        """One call for so many choices, not before the endpoint's own time where it has asked to wait; None where the budget allows no more."""
        while (wait_s := self.not_before - time.monotonic()) > 0:
            if self._beside and (wait_s > _LONG_WAIT_S or self._over(wait_s)):
                return None
            if why := self._over(wait_s):
                raise ExperimentError(f"{why}, by the wait that the endpoint asks for before the sweep; allow more")
            await asyncio.sleep(wait_s)
        if self._silent or self._over():
            return None
        self._spent.requests += 1
        try:
            async with asyncio.timeout(self._longest_s if self._beside else None):
                reply = await self._client.send(request, choices)
        except TimeoutError:
            if not self._silent:
                self.tell(note("the endpoint gives no answer before the sweep; it is asked all the same, and the others do not wait for it"))
            self._silent = True
            return None
        self._spent.add(reply.usage, answered=bool(reply.completions))
        if reply.wait_s:
            self._wait(reply.wait_s, reply.outcome)
        return reply

    @property
    def patience_s(self) -> float:
        """How long an endpoint may be down."""
        return self._policy.patience_s

    @property
    def _longest_s(self) -> float:
        """How long the others wait for one call."""
        seconds = self._policy.budget.seconds
        left_s = _LONGEST_LOOK_S if seconds is None else max(0.0, seconds - (time.monotonic() - self._began))
        return min(_LONGEST_LOOK_S, self.patience_s, left_s)

    def _over(self, later_s: float = 0.0) -> str | None:
        return self._spent.over(self._policy.budget, time.monotonic() - self._began + later_s)

    def _wait(self, wait_s: float, asked: Outcome) -> None:
        words = asked.message if isinstance(asked, Failure) else ""
        if wait_s > self._policy.patience_s:
            raise EndpointError(f"the endpoint asks to wait {wait_s:.0f} s, longer than patience_s, {self._policy.patience_s:g} s: {words}")
        until = time.monotonic() + wait_s
        if wait_s >= _LONG_WAIT_S and until > self.not_before + 1:
            self.tell(note(f"the endpoint asks to wait {wait_s:.0f} s: {words}"))
        self.not_before = max(self.not_before, until)


async def looked(
    plan: Plan,
    access: Access,
    there: Standing,
    keep: Callable[[Request, Outcome, int], None],
    spent: Spent,
    policy: Policy,
    tell: Tell = nobody,
    *,
    beside: bool = False,
) -> tuple[Preflight, float]:
    """What the endpoint takes, and until when it has asked to wait; the calls are counted in `spent`, and their outcomes given to `keep`.

    Args:
        beside: as of `Looking`.

    Raises:
        EndpointError: it cannot be used, or asks for too long a wait.
        ExperimentError: it asks to wait for longer than the budget's time.
    """
    from evalkit.collect.preflight import look  # at first use: a sweep with nothing to send needs none

    every = access.each()
    for one in every:
        async with one.client(plan.endpoint) as client:
            looking = Looking(client, spent, policy, tell, beside=beside)
            try:
                return await look(looking, plan, there, keep), looking.not_before
            except EndpointError as fault:
                if one is every[-1]:
                    raise await _elsewhere(fault, plan.endpoint, one) from None
                tell(warning(f"{client.address}: {fault}; the next address is tried"))
    raise ValueError("there is no address to look at")


async def _elsewhere(fault: EndpointError, endpoint: Endpoint, access: Access) -> EndpointError:
    """The same error, with the address that answers in place of the wrong one, where ``/v1`` behind it does."""
    base, _, query = access.base_url.partition("?")
    nowhere = "leads to no chat API" in str(fault)
    if not (nowhere or "no such model or address" in str(fault)) or base.rstrip("/").endswith("/v1"):
        return fault
    candidate = f"{base.rstrip('/')}/v1{'?' + query if query else ''}"
    reply = None
    with suppress(TimeoutError):
        async with access._replace(base_url=candidate).client(endpoint) as client, asyncio.timeout(_ELSEWHERE_S):
            reply = await client.call({"model": endpoint.model, "max_tokens": 1}, [{"role": "user", "content": "Hello"}])
    if reply is not None and (reply.completions or reply.fault in ("key", "account", "setting", "prompt")):
        return type(fault)(f"{fault}. A chat API answers at {candidate}: set endpoint.base_url to it")
    its_words = str(fault).partition("no such model or address")[2].removesuffix("Check endpoint.model and base_url")
    return type(fault)(f"{fault}. Did you forget /v1 at the end?") if nowhere or "model" not in its_words.lower() else fault


def without_rejected(experiment: Experiment, rejected: Mapping[str, Sequence[Checked]], skip: bool, tell: Tell) -> Experiment:
    """The experiment without the levels that its endpoints reject; raises `EndpointError` with their words where they are not to be skipped.

    Args:
        rejected: by the name of each endpoint that rejects any; the one there is has the name ``""``.
    """
    from evalkit.collect.preflight import advice, without  # as above

    told = []
    for name, checked in rejected.items():
        for one in checked:
            failure = one.failure
            if failure is not None:
                said = f" (HTTP {failure.status})" if failure.status else ""
                where = f" by {name}" if name else ""
                told.append(f"{one.parameter}={level_text(one.level)} is rejected{where}{said}: {failure.message}{advice(failure)}")
    if not skip:
        raise EndpointError(
            "the endpoint does not take every level of this experiment; nothing more was sent.\n"
            + "\n".join(told)
            + "\nTake these levels out, or leave them out this time with skip_rejected"
        )
    for line in told:
        tell(warning(f"left out: {line}"))
    return without(experiment, rejected)


class Errand(NamedTuple):
    """What one endpoint is asked, and how.

    Attributes:
        paces: one for each address that `access` names.
        policy, together, proven: as in `evalkit.collect.runner.run`.
        name: of the endpoint, where there are several.
    """

    endpoint: Endpoint
    calls: Iterable[Call]
    access: Access
    tally: Tally
    paces: Sequence[Pace]
    policy: Policy
    together: int = 1
    proven: bool = False
    name: str = ""


async def sent(
    errand: Errand,
    *,
    sync: Callable[[], object],
    progress: Callable[[Tally], None],
    tell: Tell,
    interruption: Interruption | None = None,
) -> str | None:
    """Make the calls of an errand; the reason where it stopped before all were made. Asked to stop, it ends when what is in flight has arrived.

    Args:
        sync: makes the disk keep what arrived.
    """
    stop = asyncio.Event()
    return await attended(_made(errand, stop, progress, tell), stop, errand.tally, sync=sync, progress=progress, tell=tell, interruption=interruption)


class Stop(NamedTuple):
    """Why the calls of an errand were not all made.

    Attributes:
        why: the reason; None where all were made.
        told: whether a warning gave it already.
    """

    why: str | None = None
    told: bool = False


async def sent_side_by_side(
    errands: Sequence[Errand],
    tally: Tally,
    *,
    sync: Callable[[], object],
    progress: Callable[[Tally], None],
    tell: Tell,
    interruption: Interruption | None = None,
) -> dict[str, Stop]:
    """Make the calls of several errands at once, each at its own pace; by name, whether and why one stopped before all of its calls were made.

    An endpoint that cannot be used leaves its calls to be made another time, and the others go on.

    Args:
        tally: the sum of the errands' own.
        sync: as in `sent`.

    Raises:
        EndpointError: none of them can be used; the first one's.
    """
    stop, faults = asyncio.Event(), list[EndpointError]()
    found: dict[str, Stop] = {}
    began = time.monotonic()

    def shown(_: Tally) -> None:
        tally.add_up()
        progress(tally)

    async def one(errand: Errand) -> None:
        try:
            why = await _made(errand, stop, shown, naming(errand.name, tell))
        except EndpointError as fault:
            faults.append(fault)
            why = str(fault)
        over = errand.tally.spent.over(errand.policy.budget, time.monotonic() - began)  # which ends all of them
        others = any(found.get(other.name, Stop()).why is None for other in errands if other is not errand)
        is_told = why not in (None, INTERRUPTED) and over is None and others
        found[errand.name] = Stop(why, is_told)
        if is_told:
            tell(warning(f"{errand.name}: {why}; what is left for it stays to be asked, and the others go on"))

    async def all_of_them() -> str | None:
        try:
            async with asyncio.TaskGroup() as group:
                for errand in errands:
                    group.create_task(one(errand))
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        if len(faults) == len(errands):
            raise faults[0]
        return None

    stopped = await attended(all_of_them(), stop, tally, sync=sync, progress=shown, tell=tell, interruption=interruption)
    tally.add_up()
    return {errand.name: Stop(stopped) if stopped else found.get(errand.name, Stop()) for errand in errands}


def naming(name: str, tell: Tell) -> Tell:
    """Tells the same, with the name of the endpoint that it is about, where there are several."""
    return tell if not name else lambda said: tell(said._replace(text=f"{name}: {said.text}"))


async def _made(errand: Errand, stop: asyncio.Event, progress: Callable[[Tally], None], tell: Tell) -> str | None:
    """The calls of an errand made, as `sent` says."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(one.client(errand.endpoint)) for one in errand.access.each()]
        (client, pace), *others = zip(clients, errand.paces, strict=True)
        try:
            return await run(
                errand.calls,
                client,
                errand.tally,
                pace=pace,
                policy=errand.policy,
                together=errand.together,
                progress=progress,
                tell=tell,
                proven=errand.proven,
                stop=stop,
                others=others,
            )
        except EndpointError as fault:
            raise await _elsewhere(fault, errand.endpoint, errand.access) from None


async def attended(
    sending: Coroutine[Any, Any, str | None],
    stop: asyncio.Event,
    tally: Tally,
    *,
    sync: Callable[[], object],
    progress: Callable[[Tally], None],
    tell: Tell,
    interruption: Interruption | None = None,
) -> str | None:
    """What `sending` gives, with what must go on beside it: the disk kept up, progress shown, interrupts heeded.

    Args:
        stop: set where it is asked to stop; asked again, it is cancelled.
        sync: as in `sent`.
    """
    work = asyncio.ensure_future(sending)
    keeper, shower = asyncio.ensure_future(_keep(sync)), asyncio.ensure_future(_show(progress, tally))
    # Both end by a fault alone: what is under way may yet be kept by the disk, and is not waited for where nobody looks.
    keeper.add_done_callback(lambda _: stop.set())
    shower.add_done_callback(lambda _: work.cancel())
    beside = (keeper, shower)

    def interrupted() -> None:
        if stop.is_set():
            work.cancel()
            return
        stop.set()
        tally.add_up()
        if tally.in_flight:
            tell(Note("interrupted", f"waiting for the answers under way ({tally.in_flight}); interrupt again to end at once"))

    with _heeded(interrupted, interruption):
        try:
            return await work
        except asyncio.CancelledError:
            if not stop.is_set():
                raise
            return INTERRUPTED
        finally:
            for one in beside:
                one.cancel()
            await asyncio.wait(beside)
            for one in beside:
                if not one.cancelled():
                    one.result()


async def _keep(sync: Callable[[], object]) -> None:
    """The disk is never further behind than a second."""
    while True:
        await asyncio.sleep(_SYNC_EVERY_S)
        await asyncio.to_thread(sync)


class Terms(NamedTuple):
    """What calls beside the sweep's own keep to: those of judges, and for embeddings.

    Attributes:
        budget: of the whole run, which `began` at that monotonic time.
        retry_failed: ask again also for what failed in a way that would fail again.
        secrets: of all that the run asks.
    """

    began: float
    budget: Budget = Budget()
    patience_s: float = 600.0
    retry_failed: bool = False
    progress: Callable[[Tally], None] = lambda _: None
    tell: Tell = nobody
    interruption: Interruption | None = None
    secrets: Secrets | None = None


def asked(endpoint: Endpoint, calls: Iterable[Call], count: int, terms: Terms, spent: Spent, sync: Callable[[], object]) -> str | None:
    """Make `count` calls beside the sweep's own; the reason where it stopped before all were made, the endpoint's refusal among them.

    Raises:
        RecordError: what came cannot be written.
        KeyboardInterrupt: interrupted; what was recorded stays.
    """
    gone = time.monotonic() - terms.began
    if why := spent.over(terms.budget, gone):
        return why
    budget = terms.budget if terms.budget.seconds is None else terms.budget._replace(seconds=max(0.0, terms.budget.seconds - gone))
    policy = Policy(max_tries=endpoint.max_tries, deadline_s=endpoint.deadline_s, patience_s=terms.patience_s, budget=budget)
    most = min(endpoint.concurrency or MOST_AT_ONCE, count)
    calls = iter(calls)
    begun = list(islice(calls, 1))
    paces = paces_of(endpoint, endpoint.concurrency and most, most)
    for pace in paces:
        pace.expect(sum(one.size for one in begun) + 1)  # until an answer tells what one uses
    try:
        with opened(endpoint) as url:
            access = Access(url(), bearer_key(endpoint), most, endpoint.addresses[1:], terms.secrets)
            tally = Tally(count, spent=spent)
            errand = Errand(endpoint, chain(begun, calls), access, tally, paces, policy)
            work = sent(errand, sync=sync, progress=terms.progress, tell=terms.tell, interruption=terms.interruption)
            stopped = asyncio.run(work)
    except (EndpointError, ExperimentError) as fault:
        return str(fault)
    if stopped == INTERRUPTED:
        raise KeyboardInterrupt
    return stopped


def paces_of(endpoint: Endpoint, fixed: int | None, most: int) -> list[Pace]:
    """The pace that an endpoint's settings ask for, with so many calls at once at the most: one for each of its addresses."""
    now = time.monotonic()
    return [
        Pace(fixed, requests_per_minute=endpoint.requests_per_minute, tokens_per_minute=endpoint.tokens_per_minute, most=most, now=now)
        for _ in endpoint.addresses
    ]


async def _show(progress: Callable[[Tally], None], tally: Tally) -> None:
    """Progress is shown also while nothing arrives."""
    while True:
        await asyncio.sleep(_SHOWN_EVERY_S)
        progress(tally)


@contextmanager
def _heeded(interrupted: Callable[[], None], interruption: Interruption | None) -> Iterator[None]:
    """SIGINT and SIGTERM call `interrupted` meanwhile; elsewhere than in the main thread, where signals cannot be had, `interruption` does."""
    if interruption is not None:
        with interruption.heeded(interrupted):
            yield
        return
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        loop.add_signal_handler(number, interrupted)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)
