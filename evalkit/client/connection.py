"""How an experiment's endpoint is reached: its key, its headers, and the embedded endpoint where that is meant."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from evalkit.client.keys import KeyCommand
from evalkit.client.redaction import Secrets
from evalkit.errors import AuthError, ExperimentError
from evalkit.experiment.endpoint import LOCAL, Endpoint, expand

if TYPE_CHECKING:
    from evalkit.client.client import Client


def bearer_key(endpoint: Endpoint) -> str | KeyCommand | None:
    """The bearer key from the environment, or what gives one once a call is made; None where the endpoint wants none.

    Raises:
        AuthError: the variable is not set, or the command stands in a results folder, from where none is run.
    """
    name = endpoint.api_key_env
    if endpoint.base_url == LOCAL:
        return None
    if endpoint.api_key_command is not None:
        if endpoint.is_stored:
            raise AuthError(
                "endpoint.api_key_command stands in a results folder, and a command is run only from an experiment file that you name: "
                "who gave you the folder may have put it there. Sweep with the experiment file; only what is missing is sent"
            )
        return KeyCommand(endpoint.api_key_command)
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise AuthError(f"the environment variable {name} is not set, and endpoint.api_key_env names it for the key; run: export {name}=...")
    return key


def secrets_of(endpoints: Iterable[Endpoint]) -> Secrets:
    """The secrets of endpoints as the environment has them now: their keys, and what fills in their headers. A command's key is added as it comes."""
    out = Secrets(None)
    for endpoint in endpoints:
        with suppress(AuthError):  # whoever calls it says what is missing
            if isinstance(key := bearer_key(endpoint), str):
                out.add(key)
        for value in endpoint.headers.values():
            with suppress(ValueError):  # as above
                _add_filled_in(out, value, expand(value))
    return out


def _add_filled_in(secrets: Secrets, written: str, filled: str) -> None:
    """Take what the environment put into a header for a secret, and what stands behind its last space, as in ``Bearer ...``."""
    if filled != written:
        secrets.add_value(filled)
        secrets.add_value(filled.rpartition(" ")[2])


class Access(NamedTuple):
    """Where the endpoint is this time, and the key for it; never to be shown.

    Attributes:
        others: further addresses whose servers answer alike.
        secrets: of all that the run asks, which its own are added to; None where it is the only one.
    """

    base_url: str
    key: str | KeyCommand | None
    at_once: int
    others: tuple[str, ...] = ()
    secrets: Secrets | None = None

    def each(self) -> list[Access]:
        """One for every address."""
        return [self._replace(base_url=one, others=()) for one in (self.base_url, *self.others)]

    def client(self, endpoint: Endpoint) -> Client:
        """A client with all that the endpoint's settings ask for; raises `ExperimentError` where a header cannot be filled in."""
        from evalkit.client.client import Client  # late: a scoring sends nothing

        headers: dict[str, str] = {}
        secrets = Secrets(None) if self.secrets is None else self.secrets
        for name, value in endpoint.headers.items():
            try:
                headers[name] = expand(value)
            except ValueError as fault:
                raise ExperimentError(f"endpoint.headers.{name}: {fault}") from None
            _add_filled_in(secrets, value, headers[name])
        return Client(
            self.base_url,
            self.key,
            concurrency=self.at_once,
            loopback=endpoint.base_url == LOCAL,
            timeout_s=endpoint.timeout_s,
            headers=headers,
            secrets=secrets,
            verify=endpoint.verify,
            organization=endpoint.organization,
            project=endpoint.project,
        )


@contextmanager
def opened(endpoint: Endpoint) -> Iterator[Callable[[], str]]:
    """The base URL, to be asked for when it is needed: the embedded endpoint starts meanwhile, and ends with this."""
    if endpoint.base_url != LOCAL:
        yield lambda: endpoint.base_url
        return
    from evalkit.client.embedded import Embedded  # late: other endpoints need no child

    with Embedded() as child:
        import evalkit.client.client  # noqa: F401  (takes as long as the child takes to start: both at once)

        yield child.base_url
