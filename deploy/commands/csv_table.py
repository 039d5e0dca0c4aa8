"""A CSV file as numbered rows: delimiter found out, UTF-8 with or without a mark, row by row."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from deploy.commands.terminal import USAGE, Failure

DELIMITERS = ",;\t|"
MAX_CELL = 2_000_000
"""Characters of one cell; more is a quote that was never closed, and would take the rest of the file."""


@dataclass
class CsvTable:
    """Rows are numbered as a spreadsheet does: the header is row 1."""

    header: list[str]
    delimiter: str
    _name: str
    _file: TextIO

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Every row after the header; empty lines too, as []. Raises Failure where it stops being CSV."""
        number = 1
        try:
            for number, cells in enumerate(csv.reader(self._file, delimiter=self.delimiter), 2):
                yield number, cells
        except csv.Error as error:
            raise Failure(f"{self._name} is not CSV after row {number}: {error}", "", USAGE) from error
        except UnicodeDecodeError as error:
            raise _not_utf8(self._name, f"after row {number}") from error

    @property
    def read_bytes(self) -> int:
        """How far the file has been read, in blocks of some KiB."""
        return self._file.buffer.tell()


@contextmanager
def opened_table(file: Path, wanted: Collection[str]) -> Iterator[CsvTable]:
    """The table of a file. The delimiter is the one by which most of the `wanted` columns are there.

    Raises Failure for a file that cannot be read, is empty, or names a wanted column twice.
    """
    csv.field_size_limit(MAX_CELL)
    try:
        opened = file.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise Failure(f"{file} cannot be read: {error.strerror}", "", USAGE) from error
    with opened:
        delimiter, header = _header(opened, file, wanted)
        twice = sorted({column for column in header if column in wanted and header.count(column) > 1})
        if twice:
            raise Failure(f"{file} has two columns of the name {', '.join(twice)}", "", USAGE)
        yield CsvTable(header, delimiter, str(file), opened)


def _header(opened: TextIO, file: Path, wanted: Collection[str]) -> tuple[str, list[str]]:
    """Reads the header, and leaves the file at the first row after it."""
    try:
        tried = {delimiter: _first_row(opened, delimiter) for delimiter in DELIMITERS}
    except UnicodeDecodeError as error:
        raise _not_utf8(str(file), "in its first rows") from error
    except csv.Error as error:
        raise Failure(f"{file} is not CSV: {error}", "", USAGE) from error
    best = max(
        tried, key=lambda delimiter: (len(set(wanted).intersection(tried[delimiter])), len(tried[delimiter]))
    )
    if not tried[best]:
        raise Failure(f"{file} has no header row", "", USAGE)
    return best, _first_row(opened, best)


def _first_row(opened: TextIO, delimiter: str) -> list[str]:
    opened.seek(0)
    # not iter(opened), which reads ahead: the next reader has to find the row after this one
    lines = iter(opened.readline, "")
    return [cell.strip() for cell in next(csv.reader(lines, delimiter=delimiter), [])]


def _not_utf8(file: str, where: str) -> Failure:
    return Failure(
        f"{file} is not UTF-8 ({where})",
        f"save it as `CSV UTF-8`, or convert it: iconv -f GB18030 -t UTF-8 '{file}' > utf8.csv",
        USAGE,
    )
