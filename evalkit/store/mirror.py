"""A run that lies in an object store, and the folder on this machine in which it is worked on.

A sweep writes its journals here first, and what is whole goes to the store in segments of their own: ``responses.jsonl/TIME-NONCE.jsonl``, never
written over, so that what was stored stays whoever writes. All other files are made again from the journals and replaced as wholes. Beside the folder
stands what is known of the store: which segments the journals here begin with, and of what follows how much was sent.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from evalkit.errors import RecordError
from evalkit.store import records
from evalkit.store.bucket import Bucket, Stored, is_away, parts_of
from evalkit.store.claim import FOLDER
from evalkit.store.folder import HOLDER_FILE, LOCK_FILE, PROBE_FILE, RUN_FILE, replace
from evalkit.store.merge import CONFLICTS, conflict_of
from evalkit.store.race import RACE
from evalkit.text.escaping import harmless
from evalkit.text.notes import Tell, nobody, note, warning
from evalkit.text.numbers import counted

_SEGMENT = 8 << 20
_BESIDE = ".away.json"
_JOURNAL = ".jsonl"
_OF_A_RUN = (RUN_FILE, records.RESPONSES, PROBE_FILE)
_MOMENT = "%Y%m%dT%H%M%S.%f"


class _Known(msgspec.Struct, kw_only=True):
    """What is known of the store.

    Attributes:
        segments: of each journal, those that the file here begins with, in their order.
        sent: of each journal, how many bytes of the file here they are.
        files: of each other file, how it was when it was last sent or fetched: here, and there.
    """

    url: str
    segments: dict[str, list[str]] = msgspec.field(default_factory=dict)
    sent: dict[str, int] = msgspec.field(default_factory=dict)
    files: dict[str, tuple[str, str]] = msgspec.field(default_factory=dict)


def at_hand(place: Path | str, tell: Tell = nobody) -> Path:
    """The folder of a run on this machine; of one in an object store, like ``s3://bucket/run``, with what is stored there fetched first.

    Raises:
        RecordError: the store cannot be reached, or holds something else.
        MissingExtraError: fsspec or its backend is not installed.
    """
    if isinstance(place, Path) or not is_away(place):
        return Path(place)
    mirror = Mirror(place)
    mirror.pull(tell)
    return mirror.folder


def mirror_of(folder: Path) -> Mirror | None:
    """What keeps a folder and an object store alike; None of a folder that is nobody's mirror."""
    url = _url_of(folder)
    return None if url is None else Mirror(url)


def name_of(folder: Path) -> str:
    """What a run is called in a command: its folder, or where it lies in an object store."""
    return _url_of(folder) or str(folder)


def _url_of(folder: Path) -> str | None:
    beside = _beside(folder)
    if not beside.is_file():
        return None
    try:
        url = msgspec.json.decode(beside.read_bytes(), type=_Known).url
        return url if folder_of(url) == folder else None
    except (OSError, msgspec.MsgspecError, RecordError):
        raise RecordError(f"{beside}: cannot be read; take it away, and give the URL of the run again") from None


def folder_of(url: str) -> Path:
    """Where the run under a URL is worked on: below ``$XDG_STATE_HOME/evalkit``, for it may hold answers that are nowhere else yet."""
    scheme, path = parts_of(url)
    home = os.environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "evalkit" / scheme / Path(path)


def _beside(folder: Path) -> Path:
    return folder.with_name(folder.name + _BESIDE)


