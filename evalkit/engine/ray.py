"""What hub and workers run on where that is Ray: a cluster started or joined, its nodes looked at, workers as actors. Nothing else imports ray.

No actor is restarted and no call is made twice by Ray itself: what was paid for is known by its records alone, so the crew replaces who is lost.
"""

from __future__ import annotations

import asyncio
import os
import platform
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from evalkit._version import __version__
from evalkit.client.connection import Access, bearer_key
from evalkit.engine.crew import Port, WorkerLostError
from evalkit.engine.messages import Orders, Report, Task
from evalkit.engine.processes import ProcessLostError
from evalkit.engine.worker import Worker
from evalkit.errors import AuthError, EvalkitError, ExperimentError, MissingExtraError
from evalkit.experiment.endpoint import LOCAL, Endpoint
from evalkit.store.records import RESPONSES
from evalkit.text.notes import Tell, nobody, note, warning
from evalkit.text.numbers import counted

if TYPE_CHECKING:
    from ray.actor import ActorHandle

MOST_WORKERS = 256
_STORE_BYTES = 100 * 2**20
_ANSWERS_S = 12.0
_LOOKED_S = 30.0
_CONNECTS_S = 3.0
_MOST_LOOKED_AT = 64
_WORKS_S = 3600.0
"""A call that scores may take so long, which is far longer than any does."""

_ASK = """
import sys
from ray._raylet import GcsClient
GcsClient(address=sys.argv[1]).get_all_node_info(timeout=10)
print("answers")
"""


class _Facts(NamedTuple):
    """What a node says of itself; plain values, so that one of another evalkit can say it too."""

    node: str
    host: str
    python: str
    evalkit: str


class Cluster:
    """A Ray cluster that this process is joined to.

    Attributes:
        workers: how many there are to be.
        own: it was started for this, on this machine.
    """

    def __init__(self, workers: int, *, own: bool) -> None:
        self.workers, self.own = workers, own

    def check(self, endpoint: Endpoint | None) -> None:
        """Raise, before anything is sent, where a node cannot do its part.

        Raises:
            ExperimentError: a node has another Python or evalkit, or lacks what the endpoint's settings name.
            AuthError: a node lacks the variable of the key.
        """
        nodes = self._nodes()
        for facts in self._asked(nodes, _facts_by_value()):
            where, found = f"node {facts[1]}", _Facts(*facts)
            if not found.evalkit:
                raise ExperimentError(
                    f"{where} of the cluster: evalkit is not installed there; install evalkit {__version__} with its extra ray on every node"
                )
            if found.evalkit != __version__ or _minor(found.python) != _minor(platform.python_version()):
                raise ExperimentError(
                    f"{where} of the cluster: has evalkit {found.evalkit} on Python {found.python}, and here are evalkit {__version__} on "
                    f"Python {platform.python_version()}; they must be the same"
                )
        if endpoint is not None:
            for host, words, of_key in self._asked(nodes, _lacks, endpoint):
                if words:
                    raise (AuthError if of_key else ExperimentError)(f"node {host} of the cluster: {words}")

    def hiring(self, task: Task, folder: Path) -> Callable[[int], Any]:
        """What starts the worker of a number.

        Args:
            task: with the name and the segment to be filled in.
            folder: for segments, where the workers see it.
        """
        mark = secrets.token_hex(8)
        (folder / f".{mark}").touch()

        async def hire(number: int) -> Port:
            import ray

            name = f"{mark[:4]}-{number}"
            actor = ray.remote(max_restarts=0, max_task_retries=0, num_cpus=1, scheduling_strategy="SPREAD")(_Actor).remote()
            port = RayPort(name, actor)
            port.where = _Place(*await port.called(actor.begin, task._replace(name=name), str(folder), mark))
            return port

        return hire

    def process(self, kind: type, *given: Any) -> RayProcess:
        """A process of the cluster that holds a `kind` made of what is `given`; as `evalkit.engine.processes.Elsewhere`."""
        import ray

        return RayProcess(ray.remote(max_restarts=0, max_task_retries=0, num_cpus=1, scheduling_strategy="SPREAD")(kind).remote(*given))

    def _nodes(self) -> list[str]:
        import ray

        nodes = [one["NodeID"] for one in ray.nodes() if one["Alive"] and one["Resources"].get("CPU")]
        if not nodes:
            raise ExperimentError("the cluster has no node with a CPU that could work")
        return nodes[:_MOST_LOOKED_AT]

    def _asked(self, nodes: Sequence[str], what: Callable[..., Any], *given: Any) -> list[Any]:
        """What `what` gives on each node."""
        import ray

        waiting = [_on(node, what).remote(*given) for node in nodes]
        try:
            found: list[Any] = ray.get(waiting, timeout=_LOOKED_S)
        except ray.exceptions.GetTimeoutError:
            raise ExperimentError(f"the cluster does not say within {_LOOKED_S:g} s what its nodes have; look at 'ray status'") from None
        except ray.exceptions.RayError as fault:
            raise ExperimentError(f"the cluster's nodes cannot be asked what they have: {_first_line(fault)}") from None
        return found


