"""Bodies that come packed, unpacked piece by piece: a small one may hold gigabytes, and who reads it must be able to stop."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

TAKEN = "gzip, deflate"
"""The encodings that are asked for."""

_PIECE = 2**16
_GZIP = zlib.MAX_WBITS | 16


class PackedError(Exception):
    """A body is not of the encoding that its header names."""


class Unpacking:
    """The bytes of one body, unpacked as they arrive.

    Args:
        encodings: as the header ``Content-Encoding`` tells them, the one that was applied last at the end.

    Raises:
        PackedError: one of them is neither gzip nor deflate.
    """

    def __init__(self, encodings: str) -> None:
        names = [name for one in encodings.split(",") if (name := one.strip().lower()) not in ("", "identity")]
        unknown = next((one for one in names if one not in ("gzip", "x-gzip", "deflate")), None)
        if unknown is not None:
            raise PackedError(f"the answer came in the encoding {unknown}, which was not asked for")
        self._layers = [_Layer(name) for name in reversed(names)]

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        """What more of the body gives, in pieces of 64 KiB at the most. Raises `PackedError`."""
        return self._through(packed, 0)

    def end(self) -> None:
        """The body is over. Raises `PackedError` where its end is missing."""
        if not all(one.ended for one in self._layers):
            raise PackedError("the packed answer breaks off before its end")

    def _through(self, data: bytes, depth: int) -> Iterator[bytes]:
        if depth == len(self._layers):
            yield data
            return
        for piece in self._layers[depth].pieces(data):
            yield from self._through(piece, depth + 1)


class _Layer:
    """One encoding of a body."""

    def __init__(self, name: str) -> None:
        self._gzip = name != "deflate"
        self._inflater = zlib.decompressobj(_GZIP if self._gzip else zlib.MAX_WBITS)
        self._begun = False

    @property
    def ended(self) -> bool:
        """Whether its end was there, or it had no beginning."""
        return self._inflater.eof or not self._begun

    def pieces(self, packed: bytes) -> Iterator[bytes]:
        while packed:
            try:
                piece = self._inflater.decompress(packed, _PIECE)
            except zlib.error as fault:
                if self._gzip or self._begun:
                    raise PackedError(str(fault)) from None
                self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)  # deflate without its frame, as some servers send it
                self._begun = True
                continue
            self._begun = True
            if piece:
                yield piece
            packed = self._inflater.unconsumed_tail
            if self._inflater.eof:
                packed = self._inflater.unused_data
                if not self._gzip or not packed.startswith(b"\x1f\x8b"):
                    return
                self._inflater = zlib.decompressobj(_GZIP)  # the next of several members
