"""deploy/local on the real Kafka and MongoDB, with a small program in place of the four services."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from pymongo import AsyncMongoClient

from deploy.local.daemon import start_daemon, stop_instance
from deploy.local.errors import FolderInUse, NotRunning, PartFailed
from deploy.local.events import Event
from deploy.local.folder import DataFolder
from deploy.local.identity import identity, is_alive
from deploy.local.instance import Instance, read_instance
from deploy.local.kafka import LocalKafka, kafka_answers
from deploy.local.mongod import LocalMongod
from deploy.local.part import running
from deploy.local.plan import Plan
from deploy.local.ports import PortBook
from deploy.local.servers import Servers, running_servers, start_servers
from deploy.local.supervisor import Supervisor

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TOPIC = "kept"
DOWNLOADED_SECONDS = 200.0  # a first run downloads Kafka


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(
        data_dir=str(tmp_path / "data"),
        services=("intake", "routing"),
        command=(sys.executable, "-m", "tests.support.small_service", "{name}"),
        preload=("http.server", "json"),
        env={"TEST_FOLDER": str(tmp_path)},
        port_base=22_001,
        mongo_cache_gb=0.25,
    )


@pytest.fixture
async def up(plan: Plan) -> AsyncIterator[Instance]:
    async with asyncio.timeout(DOWNLOADED_SECONDS):
        instance = await start_daemon(plan, print)
    yield instance
    if read_instance(plan.data_dir):
        await stop_instance(plan.data_dir)


def process(instance: Instance, name: str) -> tuple[int, str]:
    pid = next(one.pid for one in instance.processes if one.name == name)
    assert pid is not None
    return pid, identity(pid) or ""


async def settled(plan: Plan, name: str, old_pid: int) -> Instance:
    """The instance, once `name` runs under a new pid and answers."""
    async with asyncio.timeout(60):
        while True:
            instance = read_instance(plan.data_dir)
            new = {one.name: one for one in instance.processes}[name] if instance else None
            if instance and new and new.pid not in (None, old_pid):
                return instance
            await asyncio.sleep(0.05)


async def all_gone(pids: list[tuple[int, str]]) -> None:
    async with asyncio.timeout(10):
        for one in pids:
            while True:
                if not is_alive(*one):
                    break
                await asyncio.sleep(0.02)


def drained(folder: Path) -> set[str]:
    """Services that were told to stop, and still found Kafka then."""
    return {file.stem for file in folder.glob("*.drained")}


async def write(kafka: str, mongo: str) -> None:
    """One acknowledged record of 1 MiB less its key and headers' room, and one majority-written document."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all", max_request_size=2**21) as producer:
        await producer.send_and_wait(TOPIC, os.urandom(2**20), key=b"key")
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo)
    async with client, client.start_session() as session, await session.start_transaction():
        await client.test.kept.insert_one({"_id": 1}, session=session)


