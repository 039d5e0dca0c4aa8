"""A replica set of three loses its primary, a member, its majority."""

from __future__ import annotations

import asyncio

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
@pytest.mark.parametrize("part", [
    pytest.param("primary", marks=pytest.mark.fault("mongo-primary-killed")),
    pytest.param("secondary", marks=pytest.mark.fault("mongo-secondary-killed")),
])  # fmt: skip
async def test_a_killed_member_leaves_exact_counts(ring_run: Run, ring: Ring, part: str) -> None:
    await started(ring_run)
    async with ring_run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        killed = await ring.primary() if part == "primary" else (await ring.secondaries())[0]
        await killed.child.kill()
        await ring_run.recovered(f"{part} killed")
        await killed.spawn()
        await ring.whole()
        await ring_run.recovered("and back as a member")
    await ring_run.verdict(load)


@pytest.mark.matrix
@pytest.mark.fault("mongo-no-majority")
async def test_without_a_majority_nothing_is_said_that_a_later_primary_does_not_know(
    ring_run: Run, ring: Ring
) -> None:
    """Both secondaries are dead, writes reach the primary alone; then it dies, and they are rolled back."""
    await started(ring_run)
    async with ring_run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        primary = await ring.leave_alone()
        await asyncio.sleep(AWAY_SECONDS)  # the fault: so long there is no majority
        await ring.roll_back(primary)
        await ring_run.recovered("another primary")
    await ring_run.verdict(load)
