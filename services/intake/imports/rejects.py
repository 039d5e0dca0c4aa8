"""Refused rows as a CSV file to be mended and imported again; a spreadsheet runs nothing of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.intake.domain.imports import Reject
from shared.spreadsheet import BYTE_ORDER_MARK, csv_lines, safe

COLUMNS = ("rejected_row", "rejected_column", "rejected_reason")


def header(columns: Sequence[str]) -> str:
    """The first line. The columns of the file keep their names, so that a mapping finds them again."""
    return BYTE_ORDER_MARK + csv_lines([[*COLUMNS, *map(safe, columns)]])


def lines(rejects: Iterable[Reject], width: int) -> str:
    """One line each, every one as wide as the file's header, or wider where the row was."""
    return csv_lines(
        [one.row, safe(one.column), safe(one.reason), *map(safe, one.cells), *[""] * (width - len(one.cells))]
        for one in rejects
    )
