"""The first sheet of a workbook as numbered rows; what openpyxl would drop or pile up is told (ECMA-376).

openpyxl's own reader drops a row whose number does not rise, and of two cells in one column the first. It
also keeps every element of a row until the row ends, however many there are. Its parser of a single row is
used here; the walk through the sheet is ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Any, BinaryIO
from xml.etree.ElementTree import Element

from openpyxl.reader.excel import ExcelReader
from openpyxl.styles.stylesheet import apply_stylesheet
from openpyxl.utils import get_column_letter
from openpyxl.worksheet._reader import CELL_TAG, DATA_TAG, ROW_TAG, WorkSheetParser
from openpyxl.xml.constants import SHARED_STRINGS, XLSM, XLSX, XLTM, XLTX
from openpyxl.xml.functions import iterparse

from services.intake.imports.table import Unreadable

MAX_ROWS = 1_048_576
MAX_COLUMNS = 16_384
"""Of a sheet (ECMA-376); a row may say that it is the ten thousand millionth, after empty ones."""
MAX_ELEMENTS = 500_000
"""Of XML in one row, or in one part of the sheet that is not its rows: they are in memory until it ends. The
widest row takes a fifth of it."""
MAX_UNENDED_BYTES = 16 * 1024 * 1024
"""Of the sheet's XML since the last row ended: elements are counted, and a few may hold a mebibyte each."""
SHEETS = "xl/worksheets/"
STRINGS = "sharedStrings.xml"
"""Where sheets stand in the archive, and how the name of the shared strings ends: the limits of a part go by
its name (workbook.py)."""
_BOOKS = (XLSX, XLSM, XLTX, XLTM)
_ROW_DEPTH = 3  # worksheet, sheetData, row


class Sheet:
    """The first sheet. Raises what openpyxl raises when it is opened, and Unreadable while it is read."""

    def __init__(self, file: BinaryIO) -> None:
        reader = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
        reader.read_manifest()
        _only_well_named((part.PartName[1:], part.ContentType) for part in reader.package.Override)
        reader.read_strings()
        reader.read_workbook()
        apply_stylesheet(reader.archive, reader.wb)
        self._reader = reader
        self._path = _first_sheet(reader)
        _only_xml([self._path])
        self._size: int = reader.archive.getinfo(self._path).file_size
        self.share = 0.0
        """How much of it has been read, 0 to 1."""

    def rows(self) -> Iterator[tuple[int, list[dict[str, Any]], str]]:
        """Number, cells and what is wrong with them, of every row that is there. Raises Unreadable."""
        book: Any = self._reader.wb
        with self._reader.archive.open(self._path) as source:
            parser = WorkSheetParser(
                source,
                self._reader.shared_strings,
                data_only=True,
                epoch=book.epoch,
                date_formats=book._date_formats,
                timedelta_formats=book._timedelta_formats,
            )
            before = 0
            for row in _row_elements(source):
                number, cells = parser.parse_row(row)
                if number <= before:
                    raise Unreadable(
                        f"row {number} stands after row {before} in the sheet: rows must rise from 1"
                    )
                if number > MAX_ROWS:
                    raise Unreadable(f"a sheet has at most {MAX_ROWS:,} rows")
                before, self.share = number, min(1.0, source.tell() / self._size)
                yield number, cells, _fault(number, row, cells)


def _first_sheet(reader: ExcelReader) -> str:
    for _, relation in reader.parser.find_sheets():
        if relation.target in reader.valid_files and "chartsheet" not in relation.Type:
            return str(relation.target)
    raise KeyError("worksheet")


def _only_xml(names: Iterable[str]) -> None:
    """What is called otherwise may be a picture, and was not held to the limits of XML (workbook.py)."""
    if not all(name.endswith(".xml") for name in names):
        raise KeyError("part of another name")


def _only_well_named(parts: Iterable[tuple[str, str]]) -> None:
    """Raises Unreadable when a part that is read whole has the name of one that may be larger: the manifest
    may call a sheet's part the shared strings, or these the workbook."""
    for name, kind in parts:
        if kind in _BOOKS or kind == SHARED_STRINGS:
            _only_xml([name])
            if name.startswith(SHEETS) or (kind in _BOOKS and name.endswith(STRINGS)):
                raise Unreadable("the workbook has a part under the name of another one")


class _Watched:
    """The XML of a sheet on its way to the parser, and how much of it has come since a row ended."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.unended = 0

    def read(self, size: int = -1, /) -> bytes:
        """Raises Unreadable."""
        piece = self._source.read(size)
        self.unended += len(piece)
        if self.unended > MAX_UNENDED_BYTES:
            raise Unreadable(f"a row of the sheet has more than {MAX_UNENDED_BYTES:,} bytes of XML")
        return piece


def _row_elements(source: IO[bytes]) -> Iterator[Any]:
    """Each row when it has been read. What has been is let go of at once, so that memory stays the same."""
    path: list[Element] = []
    watched, held = _Watched(source), 0
    for event, element in iterparse(watched, ("start", "end")):
        if event == "start":
            path.append(element)
            held += 1
            if held > MAX_ELEMENTS:
                raise Unreadable(f"a row of the sheet has more than {MAX_ELEMENTS:,} elements of XML")
            continue
        if element.tag == ROW_TAG:
            if len(path) != _ROW_DEPTH or path[1].tag != DATA_TAG:
                raise Unreadable("the sheet has a row that does not stand in its data")
            yield element
        elif element.tag == CELL_TAG and (len(path) <= _ROW_DEPTH or path[-2].tag != ROW_TAG):
            raise Unreadable("the sheet has a cell that stands in no row")
        path.pop()
        if len(path) < _ROW_DEPTH and path:
            path[-1].clear()
            watched.unended = held = 0


def _fault(number: int, row: Element, cells: list[dict[str, Any]]) -> str:
    """Why a row is not to be taken: a value would be lost, or be another column's."""
    before = 0
    for element, cell in zip(row, cells, strict=True):
        if element.tag != CELL_TAG:
            if "".join(element.itertext()).strip():
                return "the row holds what is no cell"
            continue
        column = cell["column"]
        if cell["row"] != number:
            return f"a cell says that it is of row {cell['row']}"
        if column > MAX_COLUMNS:
            return f"a cell stands beyond the last column ({MAX_COLUMNS:,})"
        if column <= before:
            return (
                f"cell {get_column_letter(column)}{number} stands after {get_column_letter(before)}{number}"
            )
        before = column
    return ""
