"""The network between services and servers loses replies, is slow, lets through one way only, or nothing.

The services reach Kafka and MongoDB through proxies of the test's own; the client and the oracle do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from deploy.local.folder import DataFolder
from deploy.local.ports import HOST, PortBook
from deploy.local.servers import Servers, start_servers
from shared.admin import ensure_topics
from tests.faults.conftest import Run, Stage
from tests.support.faults import Cluster
from tests.support.proxy import OFFSET_COMMIT, PRODUCE, KafkaWire, MongoWire, Proxy, proxied
from tests.support.spine import eventually

pytestmark = [pytest.mark.faults, pytest.mark.matrix, pytest.mark.timeout(300)]

LOSE_SECONDS = 25.0
AWAY_SECONDS = 20.0
SLOW_SECONDS = 0.05


@dataclass(frozen=True)
class Between:
    """Servers, and the proxies in front of them."""

    servers: Servers
    kafka: Proxy
    mongo: Proxy

    def reach_through(self, cluster: Cluster, *services: str) -> None:
        """These services' replicas, not yet started, speak to both servers through the proxies."""
        for replica in cluster.replicas:
            if replica.service in services:
                replica.env |= {
                    "CQM_KAFKA": f"{HOST}:{self.kafka.port}",
                    "CQM_MONGO": f"mongodb://{HOST}:{self.mongo.port}/?directConnection=true",
                }


@pytest.fixture(scope="module")
async def between(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Between]:
    """The broker has a second listener, whose clients are told to come back through the proxy."""
    folder = tmp_path_factory.mktemp("between")
    ports = PortBook(DataFolder(folder).create().ports_file)
    plain, controller, second, proxy, mongo_proxy = map(
        ports.claim, ("kafka", "kafka-controller", "kafka-second", "kafka-proxy", "mongo-proxy")
    )
    settings = {
        "listeners": f"PLAINTEXT://{HOST}:{plain},VIA://{HOST}:{second},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{plain},VIA://{HOST}:{proxy}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,VIA:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
    }
    async with AsyncExitStack() as stack:
        servers = await start_servers(folder, kafka_settings=settings)
        stack.push_async_callback(servers.stop)
        assert servers.kafka == f"{HOST}:{plain}", "the port was free a moment ago"
        await ensure_topics(servers.kafka)
        mongod = int(servers.mongo.removeprefix(f"mongodb://{HOST}:").partition("/")[0])
        kafka = await stack.enter_async_context(proxied(KafkaWire(), second, proxy))
        mongo = await stack.enter_async_context(proxied(MongoWire(), mongod, mongo_proxy))
        yield Between(servers, kafka, mongo)


@pytest.fixture
async def run(stage: Stage, between: Between) -> AsyncIterator[Run]:
    async with stage.run_on(between.servers.kafka, between.servers.mongo) as run:
        try:
            yield run
        finally:
            for proxy in (between.kafka, between.mongo):
                proxy.mend()
                proxy.delay = 0.0


async def start(run: Run, between: Between, *services: str, **counts: int) -> None:
    """Replicas of each service, those of `services` behind the proxies."""
    for service, count in counts.items():
        for _ in range(count):
            run.cluster.add(service)
    between.reach_through(run.cluster, *services)
    for replica in run.cluster.replicas:
        replica.start()
    await run.cluster.all_ready()


@pytest.mark.parametrize(("server", "request_", "every"), [
    pytest.param("kafka", PRODUCE, 5, marks=pytest.mark.fault("lost-produce")),
    pytest.param("kafka", OFFSET_COMMIT, 2, marks=pytest.mark.fault("lost-offset-commit")),
    pytest.param("mongo", "commitTransaction", 5, marks=pytest.mark.fault("lost-commit")),
    pytest.param("mongo", "insert", 5, marks=pytest.mark.fault("lost-insert")),
])  # fmt: skip
async def test_a_reply_that_is_lost_after_the_work_was_done_does_not_do_it_twice(
    run: Run, between: Between, server: str, request_: str, every: int
) -> None:
    await start(
        run, between, "intake", "routing", "sla", "analytics", intake=1, routing=1, sla=1, analytics=1
    )
    proxy = between.kafka if server == "kafka" else between.mongo
    lost = proxy.lost
    async with run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        proxy.lose(request_, every)
        await asyncio.sleep(LOSE_SECONDS)  # the fault
        proxy.mend()
        await run.recovered(f"{proxy.lost - lost} replies lost")
    assert proxy.lost > lost, "nothing was lost, nothing is shown"
    await run.verdict(load)


@pytest.mark.fault("slow-network")
async def test_a_slow_network_makes_everything_later_and_nothing_wrong(run: Run, between: Between) -> None:
    await start(
        run, between, "intake", "routing", "sla", "analytics", intake=1, routing=1, sla=1, analytics=1
    )
    async with run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        between.kafka.delay = between.mongo.delay = SLOW_SECONDS
        await asyncio.sleep(AWAY_SECONDS)  # the fault
        between.kafka.delay = between.mongo.delay = 0.0
        await run.recovered(f"each frame {SLOW_SECONDS:g} s later")
    await run.verdict(load)


@pytest.mark.parametrize(("kafka", "mongo"), [
    pytest.param(("out", "back"), (), marks=pytest.mark.fault("parted-from-kafka")),
    pytest.param((), ("out", "back"), marks=pytest.mark.fault("parted-from-mongo")),
    pytest.param(("out", "back"), ("out", "back"), marks=pytest.mark.fault("parted-from-both")),
    pytest.param(("back",), (), marks=pytest.mark.fault("parted-one-way-kafka")),
    pytest.param((), ("back",), marks=pytest.mark.fault("parted-one-way-mongo")),
])  # fmt: skip
async def test_replicas_that_are_parted_from_a_server_have_one_winner(
    run: Run, between: Between, kafka: tuple[str, ...], mongo: tuple[str, ...]
) -> None:
    """One replica of each consumer behind the proxies, one beside them, which takes the work over."""
    for service in ("routing", "sla", "analytics"):
        run.cluster.add(service)
    between.reach_through(run.cluster, "routing", "sla", "analytics")
    parted = list(run.cluster.replicas)
    for replica in parted:
        replica.start()
    await run.cluster.start(intake=1, routing=1, sla=1, analytics=1)
    async with run.load() as load:
        await eventually(lambda: load.answered, what="an action was carried out")
        between.kafka.hold(*kafka)  # type: ignore[arg-type]  # the words above
        between.mongo.hold(*mongo)  # type: ignore[arg-type]
        await asyncio.sleep(AWAY_SECONDS)  # the fault
        between.kafka.mend()
        between.mongo.mend()
        await run.recovered("together again")
    await run.verdict(load)
