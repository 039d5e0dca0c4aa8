"""Rows of a table become records in batches; a row that cannot be one is told with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from services.intake.api.signals import FEEDBACK, Heard, Received, Receiver
from services.intake.domain.imports import Mark, Reject
from services.intake.domain.inputs import Refused
from services.intake.domain.rows import read_row
from services.intake.domain.signals import Sender
from services.intake.imports.quick import Doubt, QuickRows
from services.intake.imports.table import CSV, Line, Table
from shared.codec import Outgoing
from shared.errors import PermanentError
from shared.mapping import Mapping, Row, RowError
from shared.sealing import Seals

BATCH_ROWS = 2000
BATCH_BYTES = 4_000_000
MAX_REASONS = 5
KEPT_CELLS = 1000
"""Of a refused row that is wider than the header; of another one all cells, so that it can be mended."""
KEPT_OF_A_CELL = 32_767
"""Characters of a refused row's cell that are kept: no spreadsheet shows more."""
KEPT_OF_A_ROW = 1_048_576
"""Characters of all cells of a refused row: a workbook may say one long text in each of them."""
_CELL_BYTES = 16
"""What a cell takes besides its characters, at least: rows of nothing but empty cells add up, too."""


@dataclass
class Batch:
    """Some rows of a table in order; `mark` is where they end, `share` how much of the file has been read."""

    records: list[Outgoing] = field(default_factory=list)
    accepted: int = 0
    rejects: list[Reject] = field(default_factory=list)
    mark: Mark = field(default_factory=Mark)
    share: float = 0.0


class RowReader:
    """Makes the batches of one job, in one thread.

    `sender.key` is the content of the job: with its number it is the identity of a row that has none.
    """

    def __init__(
        self, table: Table, mapping: Mapping, sender: Sender, seals: Seals, traceparent: bytes = b""
    ) -> None:
        self._table = table
        self._mapping = mapping
        self._apply: Callable[[Row], dict[str, Any]] = mapping.for_header(table.layout.header)
        self._width = len(table.layout.header)
        self._kept = max(self._width, KEPT_CELLS)
        self._sender = sender
        self._seals, self._traceparent = seals, traceparent
        self._quick = _quick(table, mapping, sender)

    def batches(self, after: Mark, now: Callable[[], datetime]) -> Iterator[Batch]:
        """Everything after a mark. Raises Unreadable where the file stops being a table."""
        heard: list[_HeardRow] = []
        receiver, size, rows = self.receiver(now()), 0, 0
        for line in self._table.rows(after):
            rows += 1
            if line.cells or line.fault:  # a line without anything is no row
                heard.append(self._heard(line, receiver))
                size += heard[-1].size
            if rows >= BATCH_ROWS or size >= BATCH_BYTES:
                yield self._batch(heard)
                heard, receiver, size, rows = [], self.receiver(now()), 0, 0
        yield self._batch(heard)

    def feedback(self, line: Line) -> dict[str, Any]:
        """The row as the body that POST /v1/feedback would take. Raises RowError."""
        if line.fault:
            raise RowError("", line.fault)
        if len(line.cells) > self._width:
            raise RowError("", f"the row has {len(line.cells)} cells, the header {self._width}")
        return self._apply(line.cells)

    def receiver(self, now: datetime) -> Receiver:
        """Of the rows of one batch."""
        return Receiver(FEEDBACK, self._sender, now, self._seals, self._traceparent)

    def hear(self, line: Line, body: dict[str, Any], receiver: Receiver) -> Heard:
        """A mapped row as it is published, but for its seal. Raises RowError."""
        try:
            said = read_row(body, receiver.arrival.at, self._sender.source)
            return receiver.hear_said(said, str(line.number))
        except Refused as refused:
            raise self._row_error(refused) from None

    def _heard(self, line: Line, receiver: Receiver) -> _HeardRow:
        try:
            if self._quick is not None and not line.fault and len(line.cells) <= self._width:
                try:
                    return _HeardRow(line, self._quick.hear(line.number, line.cells, receiver.arrival))
                except Doubt:
                    pass  # the careful way knows whether it is right, and else says why not
            return _HeardRow(line, self.hear(line, self.feedback(line), receiver))
        except RowError as error:
            return self._refused(line, error)

    def _refused(self, line: Line, error: RowError) -> _HeardRow:
        """Without the cells beyond those that are kept."""
        if len(line.cells) > self._kept:
            line = Line(line.number, line.cells[: self._kept], line.fault)
            error = RowError(error.column, f"{error.reason}; its first {self._kept:,} cells are kept")
        return _HeardRow(line, error)

    def _batch(self, rows: list[_HeardRow]) -> Batch:
        """Of the rows since the one before, sealed with keys that are computed at once."""
        batch, seen = Batch(mark=self._table.mark(), share=self._table.share()), _Seen()
        self._seals.learn(row.heard.whose for row in rows if isinstance(row.heard, Heard))
        for line, heard in rows:
            try:
                row = received(heard)
                again = seen.again(row.id, row.fingerprint)
            except RowError as error:
                batch.rejects.append(reject(line, error))
                continue
            batch.accepted += 1
            if not again:
                batch.records.append(row.record)
        return batch

    def _row_error(self, refused: Refused) -> RowError:
        """In the words of the file where a flaw is that of one column."""
        said = []
        column = ""
        for flaw in refused.flaws[:MAX_REASONS]:
            of = self._mapping.column_of(".".join(flaw.path))
            column = column or of or "/" + "/".join(flaw.path)
            limit = f" (limit {flaw.limit})" if flaw.limit is not None else ""
            said.append(f"{of or '/' + '/'.join(flaw.path)} {flaw.message}{limit}")
        return RowError(column, "; ".join(said))


def _quick(table: Table, mapping: Mapping, sender: Sender) -> QuickRows | None:
    """A workbook's cells are more than their text, and most of its time goes into reading it."""
    if table.layout.format != CSV:
        return None
    try:
        return QuickRows(mapping, table.layout.header, sender, datetime.now(UTC))
    except Doubt:
        return None


class _HeardRow(NamedTuple):
    """A row, and what it says or why it is refused."""

    line: Line
    heard: Heard | RowError

    @property
    def size(self) -> int:
        """Bytes that are kept of it until its batch is published: its cells, which are told should it still
        be refused, and what it is to be published as."""
        cells = sum(map(len, self.line.cells)) + _CELL_BYTES * len(self.line.cells)
        return cells + len(self.heard.written) if isinstance(self.heard, Heard) else cells


def received(heard: Heard | RowError) -> Received:
    """The record of a row. Raises RowError."""
    if isinstance(heard, RowError):
        raise heard
    try:
        return heard.receive()
    except PermanentError as error:
        raise RowError("", error.detail) from None


class _Seen:
    """What a batch holds already: a repetition is published once, a contradiction is refused."""

    def __init__(self) -> None:
        self._fingerprints: dict[str, str] = {}

    def again(self, identity: str, fingerprint: str) -> bool:
        """Raises RowError when another row has this identity and another content."""
        before = self._fingerprints.setdefault(identity, fingerprint)
        if before != fingerprint:
            raise RowError("", "an earlier row has this identity and another content")
        return before is not fingerprint


def reject(line: Line, error: RowError) -> Reject:
    """What is kept of a refused row, within the limits of a cell and of a row."""
    cells, left = [], KEPT_OF_A_ROW
    for cell in line.cells:
        cells.append(cell[: min(KEPT_OF_A_CELL, left)])
        left -= len(cells[-1])
    return Reject(line.number, error.column, error.reason, cells)
