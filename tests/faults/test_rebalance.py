"""Two replicas of each service, and their partitions on the move in the middle of the load."""

from __future__ import annotations

import asyncio

import pytest

from tests.faults.conftest import Run
from tests.support.spine import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

SERVICES = ("intake", "routing", "sla", "analytics")


@pytest.mark.fault("rebalance")
async def test_replicas_that_die_leave_and_come_back_share_the_work_exactly_once(run: Run) -> None:
    await run.cluster.start(intake=2, routing=2, sla=2, analytics=2)
    first = [run.cluster.of(service)[0] for service in SERVICES]
    second = [run.cluster.of(service)[1] for service in SERVICES]
    async with run.load() as load:
        await run.recovered("two replicas of each")
        await asyncio.gather(*(replica.kill() for replica in first))
        await run.recovered("one of each killed")
        for replica in first:
            replica.start()
        await asyncio.gather(*(replica.ready() for replica in first))
        drained = await asyncio.gather(*(replica.drain() for replica in second))
        run.report(f"drained in {max(drained):.1f} s")
        await run.recovered("the killed ones back, the others drained")
        for replica in second:
            replica.start()
        await asyncio.gather(*(replica.ready() for replica in second))
    await run.verdict(load)


@pytest.mark.fault("zombie")
async def test_a_replica_that_was_frozen_past_its_session_writes_nothing_when_it_wakes(run: Run) -> None:
    await run.cluster.start(intake=2, routing=2, sla=2, analytics=2)
    async with run.load() as load:
        await run.recovered("two replicas of each")
        await eventually(lambda: load.answered, what="an action was carried out")
        zombies = [run.cluster.of(service)[0] for service in SERVICES]
        for zombie in zombies:
            zombie.freeze()
        try:
            await run.recovered("one of each frozen")
        finally:
            for zombie in zombies:
                zombie.thaw()
        await run.recovered("awake again")
    await run.verdict(load)
