"""Refused rows as a CSV file to be mended and imported again; a spreadsheet runs nothing of it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

from services.intake.domain.imports import Reject

BYTE_ORDER_MARK = "\ufeff"
"""Without it spreadsheets take UTF-8 for the encoding of their country."""
COLUMNS = ("rejected_row", "rejected_column", "rejected_reason")
_FORMULA = re.compile(r"^[\s]*[=+\-@\t\r|＝＋－＠]")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)*([eE][+-]?[0-9]+)?")


def header(columns: Sequence[str]) -> str:
    """The first line. The columns of the file keep their names, so that a mapping finds them again."""
    return BYTE_ORDER_MARK + _lines([[*COLUMNS, *map(safe, columns)]])


def lines(rejects: Iterable[Reject], width: int) -> str:
    """One line each, every one as wide as the file's header, or wider where the row was."""
    return _lines(
        [one.row, safe(one.column), safe(one.reason), *map(safe, one.cells), *[""] * (width - len(one.cells))]
        for one in rejects
    )


def safe(cell: str) -> str:
    """A cell that a spreadsheet shows and never runs (OWASP, CSV injection); numbers stay numbers."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def _lines(rows: Iterable[Sequence[object]]) -> str:
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()
