"""A replica set of three loses its primary, a member, its majority."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.faults.conftest import Run
from tests.support.ring import Ring
from tests.support.spine import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

AWAY_SECONDS = 15.0


async def started(run: Run) -> None:
    await run.cluster.start(intake=1, routing=2, sla=1, analytics=1)


@pytest.mark.fault("mongo-step-down")
async def test_a_primary_that_steps_down_costs_no_more_than_a_moment(ring_run: Run, ring: Ring) -> None:
    await started(ring_run)
    async with ring_run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        for _ in range(2):
            await ring.step_down()
            await ring.primary()
            await ring_run.recovered("stepped down")
    await ring_run.verdict(load)


@pytest.mark.matrix
@pytest.mark.fault("mongo-primary-killed")
async def test_a_killed_primary_leaves_exact_counts(ring_run: Run, ring: Ring) -> None:
    await started(ring_run)
    async with ring_run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        killed = await ring.primary()
        await killed.child.kill()
        await ring_run.recovered("primary killed")
        await killed.spawn()
        await ring.whole()
        await ring_run.recovered("and back as a member")
    await ring_run.verdict(load)


@pytest.mark.matrix
@pytest.mark.fault("mongo-no-majority")
async def test_without_a_majority_nothing_is_said_that_a_later_primary_does_not_know(
    ring_run: Run, ring: Ring
) -> None:
    """Both secondaries stand still: writes reach the primary alone, which then dies."""
    await started(ring_run)
    async with ring_run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        primary, others = await ring.primary(), await ring.secondaries()
        for one in others:
            one.child.signal(signal.SIGSTOP)
        await asyncio.sleep(AWAY_SECONDS)  # the fault: so long there is no majority
        await primary.child.kill()
        for one in others:
            one.child.signal(signal.SIGCONT)
        await ring.primary()
        await ring_run.recovered("another primary")
        await primary.spawn()
        await ring.whole()
    await ring_run.verdict(load)


@pytest.mark.matrix
@pytest.mark.fault("mongo-secondary-killed")
async def test_a_killed_secondary_is_not_noticed(ring_run: Run, ring: Ring) -> None:
    await started(ring_run)
    async with ring_run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        killed, _ = await ring.secondaries()
        await killed.child.kill()
        await ring_run.recovered("a secondary killed")
        await killed.spawn()
        await ring.whole()
    await ring_run.verdict(load)
