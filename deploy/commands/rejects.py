"""Rows that were not taken, in a CSV file to be mended and imported again."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from deploy.commands.terminal import USAGE, Failure

COLUMNS = ("rejected_row", "rejected_column", "rejected_reason")
_FORMULA = re.compile(r"^[\s]*[=+\-@\t\r|]")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)*([eE][+-]?[0-9]+)?")


class Rejected(NamedTuple):
    """`row` as a spreadsheet numbers it; `column` of the file, or pointer into the feedback, or ""."""

    row: int
    column: str
    reason: str


class RejectsFile:
    """Made with the first row that is written. `size` is what was surely written, for going on later."""

    def __init__(self, path: Path, header: Sequence[str], size: int = 0) -> None:
        """`size` keeps that many bytes of an interrupted import; 0 throws an earlier file away."""
        self.path = path
        self._header = header
        self._size = size
        self._file: TextIO | None = None
        try:
            if size:
                self._file = self._opened("r+")
                self._file.seek(size)
                self._file.truncate()
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from error

    @property
    def size(self) -> int:
        return self._size

    def write(self, rejected: Sequence[Rejected], cells: Sequence[Sequence[str]]) -> None:
        """Append rows with their reasons, and have them on the disk. Raises Failure."""
        if not rejected:
            return
        try:
            if self._file is None:
                self._file = self._opened("w")
                csv.writer(self._file).writerow([*map(safe, self._header), *COLUMNS])
            writer = csv.writer(self._file)
            width = len(self._header)
            for why, row in zip(rejected, cells, strict=True):
                padded = [*row[:width], *[""] * (width - len(row))]
                writer.writerow([*map(safe, padded), why.row, safe(why.column), safe(why.reason)])
            self._file.flush()
            self._size = self._file.buffer.tell()
        except OSError as error:
            raise self._unwritable(error) from error

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _opened(self, mode: str) -> TextIO:
        return open(self.path, mode, encoding="utf-8", newline="")  # type: ignore[return-value]

    def _unwritable(self, error: OSError) -> Failure:
        return Failure(
            f"{self.path} cannot be written: {error.strerror}", "name another place with --rejects", USAGE
        )


def safe(cell: str) -> str:
    """A cell that a spreadsheet shows and never runs (OWASP, CSV injection); numbers stay numbers."""
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell
