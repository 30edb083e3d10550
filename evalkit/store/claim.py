"""Who writes into a run that lies in an object store: one at a time, by a claim that runs out unless it is renewed.

Claims are numbered, and each is an object that the store makes only where there is none of that name: of two that want the next number one gets it. A
claim is not taken away by another, it is followed; whoever finds a later one than his own has lost it.
"""

from __future__ import annotations

import os
import secrets
import socket
import time

import msgspec

from evalkit.errors import RecordError
from evalkit.store.bucket import Bucket
from evalkit.store.folder import now_text
from evalkit.text.escaping import harmless

FOLDER = ".writer"
LASTS_S = 120.0
_LOOKS, _LOOK_S = 5, 0.1


class _Claim(msgspec.Struct, kw_only=True):
    """A claim.

    Attributes:
        until: seconds of the Unix clock; what is past has run out.
        nonce: tells claims of one number apart.
    """

    holder: str
    since: str
    until: float
    nonce: str
    host: str = ""
    process: int = 0

    def ended(self) -> bool:
        """Whether the process that holds it was one of this machine, and is no more."""
        if not self.process or self.host != socket.gethostname():
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except OSError:
            return False
        return False


class Claim:
    """The right to write under a URL, once `take` gave it.

    Attributes:
        lost: another one has it since.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._number = 0
        host, process = socket.gethostname(), os.getpid()
        holder, nonce = f"process {process} on {host}", secrets.token_hex(8)
        self._mine = _Claim(holder=holder, since=now_text(), until=0.0, nonce=nonce, host=host, process=process)
        self.lost = False

    def take(self) -> None:
        """Become the one that writes.

        Raises:
            RecordError: another one is, or the store cannot make sure that one alone does.
        """
        number = self._last()
        if number:
            there = self._read(number)
            if there is not None and there.until > time.time() and not there.ended():
                holder = f"{harmless(there.holder)[:200]} since {harmless(there.since)[:40]}"
                raise RecordError(
                    f"{harmless(self._bucket.url)}: another sweep ({holder}) is writing there; wait for it to end, "
                    f"or for {LASTS_S:.0f} s where it was killed"
                )
        self._number = number + 1
        self._mine.until = time.time() + LASTS_S
        if not self._bucket.put_new(self._name(self._number), self._encoded()):
            raise RecordError(f"{harmless(self._bucket.url)}: another sweep has just begun to write there; wait for it to end")
        if self._bucket.put_new(self._name(self._number), self._encoded()):
            raise RecordError(
                f"{harmless(self._bucket.url)}: this store writes over what is there though it is told not to, so that nothing keeps two "
                "sweeps apart; make sure yourself that nobody else writes there, and go without the lock"
            )
        for name in self._bucket.listed():
            if name.startswith(f"{FOLDER}/") and name < self._name(self._number):
                self._bucket.remove(name)

    def renew(self) -> None:
        """Hold it for longer; sets `lost` where another one has it."""
        if self._last() != self._number:
            self.lost = True
            return
        self._mine.until = time.time() + LASTS_S
        self._bucket.put(self._name(self._number), self._encoded())

    def give_up(self) -> None:
        """Let others have it at once."""
        if not self.lost:
            self._mine.until = 0.0
            self._bucket.put(self._name(self._number), self._encoded())

    def _last(self) -> int:
        names = (name.removeprefix(f"{FOLDER}/").removesuffix(".json") for name in self._bucket.listed() if name.startswith(f"{FOLDER}/"))
        return max((int(name) for name in names if name.isdecimal()), default=0)

    def _read(self, number: int) -> _Claim | None:
        for _ in range(_LOOKS):
            try:
                return msgspec.json.decode(self._bucket.fetched(self._name(number)), type=_Claim)
            except msgspec.MsgspecError:  # a folder shows what is half written
                time.sleep(_LOOK_S)
        return None

    def _name(self, number: int) -> str:
        return f"{FOLDER}/{number:012}.json"

    def _encoded(self) -> bytes:
        return msgspec.json.encode(self._mine)
