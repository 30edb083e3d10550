"""Work on a run that lies in an object store: nobody else writes meanwhile, and what comes is stored as it comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from evalkit.errors import RecordError
from evalkit.store.claim import LASTS_S, Claim
from evalkit.store.mirror import Mirror, mirror_of
from evalkit.text.notes import Tell, nobody, note, warning

STORED_EVERY_S = 10.0
"""What the loss of this machine costs at the most, as long as the store can be reached."""
_RENEWED_EVERY_S = LASTS_S / 4


@contextmanager
def stored(folder: Path, tell: Tell = nobody, *, lock: bool = True) -> Iterator[None]:
    """Store what is done in `folder` meanwhile, where it is the mirror of a place in an object store; of any other folder nothing.

    Args:
        tell: is given what the user should know: that the store cannot be reached at present, where the run is.
        lock: make sure that nobody else writes there.

    Raises:
        RecordError: another one writes there, the store cannot make sure of that, or it does not take what there is; all is kept in `folder`.
    """
    mirror = mirror_of(folder)
    if mirror is None:
        yield
        return
    claim = Claim(mirror.bucket) if lock else None
    if claim is not None:
        claim.take()
    try:
        mirror.pull(tell)
        try:
            with _kept_up(mirror, claim, tell):
                yield
        except BaseException:
            with suppress(RecordError):  # the first fault is the one to tell, and all is kept here
                if claim is not None:
                    claim.renew()
                if claim is None or not claim.lost:
                    mirror.push(whole=True)
            raise
        with suppress(RecordError):  # where the store is out of reach the next step tells
            if claim is not None and not claim.lost:
                claim.renew()  # this machine may have slept
        if claim is not None and claim.lost:
            raise RecordError(
                f"{mirror.url}: another sweep writes there now, since this one could not renew its claim; what arrived is kept in {folder}, "
                "and the same command stores it once the other one has ended"
            )
        try:
            mirror.push(whole=True)
        except RecordError as fault:
            raise RecordError(f"{fault}. All is kept in {folder}; the same command stores it") from None
        tell(note(f"stored in {mirror.url}"))
    finally:
        if claim is not None:
            with suppress(RecordError):  # it runs out by itself
                claim.give_up()


@contextmanager
def _kept_up(mirror: Mirror, claim: Claim | None, tell: Tell) -> Iterator[None]:
    """Store what is new every few seconds, and renew the claim."""
    over = threading.Event()

    def keep_up() -> None:
        renewed, failed = time.monotonic(), False
        while not over.wait(STORED_EVERY_S):
            try:
                if claim is not None and time.monotonic() - renewed >= _RENEWED_EVERY_S:
                    claim.renew()
                    renewed = time.monotonic()
                if claim is not None and claim.lost:
                    tell(warning(f"{mirror.url}: another sweep writes there now; nothing more is stored, and what arrives is kept here"))
                    return
                mirror.push(whole=False)
                failed = False
            except RecordError as fault:
                if not failed:
                    tell(warning(f"{fault}; what arrives is kept here, and stored later"))
                failed = True

    thread = threading.Thread(target=keep_up, name="evalkit store", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def check_here(folder: Path, what: str) -> None:
    """Raise `RecordError` where a folder is the mirror of a place in an object store, with which `what` does not go."""
    mirror = mirror_of(folder)
    if mirror is not None:
        raise RecordError(f"{mirror.url}: {what} does not go with a run in an object store; give a folder on this machine")
