"""The generator: NDJSON bodies to intake, as fast as it takes them, or at times fixed beforehand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Self

import httpx

from tests.bench.laboratory import Laboratory
from tests.bench.measure import Sample

AT_ONCE = 2


class Poster:
    """Posts to one intake; `accepted` counts what was acknowledged. Anything but 202 is an error here."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(
            base_url=url, headers={"content-type": "application/x-ndjson"}, timeout=30.0, trust_env=False
        )
        self.accepted = 0

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._client.aclose()

    async def post(self, body: bytes) -> None:
        answer = await self._client.post("/v1/feedback/batch?items=rejected", content=body)
        if answer.status_code != httpx.codes.ACCEPTED:
            raise RuntimeError(f"intake answered {answer.status_code}: {answer.text[:300]}")
        self.accepted += body.count(b"\n") + 1

    async def flood(self, bodies: Sequence[bytes], room: asyncio.Event | None = None) -> None:
        """All bodies, AT_ONCE at a time; none is begun while `room` is clear."""
        left = iter(bodies)

        async def lane() -> None:
            for body in left:
                if room is not None:
                    await room.wait()
                await self.post(body)

        async with asyncio.TaskGroup() as lanes:
            for _ in range(AT_ONCE):
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
