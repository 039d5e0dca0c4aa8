"""A dry run: what a file would become, and nothing is kept."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import Any

from services.intake.domain.imports import Mark
from services.intake.imports.rows import RowReader, received
from services.intake.imports.table import Table
from shared.mapping import Mapping, RowError

LOOKED_AT = 1000
SHOWN_ROWS = 20


def preview(table: Table, mapping: Mapping, rows: RowReader, start: Mark, now: datetime) -> dict[str, Any]:
    """The answer of a dry run. Raises Unreadable."""
    mapped: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    looked_at, receiver = 0, rows.receiver(now)
    for line in islice(table.rows(start), LOOKED_AT):
        if not line.cells and not line.fault:
            continue
        looked_at += 1
        try:
            body = rows.feedback(line)
            received(rows.hear(line, body, receiver))
        except RowError as error:
            rejects.append({"row": line.number, "column": error.column, "reason": error.reason})
        else:
            if len(mapped) < SHOWN_ROWS:
                mapped.append({"row": line.number, "feedback": body})
    layout = table.layout
    return {
        "format": layout.format, "encoding": layout.encoding or None, "delimiter": layout.delimiter or None,
        "quote": layout.quote or None, "columns": layout.header,
        "unmapped": [column for column in layout.header if column not in mapping.columns],
        "looked_at": looked_at, "rows": mapped,
        "rejects": rejects,
    }  # fmt: skip
