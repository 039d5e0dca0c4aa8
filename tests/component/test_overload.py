"""Three times what intake can take, by an open loop: nothing acknowledged is lost, nothing refused at once is
kept, every refusal says when to come again, and what is held has its bound (promise P11)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from deploy.local.service import Service
from shared import ids
from shared.codec import decode
from shared.topics import FEEDBACK
from tests.bench import workload
from tests.bench.open_loop import OpenLoop, arrivals
from tests.bench.posting import Poster
from tests.support.own_process import own_process
from tests.support.reading import read_topic
from tests.support.servers import Servers

pytestmark = pytest.mark.timeout(240)

HELD = 1 << 20
"""The least that may be set: 700 bodies of 1.5 KB are over it."""
SECONDS = 3.0
CONNECTIONS = 1000
AT_ONCE = 32
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def intake(servers: Servers, tmp_path: Path) -> AsyncIterator[Service]:
    async with own_process("intake", servers, tmp_path, CQM_IN_FLIGHT_BYTES=str(HELD)) as service:
        yield service


async def capacity(intake: Service) -> float:
    """Posts a second of a closed loop."""
    bodies = workload.bodies(600, 1, run="closed")
    clock = asyncio.get_running_loop()
    async with Poster(intake.url, "/v1/feedback", AT_ONCE) as poster:
        began = clock.time()
        await poster.flood(bodies)
        return len(bodies) / (clock.time() - began)


async def most_held(intake: Service) -> int:
    """Until cancelled: the most bytes of bodies that /metrics ever said."""
    most = 0
    async with httpx.AsyncClient(base_url=intake.url, trust_env=False, timeout=30) as http:
        try:
            while True:
                page = (await http.get("/metrics")).text
                held = re.findall(r"^cqm_intake_in_flight_bytes\{[^}]*\} (\S+)$", page, re.MULTILINE)
                most = max(most, round(sum(map(float, held))))
                await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            return most


async def test_three_times_too_much_loses_nothing_and_refuses_in_words(
    intake: Service, servers: Servers
) -> None:
    moments = arrivals(3 * await capacity(intake), SECONDS, seed=1)
    bodies = workload.bodies(len(moments), 1, run="open")
    watching = asyncio.create_task(most_held(intake))
    async with OpenLoop(intake.url, "/v1/feedback", JSON, CONNECTIONS) as loop:
        journal = await loop.offer(bodies, moments)
    watching.cancel()

    named = [ids.signal_id("feedback", "open", msgspec.json.decode(body)["external_id"]) for body in bodies]
    records = await read_topic(servers.kafka, FEEDBACK.name)
    stored = {decode(record.value, record.headers)[0].id for record in records}
    acknowledged = {one for one, post in zip(named, journal.posts, strict=True) if post.status == 202}
    at_once = {
        one
        for one, post in zip(named, journal.posts, strict=True)
        if b"nothing of this request was taken" in post.body
    }
    assert set(journal.statuses) <= {202, 429, 503}
    assert journal.refused, "it was no overload"
    assert not journal.silent
    assert acknowledged <= stored
    assert not at_once & stored
    assert await watching <= HELD
