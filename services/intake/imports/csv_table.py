"""CSV (RFC 4180) in blocks: bounded memory whatever a file holds, and one bad row never takes its neighbours.

Which row begins where depends on the text alone, not on how it arrives: a row without external id is known
by its number, and another replica that goes on in the middle has to count alike.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.intake.domain.imports import Layout, Mark
from services.intake.imports.table import MAX_CELL, Line, Unreadable
from services.intake.imports.text import Utf8Text

MAX_ROW = 1024 * 1024
"""Characters. Where a row does not end within them, its first line is refused, and the next line is a row."""
_HELD_BYTES = 4 * MAX_ROW
"""More than MAX_ROW characters for certain: a character is at most 4 bytes of UTF-8."""
MAX_IN_VAIN = 16 * 1024 * 1024
"""Characters that are read once more because a row did not end, beyond as many as the file has so far. A
quote that is opened and not closed costs what stands up to the next one, so stray quotes come to the file's
own length at most; a file in which each line opens one would be read again from every line of it."""
_SHOWN = 1000
_TOO_LONG = f"does not end within the limit of {MAX_ROW} characters"
_LINE_END = re.compile(r"\r\n?|\n")
_LINE_END_BYTES = re.compile(rb"\r\n?|\n")

csv.field_size_limit(MAX_ROW)


@dataclass(frozen=True, slots=True)
class _Held:
    """Whole lines of a file; `offset` is where they begin, `rest` the bytes that are held of the line after
    them, `last` whether the file ends with them."""

    text: str
    offset: int
    rest: int
    last: bool


class _Lines:
    """The lines of a text for csv.reader: of each row at most MAX_ROW characters, and `over` where the row
    does not end within them."""

    def __init__(self, text: str) -> None:
        self._text = io.StringIO(text, newline="")
        self.begin(0)

    def begin(self, start: int) -> None:
        """A row begins here."""
        if start:
            self._text.seek(start)
        self.start = self.end = start
        self.over = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._text.readline()
        if not line:
            raise StopIteration
        if self.end + len(line) - self.start > MAX_ROW:
            self.over = True
            raise StopIteration
        self.end += len(line)
        return line


class CsvTable:
    """`size`: bytes of the whole file."""

    def __init__(self, text: Utf8Text, layout: Layout, size: int) -> None:
        self.layout = layout
        self._source = text
        self._size = size
        self._held = _Held("", 0, 0, False)
        self._end = self._in_vain = 0
        self._row = 1

    def rows(self, after: Mark) -> Iterator[Line]:
        self._row, offset, pending, endless = after.row, after.offset, b"", ""
        for block, last in _with_last(self._source.blocks(offset)):
            data = pending + block
            if not (endless or last or _whole_lines(data)) and len(data) > _HELD_BYTES:
                endless = data[: 4 * _SHOWN].decode(errors="ignore")
            if endless:
                done, ended = _skipped(data, last)
                offset, data = offset + done, data[done:]
                if not (ended or last):
                    pending = data
                    continue
                self._held, self._end = _Held("", offset, 0, last), 0
                yield self._refused(endless, _TOO_LONG)
                endless = ""
            cut = len(data) if last else _whole_lines(data)
            self._held = _Held(data[:cut].decode(), offset, len(data) - cut, last)
            yield from self._lines()
            done = _utf8_length(self._held.text, self._end)
            offset, pending = offset + done, data[done:]

    def mark(self) -> Mark:
        return Mark(self._row, self._held.offset + _utf8_length(self._held.text, self._end))

    def share(self) -> float:
        return min(1.0, self._source.read_bytes / max(self._size, 1))

    def _lines(self) -> Iterator[Line]:
        """The rows of the text at hand, up to `_end`; what stands after it needs more of the file.

        Raises Unreadable when too much was read in vain.
        """
        self._end = 0
        lines = _Lines(self._held.text)
        reader = csv.reader(lines, **dialect(self.layout))
        while True:
            start = lines.start = self._end
            try:
                cells = next(reader)
            except (StopIteration, csv.Error) as error:
                cut_off = "unexpected end" in str(error) and not self._held.last
                if not lines.over and (
                    isinstance(error, StopIteration) or (cut_off and self._may_go_on(start))
                ):
                    return
                yield self._refuse_line(start, _TOO_LONG if lines.over or cut_off else _reason(error))
                self._count_vain(lines.end - self._end)
                lines.begin(self._end)
                continue
            self._end = lines.end
            self._row += 1
            long = self._end - start > MAX_CELL and any(len(cell) > MAX_CELL for cell in cells)
            yield Line(self._row, cells, f"a cell is over the limit of {MAX_CELL} characters" if long else "")

    def _may_go_on(self, start: int) -> bool:
        """Whether a row that has not ended may still do so in a part of the file that has not been read."""
        text = self._held.text
        return self._held.rest + _utf8_length(text[start:], len(text) - start) <= _HELD_BYTES

    def _count_vain(self, beyond: int) -> None:
        """`beyond`: characters that were read of a refused line's neighbours, and will be read again."""
        self._in_vain += max(0, beyond)
        if self._in_vain > MAX_IN_VAIN + self._held.offset + self._end:
            raise Unreadable(
                f"has too many quotes that are opened and not closed: reading stopped at row {self._row}"
            )

    def _refuse_line(self, start: int, reason: str) -> Line:
        """The line at `start` is a row that cannot be read, and the next one begins after it."""
        text = self._held.text
        found = _LINE_END.search(text, start)
        self._end = found.end() if found else len(text)
        return self._refused(text[start : min(self._end, start + _SHOWN)], reason)

    def _refused(self, shown: str, reason: str) -> Line:
        self._row += 1
        return Line(self._row, [shown[:_SHOWN].rstrip("\r\n")], reason)


def dialect(layout: Layout) -> dict[str, Any]:
    """Arguments of csv.reader. Strict: a quote in the wrong place is an error, not a guess."""
    quoting: dict[str, Any] = {"quotechar": layout.quote} if layout.quote else {"quoting": csv.QUOTE_NONE}
    return {"delimiter": layout.delimiter, "strict": True, **quoting}


def _reason(error: Exception) -> str:
    """The reader's own words, but for those that speak of its insides."""
    words = str(error)
    if "unexpected end" in words:
        return "a quote is opened and not closed"
    return f"is not CSV: {words}"


def _with_last(blocks: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each block, and whether it is the last; a file that has ended is one empty block."""
    held = next(blocks, b"")
    for block in blocks:
        yield held, False
        held = block
    yield held, True


def _whole_lines(data: bytes) -> int:
    """Bytes up to the end of the last whole line; a CR at the very end may be half of a CRLF."""
    return max(data.rfind(b"\n"), data.rfind(b"\r", 0, len(data) - 1)) + 1


def _skipped(data: bytes, last: bool) -> tuple[int, bool]:
    """Bytes of a line that nobody wants, and whether it ends with them."""
    found = _LINE_END_BYTES.search(data)
    if found is None:
        return len(data), False
    if found.end() == len(data) and found.group() == b"\r" and not last:  # perhaps half of a CRLF
        return found.start(), False
    return found.end(), True


def _utf8_length(text: str, end: int) -> int:
    return end if text.isascii() else len(text[:end].encode())
