"""In which encoding a file is, found by certainty and not by likelihood, and its text as UTF-8 in pieces.

A byte order mark says it; else what is UTF-8 throughout is UTF-8; else what is GB18030 throughout (which GBK
and GB2312 are parts of) is GB18030. The whole file is looked at as it arrives, so the same file has the same
answer each time, and no row is read in the wrong encoding before the first bad byte.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import BinaryIO

BLOCK_BYTES = 1024 * 1024
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_LONGEST_MARK = 3


class NotText(ValueError):
    """The message says what was tried, and where the first byte stands that does not fit."""


class Detector:
    """Is told a file's bytes as they come. `given`: the encoding that the sender names."""

    def __init__(self, given: str = "") -> None:
        self._given = given
        self._head = b""
        self._seen = 0
        self._decoders: dict[str, codecs.IncrementalDecoder] | None = None
        self._plain = True
        self._first_bad: dict[str, int] = {}

    def feed(self, piece: bytes) -> None:
        """Never raises: what does not fit is told at the end."""
        if self._decoders is None:
            self._head += piece
            if len(self._head) < _LONGEST_MARK:
                return
            piece = self._begin()
        self._look(piece, final=False)

    def finish(self) -> str:
        """The encoding. Raises NotText."""
        if self._decoders is None:
            self._look(self._begin(), final=False)
        self._plain = False
        self._look(b"", final=True)
        assert self._decoders is not None
        for encoding in self._decoders:
            return encoding
        tried = " and ".join(
            f"not {encoding.upper()} (byte {place:,})" for encoding, place in self._first_bad.items()
        )
        raise NotText(f"is {tried}")

    def _begin(self) -> bytes:
        marked = next((name for mark, name in _MARKS.items() if self._head.startswith(mark)), "")
        sure = marked.startswith("utf-16") and self._given.startswith("utf-16")
        one = marked if sure else self._given or marked  # which UTF-16 it is, the mark knows
        names = (one,) if one else ("utf-8", "gb18030")
        self._decoders = {name: codecs.getincrementaldecoder(name)() for name in names}
        self._plain = not one.startswith("utf-16")
        piece, self._head = self._head, b""
        return piece

    def _look(self, piece: bytes, *, final: bool) -> None:
        """ASCII is the same in UTF-8 and GB18030, and most files begin with a lot of it."""
        assert self._decoders is not None
        self._plain = self._plain and piece.isascii()
        if not self._plain:
            for name, decoder in list(self._decoders.items()):
                try:
                    decoder.decode(piece, final)
                except UnicodeDecodeError as error:
                    self._first_bad[name] = self._seen + error.start
                    del self._decoders[name]
        self._seen += len(piece)


class Utf8Text:
    """The text of a file as blocks of UTF-8. Offsets count bytes of the UTF-8 text, mark included."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        self._encoding = encoding

    @property
    def read_bytes(self) -> int:
        """How far the file itself has been read."""
        return self._file.tell()

    def blocks(self, offset: int = 0) -> Iterator[bytes]:
        """From `offset` to the end: at once in UTF-8, else by reading what stands before it again."""
        if self._encoding == "utf-8":
            self._file.seek(offset)
            yield from iter(lambda: self._file.read(BLOCK_BYTES), b"")
            return
        self._file.seek(0)
        for block in self._converted():
            if offset < len(block):
                yield block[offset:] if offset else block
            offset = max(0, offset - len(block))

    def _converted(self) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(self._encoding)()
        while piece := self._file.read(BLOCK_BYTES):
            yield decoder.decode(piece).encode()
        yield decoder.decode(b"", final=True).encode()