class _Place(NamedTuple):
    """Where a worker is: its node, its segment, and whether this process sees the segment too."""

    node: str
    segment: str
    shared: bool


class RayPort:
    """A worker that is an actor; as `evalkit.engine.crew.Port`."""

    def __init__(self, name: str, actor: ActorHandle[Any]) -> None:
        self.name, self._actor = name, actor
        self.where = _Place("", "", False)
        self._told = 0

    async def called(self, method: Any, *given: Any) -> Any:
        """What a method of the actor gives. Raises `WorkerLostError` where it is gone, and what the method itself raised."""
        import ray

        try:
            return await method.remote(*given)
        except ray.exceptions.RayTaskError as fault:
            if isinstance(fault.cause, EvalkitError):
                raise fault.cause from None
            raise WorkerLostError(_first_line(fault.cause or fault)) from None
        except ray.exceptions.RayError as fault:
            raise WorkerLostError(type(fault).__name__) from None

    async def exchange(self, orders: Orders) -> Report:
        """Tell it what to do, and wait for its next report."""
        report: Report = await self.called(self._actor.exchange, orders)
        self._told += sum(map(len, report.lines))
        return report

    async def push(self, orders: Orders) -> None:
        """Tell it something meanwhile."""
        await self.called(self._actor.push, orders)

    async def left(self) -> bytes:
        """What its segment holds beyond what it told: read here where the disk is shared, else on its node, as long as that is alive."""
        import ray

        if self.where.shared or not self.where.node:
            try:
                return await asyncio.to_thread(_read, self.where.segment, self._told)
            except OSError as fault:
                raise WorkerLostError(fault.strerror or type(fault).__name__) from None
        try:
            left: bytes = await _on(self.where.node, _read).remote(self.where.segment, self._told)
        except ray.exceptions.RayError as fault:
            raise WorkerLostError(type(fault).__name__) from None
        return left

    async def forget(self) -> None:
        """All that it recorded is kept elsewhere; where the disk is shared, whoever started it takes the segment away."""
        if not self.where.shared:
            await self.called(self._actor.forget)

    def kill(self) -> None:
        """End it at once."""
        import ray

        with suppress(ray.exceptions.RayError, ValueError):
            ray.kill(self._actor)


