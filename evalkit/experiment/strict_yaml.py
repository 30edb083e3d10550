"""YAML as people expect it: no key twice, no tabs in silence, ``no`` and ``on`` are words, ``1e-3`` is a number, no alias bombs."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path as FilePath
from typing import IO, Any, NamedTuple

import yaml

from evalkit.errors import ExperimentError
from evalkit.experiment.problems import HALF_A_CHARACTER, Path, shown, spelled

MOST_BYTES = 20_000_000
"""Of a YAML file; its parser reads about a megabyte in ten seconds where the texts are short."""

MOST_VALUES = 200_000
"""Of a YAML file, its aliases written out."""

_MOST_DEEP = 64
_MOST_DIGITS = 40
_TAG = "tag:yaml.org,2002:"


class Document(NamedTuple):
    """Plain data, and the line each part of it stands on."""

    data: Any
    marks: dict[Path, int]


class _StrictLoader(yaml.SafeLoader):
    """Scalars resolve by YAML 1.2's core schema, but ``007`` and dates stay strings."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 (PyYAML's own way of configuring)
    most = MOST_VALUES
    values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.values += 1
        if self.values > self.most:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, f"over {self.most:,} values", mark)
        return super().compose_node(parent, index)


for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^[-+]?(?:0|[1-9][0-9]*)$", list("-+0123456789")),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]+)?$", list("-+.0123456789")),
    ("float", r"^[-+]?[0-9]+[eE][-+]?[0-9]+$", list("-+0123456789")),
    ("float", r"^(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$", list("-+.")),
    ("merge", r"^<<$", ["<"]),
):
    _StrictLoader.add_implicit_resolver(f"{_TAG}{_tag}", re.compile(_pattern), _first)


def _decimal_int(loader: _StrictLoader, node: yaml.ScalarNode) -> int:
    return int(str(loader.construct_scalar(node)))


_StrictLoader.add_constructor(f"{_TAG}int", _decimal_int)


def named(path: FilePath) -> str:
    """The path as a message shows it."""
    name = str(path)
    return name if name.isprintable() and len(name) <= 300 else shown(name)


def check_file(path: FilePath, error: type[Exception] = ExperimentError, most_bytes: int = MOST_BYTES) -> None:
    """Raise `error` where a file is missing, unreadable, too big or none."""
    with _opened(path, error, most_bytes):
        pass


def read_bytes(path: FilePath, error: type[Exception] = ExperimentError, most_bytes: int = MOST_BYTES) -> bytes:
    """What the file holds; raises `error` as `check_file` does."""
    with _opened(path, error, most_bytes) as file:
        return file.read()


@contextmanager
def _opened(path: FilePath, error: type[Exception], most_bytes: int) -> Iterator[IO[bytes]]:
    name = named(path)
    try:
        about = path.stat()
        if stat.S_ISDIR(about.st_mode):
            raise error(f"{name}: this is a folder; expected a file")
        if not stat.S_ISREG(about.st_mode):
            raise error(f"{name}: this is a pipe or a device; expected a file")
        if about.st_size > most_bytes:
            advice = "; a prompt set this big reads better from a .jsonl file" if most_bytes == MOST_BYTES else ""
            raise error(f"{name}: the file has {about.st_size / 1e6:,.0f} MB; expected at most {most_bytes / 1e6:,.0f} MB{advice}")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise error(f"{name}: no such file; check the path") from None
    except OSError as fault:
        raise error(f"{name}: cannot be read: {fault.strerror}; check the path and the file's permissions") from None
    except ValueError:  # a NUL in the path
        raise error(f"{name}: this is no path of a file; check it") from None


def read_text(path: FilePath, error: type[Exception] = ExperimentError, most_bytes: int = MOST_BYTES) -> str:
    """The file's text, a byte order mark dropped and line ends made one; raises `error` where it is missing, unreadable or not UTF-8."""
    name, content = named(path), read_bytes(path, error, most_bytes)
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise error(f"{name}: the file is UTF-16; save it as UTF-8")
    try:
        return _with_plain_ends(content.decode("utf-8-sig"))
    except UnicodeDecodeError as fault:
        raise error(_not_utf_8(name, fault)) from None