class Mirror:
    """A run in an object store, and the folder here.

    Attributes:
        folder: where it is worked on.
    """

    def __init__(self, url: str) -> None:
        self.folder = folder_of(url)
        self.bucket = Bucket(url)
        self.url = self.bucket.url
        self._known = self._read()

    def _read(self) -> _Known:
        try:
            known = msgspec.json.decode(_beside(self.folder).read_bytes(), type=_Known)
        except (OSError, msgspec.MsgspecError):  # what was fetched is fetched again
            return _Known(url=self.url)
        return known if known.url == self.url else _Known(url=self.url)

    def _keep(self) -> None:
        replace(_beside(self.folder), msgspec.json.encode(self._known))

    # --- from there

    def pull(self, tell: Tell = nobody) -> None:
        """Fetch what others have stored; what stands here and is nowhere else stays, but where its request has an answer there by now."""
        there = {name: about for name, about in self.bucket.listed().items() if not name.startswith(f"{FOLDER}/") and _is_kept(name)}
        if there and not any(name.partition("/")[0] in _OF_A_RUN for name in there):
            raise RecordError(f"{harmless(self.url)}: other objects lie there and no run; give the place of a run, or a new one")
        try:
            self._pull(there, tell)
        except OSError as fault:
            raise RecordError(f"{fault.filename or self.folder}: cannot be made like what is stored: {fault.strerror}") from None

    def _pull(self, there: dict[str, Stored], tell: Tell) -> None:
        try:
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if there:
                self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as fault:
            raise RecordError(f"{self.folder}: cannot be made: {fault.strerror}; it is where {self.url} is worked on") from None
        journals: dict[str, list[str]] = {}
        for name in sorted(there):
            first, _, segment = name.partition("/")
            if segment and first.endswith(_JOURNAL):
                journals.setdefault(_checked(first), []).append(segment)
        for journal, segments in journals.items():
            if segments != self._known.segments.get(journal) or not self._has(journal):
                self._fetch_journal(journal, segments, tell)
        for name, about in there.items():
            if name.partition("/")[0] not in journals and self._known.files.get(name, ("", ""))[1] != _as_stored(about):
                self._fetch_file(name, about)
        self._keep()

    def _has(self, journal: str) -> bool:
        """Whether the file here still begins with what was sent or fetched."""
        with suppress(OSError):
            return (self.folder / journal).stat().st_size >= self._known.sent.get(journal, 0)
        return False

    def _fetch_journal(self, journal: str, segments: list[str], tell: Tell) -> None:
        """Make the journal here begin with these segments, and what was never sent follow."""
        path = self.folder / journal
        known = self._known.segments.get(journal, []) if self._has(journal) else []
        tail = _after(path, self._known.sent.get(journal, 0)) if known else _after(path, 0)
        goes_on = bool(known) and segments[: len(known)] == known
        new = segments[len(known) :] if goes_on else segments
        temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                if goes_on:
                    _copy(path, file.write, self._known.sent[journal])
                for segment in new:
                    content = self.bucket.fetched(f"{journal}/{segment}")
                    whole = content.rfind(b"\n") + 1
                    if whole < len(content):  # else the next segment's first line would be lost with it
                        tell(warning(f"{harmless(journal)}: the last line of a stored segment was torn off, and is left out"))
                    file.write(content[:whole])
            if journal == records.RESPONSES and new:
                self._leave_out_repeats(temporary, tell)
            with temporary.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                os.fsync(file.fileno())
            kept = self._of_the_tail(journal, temporary, tail, tell)
            with temporary.open("ab") as file:
                file.writelines(kept)
            temporary.replace(path)
        except OSError as fault:
            raise RecordError(f"{path}: cannot be written: {fault.strerror}") from None
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        self._known.segments[journal], self._known.sent[journal] = segments, size
        self._keep()

    def _leave_out_repeats(self, path: Path, tell: Tell) -> None:
        """Keep of a request's answers the one that was stored first, where two machines stored one each."""
        repeats = records.repeated_answers(_lines(path))
        if not repeats:
            return
        left = set(repeats)
        rest = path.with_name(f"{path.name}.once.tmp")
        with rest.open("wb") as file:
            file.writelines(line for number, line in enumerate(_lines(path)) if number not in left)
        others = [line for number, line in enumerate(_lines(path)) if number in left]
        rest.replace(path)
        first = records.answered_lines(_lines(path), others)
        self._put_aside({line: first[line] for line in others if line in first and first[line] != line})
        tell(warning(f"{counted(len(left), 'answer')} stored by two machines: the one stored first counts, and both stand in {CONFLICTS}"))

    def _put_aside(self, others: dict[bytes, bytes]) -> None:
        """Keep answers that do not count, each with the one that does, in the file of conflicts, once."""
        conflicts = [conflict_of(records.RESPONSES, counts, other) + b"\n" for other, counts in others.items()]
        known = set(_after(self.folder / CONFLICTS, 0))
        with (self.folder / CONFLICTS).open("ab") as file:
            file.writelines(line for line in conflicts if line not in known)

    def _of_the_tail(self, journal: str, stored: Path, tail: list[bytes], tell: Tell) -> list[bytes]:
        """Of the lines that were never sent those that count beside what is stored."""
        if not tail:
            return []
        wanted = set(tail)
        for line in _lines(stored):
            wanted.discard(line)
        left = [line for line in tail if line in wanted]
        if journal == RACE:
            return []  # what was decided since is decided again, from all that is there
        if journal != records.RESPONSES or not left:
            return left
        answered = records.answered_lines(_lines(stored), left)
        other = [line for line in left if line in answered]
        if other:
            self._put_aside(answered)
            what = f"{counted(len(other), 'request')} answered here and not stored yet"
            tell(warning(f"{what}: another answer is stored there by now; that one counts, and both stand in {CONFLICTS}"))
        if len(left) > len(other):
            tell(note(f"{counted(len(left) - len(other), 'record')} of before stand here alone, and are stored now"))
        return [line for line in left if line not in answered]

    def _fetch_file(self, name: str, about: Stored) -> None:
        path = self.folder / _checked(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, self.bucket.fetched(name))
        self._known.files[name] = (_as_here(path), _as_stored(about))

    # --- to there

    def push(self, *, whole: bool) -> None:
        """Store what is new here: of journals all whole lines, and with `whole` every other file that changed, ``run.json`` last of all.

        Raises:
            RecordError: the store does not take it; all is kept here.
        """
        if not self.folder.is_dir():
            return
        for path in sorted(self.folder.glob(f"*{_JOURNAL}")):
            self._push_journal(path)
        others = [path for path in sorted(self.folder.rglob("*")) if self._is_sent_whole(path)]
        if not whole:
            others = [path for path in others if path.name == RUN_FILE]
        for path in sorted(others, key=lambda one: one.name == RUN_FILE):
            name, now = path.relative_to(self.folder).as_posix(), _as_here(path)
            if self._known.files.get(name, ("", ""))[0] == now:
                continue
            self.bucket.put(name, path.read_bytes())
            self._known.files[name] = (now, "")
        if any(not mark for _, mark in self._known.files.values()):
            there = self.bucket.listed()
            self._known.files = {
                name: (here, _as_stored(there[name])) if not mark and name in there else (here, mark)
                for name, (here, mark) in self._known.files.items()
            }
        self._keep()

    def _is_sent_whole(self, path: Path) -> bool:
        journal = path.parent == self.folder and path.suffix == _JOURNAL
        return path.is_file() and not path.is_symlink() and not journal and _is_kept(path.name)

    def _push_journal(self, path: Path) -> None:
        """Store what follows what was stored, up to its last line end."""
        name = path.name
        for piece in _pieces(path, self._known.sent.get(name, 0)):
            segment = _name_after((self._known.segments.get(name) or [""])[-1])
            self.bucket.put(f"{name}/{segment}", piece)
            self._known.segments.setdefault(name, []).append(segment)
            self._known.sent[name] = self._known.sent.get(name, 0) + len(piece)
            self._keep()


