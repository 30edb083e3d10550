"""An object store as far as runs need it: list, fetch, put, put what was not there. Through fsspec, and every fault of a backend told in one way."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from evalkit.errors import MissingExtraError, RecordError
from evalkit.text.escaping import harmless

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.DOTALL)
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID")
_SHORTEST_SECRET = 8
_LONGEST_MESSAGE = 300

Got = TypeVar("Got")


class Stored(NamedTuple):
    """An object.

    Attributes:
        size: bytes.
        mark: what changes where the object does.
    """

    size: int
    mark: str


def is_away(place: str) -> bool:
    """Whether a place is none on this machine, like ``s3://bucket/run``."""
    return _URL.fullmatch(place) is not None


def parts_of(url: str) -> tuple[str, str]:
    """Scheme and path of a URL.

    Raises:
        RecordError: it is none that can hold a run.
    """
    found = _URL.fullmatch(url)
    scheme, path = (found[1], found[2].strip("/")) if found else ("", "")
    steps = path.split("/")
    if "@" in url or "?" in url or "#" in url:
        raise RecordError("the place of a run holds '@', '?' or '#', and is not shown here; keep keys in the environment, and write s3://bucket/run")
    if not found or not path.isprintable() or any(step in ("", ".", "..") for step in steps) or (scheme != "file" and len(steps) < 2):
        raise RecordError(f"{harmless(url)}: this is no place for a run; expected one like s3://bucket/run")
    return scheme, path


class Bucket:
    """The objects under one URL.

    Args:
        url: like ``s3://bucket/run``; keys and the endpoint come from the environment, as the backend of fsspec takes them.

    Raises:
        MissingExtraError: fsspec or its backend is not installed.
        RecordError: the URL is none.
    """

    def __init__(self, url: str) -> None:
        parts_of(url)
        self.url = url.rstrip("/")
        try:
            import fsspec  # an extra, and slow to import

            self._fs, self._root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        except ImportError:
            raise MissingExtraError(f'{harmless(url)}: needs fsspec and its backend; run: pip install -e ".[s3]"') from None
        except ValueError as fault:
            raise RecordError(f"{harmless(url)}: {self._words(fault)}; expected a place like s3://bucket/run") from None
        self._root = str(self._root).rstrip("/")

    def listed(self) -> dict[str, Stored]:
        """The objects, by their names below the URL; none where there is no such place yet."""

        def ask() -> dict[str, Any]:
            self._fs.invalidate_cache()
            try:
                found: dict[str, Any] = self._fs.find(self._root, detail=True)
            except FileNotFoundError:
                return {}
            return found

        every = self._asked(ask, "cannot be listed").items()
        return {path[len(self._root) + 1 :]: Stored(int(about.get("size") or 0), _mark(about)) for path, about in every if path != self._root}

    def fetched(self, name: str) -> bytes:
        """What an object holds."""
        content: bytes = self._asked(lambda: self._fs.cat_file(self._path(name)), "cannot be read")
        return content

    def put(self, name: str, content: bytes) -> None:
        """Write an object, whatever was there."""

        def write() -> None:
            self._fs.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(self._path(name), content)

        self._asked(write, "cannot be written")

    def put_new(self, name: str, content: bytes) -> bool:
        """Write an object unless there is one of that name, which the store itself makes sure of; whether it was written."""

        def write() -> bool:
            self._fs.makedirs(self._path(name).rpartition("/")[0], exist_ok=True)
            try:
                with self._fs.open(self._path(name), "xb") as file:
                    file.write(content)
            except FileExistsError:
                return False
            return True

        return self._asked(write, "cannot be written")

    def remove(self, name: str) -> None:
        """Take an object away."""
        self._asked(lambda: self._fs.rm_file(self._path(name)), "cannot be removed")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _asked(self, ask: Callable[[], Got], what: str) -> Got:
        try:
            return ask()
        except Exception as fault:  # backends raise errors of their own, of many kinds
            raise RecordError(f"{harmless(self.url)}: {what}: {self._words(fault)}") from None

    def _words(self, fault: Exception) -> str:
        words = str(fault) or type(fault).__name__
        for name in _SECRETS:
            secret = os.environ.get(name, "")
            if len(secret) >= _SHORTEST_SECRET:
                words = words.replace(secret, "[key]")
        return harmless(words)[:_LONGEST_MESSAGE].rstrip(". ")


def _mark(about: dict[str, Any]) -> str:
    return str(about.get("ETag") or about.get("etag") or about.get("mtime") or about.get("created") or about.get("LastModified") or "")
