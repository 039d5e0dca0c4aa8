"""Imports while processes and servers are killed: each row is on the topic, and none under two ids.

The largest of them in full: `CQM_IMPORT_ROWS=1000000 python -m pytest tests/faults/test_imports.py -k fact`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

from deploy.local.part import Part
from deploy.local.preloader import Preloader
from deploy.local.servers import Servers
from services.intake.imports.rows import BATCH_ROWS
from shared import ids
from shared.settings import DEMO_POLICY
from tests.support.faults import Cluster, Replica
from tests.support.imports import MAPPING, Feedback, ended, feedback_from_now, many, posted
from tests.support.reading import forget_all

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1800)]

ROWS = 30_000
LEASE_SECONDS = 2
MANY_ROWS = 200_000
GROWTH_MB = 150
"""For MANY_ROWS; a process that held all of them would need five times that."""
FACT_ROWS = int(os.environ.get("CQM_IMPORT_ROWS", "60000"))
KILLS = 5
SLOWEST = 500
"""Rows per second: a run that is slower has failed."""


@dataclass
class Importing:
    """Replicas of intake, and one file that is imported by them."""

    cluster: Cluster
    feedback: Feedback
    report: Callable[[str], None]
    source: str

    def replica(self) -> Replica:
        replica = self.cluster.add("intake")
        replica.env["CQM_IMPORT_LEASE"] = str(LEASE_SECONDS)
        return replica

    def crash_at(self, point: str, time: int) -> str:
        return f"{self.cluster.group('intake', 'imports')}/{point}:{time}"

    async def post(self, replica: Replica, rows: int = ROWS) -> str:
        async with http(replica) as client:
            answer = await posted(client, many(rows), MAPPING.format(source=self.source))
            assert answer.status_code == 202, answer.text
            identity: str = answer.json()["id"]
            return identity

    async def verdict(self, replica: Replica, identity: str, kills: int, rows: int = ROWS) -> None:
        """Every row has been taken once, but for at most a batch for each kill that was sent again."""
        async with http(replica) as client:
            job = await ended(client, identity, within=120 + rows / SLOWEST)
        assert (job["state"], job["accepted"], job["rejected"]) == ("done", rows, 0), job
        found = await self.feedback.ids(self.source)
        assert found.keys() == {str(ids.signal_id("feedback", self.source, str(n))) for n in range(rows)}
        again = found.total() - rows
        self.report(f"{rows} rows, {kills} kills, {again} sent again with the same ids, {job['rate']:,.0f}/s")
        assert again <= kills * BATCH_ROWS


@asynccontextmanager
async def http(replica: Replica) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=replica.url, trust_env=False, timeout=60.0) as client:
        yield client


@pytest.fixture
async def importing(
    fault_servers: Servers, preloader: Preloader, tmp_path: Path, report: Callable[[str], None]
) -> AsyncIterator[Importing]:
    prefix = f"t{uuid4().hex[:10]}"
    cluster = Cluster(
        fault_servers.kafka, fault_servers.mongo, prefix, DEMO_POLICY, tmp_path, preloader.launch
    )
    await forget_all(fault_servers.kafka)  # else analytics counts the rows of all tests before
    async with feedback_from_now(fault_servers.kafka) as feedback:
        try:
            yield Importing(cluster, feedback, report, f"shop-{prefix}")
        finally:
            await cluster.close()


async def died(replica: Replica) -> None:
    async with asyncio.timeout(60):
        assert await replica.program.wait() == -signal.SIGKILL


async def moved(replica: Replica, identity: str) -> dict[str, Any]:
    """The job, as soon as some of it has been taken."""
    async with http(replica) as client, asyncio.timeout(60):
        while True:
            job: dict[str, Any] = (await client.get(f"/v1/imports/{identity}")).json()
            if job.get("rows"):
                return job
            await asyncio.sleep(0.02)


async def test_a_kill_at_any_point_of_a_batch_loses_and_doubles_no_row(importing: Importing) -> None:
    points = ("received", "decided", "published", "committed")
    replica = importing.replica()
    replica.start(importing.crash_at("published", 2))
    await replica.ready()
    identity = await importing.post(replica)
    for point in (*points, ""):
        await died(replica)
        replica.start(importing.crash_at(point, 3 if point != "received" else 1) if point else "")
        await replica.ready()
    await importing.verdict(replica, identity, kills=1 + len(points))


async def test_another_replica_goes_on_where_a_killed_one_was(importing: Importing) -> None:
    first, second = importing.replica(), importing.replica()
    first.start(importing.crash_at("published", 4))
    await first.ready()
    identity = await importing.post(first)
    await died(first)
    second.start()
    await second.ready()
    await importing.verdict(second, identity, kills=1)


async def test_a_replica_that_froze_stops_when_another_has_its_job(importing: Importing) -> None:
    first, second = importing.replica(), importing.replica()
    for replica in (first, second):
        replica.start()
        await replica.ready()
    identity = await importing.post(first, 2 * ROWS)
    await moved(second, identity)
    first.freeze()
    try:
        await importing.verdict(second, identity, kills=1, rows=2 * ROWS)
    finally:
        first.thaw()
    async with http(first) as client:
        assert (await ended(client, identity))["accepted"] == 2 * ROWS
    assert (await importing.feedback.ids(importing.source)).total() <= 2 * ROWS + 2 * BATCH_ROWS


async def test_a_killed_broker_and_a_killed_mongod_are_waited_for(
    importing: Importing, fault_servers: Servers
) -> None:
    replica = importing.replica()
    replica.start()
    await replica.ready()
    servers: tuple[Part, ...] = (fault_servers.local_kafka, fault_servers.local_mongod)
    for number, server in enumerate(servers):
        importing.source = f"{importing.source}-{number}"
        identity = await importing.post(replica, 2 * ROWS)
        await moved(replica, identity)
        await server.child.kill()
        await server.spawn()
        await server.until_ready(60)
        await importing.verdict(replica, identity, kills=4, rows=2 * ROWS)


async def test_memory_stays_the_same_however_long_a_file_is(importing: Importing) -> None:
    replica = importing.replica()
    replica.start()
    await replica.ready()
    assert replica.program.pid is not None
    process = psutil.Process(replica.program.pid)
    await importing.verdict(replica, await importing.post(replica), kills=0)
    before = process.memory_info().rss
    importing.source += "-many"
    identity = await importing.post(replica, MANY_ROWS)
    highest = before
    while (await moved(replica, identity))["state"] == "running":
        highest = max(highest, process.memory_info().rss)
        await asyncio.sleep(0.2)
    await importing.verdict(replica, identity, kills=0, rows=MANY_ROWS)
    grown = (highest - before) / 2**20
    importing.report(f"{before / 2**20:.0f} MB before, {grown:.0f} MB more at most")
    assert grown < GROWTH_MB


async def test_every_row_of_an_import_that_is_killed_five_times_is_one_fact(importing: Importing) -> None:
    replica, analytics = importing.replica(), importing.cluster.add("analytics")
    for one in (replica, analytics):
        one.start()
        await one.ready()
    began = time.monotonic()
    identity = await importing.post(replica, FACT_ROWS)
    posted = time.monotonic() - began
    marks = [FACT_ROWS * number // (KILLS + 1) for number in range(1, KILLS + 1)]
    highest = [await killed_beyond(replica, identity, rows) for rows in marks]
    await importing.verdict(replica, identity, KILLS, FACT_ROWS)
    imported = time.monotonic() - began
    await counted(analytics, importing.source, FACT_ROWS)
    importing.report(
        f"{FACT_ROWS} facts after {time.monotonic() - began:.0f} s; file taken after {posted:.0f} s, all "
        f"rows after {imported:.0f} s; at most {', '.join(f'{mb:.0f}' for mb in highest)} MB before each kill"
    )
    assert max(highest) - min(highest) < GROWTH_MB


async def counted(analytics: Replica, source: str, rows: int) -> None:
    """Every row is a fact of analytics, as its figure counts them, and none comes twice afterwards."""
    asked = {"from": "2026-03-01T00:00:00Z", "to": "2026-03-04T00:00:00Z", "grain": "all"}
    async with http(analytics) as client, asyncio.timeout(60 + rows / SLOWEST):
        count, before = 0, -1
        while count < rows or count != before:
            await asyncio.sleep(3)  # longer than a batch and its repetition take
            answer = await client.get(
                "/v1/kpis/feedback_volume", params=asked | {"filter": f"source:{source}"}
            )
            count, before = answer.json()["total"]["n"], count
    assert count == rows


async def killed_beyond(replica: Replica, identity: str, rows: int) -> float:
    """Kills it when so many rows are settled, starts it again; returns the megabytes that it held at most."""
    process = psutil.Process(replica.program.pid)
    highest = process.memory_info().rss / 2**20
    while (await moved(replica, identity))["rows"] < rows:
        highest = max(highest, process.memory_info().rss / 2**20)
        await asyncio.sleep(0.1)
    await replica.kill()
    replica.start()
    await replica.ready()
    return highest
