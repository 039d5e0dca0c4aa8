"""What a table is, whatever it is kept in: a header, numbered rows, and a place from which to go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from msgspec import Struct

from services.intake.domain.imports import Layout, Mark
from shared.mapping import Row

CSV = "csv"
"""The format of a layout; that of a workbook is in workbook.py."""
MAX_CELL = 131_072
"""Characters of one cell, 128 Ki: six times the longest text that a feedback may have."""


class Unreadable(ValueError):
    """A file that is no table; the message says why, for whoever sent it."""


class Line(Struct, frozen=True, gc=False):
    """One row; `fault` says why it cannot be read as one, and `cells` then hold what can be shown of it."""

    number: int
    cells: Row
    fault: str = ""


class Table(Protocol):
    """A file opened for reading, by one thread."""

    layout: Layout

    def rows(self, after: Mark) -> Iterator[Line]:
        """Every row after a mark; an empty line has no cells. Raises Unreadable where they cannot be read."""
        ...

    def mark(self) -> Mark:
        """The end of the row that `rows` gave last."""
        ...

    def share(self) -> float:
        """How much of the file has been read, 0 to 1."""
        ...