async def read(kafka: str, mongo: str) -> tuple[int, list[dict[str, Any]]]:
    """The size of the record and all documents."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka, auto_offset_reset="earliest", max_partition_fetch_bytes=2**21
    )
    async with asyncio.timeout(30), consumer:
        consumer.assign([TopicPartition(TOPIC, 0)])
        await consumer.seek_to_beginning()
        record = await consumer.getone()
    client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(mongo)
    async with client:
        return len(record.value or b""), await client.test.kept.find().to_list()


KEPT = (2**20, [{"_id": 1}])


async def test_data_survive_a_stop_a_kill_and_a_change_of_all_ports(tmp_path: Path) -> None:
    async with asyncio.timeout(DOWNLOADED_SECONDS), running_servers(tmp_path) as servers:
        await write(servers.kafka, servers.mongo)
    async with running_servers(tmp_path) as again:
        assert (again.kafka, again.mongo) == (servers.kafka, servers.mongo)
        assert await read(again.kafka, again.mongo) == KEPT
        await asyncio.gather(again.local_kafka.child.kill(), again.local_mongod.child.kill())
    (tmp_path / "ports.json").unlink()
    async with running_servers(tmp_path) as moved:
        assert moved.kafka != servers.kafka
        assert moved.mongo != servers.mongo
        assert await read(moved.kafka, moved.mongo) == KEPT


async def test_each_server_can_be_run_by_itself(tmp_path: Path) -> None:
    folder, ports = DataFolder(tmp_path).create(), PortBook(tmp_path / "ports.json")
    async with (
        running(LocalKafka(folder, ports.claim("kafka"), ports.claim("controller"))) as kafka,
        running(LocalMongod(folder, ports.claim("mongo"))) as mongo,
    ):
        await write(kafka, mongo)
        assert await read(kafka, mongo) == KEPT


async def test_an_instance_comes_up_restarts_what_dies_and_drains_in_order(
    plan: Plan, up: Instance, tmp_path: Path
) -> None:
    assert up.state == "ready"
    assert [one.name for one in up.processes] == ["kafka", "mongo", "preloader", "intake", "routing"]
    async with httpx.AsyncClient(trust_env=False) as client:
        told = (await client.get(up.url("routing") + "/readyz")).json()
    assert told["CQM_KAFKA"] == up.kafka
    assert told["CQM_MONGO"] == up.mongo
    assert told["CQM_AUTH"] == "off"
    with pytest.raises(FolderInUse, match=f"in use by process {up.pid}"):
        await start_daemon(plan, print)

    await write(up.kafka, up.mongo)
    for name in ("intake", "preloader", "kafka", "mongo"):
        pid, _ = process(up, name)
        os.kill(pid, signal.SIGKILL)
        now = await settled(plan, name, pid)
    assert (now.kafka, now.mongo, now.urls) == (up.kafka, up.mongo, up.urls)
    assert [one.restarts for one in now.processes] == [1, 1, 1, 1, 0]
    await serves_what_was_written(now)
    log = (tmp_path / "data" / "logs" / "supervisor.log").read_text()
    assert "intake was killed by signal 9; starting it again in 0.5 s" in log

    pids = [process(now, one.name) for one in now.processes]
    await stop_instance(plan.data_dir)
    assert not any(is_alive(*one) for one in pids)
    assert drained(tmp_path) == {"intake", "routing"}
    with pytest.raises(NotRunning):
        await stop_instance(plan.data_dir)


async def serves_what_was_written(instance: Instance) -> None:
    async with asyncio.timeout(60):
        while True:
            if await kafka_answers(instance.kafka):
                break
            await asyncio.sleep(0.05)
    assert await read(instance.kafka, instance.mongo) == KEPT


async def test_a_killed_supervisor_leaves_no_orphans_and_a_folder_that_starts_again(
    plan: Plan, up: Instance
) -> None:
    await write(up.kafka, up.mongo)
    pids = [process(up, one.name) for one in up.processes]
    os.kill(up.pid, signal.SIGKILL)
    await all_gone(pids)
    assert read_instance(plan.data_dir) is None
    again = await start_daemon(plan, print)
    assert again.pid != up.pid
    assert again.urls == up.urls
    assert await read(again.kafka, again.mongo) == KEPT


@pytest.fixture(scope="module")
async def servers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Servers]:
    running = await start_servers(tmp_path_factory.mktemp("servers"), mongo_cache_gb=0.25)
    yield running
    await running.stop()


def beside(plan: Plan, servers: Servers, **changes: Any) -> Plan:
    return msgspec.structs.replace(plan, kafka=servers.kafka, mongo=servers.mongo, **changes)


async def test_two_instances_run_side_by_side_on_given_servers_with_replicas(
    plan: Plan, servers: Servers, tmp_path: Path
) -> None:
    said: list[Event] = []
    first = await start_daemon(beside(plan, servers), said.append)
    second_plan = beside(plan, servers, data_dir=str(tmp_path / "second"), replicas={"routing": 2})
    second = await start_daemon(second_plan, said.append)
    try:
        assert first.urls == {"intake": ["http://127.0.0.1:22001"], "routing": ["http://127.0.0.1:22002"]}
        assert second.urls["intake"] == ["http://127.0.0.1:22101"]
        assert len(second.urls["routing"]) == 2
        assert [one.name for one in second.processes] == ["preloader", "intake", "routing", "routing-1"]
        assert "port 22001 and the next are taken" in " ".join(event.text for event in said)
    finally:
        await stop_instance(first.data_dir)
        await stop_instance(second.data_dir)


async def test_a_service_that_cannot_start_ends_the_instance_with_its_last_words(
    plan: Plan, servers: Servers, tmp_path: Path
) -> None:
    broken = beside(plan, servers, env={**plan.env, "TEST_BROKEN": "routing"})
    with pytest.raises(PartFailed, match=r"routing ended while starting(.|\n)*no such policy"):
        await start_daemon(broken, print)
    assert read_instance(plan.data_dir) is None
    assert not list((tmp_path / "data" / "run").iterdir())


async def test_the_foreground_prepares_then_tells_that_it_is_ready_then_obeys_the_stop(
    plan: Plan, servers: Servers, tmp_path: Path
) -> None:
    order: list[str] = []
    supervisor: Supervisor

    async def prepare(kafka: str, mongo: str) -> None:
        assert (kafka, mongo) == (servers.kafka, servers.mongo)
        order.append("prepared")

    async def on_ready(instance: Instance) -> None:
        assert read_instance(plan.data_dir) == instance
        order.append("ready")
        supervisor.stop()

    supervisor = Supervisor(
        beside(plan, servers, preload=()), say=lambda event: order.append(event.kind), prepare=prepare
    )
    await supervisor.run(on_ready)
    assert order[0] == "prepared"
    assert order.index("started") < order.index("ready") < order.index("stopped")
    assert order[-1] == "stopped"
    assert drained(tmp_path) == {"intake", "routing"}
