"""SIGTERM while MongoDB is away: what is in flight cannot end, and the service ends all the same."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable

import pytest

from deploy.local.mongod import LocalMongod
from deploy.local.servers import Servers
from tests.faults.conftest import Run
from tests.support.spine import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]


async def freeze(mongod: LocalMongod) -> None:
    """Connections stay and nothing answers: a stalled disk, a paused machine."""
    mongod.child.signal(signal.SIGSTOP)


async def thaw(mongod: LocalMongod) -> None:
    mongod.child.signal(signal.SIGCONT)


async def kill(mongod: LocalMongod) -> None:
    """Connections are refused."""
    await mongod.child.kill()


async def start(mongod: LocalMongod) -> None:
    await mongod.spawn()
    await mongod.until_ready(60)


@pytest.mark.parametrize(("leave", "come_back"), [
    pytest.param(freeze, thaw, marks=pytest.mark.fault("drain-mongo-frozen")),
    pytest.param(kill, start, marks=pytest.mark.fault("drain-mongo-killed")),
])  # fmt: skip
async def test_services_drain_in_time_without_mongodb_and_nothing_is_lost_or_doubled(
    run: Run,
    fault_servers: Servers,
    leave: Callable[[LocalMongod], Awaitable[None]],
    come_back: Callable[[LocalMongod], Awaitable[None]],
) -> None:
    await run.cluster.start(intake=1, routing=1, sla=1, analytics=1)
    async with run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        await leave(fault_servers.local_mongod)
        try:
            took = await asyncio.gather(*(replica.drain() for replica in run.cluster.replicas))
        finally:
            await come_back(fault_servers.local_mongod)
        run.report(f"drained without MongoDB in {max(took):.1f} s")
        for replica in run.cluster.replicas:
            replica.start()
        await run.cluster.all_ready()
        await run.recovered("after")
    await run.verdict(load)
