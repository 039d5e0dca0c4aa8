"""XLSX (ECMA-376), the first sheet, row by row: constant memory, and archives that are bombs stay closed.

openpyxl reads what is in a row (sheet.py). python-calamine is twenty times as fast, but holds the whole
sheet, and makes room for every cell up to the last one: one cell far down to the right asks for hundreds of
gigabytes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any, BinaryIO
from zlib import error as ZlibError

from openpyxl.utils.exceptions import InvalidFileException

from services.intake.domain.imports import Layout, Mark
from services.intake.imports.sheet import SHEETS, STRINGS, Sheet
from services.intake.imports.table import MAX_CELL, Line, Unreadable
from shared.mapping_cells import Moment

FORMAT = "xlsx"
SIGNATURE = b"PK\x03\x04"
MAX_MEMBERS = 2000
MAX_SHEET_BYTES = 2 * 1024**3
MAX_OTHER_BYTES = 128 * 1024**2
"""Inflated; of shared strings above all, which have to be in memory."""
MAX_RATIO = 200
MAX_UNBROKEN = 1024 * 1024
"""Bytes of XML between one tag and the next: a parser has to hold them."""
MAX_SHOWN = 1000
"""Cells of a row that cannot be read as one."""
MAX_TAGS = 500_000
MAX_STRING_TAGS = 4_000_000
"""Of a part that is no sheet, and of the shared strings: openpyxl makes objects of all of it. A sheet is held
to its own limit, row by row."""
_PIECE = 256 * 1024
_BROKEN = (
    zipfile.BadZipFile, InvalidFileException, ZlibError, KeyError, ValueError, TypeError, AttributeError,
    SyntaxError, IndexError, EOFError, NotImplementedError, OSError, RuntimeError,
)  # fmt: skip
"""What openpyxl and zipfile raise on files that are not what they should be; SyntaxError is ElementTree's."""


def find_layout(file: BinaryIO) -> tuple[Layout, Mark]:
    """The header of the first sheet. Raises Unreadable."""
    check_archive(file)
    header = next(XlsxTable(file, Layout(FORMAT)).rows(Mark(0)), Line(1, []))
    if header.fault:
        raise Unreadable(f"the header row cannot be read: {header.fault}")
    names = [cell.strip() for cell in header.cells]
    if header.number != 1 or not any(names):
        raise Unreadable("the first sheet has no header row: its row 1 is empty")
    return Layout(FORMAT, header=names), Mark(1)


class XlsxTable:
    """Opened by one thread. A moment is a moment, everything else is text."""

    def __init__(self, file: BinaryIO, layout: Layout) -> None:
        self.layout = layout
        self._row = 1
        try:
            self._sheet = Sheet(file)
        except Unreadable:
            raise
        except _BROKEN as error:
            raise Unreadable(f"is not a workbook that can be read ({type(error).__name__})") from error

    def rows(self, after: Mark) -> Iterator[Line]:
        found = self._sheet.rows()
        self._row = after.row
        while True:
            try:
                number, cells, fault = next(found)
            except StopIteration:
                return
            except Unreadable:
                raise
            except _BROKEN as error:
                raise Unreadable(f"the sheet cannot be read after row {self._row}") from error
            if number <= after.row:
                continue
            self._row = number
            yield _line(number, cells, fault)

    def mark(self) -> Mark:
        return Mark(self._row)

    def share(self) -> float:
        return self._sheet.share


def check_archive(file: BinaryIO) -> None:
    """Reads the whole archive once. Raises Unreadable when it is none, or more than can be held."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > MAX_MEMBERS:
                raise Unreadable(f"the workbook has more than {MAX_MEMBERS} parts")
            for member in members:
                _check_member(archive, member)
    except _BROKEN as error:
        if isinstance(error, Unreadable):
            raise
        raise Unreadable(f"is not a workbook ({type(error).__name__})") from error
    file.seek(0)


def _check_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """By its declared size, which zipfile holds it to, and by the longest piece without a tag. Entities that
    multiply are refused by expat itself (since 2.4.1)."""
    limit = MAX_SHEET_BYTES if member.filename.startswith(SHEETS) else MAX_OTHER_BYTES
    if member.file_size > limit:
        raise Unreadable(f"a part of the workbook is over the limit of {limit} bytes")
    if member.file_size > MAX_UNBROKEN and member.file_size > MAX_RATIO * member.compress_size:
        raise Unreadable(f"a part of the workbook is compressed more than {MAX_RATIO} times")
    if not member.filename.endswith((".xml", ".rels")):
        return
    unbroken = tags = 0
    most = MAX_STRING_TAGS if member.filename.endswith(STRINGS) else MAX_TAGS
    with archive.open(member) as part:
        while piece := part.read(_PIECE):
            unbroken = unbroken + len(piece) if b"<" not in piece else len(piece) - piece.rfind(b"<")
            tags += piece.count(b"<")
            if unbroken > MAX_UNBROKEN:
                raise Unreadable(f"the workbook has a text over the limit of {MAX_UNBROKEN} bytes")
            if tags > most and not member.filename.startswith(SHEETS):
                raise Unreadable(f"a part of the workbook has more than {most:,} tags: send it as CSV")


def _line(number: int, cells: list[dict[str, Any]], fault: str) -> Line:
    """A row with a fault shows its values as they came; another one each in its column, without the empty
    cells that formatting leaves at its end."""
    if fault:
        return Line(number, [_cell(cell["value"]) for cell in cells[:MAX_SHOWN]], fault)
    shown = {cell["column"]: text for cell in cells if (text := _cell(cell["value"]))}
    long = any(len(text) > MAX_CELL for text in shown.values())
    return Line(
        number,
        [shown.get(column, "") for column in range(1, max(shown, default=0) + 1)],
        f"a cell is over the limit of {MAX_CELL} characters" if long else "",
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, date):
        return Moment.of(value if isinstance(value, datetime) else datetime.combine(value, time()))
    return str(value)
