"""Which Kafka and MongoDB the tests use: given ones, containers where a daemon has the images, embedded ones.

All three are the real servers; `kind` says in one line which.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException
from pymongo import MongoClient
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from deploy.local.ports import PortBook
from deploy.local.servers import start_servers
from shared.admin import ensure_topics
from shared.errors import Unavailable

KAFKA_IMAGE = os.environ.get("CQM_KAFKA_IMAGE", "apache/kafka:4.3.0")
START_SECONDS = 90.0
MONGO_IMAGE = os.environ.get("CQM_MONGO_IMAGE", "mongo:7.0")
GIVEN = "given by CQM_KAFKA and CQM_MONGO"


@dataclass(frozen=True)
class Servers:
    """Endpoints of a real Kafka, with CQM's topics, and a real MongoDB replica set."""

    kind: str
    kafka: str
    mongo: str


@contextmanager
def choose_servers(folder: Path) -> Iterator[Servers]:
    """CQM_KAFKA and CQM_MONGO when both are set, else containers, else the processes of deploy/local."""
    kafka, mongo = os.environ.get("CQM_KAFKA"), os.environ.get("CQM_MONGO")
    with ExitStack() as stack:
        if kafka and mongo:
            servers = Servers(GIVEN, kafka, mongo)
        elif _docker_has_images():
            servers = _containers(stack, PortBook(folder / "ports.json"))
        else:
            embedded = asyncio.run(start_servers(folder))
            stack.callback(lambda: asyncio.run(embedded.stop()))
            servers = Servers("embedded (deploy/local)", embedded.kafka, embedded.mongo)
        asyncio.run(ensure_topics(servers.kafka))
        yield servers


def _docker_has_images() -> bool:
    try:
        client = docker.from_env(timeout=5)
        try:
            tags = {tag for image in client.images.list() for tag in image.tags}
        finally:
            client.close()
    except DockerException:
        return False
    return all(image in tags or f"{image}:latest" in tags for image in (KAFKA_IMAGE, MONGO_IMAGE))


def _containers(stack: ExitStack, ports: PortBook) -> Servers:
    testcontainers_config.ryuk_disabled = True  # the reaper is an image of its own; ExitStack ends ours
    port, mongo_port = ports.claim("kafka"), ports.claim("mongo")
    kafka = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, port)
    for name, value in _kraft(port).items():
        kafka = kafka.with_env(name, value)
    stack.enter_context(kafka)
    mongo = DockerContainer(MONGO_IMAGE).with_bind_ports(27017, mongo_port)
    mongo = mongo.with_command(
        "mongod --replSet rs0 --bind_ip_all --setParameter transactionLifetimeLimitSeconds=3"
    )
    stack.enter_context(mongo)
    asyncio.run(_until_kafka_answers(f"127.0.0.1:{port}"))
    with MongoClient[dict[str, object]]("127.0.0.1", mongo_port, directConnection=True) as client:
        client.admin.command(
            "replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": "127.0.0.1:27017"}]}
        )
    uri = f"mongodb://127.0.0.1:{mongo_port}/?directConnection=true"
    return Servers(f"containers ({KAFKA_IMAGE}, {MONGO_IMAGE})", f"127.0.0.1:{port}", uri)


async def _until_kafka_answers(bootstrap: str) -> None:
    """What an image writes to its log differs; that it answers does not."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            try:
                await ensure_topics(bootstrap)
                return
            except Unavailable:
                await asyncio.sleep(0.5)


def _kraft(port: int) -> dict[str, str]:
    """One node that is broker and controller, known to the host by `port`."""
    return {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_LISTENERS": "PLAINTEXT://0.0.0.0:9092,CONTROLLER://localhost:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_LOG_DIRS": "/tmp/kraft",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }
