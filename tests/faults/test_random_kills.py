"""Processes that die, and come and go, at any moment under load."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from tests.faults.conftest import SEED, Run

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

KILLING_SECONDS = 60.0
STORM_SECONDS = 45.0
SERVICES = ("routing", "sla", "analytics")


@pytest.mark.fault("random-kills")
async def test_one_process_after_the_other_is_killed_for_a_minute_and_nothing_is_lost_or_doubled(
    run: Run,
) -> None:
    """Each is started again at once, as a supervisor does."""
    random, clock = Random(SEED), asyncio.get_running_loop()
    await run.cluster.start(intake=2, routing=2, sla=2, analytics=2)
    async with run.load() as load:
        end, kills = clock.time() + KILLING_SECONDS, 0
        while clock.time() < end:
            await asyncio.sleep(random.uniform(2, 5))  # the fault: it comes at any moment
            victim = random.choice(run.cluster.replicas)
            await victim.kill()
            victim.start()
            kills += 1
        await run.cluster.all_ready()
        await run.recovered(f"after {kills} kills")
    await run.verdict(load)


@pytest.mark.matrix
@pytest.mark.fault("rebalance-storm")
async def test_members_that_join_and_leave_every_three_seconds_do_not_stop_or_double_the_work(
    run: Run,
) -> None:
    clock = asyncio.get_running_loop()
    await run.cluster.start(intake=1, routing=2, sla=2, analytics=2)
    restless = [run.cluster.of(service)[1] for service in SERVICES]
    async with run.load() as load:
        end, moves = clock.time() + STORM_SECONDS, 0
        while clock.time() < end:
            if moves % 2:
                for replica in restless:
                    replica.start()
            else:
                await asyncio.gather(*(replica.drain() for replica in restless))
            moves += 1
            await asyncio.sleep(3.0)  # the fault: what a member does not get more of
        if moves % 2:
            for replica in restless:
                replica.start()
        await run.cluster.all_ready()
        await run.recovered(f"after {moves} joins and leaves")
    await run.verdict(load)