def _is_kept(name: str) -> bool:
    """Whether a file of that name belongs to the run, and not to who works on it here."""
    return name not in (LOCK_FILE, HOLDER_FILE) and not name.endswith(".tmp")


def _name_after(last: str) -> str:
    """A name for a segment of now, which comes behind `last` in order whatever the clock says."""
    name = f"{datetime.now(UTC).strftime(_MOMENT)}-{secrets.token_hex(4)}{_JOURNAL}"
    if name > last:
        return name
    try:  # a clock that was set back
        later = datetime.strptime(last.partition("-")[0], _MOMENT) + timedelta(microseconds=1)
    except (ValueError, OverflowError):  # a name that is none of ours
        return f"{last.removesuffix(_JOURNAL)}~{_JOURNAL}"
    return f"{later.strftime(_MOMENT)}-{secrets.token_hex(4)}{_JOURNAL}"


def _checked(name: str) -> str:
    """A name of an object that may be a name of a file here; raises `RecordError` where it may not."""
    if any(step in ("", ".", "..") for step in name.split("/")) or "\\" in name or not name.isprintable() or name.split("/")[0].startswith(".writer"):
        raise RecordError("an object under this URL has a name that no file of a run has; nothing was fetched")
    return name


def _as_here(path: Path) -> str:
    about = path.stat()
    return f"{about.st_size} {about.st_mtime_ns}"


def _as_stored(about: Stored) -> str:
    return f"{about.size} {about.mark}"


def _copy(path: Path, write: Callable[[bytes], object], size: int) -> None:
    with path.open("rb") as file:
        while size and (block := file.read(min(size, _SEGMENT))):
            size -= len(block)
            write(block)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _after(path: Path, at: int) -> list[bytes]:
    """The whole lines behind byte `at` of a file."""
    try:
        with path.open("rb") as file:
            file.seek(at)
            return [line for line in file if line.endswith(b"\n")]
    except FileNotFoundError:
        return []


def _pieces(path: Path, at: int) -> Iterator[bytes]:
    """What stands behind byte `at` of a file up to its last line end, in pieces of whole lines and about one size."""
    with path.open("rb") as file:
        file.seek(at)
        piece: list[bytes] = []
        size = 0
        for line in file:
            if not line.endswith(b"\n"):
                break
            piece.append(line)
            size += len(line)
            if size >= _SEGMENT:
                yield b"".join(piece)
                piece, size = [], 0
        if piece:
            yield b"".join(piece)
