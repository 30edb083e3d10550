"""Which proxy a call goes through, by the environment: ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``ALL_PROXY``, and for which hosts not, ``NO_PROXY``."""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies

_PORTS = {"http": 80, "https": 443}


def proxy_for(url: str) -> str | None:
    """The proxy to `url`; None where it is to be reached directly.

    Raises:
        ValueError: it is none that speaks HTTP.
    """
    told = getproxies()
    asked = urlsplit(url)
    proxy = told.get(asked.scheme.lower()) or told.get("all")
    if not proxy or any(_spares(one.strip(), asked) for one in told.get("no", "").split(",")):
        return None
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    if urlsplit(proxy).scheme.lower() not in ("http", "https"):
        raise ValueError("a proxy of the environment speaks neither http nor https")
    return proxy


def _spares(entry: str, asked: SplitResult) -> bool:
    """Whether an entry of ``NO_PROXY`` holds for an address: ``*``; a host and those under it; ``.host``, ``*.host`` for those alone; a network."""
    if entry in ("", "*"):
        return entry == "*"
    scheme, _, rest = entry.rpartition("://")
    if scheme not in ("", "all", asked.scheme.lower()):
        return False
    host = (asked.hostname or "").lower()
    with suppress(ValueError):
        return ipaddress.ip_address(host) in ipaddress.ip_network(rest.strip("[]"), strict=False)
    with suppress(ValueError):
        ipaddress.ip_network(rest.strip("[]"), strict=False)
        return False  # a network holds no names
    named = urlsplit(f"//{rest}")
    with suppress(ValueError):
        if named.port is not None and named.port != (asked.port or _PORTS.get(asked.scheme.lower())):
            return False
        under = (named.hostname or "").removeprefix("*")
        exact = scheme != "" or under == "localhost"
        return host == under or (not exact and bool(under) and host.endswith(f".{under.removeprefix('.')}"))
    return False