class RayProcess:
    """An object in a process of the cluster; as `evalkit.engine.processes.Process`."""

    def __init__(self, actor: ActorHandle[Any]) -> None:
        self._actor = actor

    def call(self, method: str, *given: Any) -> Any:
        """Begin a call of the object's method."""
        return getattr(self._actor, method).remote(*given)

    def result(self, call: Any) -> Any:
        """What a call gives; raises what it raised, and `ProcessLostError` where the process is gone."""
        import ray

        try:
            return ray.get(call, timeout=_WORKS_S)
        except ray.exceptions.RayTaskError as fault:
            if isinstance(fault.cause, Exception):
                raise fault.cause from None
            raise
        except ray.exceptions.RayActorError as fault:
            if isinstance(cause := getattr(fault, "cause", None), EvalkitError):
                raise cause from None
            raise ProcessLostError(type(fault).__name__) from None
        except ray.exceptions.RayError as fault:
            raise ProcessLostError(type(fault).__name__) from None

    def end(self) -> None:
        """End it."""
        import ray

        with suppress(ray.exceptions.RayError, ValueError):
            ray.kill(self._actor)


class _Actor:
    """A worker in a process of the cluster."""

    async def begin(self, task: Task, folder: str, mark: str) -> tuple[str, str, bool]:
        """Start to work: its node, its segment, and whether that lies on the disk of whoever started it."""
        import ray

        shared = (Path(folder) / f".{mark}").exists()
        place = Path(folder) if shared else Path(tempfile.gettempdir()) / f"evalkit-{os.getuid()}-{mark}"
        segment = place / task.name
        segment.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._segment = segment
        self._worker = Worker(task._replace(segment=str(segment)))
        self._worker.begin()
        return ray.get_runtime_context().get_node_id(), str(segment), shared

    async def exchange(self, orders: Orders) -> Report:
        self._worker.take(orders)
        return await self._worker.report()

    async def push(self, orders: Orders) -> None:
        self._worker.take(orders)

    async def forget(self) -> None:
        """Take the segment away, and its folder with the last one."""
        await asyncio.to_thread(shutil.rmtree, self._segment, ignore_errors=True)
        with suppress(OSError):
            self._segment.parent.rmdir()


@contextmanager
def cluster(address: str | None, workers: int | None, tell: Tell = nobody) -> Iterator[Cluster]:
    """A cluster on this machine, which ends with this; or the one at an address.

    Args:
        address: as ``host:port``, or ``auto`` for one that runs on this machine; None starts one.
        workers: how many there are to be; as many as the cluster has CPUs, where None.

    Raises:
        MissingExtraError: ray is not installed.
        ExperimentError: nobody answers at the address, or the cluster does not start.
    """
    if find_spec("ray") is None:
        raise MissingExtraError("engine ray: ray is not installed (the extra ray); run: pip install 'ray>=2.50'")
    if workers is not None and not 1 <= workers <= MOST_WORKERS:
        raise ExperimentError(f"workers: found {workers}; expected a number from 1 to {MOST_WORKERS}")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address is not None:
        _check_answers(address)
    elif "RAY_AUTH_MODE" not in os.environ and "ray" not in sys.modules:
        # A token of this one cluster, in the environment: Ray by itself would keep one in the home folder for ever. It reads this when imported.
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
    with _quiet():
        import ray  # here, for it reads the environment

    if ray.is_initialized():
        tell(note("the Ray cluster that this process is joined to is used"))
        yield Cluster(workers or _cpus(), own=False)
        return
    count = workers or max(1, os.cpu_count() or 1)
    _join(ray, address, count)
    try:
        if address is not None and os.environ.get("RAY_AUTH_MODE") != "token":
            tell(
                warning(
                    f"the cluster at {address} asks for no authentication: whoever reaches it runs what he likes there, with your keys; "
                    "start it with RAY_AUTH_MODE=token"
                )
            )
        there = _cpus()
        if workers is not None and workers > there:
            tell(note(f"the cluster has {counted(there, 'CPU')}, and so many workers"))
        yield Cluster(min(workers or there, there), own=address is None)
    finally:
        ray.shutdown()


