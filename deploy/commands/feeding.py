"""A table into intake: rows become feedback by a mapping, go out in batches, and are accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import msgspec

from deploy.commands.csv_table import CsvTable
from deploy.commands.rejects import Rejected, RejectsFile
from deploy.commands.resume import Bookmark, Position
from deploy.commands.sending import Refused, Sender
from shared.mapping import Mapping, RowError
from shared.topics import MAX_RECORD_BYTES

BATCH_ROWS = 1000
BATCH_BYTES = 4_000_000
"""Well below the 16 MiB that intake takes at once."""

_encode = msgspec.json.Encoder().encode


class Row(NamedTuple):
    number: int
    cells: list[str]
    body: bytes


@dataclass
class Batch:
    """Rows ready to go, and those that never will be; `rows` counts all that were read for it."""

    rows: int = 0
    ready: list[Row] = field(default_factory=list)
    refused: list[tuple[Rejected, list[str]]] = field(default_factory=list)
    bytes: int = 0
    read_bytes: int = 0


def batches(table: CsvTable, mapping: Mapping, skip_rows: int) -> Iterator[Batch]:
    """The rest of a table after `skip_rows`, in batches. Raises Failure where it stops being CSV."""
    batch = Batch()
    for number, cells in islice(table.rows(), skip_rows, None):
        batch.rows += 1
        if cells:  # a line without anything is no row
            _add(batch, table.header, mapping, number, cells)
        if batch.rows >= BATCH_ROWS or batch.bytes >= BATCH_BYTES:
            batch.read_bytes = table.read_bytes
            yield batch
            batch = Batch()
    if batch.rows:
        batch.read_bytes = table.read_bytes
        yield batch


def _add(batch: Batch, header: list[str], mapping: Mapping, number: int, cells: list[str]) -> None:
    try:
        if len(cells) > len(header):
            raise RowError("", f"the row has {len(cells)} cells, the header {len(header)}")
        body = _encode(mapping.apply(dict(zip(header, cells, strict=False))))
        if len(body) > MAX_RECORD_BYTES:
            raise RowError("", f"the row is over {MAX_RECORD_BYTES} bytes")
    except RowError as error:
        batch.refused.append((Rejected(number, error.column, error.reason), cells))
    else:
        batch.ready.append(Row(number, cells, body))
        batch.bytes += len(body)


Done = Callable[[Position, int, list[Rejected]], None]
"""Told after each batch: where the import stands, how many bytes were read, what was refused now."""


async def feed(
    source: Iterator[Batch],
    sender: Sender,
    done: Done,
    start: Position,
    *,
    rejects: RejectsFile | None = None,
    bookmark: Bookmark | None = None,
) -> Position:
    """Sends everything, in order, one batch at a time; the next one is read meanwhile.

    What was refused is written before the bookmark moves, so that going on loses no reason. Raises Failure.
    """
    position = start
    batch = await asyncio.to_thread(next, source, None)
    while batch is not None:
        following = asyncio.create_task(asyncio.to_thread(next, source, None))
        try:
            refused = await sender.send([row.body for row in batch.ready])
        except BaseException:
            await asyncio.wait({following})  # the thread has the file; its rows are read again next time
            raise
        rejected = _all_rejected(batch, refused)
        if rejects is not None:
            rejects.write([why for why, _ in rejected], [cells for _, cells in rejected])
        position = Position(
            position.rows + batch.rows,
            position.accepted + len(batch.ready) - len(refused),
            position.rejected + len(rejected),
            rejects.size if rejects is not None else 0,
        )
        if bookmark is not None:
            bookmark.save(position)
        done(position, batch.read_bytes, [why for why, _ in rejected])
        batch = await following
    return position


def _all_rejected(batch: Batch, refused: list[Refused]) -> list[tuple[Rejected, list[str]]]:
    """By the mapping and by intake, in the order of the file."""
    by_intake = [
        (Rejected(row.number, one.pointer, one.reason), row.cells)
        for one in refused
        for row in (batch.ready[one.item],)
    ]
    return sorted([*batch.refused, *by_intake], key=lambda entry: entry[0].row)
