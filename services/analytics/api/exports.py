"""Sheets as files: CSV for spreadsheets, Parquet for programs; written as they are read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast

import structlog
from fastapi import Response
from fastapi.responses import StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from services.analytics.api.sheets import Cell, Rows, Sheet
from shared.clock import rfc3339
from shared.http_protocol import CONNECTION
from shared.problem import Problem
from shared.spreadsheet import BYTE_ORDER_MARK, csv_lines, safe

if TYPE_CHECKING:
    import pyarrow as pa

log = structlog.get_logger("cqm.exports")

Format = Literal["json", "csv", "parquet"]
PARQUET = "application/vnd.apache.parquet"
MEDIA_TYPES: dict[str, Format] = {"application/json": "json", "text/csv": "csv", PARQUET: "parquet"}
MOST_AT_A_TIME = 2
"""Exports that one process writes; each holds a session and up to a row group."""
BUSY_SECONDS = 5
TAKE_SECONDS = 30.0
"""In which a client has to take each piece, of some hundred kilobytes."""
AS_OF = "X-CQM-As-Of"
"""The header of a file that says up to when all partitions are in it; it is not there where nobody knows."""
GROUP_ROWS = 10_000
"""Of a Parquet row group: small ones would make the list of them at the end of the file long."""


def chosen(given: Format | None, accept: str) -> Format:
    """The format: that of the parameter, else the one the Accept header likes best, else JSON."""
    if given is not None:
        return given
    best: tuple[float, Format] = (0.0, "json")
    for part in accept.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        found = MEDIA_TYPES.get(name.lower())
        weight = _weight(parameters)
        if found is not None and weight > best[0]:
            best = weight, found
    return best[1]


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return min(1.0, float(value))
            except ValueError:
                return 0.0
    return 1.0


class Exports:
    """Writes sheets, a few at a time."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(MOST_AT_A_TIME)

    async def download(self, sheet: Sheet, form: Format, *, bom: bool) -> Response:
        """The sheet as a file. Raises what reading its first rows raises, and Problem 503 when busy."""
        if self._turns.locked():
            again = {"Retry-After": str(BUSY_SECONDS)}
            raise Problem(503, "As many exports are being written as may be at a time.", headers=again)
        pieces = self._in_turn(sheet, _csv(sheet, bom) if form == "csv" else _parquet(sheet))
        first = await anext(pieces)  # an error in the beginning is an answer, later ones end the connection
        media_type = PARQUET if form == "parquet" else "text/csv; charset=utf-8; header=present"
        headers = {
            "Content-Disposition": f'attachment; filename="{sheet.name}.{form}"',
            "Cache-Control": "no-store",
        }
        if sheet.as_of is not None:
            headers[AS_OF] = rfc3339(sheet.as_of)
        return _Download(_all(first, pieces), media_type=media_type, headers=headers)

    async def _in_turn(self, sheet: Sheet, pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
        async with self._turns, aclosing(sheet.rows), aclosing(pieces):
            async for piece in pieces:
                yield piece


class _Download(StreamingResponse):
    """A file for a client that takes each piece in time. The connection of another one is ended, and its turn
    is given back: two that stop reading would else keep all turns for ever."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        extensions = scope.get("extensions") or {}
        end = extensions[CONNECTION]["abort"] if CONNECTION in extensions else _cancel_this()
        loop = asyncio.get_running_loop()

        def give_up() -> None:
            log.warning("export_not_taken", seconds=TAKE_SECONDS)
            end()

        async def send_in_time(message: Message) -> None:
            deadline = loop.call_later(TAKE_SECONDS, give_up)
            try:
                await send(message)
            finally:
                deadline.cancel()

        async with aclosing(cast(AsyncGenerator[bytes], self.body_iterator)):
            await super().__call__(scope, receive, send_in_time)


def _cancel_this() -> Callable[[], object]:
    """Ends the request, where the server has no way to end the connection."""
    task = asyncio.current_task()
    return task.cancel if task is not None else lambda: None


async def _all(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        yield first
        async for piece in rest:
            yield piece


async def _csv(sheet: Sheet, bom: bool) -> AsyncGenerator[bytes]:
    head = (BYTE_ORDER_MARK if bom else "") + csv_lines([[column.name for column in sheet.columns]])
    async for rows in sheet.rows:
        text = await asyncio.to_thread(csv_lines, [list(map(_cell, row)) for row in rows])
        if head or text:
            yield (head + text).encode()
        head = ""
    if head:
        yield head.encode()


def _cell(value: Cell) -> Cell:
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return rfc3339(value) if isinstance(value, datetime) else value


async def _parquet(sheet: Sheet) -> AsyncGenerator[bytes]:
    writer = await asyncio.to_thread(_ParquetWriter, sheet)
    async for rows in sheet.rows:
        await asyncio.to_thread(writer.add, rows)
        if piece := writer.written():
            yield piece
    await asyncio.to_thread(writer.close)
    yield writer.written()


class _ParquetWriter:
    """Rows as Parquet, zstd, text by dictionary. The library is loaded when the first file is asked for."""

    def __init__(self, sheet: Sheet) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds: dict[str, Callable[[], pa.DataType]] = {
            "text": pa.string, "integer": pa.int64, "number": pa.float64,
            "time": lambda: pa.timestamp("ms", tz="UTC"), "flag": pa.bool_,
        }  # fmt: skip
        fields = [pa.field(column.name, kinds[column.kind]()) for column in sheet.columns]
        self._schema = pa.schema(fields, metadata=dict(sheet.about))
        self._sink, self._batches, self._rows = _Sink(), list[Any](), 0
        self._pa, self._writer = pa, pq.ParquetWriter(self._sink, self._schema, compression="zstd")

    def add(self, rows: Rows) -> None:
        if not rows:
            return
        columns = [
            self._pa.array(column, type=field.type)
            for column, field in zip(zip(*rows, strict=True), self._schema, strict=True)
        ]
        self._batches.append(self._pa.record_batch(columns, schema=self._schema))
        self._rows += len(rows)
        if self._rows >= GROUP_ROWS:
            self._write()

    def close(self) -> None:
        if self._rows:
            self._write()
        self._writer.close()

    def written(self) -> bytes:
        """What has been written since the last time."""
        return self._sink.taken()

    def _write(self) -> None:
        self._writer.write_table(self._pa.Table.from_batches(self._batches, self._schema), GROUP_ROWS)
        self._batches, self._rows = [], 0


class _Sink:
    """As much of a file as pyarrow writes to."""

    closed = False

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: Any) -> int:
        self._pieces.append(bytes(piece))
        return len(self._pieces[-1])

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
