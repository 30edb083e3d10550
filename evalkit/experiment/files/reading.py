"""A file of prompts, whatever its form, read into prompts that are checked, with what was made of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, NamedTuple

from pydantic import ValidationError

from evalkit.errors import PromptError
from evalkit.experiment.files.bodies import holds_question
from evalkit.experiment.files.columns import PromptFile
from evalkit.experiment.files.documents import entries_of
from evalkit.experiment.files.draw import drawn
from evalkit.experiment.files.foreign import LONGEST_BEGINNING, refuse_foreign, refuse_nul
from evalkit.experiment.files.identity import with_ids
from evalkit.experiment.files.lines import from_lines, is_table
from evalkit.experiment.files.objects import read_json, read_json_lines
from evalkit.experiment.files.parquet import from_parquet
from evalkit.experiment.files.said import Said
from evalkit.experiment.files.shapes import Shapes
from evalkit.experiment.files.tables import from_csv
from evalkit.experiment.files.values import MOST_DEEP, is_too_deep
from evalkit.experiment.images import Images, with_images
from evalkit.experiment.problems import Faults, Marks, Path, shown
from evalkit.experiment.prompts import Prompt, Unread, check_prompts
from evalkit.experiment.strict_yaml import MOST_BYTES, Document, check_file, named, parse, read_bytes, read_text, text_in

ENDINGS = (".yaml", ".yml", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".parquet")
_MOST_BYTES = 500_000_000
_LOOKED_AT = 100_000


class Read(NamedTuple):
    """Prompts, and what was made of their file, a sentence each; `missed` is a column that likely holds what is expected, where none does."""

    prompts: tuple[Prompt, ...]
    told: tuple[str, ...]
    missed: str | None = None


def read_prompts(path: FilePath, how: PromptFile | None = None) -> Read:
    """The prompts of a file.

    Args:
        how: which columns hold what; by their usual names where None.

    Raises:
        PromptError: with every fault of the file.
    """
    how = how or PromptFile(file=str(path))
    source, ending = named(path), path.suffix.lower()
    if ending not in ENDINGS:
        raise PromptError(f"{source}: found {_ending(path)}; expected a prompt set in a {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]} file")
    said = Said()
    document, own = _document(path, ending, source, said, how)
    if not isinstance(document.data, list):
        return Read(check_prompts(document.data, source, document.marks), ())
    shapes = Shapes(how, source, said, table=ending in (".csv", ".tsv", ".parquet"))
    own = own and not how.names() and how.template is None
    images = Images(path.parent)
    entries = (_shaped(shapes.own if own and _is_own(one) else shapes.prompt, one, images) for one in _let_go(document.data))
    prompts = _checked(entries, source, document.marks, (), said)
    if how.sample is not None:
        prompts = drawn(prompts, how.sample, said)
    return Read(prompts, tuple(f"{source}: {one}" for one in said.told()), shapes.missed)


def _is_own(entry: Any) -> bool:
    """Whether an entry is in evalkit's own form, or meant so: none of its keys is a question's by another name."""
    return not isinstance(entry, dict) or bool(entry.keys() & {"user", "messages"}) or not holds_question(entry)


def _ending(path: FilePath) -> str:
    if path.suffix.lower() in (".xlsx", ".xls", ".ods", ".numbers"):
        return "a spreadsheet; save it as CSV"
    if path.suffix.lower() in (".gz", ".zip", ".zst", ".bz2", ".xz", ".7z"):
        return "a compressed file; unpack it"
    return f"a name that ends in {shown(path.suffix)}" if path.suffix else "a name without an ending"


def listed_prompts(entries: list[Any], source: str, marks: Marks, at: Path, folder: FilePath | None = None) -> Read:
    """Prompts that stand in an experiment itself; `at` is their path in it, `folder` where its file is. Raises `PromptError` with all faults."""
    said = Said()
    own = Shapes(PromptFile(file=source or "-"), source, said, table=False).own
    images = Images(folder)
    prompts = _checked([_shaped(own, one, images) for one in entries], source, marks, at, said)
    return Read(prompts, tuple(f"prompts: {one}" for one in said.told()))


def _let_go(entries: list[Any]) -> Iterator[Any]:
    """The entries one by one, each gone from memory once it is done with: a file may hold a million."""
    entries.reverse()
    while entries:
        yield entries.pop()


def _checked(entries: Iterable[Any], source: str, marks: Marks, at: Path, said: Said) -> tuple[Prompt, ...]:
    """The entries with their ids, checked; `at` is their path in the document whose lines `marks` holds."""
    within = {path[len(at) :]: line for path, line in marks.items() if path[: len(at)] == at} if at else marks
    found, lines = with_ids(entries, within, said, _made)
    if at:
        rest = {path: line for path, line in marks.items() if path[: len(at)] != at}
        lines = rest | {(*at, *path): line for path, line in lines.items()}
    return check_prompts(found, source, lines, at)


def _made(entry: Any) -> Any:
    """The prompt that an entry is; one that is at fault stays as it is, for what is wrong with it is told with all others."""
    try:
        return Prompt.model_validate(entry)
    except ValidationError:
        return entry


def _shaped(of: Callable[[Mapping[str, Any]], dict[str, Any]], entry: Any, images: Images) -> Any:
    if not isinstance(entry, dict):
        return entry
    if is_too_deep(entry):
        return Unread(f"nested over {MOST_DEEP} deep; expected plain lists and mappings")
    try:
        return with_images(of(entry), images)
    except Faults as fault:
        path, message = fault.found[0]
        return Unread(message, path)


def _document(path: FilePath, ending: str, source: str, said: Said, how: PromptFile) -> tuple[Document, bool]:
    """The entries of a file, and whether they are evalkit's own, whose keys must be known ones."""
    if ending == ".parquet":
        check_file(path, PromptError, _MOST_BYTES)
        refuse_foreign(_beginning(path), source, but=b"PAR1")
        return from_parquet(path, source, said), False
    most = MOST_BYTES if ending in (".yaml", ".yml") else _MOST_BYTES
    check_file(path, PromptError, most)
    refuse_foreign(_beginning(path), source)
    if ending in (".csv", ".tsv", ".txt"):
        content = read_bytes(path, PromptError, most)
        refuse_nul(content, source)
        text = text_in(content, source, PromptError, said.add)
        if ending == ".txt" and not is_table(text):
            return from_lines(text, said), False
        return from_csv(text, source, said, tuple(how.names().values())), False
    text = read_text(path, PromptError, most)
    if ending in (".yaml", ".yml"):
        return _from_yaml(text, source, said), True
    refuse_nul(text[:_LOOKED_AT].encode(errors="replace"), source)
    if ending == ".json":
        return (_from_json(text, source, said) if text.strip() else Document([], {})), False
    return read_json_lines(text, said), False


def _beginning(path: FilePath) -> bytes:
    with path.open("rb") as file:
        return file.read(LONGEST_BEGINNING)


def _from_yaml(text: str, source: str, said: Said) -> Document:
    document = parse(text, source, PromptError)
    if document.data is None:
        return Document([], {})
    if isinstance(document.data, dict) and "endpoint" in document.data:
        raise PromptError(f"{source}: this is an experiment, which holds or names a prompt set; give the set itself")
    return entries_of(document, source, said)


def _from_json(text: str, source: str, said: Said) -> Document:
    document = entries_of(read_json(text, source, said), source, said)
    return Document([document.data], {}) if isinstance(document.data, dict) else document
