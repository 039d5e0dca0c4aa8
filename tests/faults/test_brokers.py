"""One broker and three: killed, restarted, standing still for 45 seconds."""

from __future__ import annotations

import asyncio
import signal

import pytest

from deploy.local.kafka import LocalKafka
from deploy.local.servers import Servers
from tests.faults.conftest import Run
from tests.support.ring import Ring
from tests.support.spine import eventually

pytestmark = [pytest.mark.faults, pytest.mark.matrix, pytest.mark.timeout(900)]

PAUSE_SECONDS = 45.0


async def paused(broker: LocalKafka) -> None:
    broker.child.signal(signal.SIGSTOP)
    await asyncio.sleep(PAUSE_SECONDS)  # the fault
    broker.child.signal(signal.SIGCONT)


async def restarted(broker: LocalKafka) -> None:
    """As a deploy does: it has time to hand its partitions over."""
    await broker.child.stop(60)
    await broker.spawn()


async def killed(broker: LocalKafka) -> None:
    await broker.child.kill()
    await broker.spawn()


@pytest.mark.fault("one-broker-paused")
async def test_the_only_broker_stands_still_and_all_that_was_acknowledged_is_done(
    run: Run, fault_servers: Servers
) -> None:
    await run.cluster.start(intake=1, routing=1, sla=1, analytics=1)
    async with run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        await paused(fault_servers.local_kafka)
        await run.cluster.all_ready()
        await run.recovered("awake")
    run.report(f"{load.outages} calls got no answer at first")
    await run.verdict(load)


@pytest.mark.parametrize("fault", [
    pytest.param(killed, marks=pytest.mark.fault("three-brokers-killed")),
    pytest.param(restarted, marks=pytest.mark.fault("three-brokers-restarted")),
    pytest.param(paused, marks=pytest.mark.fault("three-brokers-paused")),
])  # fmt: skip
async def test_of_three_brokers_each_in_turn_is_taken_away(ring_run: Run, ring: Ring, fault: object) -> None:
    await ring_run.cluster.start(intake=1, routing=2, sla=1, analytics=1)
    brokers = ring.brokers[:1] if fault is paused else ring.brokers
    async with ring_run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        for broker in brokers:
            await fault(broker)  # type: ignore[operator]  # one of the three above
            await ring.whole()
            await ring_run.recovered(f"{broker.url} back")
    ring_run.report(f"{load.outages} calls got no answer at first")
    await ring_run.verdict(load)