def text_in(content: bytes, name: str, error: type[Exception], say: Callable[[str], None]) -> str:
    """The text of a file that a spreadsheet or an editor wrote in the encoding of its own: UTF-8, UTF-16 or Windows' cp1252.

    Args:
        say: is told which it was, where it was not UTF-8.
    """
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            text = content.decode("utf-16")
        except UnicodeDecodeError:
            raise error(f"{name}: the file begins as UTF-16 and goes on as something else; save it as UTF-8") from None
        say("it is read as UTF-16")
        return _with_plain_ends(text)
    try:
        return _with_plain_ends(content.decode("utf-8-sig"))
    except UnicodeDecodeError as fault:
        try:
            text = content.decode("cp1252")
        except UnicodeDecodeError:
            raise error(_not_utf_8(name, fault)) from None
    text = _with_plain_ends(text)
    first = _BEYOND_ASCII.search(text)
    where = "" if first is None else f", the first in {shown(first[0])} on line {text.count(chr(10), 0, first.start()) + 1}"
    say(f"it is no UTF-8, and read as cp1252, which Windows writes in western Europe: look whether its accents are right{where}")
    return text


_BEYOND_ASCII = re.compile(r"\w{0,20}[^\x00-\x7f]\w{0,20}")
"""A word with a sign that encodings differ in."""


