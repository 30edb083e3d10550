"""Pages that take seconds to make and much room, each made in a process of its own that ends with it: ``python -m evalkit.view.making``."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from evalkit.errors import EvalkitError, RecordError
from evalkit.text.escaping import visible

_MOST_S = 600.0
_MOST_KEPT = 24_000_000
"""Characters of pages that are kept, so that looking twice is no work."""


class Page(NamedTuple):
    """A page, and the hashes of its style and its script."""

    text: str
    style: str
    script: str


_kept: dict[object, Page] = {}
_turn: asyncio.Semaphore | None = None


async def made(kind: str, folders: Sequence[Path]) -> Page:
    """The page of a run, or of two beside each other; the one that is kept where nothing changed since. Raises `RecordError`."""
    global _turn
    if _turn is None:
        _turn = asyncio.Semaphore(1)
    async with _turn:
        key = (kind, *((folder, _stamps(folder)) for folder in folders))
        if key not in _kept:
            found = await _make(kind, folders)
            _kept[key] = found
            while len(_kept) > 1 and sum(len(one.text) for one in _kept.values()) > _MOST_KEPT:
                _kept.pop(next(iter(_kept)))
        return _kept[key]


def _stamps(folder: Path) -> tuple[tuple[str, int, int], ...]:
    found = ((path.name, path.lstat()) for path in sorted(folder.iterdir()) if path.suffix in (".json", ".jsonl", ".parquet"))
    return tuple((name, stat.st_mtime_ns, stat.st_size) for name, stat in found)


async def _make(kind: str, folders: Sequence[Path]) -> Page:
    command = [sys.executable, "-m", "evalkit.view.making", kind, *map(str, folders)]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    try:
        out, err = await asyncio.wait_for(process.communicate(), _MOST_S)
    except TimeoutError:
        raise RecordError("this page takes too long to make; write it into a file with: evalkit report RUN") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        said = json.loads(out)
    except ValueError:
        sys.stderr.write(err.decode("utf-8", "replace"))
        raise RecordError("this page could not be made; the terminal that evalkit view runs in shows why") from None
    if "fault" in said:
        raise RecordError(said["fault"])
    return Page(said["text"], said["style"], said["script"])


def _report(folder: Path) -> Page:
    from evalkit.present.html.report import page  # heavy, and this process makes one page
    from evalkit.run import load  # as above

    return _with_hashes(page(load(folder), _links(folder)), script=True)


def _comparison(baseline: Path, candidate: Path) -> Page:
    from evalkit.comparison.comparison import compare  # as above
    from evalkit.experiment.goals import PREFERENCE  # as above
    from evalkit.metrics.custom import name_of  # as above
    from evalkit.present.html.comparison import comparison_page  # as above
    from evalkit.run import load  # as above

    ends = [load(folder) for folder in (baseline, candidate)]
    functions = {name for run in ends for one in run.experiment.scorers if (name := name_of(one))}
    names: list[str] = []
    if functions:  # all that both measured but for these, so that no scorer is imported
        measured = [{one.name for one in run.analysis.metrics} for run in ends]
        names = [one for one in sorted(measured[0] & measured[1]) if one.partition(".")[0] not in functions and one != PREFERENCE]
    found = compare(baseline, candidate, metrics=names)
    return _with_hashes(comparison_page(found, [("/", "← All runs"), *_links(baseline)[1:2], *_links(candidate)[1:2]]), script=False)


def _links(folder: Path) -> list[tuple[str, str]]:
    place = f"/run/{quote(folder.name, safe='')}"
    return [("/", "← All runs"), (place, visible(folder.name)), (f"{place}/answers", "Answers"), (f"{place}/rate", "Rate")]


def _with_hashes(text: str, *, script: bool) -> Page:
    """The page with the hashes that its own policy names."""
    from evalkit.present.html.template import digest  # as above

    def inside(begin: str, end: str) -> str:
        return digest(text.rpartition(begin)[2].partition(end)[0])

    return Page(text, digest(text.partition("<style>")[2].partition("</style>")[0]), inside("<script>", "</script>") if script else "")


def main(arguments: Sequence[str]) -> None:
    """Make the page that is asked for, and write it with its hashes, or what is wrong, as JSON to standard output."""
    kind, *folders = arguments
    try:
        found = _report(Path(folders[0])) if kind == "report" else _comparison(*map(Path, folders))
        said = found._asdict()
    except EvalkitError as fault:
        said = {"fault": str(fault)}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1:])
