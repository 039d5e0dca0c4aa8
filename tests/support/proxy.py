"""A network between a client and a server that can be cut, held up, slowed, and made to lose replies.

It understands the frames of both protocols as far as needed: Kafka's begin with a length of four bytes, big
endian, behind which stand the API's key and the correlation id; MongoDB's with a length that counts itself,
little endian, the id of the request, the one it answers, and a document whose first name is the command.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal, Protocol

from deploy.local.ports import HOST

Way = Literal["out", "back"]
PRODUCE, OFFSET_COMMIT = "0", "8"
"""Keys of Kafka's APIs (its protocol guide)."""


class Wire(Protocol):
    """How a protocol is cut into frames. `head` bytes tell the length of the whole frame."""

    head: int

    def length(self, head: bytes) -> int: ...

    def request(self, frame: bytes) -> tuple[str, int]:
        """What is asked, and the number that its reply will carry."""

    def answers(self, frame: bytes) -> int:
        """The number of the request that a reply is for."""


class KafkaWire:
    head = 4

    def length(self, head: bytes) -> int:
        return 4 + int(struct.unpack(">i", head)[0])

    def request(self, frame: bytes) -> tuple[str, int]:
        api, _, correlation = struct.unpack_from(">hhi", frame, 4)
        return str(api), correlation

    def answers(self, frame: bytes) -> int:
        return int(struct.unpack_from(">i", frame, 4)[0])


class MongoWire:
    head = 4
    _FIRST_NAME = 16 + 4 + 1 + 4 + 1
    """Header, flags, the section's kind, the document's length, the type of its first element."""

    def length(self, head: bytes) -> int:
        return int(struct.unpack("<i", head)[0])

    def request(self, frame: bytes) -> tuple[str, int]:
        number = int(struct.unpack_from("<i", frame, 4)[0])
        name = frame[self._FIRST_NAME : frame.find(b"\0", self._FIRST_NAME)]
        return name.decode("ascii", "replace"), number

    def answers(self, frame: bytes) -> int:
        return int(struct.unpack_from("<i", frame, 8)[0])


@dataclass
class Proxy:
    """One listening port in front of one server. `lost` counts replies that were swallowed."""

    wire: Wire
    target: int
    port: int
    delay: float = 0.0
    lost: int = 0
    _losing: str = ""
    _every: int = 1
    _asked: int = 0
    _open: dict[Way, asyncio.Event] = field(default_factory=dict)
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._open = {"out": asyncio.Event(), "back": asyncio.Event()}
        self.mend()

    def hold(self, *ways: Way) -> None:
        """As a firewall that drops: connections stay, nothing passes that way until it is mended."""
        for way in ways:
            self._open[way].clear()

    def lose(self, request: str, every: int = 1) -> None:
        """The server does what is asked, and the connection breaks before its reply; each `every`th time."""
        self._losing, self._every = request, every

    def mend(self) -> None:
        """Everything passes again, what was held up first."""
        self._losing = ""
        for way in self._open.values():
            way.set()

    def cut(self) -> None:
        """Break all connections; new ones are taken."""
        for connection in self._connections:
            connection.cancel()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client's connection, from its first byte to its end."""
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._join(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(HOST, self.target)
        doomed: set[int] = set()
        ways = [
            asyncio.create_task(self._out(reader, back, doomed)),
            asyncio.create_task(self._back(there, writer, doomed)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            back.close()

    async def _out(
        self, reader: asyncio.StreamReader, server: asyncio.StreamWriter, doomed: set[int]
    ) -> None:
        while True:
            frame = await self._frame(reader, "out")
            what, number = self.wire.request(frame)
            if self._losing and what == self._losing:
                self._asked += 1
                if self._asked % self._every == 0:
                    doomed.add(number)
            server.write(frame)
            await server.drain()

    async def _back(
        self, server: asyncio.StreamReader, client: asyncio.StreamWriter, doomed: set[int]
    ) -> None:
        while True:
            frame = await self._frame(server, "back")
            if self.wire.answers(frame) in doomed:
                self.lost += 1
                return
            client.write(frame)
            await client.drain()

    async def _frame(self, reader: asyncio.StreamReader, way: Way) -> bytes:
        head = await reader.readexactly(self.wire.head)
        rest = await reader.readexactly(self.wire.length(head) - self.wire.head)
        if self.delay:
            await asyncio.sleep(self.delay)
        await self._open[way].wait()
        return head + rest


@asynccontextmanager
async def proxied(wire: Wire, target: int, port: int) -> AsyncIterator[Proxy]:
    """A proxy on HOST:port in front of HOST:target."""
    proxy = Proxy(wire, target, port)
    server = await asyncio.start_server(proxy.serve, HOST, port)
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await server.wait_closed()