def _join(ray: Any, address: str | None, count: int) -> None:
    """Start a cluster that nobody else can reach, or join the one at `address`."""
    from ray._private import worker

    # Ray would print each death of a worker on the standard output; the crew tells of it.
    worker.print_to_stdstream = lambda *_, **__: None
    said: dict[str, Any] = {"log_to_driver": False, "logging_level": "CRITICAL", "configure_logging": False}
    try:
        if address is not None:
            ray.init(address=address, **said)
            return
        with _on_loopback():
            ray.init(address="local", num_cpus=count, include_dashboard=False, object_store_memory=_STORE_BYTES, _node_ip_address="127.0.0.1", **said)
    except (Exception, SystemExit) as fault:
        what = f"the cluster at {address} cannot be joined" if address is not None else "a cluster cannot be started on this machine"
        raise ExperimentError(f"engine ray: {what}: {_first_line(fault)}") from None


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Ray makes the machine's outer address of 127.0.0.1, at which it would then listen; not of a cluster that is for this process alone."""
    from ray._private import services

    before = services.resolve_ip_for_localhost
    services.resolve_ip_for_localhost = lambda host: host
    try:
        yield
    finally:
        services.resolve_ip_for_localhost = before


def _check_answers(address: str) -> None:
    """Raise `ExperimentError` where no Ray answers there: Ray itself would try for two minutes, and then end the process."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or "/" in host:
        raise ExperimentError(f"address: found {address!r}; expected the host and port of a cluster's head, like 10.0.0.1:6379, or auto")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECTS_S).close()
    except (OSError, OverflowError) as fault:
        raise ExperimentError(f"address: nobody answers at {address} ({fault}); start a cluster there: ray start --head --port={port}") from None
    try:
        done = subprocess.run(  # noqa: S603 (this Python, and an address that was looked at)
            [sys.executable, "-c", _ASK, address], capture_output=True, text=True, timeout=_ANSWERS_S, check=False
        )
        said = done.stdout
        why = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
    except subprocess.TimeoutExpired:
        said, why = "", f"no answer within {_ANSWERS_S:g} s"
    if "answers" not in said:
        raise ExperimentError(f"address: no Ray cluster answers at {address} ({why[:300]}); start one there: ray start --head --port={port}")


@contextmanager
def _quiet() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _cpus() -> int:
    import ray

    return max(1, min(MOST_WORKERS, int(ray.cluster_resources().get("CPU", 1))))


def _on(node: str, what: Callable[..., Any]) -> Any:
    """A task that runs on that node."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    return ray.remote(max_retries=0, num_cpus=0, scheduling_strategy=there)(what)


def _facts_by_value() -> Callable[[], tuple[str, str, str, str]]:
    """What a node runs that may have no evalkit: a function that travels as it is, for it is none of a module's."""

    def facts() -> tuple[str, str, str, str]:
        import platform
        import socket

        try:
            from evalkit import _version  # there, where it may be missing
        except ImportError:
            return "", socket.gethostname(), platform.python_version(), ""
        return "", socket.gethostname(), platform.python_version(), _version.__version__

    return facts


def _lacks(endpoint: Endpoint) -> tuple[str, str, bool]:
    """Whether a client can be made here: the host, what is missing (empty where nothing is), and whether that is the key."""

    async def made() -> None:
        async with Access("http://127.0.0.1:9/v1" if endpoint.base_url == LOCAL else endpoint.base_url, bearer_key(endpoint), 1).client(endpoint):
            pass

    try:
        asyncio.run(made())
    except EvalkitError as fault:
        return socket.gethostname(), str(fault), isinstance(fault, AuthError)
    return socket.gethostname(), "", False


def _read(segment: str, beyond: int) -> bytes:
    """What stands in a segment beyond so many bytes; nothing where it is not there."""
    with suppress(FileNotFoundError), (Path(segment) / RESPONSES).open("rb") as file:
        file.seek(beyond)
        return file.read()
    return b""


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])


def _first_line(fault: BaseException) -> str:
    return (str(fault).strip().splitlines() or [type(fault).__name__])[0][:300]
