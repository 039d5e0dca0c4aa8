"""kill -9 at every point of a batch, in every service, under load."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass

import pytest

from shared.crash import POINTS
from shared.topics import ASSIGNMENTS, CASES, FEEDBACK, Topic
from tests.faults.conftest import Run
from tests.support.faults import SESSION_TIMEOUT, Replica
from tests.support.witness import short

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]

VICTIMS: tuple[tuple[str, Topic, tuple[str, ...]], ...] = (
    ("routing", FEEDBACK, POINTS),
    ("routing", ASSIGNMENTS, POINTS[3:] + POINTS[:3]),
    ("sla", CASES, POINTS[:3]),
    ("sla", CASES, POINTS[3:]),
    ("analytics", FEEDBACK, POINTS),
    ("analytics", CASES, POINTS[3:] + POINTS[:3]),
)
"""Two replicas of each service, which die beside each other, each at its points in turn."""
COME_TO_IT_SECONDS = 60.0
RECOVERY_SECONDS = 12 * (SESSION_TIMEOUT + 5)
"""After which a recovery counts as none. One death is recovered from in a session timeout and 5 s; here
others follow before it is over, and the machine may have other work: how long each took is reported."""


@dataclass
class Deaths:
    """The victims of one run, dying and being started again."""

    run: Run
    group: asyncio.TaskGroup

    def start(self, replica: Replica, topic: Topic, point: str) -> None:
        """`point` "": the replica will live."""
        group = self.run.cluster.group(replica.service, short(topic))
        replica.start(f"{group}/{point}:3" if point else "")

    async def at_each(self, replica: Replica, topic: Topic, points: tuple[str, ...]) -> None:
        """Its process comes to its point and is started again, with the next one, until none is left."""
        for point, following in zip(points, (*points[1:], ""), strict=True):
            await self._death(replica, topic, point)
            self.start(replica, topic, following)
            self.group.create_task(self._recovery(replica.service, topic, point))

    async def _death(self, replica: Replica, topic: Topic, point: str) -> None:
        try:
            code = await asyncio.wait_for(replica.program.wait(), COME_TO_IT_SECONDS)
        except TimeoutError:
            behind = await self.run.witness.behind(replica.service, topic, await self.run.witness.ends())
            missing = await replica.problems()
            what = f"{replica.name} never came to {point}: {behind} behind, {missing}"
            raise AssertionError(what) from None
        assert code == -signal.SIGKILL, f"{replica.name} ended with {code}: {replica.program.log_tail(20)}"

    async def _recovery(self, service: str, topic: Topic, point: str) -> None:
        seconds = await self.run.witness.recovery(service, topic, within=RECOVERY_SECONDS)
        self.run.recoveries.append(seconds)
        self.run.report(f"{service} {point}: all from before the kill was done after {seconds:.1f} s")


@pytest.mark.fault("crash-points")
async def test_a_kill_at_any_point_of_a_batch_loses_nothing_and_doubles_nothing(run: Run) -> None:
    await run.cluster.start(intake=1)
    replicas = [run.cluster.add(service) for service, _, _ in VICTIMS]
    async with run.load() as load, asyncio.TaskGroup() as group:
        deaths = Deaths(run, group)
        for replica, (_, topic, points) in zip(replicas, VICTIMS, strict=True):
            deaths.start(replica, topic, points[0])
            group.create_task(deaths.at_each(replica, topic, points))
    longest = max(run.recoveries)
    run.report(f"{len(run.recoveries)} kills, recovery {min(run.recoveries):.1f} to {longest:.1f} s")
    await run.verdict(load)