def _with_plain_ends(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _not_utf_8(name: str, fault: UnicodeDecodeError) -> str:
    line = fault.object[: fault.start].count(b"\n") + 1
    return f"{name}: line {line}: a byte here is not UTF-8; save the file as UTF-8"


def parse(text: str, source: str, error: type[Exception] = ExperimentError, most_values: int = MOST_VALUES) -> Document:
    """The document in `text`; its data are None where the text is empty.

    Raises `error` with file, line and column, never with the text itself (it may hold a secret).
    """
    loader = None
    try:
        loader = _StrictLoader(text)
        loader.most = most_values
        node = loader.get_single_node()
        if node is None:
            return Document(None, {})
        _refuse_bombs(node, source, error, most_values)
        marks: dict[Path, int] = {}
        _Walk(loader, marks, source, error).node(node, ())
        return Document(loader.construct_document(node), marks)
    except yaml.MarkedYAMLError as fault:
        raise error(f"{source}{_words(fault, text)}") from None
    except yaml.reader.ReaderError as fault:
        line = text.count("\n", 0, fault.position) + 1
        raise error(f"{source}: line {line}: found the character U+{ord(text[fault.position]):04X}, which YAML forbids; remove it") from None
    except RecursionError:
        raise error(_too_deep(source)) from None
    except (ValueError, OverflowError):  # what PyYAML's scanner lets through: "\UFFFFFFFF", a version of 5,000 digits
        mark = loader.get_mark() if loader is not None else None
        line = mark.line + 1 if mark else 1
        raise error(f"{source}: line {line}: not valid YAML: a number or an escape that stands for nothing; mend or remove it") from None
    finally:
        if loader is not None:
            loader.dispose()


def _too_deep(source: str) -> str:
    return f"{source}: nested over {_MOST_DEEP} deep; expected plain lists and mappings"


def _words(fault: yaml.MarkedYAMLError, text: str) -> str:
    """Where and what, in words for someone who does not know how a YAML parser works."""
    mark = fault.problem_mark or fault.context_mark
    problem = fault.problem or ""
    if problem == "found unexpected end of stream" and fault.context_mark is not None:
        mark = fault.context_mark  # where the quote opens, not where the file ends
    if mark is None:
        return ": this is not YAML"
    where = f": line {mark.line + 1}, column {mark.column + 1}: "
    lines = re.split("[\n\x85\u2028\u2029]", text)
    line = lines[mark.line] if mark.line < len(lines) else ""
    if line[mark.column : mark.column + 1] == "\t" or "\t" in line[: len(line) - len(line.lstrip())]:
        return f"{where}a tab stands here; YAML wants spaces"
    if problem.startswith("over "):
        return f"{where}the file holds {problem}; a prompt set this big reads better from a .jsonl file"
    if ours := next((words for said, words in _NOT_OURS.items() if said in problem), None):
        return where + ours
    if line[mark.column : mark.column + 1] == "?" and problem.startswith("expected ','"):
        return f"{where}not valid YAML: within {{ }} and [ ], a text that holds a '?' stands in quotes, '...?'"
    if "{{" in line:
        return f"{where}not valid YAML: put a text with {{{{ }}}} in quotes, '...', and write the name within {{{{ }}}} without quotes"
    known = next((words for said, words in _NOT_YAML.items() if said in problem), None)
    # What PyYAML got instead is a piece of the file.
    return f"{where}not valid YAML: " + (known or re.sub(r",?\s*but (?:got|found) .*", "", problem, flags=re.DOTALL) or "mend this place")


_NOT_OURS = {
    "another document": "a second document begins here; expected one, without a '---' between",
    "incompatible YAML document": "not YAML 1.1; remove the line that begins with %YAML",
}

_NOT_YAML = {
    "mapping values are not allowed": "a ':' where none is expected; put a text that holds ': ' in quotes, or mend the indentation",
    "undefined alias": "a '*' here means an alias, and none of this name is defined; put the text in quotes",
    "cannot start any token": "no value can begin with this character; put the text in quotes",
    "could not find expected ':'": "a ':' is missing; expected 'key: value'",
    "unexpected end of stream": "the quote that opens here is never closed",
    "unknown escape character": "a backslash in double quotes begins an escape; use single quotes",
    "expected escape sequence": "a backslash in double quotes begins an escape; use single quotes",
    "expected ',' or ']'": "a ',' or a ']' is missing before this place",
    "expected ',' or '}'": "a ',' or a '}' is missing before this place",
    "expected <block end>": "this does not belong here; mend the indentation, or put the text in quotes",
    "expected '<document start>'": "this does not belong to the lines above; mend the indentation, or put the text in quotes",
    "sequence entries are not allowed": "no list can begin here; put the '-' on a line of its own, or the text in quotes",
    "expected chomping or indentation": "the text of '|' or '>' begins on the next line; a text that begins with one belongs in quotes",
    "expected a comment or a line break": "the text of '|' or '>' begins on the next line; a text that begins with one belongs in quotes",
    "expected alphabetic or numeric": "'&', '*' and '!' have a meaning here; put a text that begins with one in quotes",
    "mapping keys are not allowed": "'?' has a meaning here; put a text that begins with it in quotes",
    "second occurrence": "two anchors have the same name; a text that begins with '&' belongs in quotes",
    "for merging": "'<<' takes a mapping, or a list of mappings",
    "tag handle": "'!' has a meaning here; put a text that begins with it in quotes",
    "expected ' '": "'!' has a meaning here; put a text that begins with it in quotes",
    "expected URI": "'!' has a meaning here; put a text that begins with it in quotes",
    "expected the node content": "a value is missing here, or a '[' or a '{' is never closed",
}


def _refuse_bombs(root: yaml.Node, source: str, error: type[Exception], most: int) -> None:
    """Count the nodes as if every alias were written out; refuse a document that contains itself, or is too deep."""
    sizes: dict[int, tuple[int, int]] = {}
    above: set[int] = set()

    def size(node: yaml.Node) -> tuple[int, int]:
        if id(node) in above:
            raise error(f"{source}: line {node.start_mark.line + 1}: an alias contains itself; write its value out")
        if id(node) not in sizes:
            above.add(id(node))
            children: list[yaml.Node] = []
            if isinstance(node, yaml.SequenceNode):
                children = node.value
            elif isinstance(node, yaml.MappingNode):
                children = [one for pair in node.value for one in pair]
            inner = [size(one) for one in children]
            sizes[id(node)] = (min(1 + sum(count for count, _ in inner), most + 1), 1 + max((deep for _, deep in inner), default=0))
            above.discard(id(node))
        return sizes[id(node)]

    count, deep = size(root)
    if count > most:
        raise error(f"{source}: its aliases unfold to over {most:,} values; write it without them")
    if deep > _MOST_DEEP:
        raise error(_too_deep(source))


class _Walk:
    """Checks a tree of nodes from the root down, and marks where each stands. Keys become strings, as in JSON (token ids, say)."""

    def __init__(self, loader: _StrictLoader, marks: dict[Path, int], source: str, error: type[Exception]) -> None:
        self._loader, self._marks, self._source, self._error = loader, marks, source, error

    def node(self, node: yaml.Node, path: Path) -> None:
        self._marks[path] = line = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            self._scalar(node, path, line)
        elif node.tag != f"{_TAG}{'seq' if isinstance(node, yaml.SequenceNode) else 'map'}":
            raise self._fault(path, _OF_TAG, line)
        elif isinstance(node, yaml.SequenceNode):
            for index, child in enumerate(node.value):
                self.node(child, (*path, index))
        elif isinstance(node, yaml.MappingNode):
            self._mapping(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> None:
        seen: dict[str, int] = {}
        for at, (key, child) in enumerate(node.value):
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise self._fault(path, "a key must be a plain word; put a text that begins with '{' or '[' in quotes", line)
            self._scalar(key, path, line, key=True)
            if at and (listed := _listed(node.value, at)):
                raise self._fault(path, f"found {shown(key.value)} where a key should be; to list several values, write {listed}", line)
            if key.value in seen:
                raise self._fault((*path, key.value), f"the key stands twice, on lines {seen[key.value]} and {line}; keep one")
            seen[key.value] = line
            if key.tag == f"{_TAG}merge":
                _Walk(self._loader, {}, self._source, self._error).node(child, path)
                continue
            if key.tag not in (f"{_TAG}str", f"{_TAG}int"):
                raise self._fault(path, f"the key {shown(key.value)} must be a word; put it in quotes", line)
            node.value[at] = (yaml.ScalarNode(f"{_TAG}str", key.value, key.start_mark, key.end_mark), child)
            self.node(child, (*path, key.value))
            self._marks[(*path, key.value)] = line

    def _scalar(self, node: yaml.ScalarNode, path: Path, line: int, key: bool = False) -> None:
        if node.tag == f"{_TAG}merge" and not key:
            node.tag = f"{_TAG}str"
        plain = self._loader.resolve(yaml.ScalarNode, node.value, (True, False))  # type: ignore[no-untyped-call]
        if node.tag not in (f"{_TAG}str", plain):
            raise self._fault(path, _OF_TAG, line)
        if node.tag == f"{_TAG}int" and len(node.value) > _MOST_DIGITS:
            raise self._fault(path, f"found a number of {len(node.value):,} digits; expected at most {_MOST_DIGITS}", line)
        if node.value.isascii():
            return
        try:
            # A pair of escapes, as JSON writes what lies past U+FFFF, is one character; half a pair is none.
            node.value = node.value.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self._fault(path, HALF_A_CHARACTER, line) from None

    def _fault(self, path: Path, message: str, line: int | None = None) -> Exception:
        return self._error(f"{self._source}: {spelled(path) or 'top level'}: {message}" + (f" (line {line})" if line else ""))


_OF_TAG = "found a tag ('!...') that does not belong here; remove it, or put a text that begins with '!' in quotes"


def _listed(entries: list[tuple[yaml.Node, yaml.Node]], at: int) -> str:
    """Where a number stands as a key without a value, as in ``{temperature: 0, 0.7}``, the list that was meant; else an empty text."""

    def stray(entry: tuple[yaml.Node, yaml.Node]) -> bool:
        key, value = entry
        return key.tag in (f"{_TAG}int", f"{_TAG}float") and isinstance(value, yaml.ScalarNode) and value.value == ""

    name, first = entries[at - 1]
    if not stray(entries[at]) or not isinstance(first, yaml.ScalarNode) or not first.value:
        return ""
    more = [str(key.value) for key, _ in takewhile(stray, entries[at:])]
    return f"{name.value}: [{', '.join([first.value, *more])}]"
