"""In which encoding a file is, found by certainty and not by likelihood, and its text as UTF-8 in pieces.

A byte order mark says it; else what is UTF-8 throughout is UTF-8; else what is GB18030 throughout (which GBK
and GB2312 are parts of) is GB18030. The whole file is looked at as it arrives, so the same file has the same
answer each time, and no row is read in the wrong encoding before the first bad byte. Two files that were put
together would be GB18030 throughout with half of the words wrong: they are refused.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

BLOCK_BYTES = 1024 * 1024
_MARKS = {codecs.BOM_UTF8: "utf-8", codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_LONGEST_MARK = 3
_UTF8_WORDS = re.compile(rb"[\x00-\x7f]*(?:[\xe3-\xe9][\x80-\xbf]{2}[\x00-\x7f]*){2,}")
"""A line with two characters or more of the range that Chinese is written in, all in UTF-8. In GB18030 it
would be half as many characters again, of those that are hardly ever used."""


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
        self._line = b""
        self._utf8_words = -1
        """Where a line stands that can only be UTF-8; -1 while none was seen."""

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
            if "utf-8" in self._first_bad and self._utf8_words >= 0:
                first, other = self._utf8_words, self._first_bad["utf-8"]
                raise NotText(
                    f"has lines in UTF-8 (byte {first:,}) and in GB18030 (byte {other:,}): save it in one"
                )
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
            if len(self._decoders) + len(self._first_bad) == 2 and self._utf8_words < 0:
                self._look_for_utf8_words(piece, final=final)
            for name, decoder in list(self._decoders.items()):
                try:
                    decoder.decode(piece, final)
                except UnicodeDecodeError as error:
                    self._first_bad[name] = self._seen + error.start
                    del self._decoders[name]
        self._seen += len(piece)

    def _look_for_utf8_words(self, piece: bytes, *, final: bool) -> None:
        """In whole lines; what is left of the last one is held for the next piece, up to a limit."""
        *lines, rest = (self._line + piece).split(b"\n")
        at = self._seen - len(self._line)
        for line in (*lines, rest) if final else lines:
            if not line.isascii() and _UTF8_WORDS.fullmatch(line):
                self._utf8_words = at
                return
            at += len(line) + 1
        self._line = rest if len(rest) <= BLOCK_BYTES else b""


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
