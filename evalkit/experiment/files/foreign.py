"""Files that are something else than their name says: told by how they begin, with what to do."""

from __future__ import annotations

from evalkit.errors import PromptError

_BEGINNINGS = (
    (b"PK\x03\x04", "this is a zip archive or a spreadsheet, whatever its name; save the sheet as CSV, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "this is an old Excel workbook, whatever its name; save the sheet as CSV"),
    (b"\x1f\x8b", "this is compressed by gzip; unpack it: gunzip FILE"),
    (b"\x28\xb5\x2f\xfd", "this is compressed by zstd; unpack it: unzstd FILE"),
    (b"%PDF", "this is a PDF; copy its text into a .txt file, a line a prompt"),
    (b"PAR1", "this is a Parquet file; call it .parquet"),
    (b"SQLite format 3", "this is a database; write a table of it as CSV"),
    (b"version https://git-lfs", "this is Git LFS's pointer to a file, and not the file; fetch it: git lfs pull"),
    (b"<!doctype html", "this is a web page, and not the data; take the address of the raw file"),
    (b"<html", "this is a web page, and not the data; take the address of the raw file"),
)
_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
LONGEST_BEGINNING = 64


def refuse_foreign(beginning: bytes, source: str, *, but: bytes = b"\0") -> None:
    """Raise `PromptError` where a file of prompts begins as something else does.

    Args:
        beginning: its first bytes, `LONGEST_BEGINNING` of them.
        but: what this file may begin with.
    """
    start = beginning.lstrip().lower()
    for sign, said in _BEGINNINGS:
        if (beginning.startswith(sign) or start.startswith(sign)) and sign != but:
            raise PromptError(f"{source}: {said}")


def refuse_nul(content: bytes, source: str) -> None:
    """Raise `PromptError` where a text holds a NUL, which none does; UTF-16 without its mark is full of them."""
    if content.startswith(_MARKS[1:]):
        return
    at = content.find(b"\0")
    if at >= 0:
        line = content[:at].count(b"\n") + 1
        raise PromptError(f"{source}: line {line}: a NUL stands here, so this is no text, or UTF-16 without its mark; save the file as UTF-8")
