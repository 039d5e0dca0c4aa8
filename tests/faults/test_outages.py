"""Kafka and MongoDB are killed under load and come back; the services go on by themselves."""

from __future__ import annotations

import asyncio

import pytest

from deploy.local.part import Part
from deploy.local.servers import Servers
from tests.faults.conftest import Run

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

RESUME_SECONDS = 90.0
"""Until it counts as not coming back at all; how long it takes is reported, not judged: cores are shared."""


async def killed_and_back(run: Run, part: Part) -> None:
    """kill -9, then started again at once; reports how long the services took to be ready and done."""
    clock = asyncio.get_running_loop()
    began = clock.time()
    await part.child.kill()
    await part.spawn()
    await part.until_ready(60)
    back = clock.time()
    await run.cluster.all_ready(within=RESUME_SECONDS)
    run.report(
        f"{part.name} back after {back - began:.1f} s, services ready {clock.time() - back:.1f} s later"
    )
    await run.recovered(f"{part.name} killed and back")


@pytest.mark.fault("servers-killed")
async def test_a_killed_broker_and_a_killed_mongod_lose_nothing_and_double_nothing(
    run: Run, fault_servers: Servers
) -> None:
    await run.cluster.start(intake=1, routing=1, sla=1, analytics=1)
    async with run.load() as load:
        await run.recovered("before")
        await killed_and_back(run, fault_servers.local_kafka)
        await killed_and_back(run, fault_servers.local_mongod)
    run.report(f"{load.outages} batches and {load.unknown_actions} actions got no answer at first")
    await run.verdict(load)
