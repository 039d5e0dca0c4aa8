"""A service behind a real uvicorn, as `serve` runs it, and bytes sent to it by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from shared.service import server_options
from shared.settings import Settings
from tests.support.spine import eventually


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for pytest."""
        yield


@dataclass(frozen=True)
class Answer:
    """`body` as it came; of what ended the connection, or of the first answer on it."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, object]:
        return msgspec.json.decode(self.body, type=dict[str, object])


class Connection:
    """One connection to a service."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        """The next one, with a Content-Length."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = (line.split(": ", 1) for line in head[1:] if line)
        headers = {name.lower(): value for name, value in pairs}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(head[0].split()[1]), headers, body)

    async def is_closed(self) -> bool:
        """Wait until the other side has closed it, and say whether it said nothing more."""
        try:
            return await self.reader.read() == b""
        except ConnectionError:
            return True


@dataclass(frozen=True)
class Listening:
    """Where a service listens."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def connection(self, within: float = 20.0) -> AsyncIterator[Connection]:
        """Fails when the block takes longer."""
        async with asyncio.timeout(within):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                yield Connection(reader, writer)
            finally:
                writer.close()

    async def exchange(self, data: bytes) -> Answer:
        """One request on a connection of its own."""
        async with self.connection() as connection:
            await connection.send(data)
            return await connection.answer()


@asynccontextmanager
async def serving(app: ASGIApp, options: Mapping[str, Any]) -> AsyncIterator[Listening]:
    """The application on a port of its own behind uvicorn with these options; drained at the end."""
    server = _Server(uvicorn.Config(app, **{**options, "port": 0}))
    task = asyncio.create_task(server.serve())
    try:
        await eventually(lambda: server.started, what="listening")
        yield Listening(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def listening(app: FastAPI, settings: Settings) -> AsyncIterator[Listening]:
    """The service on a port of its own, ready; drained at the end."""
    async with serving(app, server_options(settings, app)) as where:
        await eventually(lambda: not app.state.service.problems(), what="ready")
        yield where
