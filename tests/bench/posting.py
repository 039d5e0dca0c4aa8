"""The generator: bodies to intake, as fast as it takes them, or at times fixed beforehand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Self

from tests.bench.connection import Connection, request
from tests.bench.laboratory import Laboratory
from tests.bench.measure import Sample

AT_ONCE = 2
BATCH = "/v1/feedback/batch?items=rejected"
NDJSON = {"Content-Type": "application/x-ndjson"}
ACCEPTED = 202


class Poster:
    """Posts to one intake; `accepted` counts what was acknowledged. Anything but 202 is an error here."""

    def __init__(self, url: str, path: str = BATCH, at_once: int = AT_ONCE) -> None:
        self._url, self._path, self._at_once = url, path, at_once
        self._headers = NDJSON if path == BATCH else {"Content-Type": "application/json"}
        self._free: list[Connection] = []
        self.accepted = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *failure: object) -> None:
        for connection in self._free:
            connection.close()

    async def post(self, body: bytes) -> None:
        self._free = [one for one in self._free if one.is_open]
        connection = self._free.pop() if self._free else await Connection.to(self._url)
        status, answer = await connection.ask(request(self._path, body, self._headers))
        self._free.append(connection)
        if status != ACCEPTED:
            raise RuntimeError(f"intake answered {status}: {answer[:300].decode(errors='replace')}")
        self.accepted += body.count(b"\n") + 1

    async def flood(self, bodies: Sequence[bytes], room: asyncio.Event | None = None) -> None:
        """All bodies, as many at a time as said; none is begun while `room` is clear."""
        left = iter(bodies)

        async def lane() -> None:
            for body in left:
                if room is not None:
                    await room.wait()
                await self.post(body)

        async with asyncio.TaskGroup() as lanes:
            for _ in range(self._at_once):
                lanes.create_task(lane())

    async def pace(self, bodies: Sequence[bytes], every: float) -> list[float]:
        """One body each `every` seconds, however long the answers take (an open loop). Returns how late
        each was sent."""
        began, late = time.perf_counter(), []
        async with asyncio.TaskGroup() as posts:
            for number, body in enumerate(bodies):
                await asyncio.sleep(began + number * every - time.perf_counter())
                late.append(time.perf_counter() - began - number * every)
                posts.create_task(self.post(body))
        return late

    async def mark(self, lab: Laboratory) -> Sample:
        return Sample(time.perf_counter(), {}, {}, lab.cpu_seconds())
