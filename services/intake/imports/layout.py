"""How a file is to be read: given, or found by what is certain and by the columns that a mapping wants."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Collection
from typing import BinaryIO

import msgspec

from services.intake.domain.imports import NO_QUOTE, Layout, Mark, Options
from services.intake.imports import workbook
from services.intake.imports.csv_table import CsvTable, dialect
from services.intake.imports.table import CSV, Table, Unreadable
from services.intake.imports.text import Utf8Text

DELIMITERS = (",", ";", "\t", "|")
QUOTES = ('"', "'")
_MARK = "\ufeff"


def find_layout(
    file: BinaryIO, encoding: str, options: Options, wanted: Collection[str]
) -> tuple[Layout, Mark]:
    """The layout of a file and where its first row after the header begins. `encoding` "": a workbook.

    Raises Unreadable: empty, no header, no workbook.
    """
    if not encoding:
        return workbook.find_layout(file)
    head = codecs.getincrementaldecoder("utf-8")().decode(next(Utf8Text(file, encoding).blocks(), b""))
    mark = len(_MARK.encode()) if head.startswith(_MARK) else 0
    head = head.removeprefix(_MARK)
    if not head:
        raise Unreadable("the file is empty")
    found = [
        (layout, *_first_row(head, layout))
        for delimiter in ([options.delimiter] if options.delimiter else DELIMITERS)
        for quote in ([options.quote] if options.quote else QUOTES)
        for layout in (Layout(CSV, encoding, delimiter, "" if quote == NO_QUOTE else quote),)
    ]
    # the first of equals: a comma and a double quote are what most files have
    layout, header, end = max(found, key=lambda one: (len(set(wanted) & set(one[1])), len(one[1])))
    if not header:
        raise Unreadable("the file has no header row")
    return msgspec.structs.replace(layout, header=header), Mark(1, mark + len(head[:end].encode()))


def _first_row(head: str, layout: Layout) -> tuple[list[str], int]:
    buffer = io.StringIO(head, newline="")
    try:
        cells = next(csv.reader(buffer, **dialect(layout)), [])
    except csv.Error:
        cells = []
    return [cell.strip() for cell in cells], buffer.tell()


def open_table(file: BinaryIO, layout: Layout, size: int) -> Table:
    """A file as the rows that its layout says. Raises Unreadable for a workbook that cannot be opened."""
    if layout.format == workbook.FORMAT:
        return workbook.XlsxTable(file, layout)
    return CsvTable(Utf8Text(file, layout.encoding), layout, size)
