"""Cells for spreadsheets: shown as they are, and never run."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

BYTE_ORDER_MARK = "\ufeff"
"""Without it spreadsheets take UTF-8 for the encoding of their country."""
_FORMULA = re.compile(r"^[\s]*[=+\-@\t\r|＝＋－＠]")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)*([eE][+-]?[0-9]+)?")


def safe(cell: str) -> str:
    """A cell that a spreadsheet shows and never runs (OWASP, CSV injection); numbers stay numbers."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def csv_lines(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV (RFC 4180); cells of text are to be `safe` already."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer).writerows(rows)
    return buffer.getvalue()
